"""Many at once in one process: every acknowledged message is there once, in order, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from securemem import Message, SecureMemory, Session

WRITERS = 64


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history(10_000)]


async def test_many_writers_of_one_session(url: str) -> None:
    """64 writers of five batches each: seqs without a gap, each batch together, each writer's in its order."""
    async with SecureMemory.open(url, max_messages=10_000) as memory:

        async def write(writer: int) -> list[Message]:
            chat = memory.session("s", user_id="alice")
            stored: list[Message] = []
            for turn in range(5):
                stored += await chat.add_many([Message("user", [writer, turn, part]) for part in range(2)])
            return stored

        stored = [message for each in await asyncio.gather(*map(write, range(WRITERS))) for message in each]
        history = await memory.session("s", user_id="alice").history(10_000)
        assert [message.seq for message in history] == list(range(1, WRITERS * 10 + 1))
        assert sorted(stored, key=lambda message: message.seq or 0) == history
        parts = [message.content for message in history]
        assert all(one[:2] == two[:2] for one, two in zip(parts[::2], parts[1::2], strict=True))
        for writer in range(WRITERS):
            assert [part[1] for part in parts[::2] if part[0] == writer] == list(range(5))


async def test_many_sessions_at_once(url: str) -> None:
    """64 sessions of 16 users, each reading and writing: every session holds exactly its own."""
    async with SecureMemory.open(url) as memory:

        async def turns(number: int) -> None:
            chat = memory.session(f"s{number}", user_id=f"u{number % 16}")
            for turn in range(5):
                assert len(await chat.context()) == 2 * turn
                await chat.add_many([Message("user", f"{number}"), Message("assistant", f"{turn}")])

        await asyncio.gather(*map(turns, range(WRITERS)))
        for number in range(WRITERS):
            chat = memory.session(f"s{number}", user_id=f"u{number % 16}")
            assert await _texts(chat) == [text for turn in range(5) for text in (f"{number}", f"{turn}")]
        assert await (await memory.host.ready()).keyring.keystore.counts() == (16, WRITERS)


async def test_a_session_made_by_many_is_made_once(memory: SecureMemory) -> None:
    """The first appends of one new session by many handles make one user, one key and one chain."""
    await asyncio.gather(*(memory.session("s", user_id="alice").add("user", str(number)) for number in range(WRITERS)))
    assert await (await memory.host.ready()).keyring.keystore.counts() == (1, 1)
    assert sorted(map(int, await _texts(memory.session("s", user_id="alice")))) == list(range(WRITERS))


@pytest.mark.parametrize("seed", range(4))
async def test_cancelled_appends_leave_the_others_whole(url: str, seed: int) -> None:
    """Appends cancelled at random moments are there once or not at all; all others are there once; the chain holds."""
    rng = random.Random(seed)
    async with SecureMemory.open(url, max_messages=10_000) as memory:
        acknowledged: list[str] = []

        async def write(session: int, name: str) -> None:
            await memory.session(f"s{session}", user_id="alice").add("user", name)
            acknowledged.append(name)

        asked: list[str] = []
        for wave in range(12):
            names = [f"{wave}.{number}" for number in range(16)]
            asked += names
            tasks = [asyncio.create_task(write(number % 4, name)) for number, name in enumerate(names)]
            doomed = rng.sample(tasks, 6)
            for task in doomed:
                await asyncio.sleep(rng.choice([0, 0, 0.0002, 0.001]))
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            failed = [answer for answer in done if answer is not None]
            assert all(isinstance(answer, asyncio.CancelledError) for answer in failed)
            assert len(failed) <= len(doomed)
        counts: Counter[str] = Counter()
        for session in range(4):
            chat = memory.session(f"s{session}", user_id="alice")
            await chat.add("user", "last")
            texts = await _texts(chat)
            assert texts[-1] == "last"
            counts.update(texts[:-1])
        assert set(acknowledged) <= set(counts) <= set(asked)
        assert set(counts.values()) == {1}


async def test_a_cancelled_first_append(url: str) -> None:
    """Cancelled while its key is being made, a session is there whole or not at all, and goes on."""
    async with SecureMemory.open(url) as memory:
        for number in range(20):
            chat = memory.session(f"s{number}", user_id=f"u{number}")
            task = asyncio.create_task(chat.add("user", "first"))
            await asyncio.sleep(number * 0.0001)
            task.cancel()
            await asyncio.wait([task])
            await chat.add("user", "second")
            texts = await _texts(chat)
            assert texts in (["first", "second"], ["second"])
            assert task.cancelled() or texts[0] == "first"


async def test_a_cancelled_read_harms_nobody(url: str) -> None:
    """Reads cancelled in a batch with others leave those others' answers right."""
    async with SecureMemory.open(url) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", str(number)) for number in range(50)])
        for _ in range(10):
            tasks = [asyncio.create_task(memory.session("s", user_id="alice").history()) for _ in range(8)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(answer, list) and len(answer) == 50 for answer in answers[1::2])


async def test_clearing_among_writers(memory: SecureMemory) -> None:
    """Appends during `clear` go before it or after it, never half: what is left is a whole session from seq 1."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "old")
    writers = [asyncio.create_task(memory.session("s", user_id="alice").add("user", str(n))) for n in range(40)]
    await asyncio.sleep(0)
    await chat.clear()
    await asyncio.gather(*writers)
    history = await chat.history()
    assert [message.seq for message in history] == list(range(1, len(history) + 1))
    assert "old" not in [message.content for message in history]


async def test_sweeps_among_writers(url: str) -> None:
    """Sweeps that run between appends lose nothing that lives and leave nothing readable that does not."""
    async with SecureMemory.open(url, max_messages=10_000) as memory:
        chat = memory.session("s", user_id="alice")

        async def write(writer: int) -> None:
            for turn in range(10):
                await chat.add("user", f"{writer}.{turn}", ttl=0.001 if turn % 2 else None)

        tasks = [asyncio.create_task(write(writer)) for writer in range(8)]
        while not all(task.done() for task in tasks):
            await memory.sweep()
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.01)
        await memory.sweep()
        kept = {f"{writer}.{turn}" for writer in range(8) for turn in range(0, 10, 2)}
        assert set(await _texts(chat)) == kept
        assert [info.messages async for info in memory.sessions()] == [len(kept)]
