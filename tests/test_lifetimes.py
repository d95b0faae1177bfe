"""How long messages live: `ttl` and `expires_at`, what every read makes of them, and what a sweep takes out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from securemem import CorruptRecordError, InvalidInputError, Message, SecureMemory, Session
from securemem.model import Change

if TYPE_CHECKING:
    from tests.conftest import FakeClock, Stored


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def _rows(memory: SecureMemory, chat: Session) -> int:
    """Count what lies in the data store of a session, stubs included."""
    deployment = await memory.host.ready()
    keys = await deployment.keyring.find(chat.user_id, chat.session_id)
    return 0 if keys is None else len((await deployment.backend.tail(keys.handle, 1000)).rows)


@pytest.mark.parametrize("way", ["store", "call", "batch", "message"])
async def test_no_read_returns_what_is_past_its_time(url: str, clock: FakeClock, way: str) -> None:
    """Up to its end every read has it; from then on none, though nothing was swept."""
    async with SecureMemory.open(url, clock=clock, ttl=60 if way == "store" else None) as memory:
        chat = memory.session("s", user_id="alice")
        if way == "batch":
            await chat.add_many([Message("user", "short")], ttl=60)
        elif way == "message":
            await chat.add("user", "short", expires_at=clock.now + timedelta(seconds=60))
        else:
            await chat.add("user", "short", ttl=None if way == "store" else 60)
        clock.advance(59.999)
        assert await _texts(chat) == [message.content for message in await chat.context()] == ["short"]
        assert await _texts(await chat.fork("in-time")) == ["short"]
        assert [info.last_at is None for info in [info async for info in memory.sessions()]] == [False, False]
        clock.advance(0.001)
        for each in (chat, memory.session("in-time", user_id="alice")):
            assert await each.history() == await each.history(1, before=2) == await each.context() == []
            with pytest.raises(InvalidInputError):
                await each.fork("late")
        assert [info.last_at for info in [info async for info in memory.sessions()]] == [None, None]


async def test_a_new_store_object_keeps_the_promise(file_url: str, clock: FakeClock) -> None:
    """The end is stored with the message: who opens the file without a `ttl` does not see it either."""
    async with SecureMemory.open(file_url, clock=clock, ttl=60) as memory:
        await memory.session("s").add("user", "short")
    async with SecureMemory.open(file_url, clock=clock) as memory:
        assert await _texts(memory.session("s")) == ["short"]
        clock.advance(60)
        assert await _texts(memory.session("s")) == []


@pytest.mark.parametrize(("store", "call", "message"), [(10, 20, 30), (30, 10, 20), (20, 30, 10), (10, None, None)])
async def test_the_shortest_life_holds(
    url: str, clock: FakeClock, store: float | None, call: float | None, message: float | None
) -> None:
    """Of the store's, the call's and the message's end the first one counts, and is given back."""
    async with SecureMemory.open(url, clock=clock, ttl=store) as memory:
        end = None if message is None else clock.now + timedelta(seconds=message)
        stored = await memory.session("s").add("user", "x", ttl=call, expires_at=end)
        assert stored.expires_at == clock.now + timedelta(seconds=10)
        assert await memory.session("s").history() == [stored]


async def test_an_end_is_given_back_to_the_millisecond(memory: SecureMemory, clock: FakeClock) -> None:
    """An `expires_at` of whole milliseconds comes back as it was given."""
    chat = memory.session("s")
    ends = [clock.now + timedelta(milliseconds=number) for number in range(1, 200)]
    await chat.add_many([Message("user", "x", expires_at=end) for end in ends])
    assert [message.expires_at for message in await chat.history()] == ends[-100:]


async def test_a_life_is_reckoned_from_the_append(memory: SecureMemory, clock: FakeClock) -> None:
    """An old or future `timestamp` neither shortens nor lengthens it."""
    chat = memory.session("s")
    for days in (-1000, 1000):
        await chat.add("user", "x", ttl=60, timestamp=clock.now + timedelta(days=days))
    clock.advance(59)
    assert len(await chat.history()) == 2
    clock.advance(1)
    assert await chat.history() == []


