"""A person whose processing is restricted: kept and added to, read by nobody, and deleted when the time comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import AccessDeniedError, InvalidInputError, Message, SecureMemory, UserRestrictedError
from securemem.ledger.audit import Audit, EventKind
from securemem.policy import Policy
from securemem.policy.schema import Access

if TYPE_CHECKING:
    from tests.conftest import FakeClock

ROLES = Policy("roles", "", access=Access(roles={"dpo": ("hold",), "agent": ("read", "write")}))


async def test_nothing_is_read_until_it_is_lifted(memory: SecureMemory) -> None:
    """Every read refuses, of handles that were open too; what is added is stored; others' sessions are as before."""
    chat, other = memory.session("s", user_id="alice"), memory.session("o", user_id="bob")
    await chat.add("user", "one")
    await other.add("user", "bob's")
    assert [message.content for message in await chat.history()] == ["one"], "the control"
    await memory.restrict_user("alice")
    await memory.restrict_user("alice")
    for call in (chat.history, chat.context, lambda: chat.fork("branch"), lambda: chat.reveal("x")):
        with pytest.raises(UserRestrictedError):
            await call()
    with pytest.raises(UserRestrictedError):
        await memory.session("s", user_id="alice").history()
    await chat.add("user", "two")
    infos = {info.user_id: (info.messages, info.held, info.restricted) async for info in memory.sessions()}
    assert infos == {"alice": (2, False, True), "bob": (1, False, False)}
    assert [message.content for message in await other.history()] == ["bob's"]
    await memory.lift_restriction("alice")
    assert [message.content for message in await chat.history()] == ["one", "two"]


async def test_another_process_knows(file_url: str) -> None:
    """Who has the messages in memory refuses them as soon as it looks at the head."""
    async with SecureMemory.open(file_url) as one, SecureMemory.open(file_url) as two:
        await one.session("s", user_id="alice").add("user", "x")
        there = two.session("s", user_id="alice")
        assert len(await there.history()) == 1
        await one.restrict_user("alice")
        with pytest.raises(UserRestrictedError):
            await there.history()
        await one.lift_restriction("alice")
        assert len(await there.history()) == 1


async def test_it_lengthens_no_life(memory: SecureMemory, clock: FakeClock) -> None:
    """What is past its time goes as ever; what is not stays restricted, and a session begun meanwhile is marked."""
    chat = memory.session("s", user_id="alice")
    await chat.add_many([Message("user", "short")] * 2, ttl=60)
    await chat.add("user", "long")
    await memory.restrict_user("alice")
    late = memory.session("late", user_id="alice")
    await late.add("user", "later", ttl=90)
    clock.advance(60)
    assert (await memory.sweep()).records == 2
    clock.advance(30)
    assert (await memory.sweep()).records == 1
    with pytest.raises(UserRestrictedError):
        await chat.history()
    await memory.lift_restriction("alice")
    assert [message.content for message in await chat.history()] == ["long"]
    assert await late.history() == []


async def test_a_session_begun_meanwhile_is_marked(memory: SecureMemory, clock: FakeClock) -> None:
    """The first worker that meets it marks it, and it is let go with the others."""
    await memory.session("s", user_id="alice").add("user", "x")
    await memory.restrict_user("alice")
    late = memory.session("late", user_id="alice")
    await late.add_many([Message("user", "soon over")], ttl=60)
    await late.add("user", "later")
    clock.advance(60)
    await memory.sweep()
    with pytest.raises(UserRestrictedError):
        await late.history()
    await memory.lift_restriction("alice")
    assert [message.content for message in await late.history()] == ["later"]


async def test_beside_a_hold(memory: SecureMemory) -> None:
    """Lifting one leaves the other; only when both are gone is anything read."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "x")
    hold = await memory.holds.place("alice", reason_code="CASE-1")
    await memory.restrict_user("alice")
    await memory.lift_restriction("alice")
    with pytest.raises(UserRestrictedError):
        await chat.history()
    await memory.restrict_user("alice")
    await memory.holds.release(hold.id)
    with pytest.raises(UserRestrictedError):
        await chat.history()
    await memory.lift_restriction("alice")
    assert len(await chat.history()) == 1


async def test_who_is_restricted_can_be_erased_and_exported(memory: SecureMemory) -> None:
    """The person's other rights are as before."""
    await memory.session("s", user_id="alice").add("user", "x")
    await memory.restrict_user("alice")
    assert len([item async for item in memory.export_user("alice") if item["kind"] == "message"]) == 1
    receipt = await memory.erase_user("alice")
    assert receipt.handle is not None
    with pytest.raises(InvalidInputError, match="nothing is held"):
        await memory.restrict_user("alice")


async def test_it_needs_the_right_and_is_written_down(file_url: str, tmp_path: Path) -> None:
    """An actor without the right is refused; each act is an event, by handles and hashes."""
    async with SecureMemory.open(file_url, policy=ROLES) as memory:
        await memory.session("s", user_id="alice").add("user", "x")
        with pytest.raises(AccessDeniedError):
            await memory.restrict_user("alice", actor="agent:bot")
        with pytest.raises(AccessDeniedError):
            await memory.lift_restriction("alice", actor="agent:bot")
        await memory.restrict_user("alice", actor="dpo:jane")
        await memory.lift_restriction("alice", actor="dpo:jane")
        events = await Audit((await memory.host.ready()).ledger).events()
    assert [event.kind for event in events] == [EventKind.RESTRICTION, EventKind.LIFT]
    assert len({event.actor for event in events}) == 1
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("*.ledger.db*"))
    assert not any(word in ledger for word in (b"alice", b"jane"))
