"""What a law demands to be kept: no trim, no end of life, no clear and no erasure takes it, until its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from securemem import Message, Session
from securemem.ledger.audit import EventKind, rule_name

from .store import (
    DAY,
    HOUR,
    INVOICE,
    INVOICES,
    SCRATCH,
    TAGGED,
    add,
    events,
    head_of,
    infos,
    opened,
    policy,
    rows,
    texts,
)

if TYPE_CHECKING:
    from tests.conftest import FakeClock

KEEPING = policy(rules=SCRATCH + INVOICES)
NO_BASIS = policy(rules="  - {id: invoices, match: {tag: invoice}, ttl: 30d, keep_for: 1y, while_kept: restrict}\n")


async def test_nothing_is_trimmed_where_something_is_kept(url: str, clock: FakeClock) -> None:
    """All that was said lies there, readers get `max_messages`; the control without a keep is trimmed."""
    async with opened(url, clock, KEEPING, max_messages=5) as memory:
        chat, control = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        for each in (chat, control):
            await add(each, *map(str, range(10)))
        assert (await rows(memory, chat), await rows(memory, control)) == (11, 5)
        fresh = memory.session("s", user_id="alice")
        for each in (chat, control, fresh):
            assert await texts(each) == [message.content for message in await each.context()] == list("56789")
            assert await texts(each, limit=2, before=await _seq(each, "6")) == ["5"]
        clock.advance(DAY)
        assert (await memory.sweep()).records == 0


async def _seq(chat: Session, content: str) -> int:
    [seq] = [message.seq for message in await chat.history() if message.content == content]
    assert seq is not None
    return seq


async def test_readers_get_as_many_as_ever_behind_holes(url: str, clock: FakeClock) -> None:
    """What was taken out in between is not counted: no more than `max_messages` are shown."""
    async with opened(url, clock, KEEPING, max_messages=3) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await add(chat, *"abcdef", **TAGGED)
        clock.advance(DAY)
        assert (await memory.sweep()).records == 6
        await add(chat, "g", "h")
        assert await texts(chat) == ["invoice", "g", "h"]
        await add(chat, *"ijk")
        for each in (chat, memory.session("s", user_id="alice")):
            assert await texts(each) == list("ijk")
            assert await texts(each, limit=2) == list("jk")
            assert await texts(each, limit=2, before=await _seq(each, "j")) == ["i"]


async def test_a_batch_larger_than_the_session_keeps_what_must_be(url: str, clock: FakeClock) -> None:
    """An invoice in front of more messages than a session may have is not trimmed in the same step."""
    async with opened(url, clock, KEEPING, max_messages=3) as memory:
        chat, control = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        batch = [Message("user", str(number)) for number in range(5)]
        await chat.add_many([Message("user", "invoice", metadata={"tags": ["invoice"]}), *batch])
        await control.add_many([Message("user", "none"), *batch])
        assert (await rows(memory, chat), await rows(memory, control)) == (6, 3)
        assert await texts(chat) == await texts(control) == list("234")
        assert (await head_of(memory, chat)).keep


async def test_a_kept_message_is_restricted_and_then_deleted(url: str, clock: FakeClock) -> None:
    """Past its life it is kept out of sight, past its keep it is taken out, and the head keeps nothing."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        begun = clock.now
        await add(chat, "invoice", **INVOICE)
        await add(chat, "plain")
        clock.now = begun + timedelta(days=30)
        assert await texts(chat) == ["plain"]
        report = await memory.sweep()
        assert (report.records, report.restricted) == (0, 1)
        assert (await memory.sweep()).restricted == 0, "it is said once"
        clock.now = begun + timedelta(days=365, hours=1, milliseconds=-1)
        assert (await memory.sweep()).records == 0
        assert (await head_of(memory, chat)).keep
        clock.advance(0.001)
        assert (await memory.sweep()).records == 1
        assert not (await head_of(memory, chat)).keep
        assert (await rows(memory, chat), await texts(chat)) == (1, ["plain"])
        found = [(event.kind, event.rule, event.records) for event in await events(memory)]
        name = rule_name("invoices")
        assert [each for each in found if each[1] is not None] == [
            (EventKind.RESTRICT, name, 1),
            (EventKind.DELETE, name, 1),
        ]


async def test_a_keep_without_a_basis_stops_no_erasure(file_url: str, clock: FakeClock) -> None:
    """The worker keeps it past its life all the same; the person may go, and the session be cleared."""
    async with opened(file_url, clock, NO_BASIS) as memory:
        for name in ("s", "t"):
            await add(memory.session(name, user_id="alice"), "invoice", **INVOICE)
        clock.advance(31 * DAY)
        assert (await memory.sweep()).records == 0
        await memory.session("s", user_id="alice").clear()
        assert list(await infos(memory)) == ["t"]
        await memory.erase_user("alice")
        assert await infos(memory) == {}


async def test_the_end_that_a_caller_asked_for_does_not_end_a_keep(url: str, clock: FakeClock) -> None:
    """A `ttl` of the call hides an invoice when it is over, and no worker and no server's own clock removes it."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", ttl=HOUR, **INVOICE)
        await add(chat, "short", ttl=HOUR)
        clock.advance(HOUR)
        assert await texts(chat) == []
        assert (await memory.sweep()).records == 1
        assert (await head_of(memory, chat)).live == 1
        await chat.clear()
        assert await infos(memory) == {"s": 1}, "it is kept all the same"


async def test_use_goes_on_showing_what_is_kept(file_url: str, clock: FakeClock) -> None:
    """With `while_kept: use` it is read to the end of the keep, but not past the end that its caller asked for."""
    using = policy(rules=INVOICES.replace("while_kept: restrict", "while_kept: use"))
    async with opened(file_url, clock, using) as memory:
        chat = memory.session("s", user_id="alice")
        begun = clock.now
        await add(chat, "long", **INVOICE)
        await add(chat, "short", ttl=HOUR, **INVOICE)
        clock.now = begun + timedelta(hours=1)
        assert await texts(chat) == ["long"]
        clock.now = begun + timedelta(days=365, hours=1, milliseconds=-1)
        assert await texts(chat) == ["long"]
        clock.advance(0.001)
        assert await texts(chat) == []