async def test_an_end_in_the_past_is_past(memory: SecureMemory, clock: FakeClock) -> None:
    """A message that has already expired is stored and never returned, even one from before 1970."""
    chat = memory.session("s")
    await chat.add("user", "x", expires_at=clock.now)
    await chat.add("user", "x", expires_at=clock.now.replace(year=1905))
    assert await chat.history() == []
    assert (await chat.add("user", "alive")).seq == 3


async def test_a_page_is_filled_past_what_has_expired(memory: SecureMemory, clock: FakeClock) -> None:
    """`history(3)` gives the three newest that live, and `before` pages through them."""
    chat = memory.session("s")
    for number in range(1, 41):
        await chat.add("user", str(number), ttl=60 if number % 4 else None)
    clock.advance(60)
    assert [message.seq for message in await chat.history(3)] == [32, 36, 40]
    assert [message.seq for message in await chat.history(3, before=32)] == [20, 24, 28]
    assert [message.seq for message in await chat.history(3, before=31)] == [20, 24, 28]
    assert len(await chat.context(max_messages=10)) == 10


async def test_a_pinned_message_expires_too(memory: SecureMemory, clock: FakeClock) -> None:
    """Pinning keeps a message in the window, not alive."""
    chat = memory.session("s")
    await chat.add("system", "rules", metadata={"pinned": True}, ttl=60)
    await chat.add_many([Message("user", "x")] * 3)
    assert [message.seq for message in await chat.context(max_messages=2)] == [1, 4]
    clock.advance(60)
    assert [message.seq for message in await chat.context(max_messages=2)] == [3, 4]


async def test_a_sweep_moves_the_front(memory: SecureMemory, clock: FakeClock) -> None:
    """Expired records at the front are removed outright, and the session reads, grows and verifies on."""
    chat = memory.session("s")
    await chat.add_many([Message("user", "short")] * 3, ttl=60)
    await chat.add("user", "long")
    clock.advance(60)
    assert await _rows(memory, chat) == 4
    assert (await memory.sweep()).records == 3
    assert await _rows(memory, chat) == 1
    await chat.add("user", "next")
    assert await _texts(chat) == ["long", "next"]
    assert await chat.history(5, before=4) == []


async def test_a_sweep_leaves_stubs_in_the_middle(memory: SecureMemory, clock: FakeClock) -> None:
    """Expired records between living ones become stubs, and later reads, forks and sweeps pass them."""
    chat = memory.session("s")
    await chat.add("user", "1")
    await chat.add_many([Message("user", "short")] * 2, ttl=60)
    await chat.add("user", "4", ttl=120)
    await chat.add("user", "5")
    clock.advance(60)
    assert (await memory.sweep()).records == 2
    assert await _texts(chat) == ["1", "4", "5"]
    assert [message.seq for message in await chat.history(2, before=5)] == [1, 4]
    assert [info.messages async for info in memory.sessions()] == [3]
    assert await _texts(await chat.fork("branch")) == ["1", "4", "5"]
    clock.advance(60)
    assert (await memory.sweep()).records == 2
    await chat.add("user", "6")
    assert await _texts(chat) == ["1", "5", "6"]


async def test_a_sweep_of_the_newest(memory: SecureMemory, clock: FakeClock) -> None:
    """When the last record expires, the next append still ties on to it."""
    chat = memory.session("s")
    await chat.add("user", "long")
    await chat.add("user", "short", ttl=60)
    clock.advance(60)
    await memory.sweep()
    await chat.add("user", "next")
    assert [(message.seq, message.content) for message in await chat.history()] == [(1, "long"), (3, "next")]


