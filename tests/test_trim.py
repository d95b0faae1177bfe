"""`max_messages`: the oldest go in the same step as an append, and pinned ones stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from securemem import Message, SecureMemory, Session
from securemem.model import Change

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PINNED = {"pinned": True}


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def test_the_oldest_make_room(url: str) -> None:
    """A session holds its newest `max_messages`, whatever the batches they came in."""
    async with SecureMemory.open(url, max_messages=4) as memory:
        chat = memory.session("s")
        said: list[str] = []
        for size in (1, 2, 3, 1, 4, 2, 7):
            batch = [str(len(said) + number) for number in range(size)]
            said += batch
            stored = await chat.add_many([Message("user", text) for text in batch])
            assert [message.content for message in stored] == batch
            assert await _texts(chat) == said[-4:]
        assert [info.messages async for info in memory.sessions()] == [4]


async def test_a_trim_is_part_of_the_append(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One change both adds and trims, so that no state in between can be seen or left behind."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s")
        await chat.add_many([Message("user", str(number)) for number in range(3)])
        changes: list[Change] = []
        backend = (await memory.host.ready()).backend
        swap = backend.swap

        async def watched(change: Change) -> bytes | None:
            changes.append(change)
            return await swap(change)

        monkeypatch.setattr(backend, "swap", watched)
        await chat.add_many([Message("user", "3"), Message("user", "4")])
        assert [([seq for seq, _ in change.rows], change.trim) for change in changes] == [([4, 5], (1, 3))]


async def test_trimmed_records_are_gone_from_the_store(url: str) -> None:
    """The rows of trimmed messages are not there any more."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", "x")] * 3)
        await chat.add("user", "x")
        deployment = await memory.host.ready()
        keys = await deployment.keyring.find("alice", "s")
        assert keys is not None
        assert [seq for seq, _ in (await deployment.backend.tail(keys.handle, 10)).rows] == [4, 3, 2]


async def test_another_limit_at_the_next_opening(file_url: str) -> None:
    """A smaller limit holds from the next append on; until then nothing is lost."""
    async with SecureMemory.open(file_url, max_messages=10) as memory:
        await memory.session("s").add_many([Message("user", str(number)) for number in range(10)])
    async with SecureMemory.open(file_url, max_messages=2) as memory:
        assert len(await memory.session("s").history()) == 10
        await memory.session("s").add("user", "10")
        assert await _texts(memory.session("s")) == ["9", "10"]


async def test_pinned_messages_outlive_a_trim(url: str, clock: FakeClock) -> None:
    """A pinned system message stays, whole, however much comes after; an unpinned one goes."""
    async with SecureMemory.open(url, max_messages=4, clock=clock) as memory:
        chat = memory.session("s")
        await chat.add("system", "unpinned")
        pinned = await chat.add("system", "rules", metadata=PINNED, ttl=1000)
        for number in range(20):
            await chat.add("user", str(number))
            window = await chat.context(max_messages=2)
            assert [message.content for message in window] == ["rules", str(number)]
        kept = window[0]
        assert (kept.metadata, kept.timestamp, kept.expires_at) == (PINNED, pinned.timestamp, pinned.expires_at)
        assert sorted(await _texts(chat)) == ["17", "18", "19", "rules"]
        clock.advance(1000)
        assert await _texts(chat) == ["17", "18", "19"]


async def test_several_pinned_messages(url: str) -> None:
    """Each of them stays, in their order, and the limit still holds."""
    async with SecureMemory.open(url, max_messages=5) as memory:
        chat = memory.session("s")
        for number in range(3):
            await chat.add("system", f"rule {number}", metadata=PINNED)
        for number in range(12):
            await chat.add("user", str(number))
            window = [message.content for message in await chat.context(max_messages=4)]
            assert window == ["rule 0", "rule 1", "rule 2", str(number)]
            assert len(await chat.history()) <= 5


async def test_a_pinned_message_in_a_batch_over_the_limit(url: str) -> None:
    """A pinned message stays though the batch it comes with is larger than the session may be."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s")
        rules = Message("system", "rules", metadata=PINNED)
        await chat.add_many([rules, *(Message("user", str(number)) for number in range(6))])
        assert [message.content for message in await chat.context()] == ["rules", "4", "5"]


async def test_a_batch_over_the_limit_keeps_an_older_pinned_message(url: str) -> None:
    """A batch that fills the session by itself does not push out what was pinned before."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s")
        await chat.add("system", "rules", metadata=PINNED)
        await chat.add_many([Message("user", str(number)) for number in range(6)])
        assert [message.content for message in await chat.context()] == ["rules", "4", "5"]


async def test_stubs_do_not_count(url: str, clock: FakeClock) -> None:
    """After a sweep left stubs, the limit counts what lives, and trims over the stubs."""
    async with SecureMemory.open(url, max_messages=4, clock=clock) as memory:
        chat = memory.session("s")
        await chat.add("user", "1")
        await chat.add_many([Message("user", "short")] * 2, ttl=60)
        await chat.add("user", "4")
        clock.advance(60)
        await memory.sweep()
        await chat.add_many([Message("user", "5"), Message("user", "6")])
        assert await _texts(chat) == ["1", "4", "5", "6"]
        await chat.add("user", "7")
        assert await _texts(chat) == ["4", "5", "6", "7"]
        await chat.add_many([Message("user", "8"), Message("user", "9")])
        assert await _texts(chat) == ["6", "7", "8", "9"]


async def test_a_guests_pinned_message_is_carried_under_the_guests_key(url: str) -> None:
    """What a trim carries along stays its person's: it goes when the guest is erased."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("system", "the guest's rule", metadata=PINNED, user_id="gwen")
        for number in range(5):
            await chat.add("user", str(number))
        assert [(each.content, each.user_id) for each in (await chat.context())[:1]] == [("the guest's rule", "gwen")]
        await memory.erase_user("gwen")
        assert await _texts(chat) == ["3", "4"]
