"""Several processes write to one SQLite file: nothing is lost, doubled, reordered or refused for a lock."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from pathlib import Path

import pytest

from securemem import Message, SecureMemory
from securemem.ledger.home import Peek
from securemem.ledger.store import Ledger
from securemem.testing.processes import Ended, release, start_writer
from securemem.testing.writer import Plan

WRITERS = 4
ALL = {"max_messages": 1_000_000}


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db"


def _race(plans: list[Plan]) -> list[Ended]:
    children = [start_writer(plan) for plan in plans]
    release(*children)
    ended = [child.finish() for child in children]
    for end in ended:
        assert (end.code, end.errors) == (0, ""), end
    return ended


async def _histories(url: str, sessions: set[str]) -> dict[str, list[Message]]:
    """Read whole sessions by a store that knows nothing yet, which verifies every record of them."""
    async with SecureMemory.open(url) as memory:
        return {name: await memory.session(name).history(limit=1_000_000) for name in sessions}


def _check(url: str, plans: list[Plan], ended: list[Ended]) -> None:
    """Every acknowledged message is there once, at its seq; seqs are contiguous; each writer's order is kept."""
    histories = asyncio.run(_histories(url, {name for plan in plans for name in plan.sessions}))
    wanted: dict[str, dict[int, str]] = defaultdict(dict)
    for end, plan in zip(ended, plans, strict=True):
        assert len(end.lines) == plan.appends
        for session, seqs, texts in end.lines:
            assert seqs == list(range(seqs[0], seqs[0] + plan.batch))
            assert not wanted[session].keys() & set(seqs), "one seq was acknowledged twice"
            wanted[session].update(zip(seqs, texts, strict=True))
    for session, messages in histories.items():
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        assert {message.seq: message.content for message in messages} == wanted[session]
        order = [tuple(str(message.content).split(":")) for message in messages]
        for writer in {name for name, _, _ in order}:
            own = [(int(number), int(place)) for name, number, place in order if name == writer]
            assert own == sorted(own)


def _shared(folder: Path, appends: int) -> list[Plan]:
    return [
        Plan(url=_url(folder), writer=f"w{number}", sessions=("shared",), appends=appends, batch=2, options=ALL)
        for number in range(WRITERS)
    ]


def _mixed(folder: Path, appends: int) -> list[Plan]:
    return [
        Plan(
            url=_url(folder),
            writer=f"w{number}",
            sessions=(f"own{number}", "shared", f"second{number}"),
            appends=appends,
            batch=1 + number % 3,
            options=ALL,
        )
        for number in range(WRITERS)
    ]


def _create(folder: Path) -> None:
    async def create() -> None:
        async with SecureMemory.open(_url(folder)) as memory:
            await memory.session("first").add("user", "hello")

    asyncio.run(create())


@pytest.mark.parametrize("appends", [20, pytest.param(500, marks=pytest.mark.soak)])
def test_writers_on_one_session(tmp_path: Path, appends: int) -> None:
    """Four processes that append to one session lose nothing to each other."""
    _create(tmp_path)
    plans = _shared(tmp_path, appends)
    _check(_url(tmp_path), plans, _race(plans))


@pytest.mark.parametrize("appends", [30, pytest.param(600, marks=pytest.mark.soak)])
def test_writers_on_sessions_of_their_own(tmp_path: Path, appends: int) -> None:
    """Four processes, each with sessions of its own and one that all share, lose nothing to each other."""
    _create(tmp_path)
    plans = _mixed(tmp_path, appends)
    _check(_url(tmp_path), plans, _race(plans))


@pytest.mark.parametrize("rounds", [8, pytest.param(60, marks=pytest.mark.soak)])
def test_writers_that_make_the_store_together(tmp_path: Path, rounds: int) -> None:
    """Four processes that open a store that is not there yet, at the same moment, end up in one and the same."""
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        plans = _shared(folder, 3) if number % 2 else _mixed(folder, 3)
        _check(_url(folder), plans, _race(plans))


@pytest.mark.parametrize("appends", [40, pytest.param(800, marks=pytest.mark.soak)])
def test_writers_that_trim(tmp_path: Path, appends: int) -> None:
    """With a limit of messages, four writers of one session leave exactly its newest ones, in order and verified."""
    most = 10
    plans = [
        Plan(
            url=_url(tmp_path),
            writer=f"w{number}",
            sessions=("shared",),
            appends=appends,
            options={"max_messages": most},
        )
        for number in range(WRITERS)
    ]
    _create(tmp_path)
    said = list(itertools.chain.from_iterable(end.lines for end in _race(plans)))
    by_seq = {seq: text for _, [seq], [text] in said}
    assert sorted(by_seq) == list(range(1, WRITERS * appends + 1))
    [messages] = asyncio.run(_histories(_url(tmp_path), {"shared"})).values()
    newest = sorted(by_seq)[-most:]
    assert [(message.seq, message.content) for message in messages] == [(seq, by_seq[seq]) for seq in newest]


async def test_two_stores_in_one_process(tmp_path: Path) -> None:
    """Two store objects over one file, with 32 writers each on one session, lose nothing to each other."""
    async with (
        SecureMemory.open(_url(tmp_path), max_messages=10_000) as one,
        SecureMemory.open(_url(tmp_path), max_messages=10_000) as two,
    ):
        texts = [f"{number}" for number in range(64)]
        stored = await asyncio.gather(
            *((one, two)[number % 2].session("s").add("user", text) for number, text in enumerate(texts))
        )
        for memory in (one, two):
            history = await memory.session("s").history(limit=1000)
            assert [message.seq for message in history] == list(range(1, 65))
            assert {m.seq: m.content for m in history} == {m.seq: m.content for m in stored}


async def test_opening_while_another_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear by another process between any two steps of opening a store does not keep it from opening."""
    peek = Ledger.peek
    async with SecureMemory.open(_url(tmp_path)) as other:
        await other.session("kept").add("user", "kept")
        await other.session("gone").add("user", "gone")

        async def peek_and_clear(ledger: Ledger) -> Peek | None:
            found = await peek(ledger)
            monkeypatch.setattr(Ledger, "peek", peek)
            await other.session("gone").clear()
            return found

        monkeypatch.setattr(Ledger, "peek", peek_and_clear)
        async with SecureMemory.open(_url(tmp_path)) as memory:
            assert [message.content for message in await memory.session("kept").history()] == ["kept"]
            assert await memory.session("gone").history() == []


async def test_opening_and_clearing_at_once(tmp_path: Path) -> None:
    """While one store clears and erases, others open, read and close, and nothing is refused to either."""
    async with SecureMemory.open(_url(tmp_path)) as busy:
        await busy.session("kept").add("user", "kept")
        done = asyncio.Event()

        async def clear() -> None:
            for number in range(20):
                await busy.session("gone", user_id=f"u{number}").add("user", "gone")
                if number % 2:
                    await busy.session("gone", user_id=f"u{number}").clear()
                else:
                    await busy.erase_user(f"u{number}")
            done.set()

        async def look() -> None:
            while not done.is_set():
                async with SecureMemory.open(_url(tmp_path)) as memory:
                    assert len(await memory.session("kept").history()) == 1

        await asyncio.gather(clear(), look(), look())