async def test_a_sweep_destroys_what_is_wholly_expired(memory: SecureMemory, clock: FakeClock) -> None:
    """A session with nothing left loses its key, and its id can begin anew; the user and other sessions stay."""
    keystore = (await memory.host.ready()).keyring.keystore
    chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
    await chat.add_many([Message("user", "short")] * 3, ttl=60)
    await other.add("user", "long")
    clock.advance(60)
    report = await memory.sweep()
    assert (report.sessions, report.records) == (1, 3)
    assert await keystore.counts() == (1, 1)
    assert await chat.history() == []
    assert (await chat.add("user", "anew")).seq == 1
    assert (await _texts(chat), await _texts(other)) == (["anew"], ["long"])


async def _data_and_keys(stored: Stored, memory: SecureMemory) -> tuple[object, ...]:
    """Give all that a store holds but its ledger, in which every pass is written down."""
    files, *others = cast("tuple[dict[str, bytes], object]", await stored(memory))
    return {name: content for name, content in files.items() if ".ledger.db" not in name}, *others


async def test_closed_heads_are_swept_later(memory: SecureMemory, clock: FakeClock, stored: Stored) -> None:
    """What a cleared session leaves to turn writers away goes once no cache can know its key."""
    chat = memory.session("s")
    await chat.add("user", "x")
    await chat.clear()
    clock.advance(599)
    assert (await memory.sweep()).closed_heads == 0
    clock.advance(1)
    assert (await memory.sweep()).closed_heads == 1
    before = await _data_and_keys(stored, memory)
    assert (await memory.sweep()).closed_heads == 0
    assert await _data_and_keys(stored, memory) == before
    assert await chat.history() == []


async def test_a_sweep_before_its_time_changes_nothing(memory: SecureMemory, clock: FakeClock, stored: Stored) -> None:
    """A sweep one millisecond early takes nothing, and writes nothing but that it was there; at the time it does."""
    await memory.session("s").add_many([Message("user", "x")] * 2, ttl=60)
    clock.advance(59.999)
    before = await _data_and_keys(stored, memory)
    assert (await memory.sweep()).records == 0
    assert await _data_and_keys(stored, memory) == before
    clock.advance(0.001)
    assert (await memory.sweep()).records == 2


async def test_a_sweep_keeps_to_its_tenant(file_url: str, clock: FakeClock) -> None:
    """What is due of another tenant in the same file neither stops a sweep nor is touched by it."""
    async with SecureMemory.open(file_url, clock=clock, tenant="one", ttl=60) as memory:
        await memory.session("s").add("user", "theirs")
        await memory.session("cleared").add("user", "theirs")
        await memory.session("cleared").clear()
    async with SecureMemory.open(file_url, clock=clock, tenant="two", ttl=60) as memory:
        await memory.session("s").add("user", "ours")
        clock.advance(700)
        report = await memory.sweep()
        assert (report.sessions, report.records, report.closed_heads) == (1, 1, 0)
    async with SecureMemory.open(file_url, clock=clock, tenant="one") as memory:
        report = await memory.sweep()
        assert (report.sessions, report.records, report.closed_heads) == (1, 1, 1)


async def test_one_bad_session_does_not_keep_the_others(memory: SecureMemory, clock: FakeClock) -> None:
    """A session whose head was tampered with is left alone and told, and the others are swept all the same."""
    deployment = await memory.host.ready()
    for name in ("a", "b", "c"):
        await memory.session(name, user_id="alice").add("user", "x", ttl=60)
        clock.advance(1)
    keys = await deployment.keyring.find("alice", "a")
    assert keys is not None
    head = (await deployment.backend.tail(keys.handle, 0)).head
    assert await deployment.backend.swap(Change(keys.handle, head, head[:-1] + bytes([head[-1] ^ 1]))) is None
    clock.advance(60)
    with pytest.raises(CorruptRecordError, match=keys.handle.hex()):
        await memory.sweep()
    assert await deployment.keyring.keystore.counts() == (1, 1)
