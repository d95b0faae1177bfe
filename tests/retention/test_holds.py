"""Legal holds: nothing of what is held goes, nobody reads it, and what the last release frees is as it was."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import (
    BackendUnavailableError,
    InvalidInputError,
    LegalHoldError,
    SecureMemory,
    Session,
    UserRestrictedError,
)
from securemem.errors import CorruptRecordError
from securemem.ledger.audit import EventKind
from securemem.ledger.holds import Hold
from securemem.rights.hold import Holding
from securemem.rights.requests import Requesting

from .store import (
    DAY,
    HOUR,
    LASTING,
    SCRATCH,
    TAGGED,
    add,
    events,
    handle_of,
    head_of,
    infos,
    inside,
    opened,
    policy,
    rows,
    texts,
)

if TYPE_CHECKING:
    from tests.conftest import FakeClock

RULES = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", SCRATCH)


async def assert_hidden(chat: Session) -> None:
    """Check that no way of reading a session gives anything."""
    with pytest.raises(UserRestrictedError):
        await chat.history()
    with pytest.raises(UserRestrictedError):
        await chat.history(1, before=2)
    for view in ("clear", "pseudonymised"):
        with pytest.raises(UserRestrictedError):
            await chat.context(view=view)
    with pytest.raises(UserRestrictedError):
        await chat.fork("branch")
    with pytest.raises(UserRestrictedError):
        await chat.fork("branch", at=1)
    with pytest.raises(UserRestrictedError):
        await chat.reveal("[EMAIL_ADDRESS_1]")
    with pytest.raises(UserRestrictedError):
        [piece async for piece in chat.reveal_stream(["[EMAIL_ADDRESS_1]"])]


async def held(memory: SecureMemory) -> set[str]:
    """Give the sessions that are said to be held."""
    return {info.session_id async for info in memory.sessions() if info.held}


async def test_what_is_held_is_kept_and_not_read(url: str, clock: FakeClock) -> None:
    """Of a held person no path reads, trims, sweeps, clears or erases; appends go on; another person is as ever."""
    async with opened(url, clock, RULES, max_messages=3) as memory:
        chat, other = memory.session("s", user_id="alice"), memory.session("s", user_id="bob")
        for each in (chat, other):
            await add(each, *"abc", **TAGGED)
        assert await texts(chat) == list("abc"), "a handle that has all in memory"
        hold = await memory.holds.place("alice", reason_code="CASE-1")
        for each in (chat, memory.session("s", user_id="alice")):
            await assert_hidden(each)
        await add(chat, "d", ttl=HOUR)
        clock.advance(2 * DAY)
        report = await memory.sweep()
        assert (report.records, report.sessions, await rows(memory, chat)) == (3, 1, 4), "the control went"
        with pytest.raises(LegalHoldError, match="legal hold"):
            await chat.clear()
        with pytest.raises(LegalHoldError, match="legal hold"):
            await memory.erase_user("alice")
        assert await memory.holds.list() == [hold]
        assert await held(memory) == {"s"}
        await add(chat, "e")
        assert await infos(memory) == {"s": 5}


async def test_a_release_shows_it_again_and_what_is_due_goes(url: str, clock: FakeClock) -> None:
    """What is not over is read as before, by handles that were open too; the next pass takes out the rest."""
    async with opened(url, clock, RULES) as memory:
        chat, gone = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "short", **TAGGED)
        await add(chat, "long")
        await add(gone, "short", **TAGGED)
        hold = await memory.holds.place("alice", reason_code="CASE-1")
        clock.advance(2 * DAY)
        await memory.sweep()
        released = await memory.holds.release(hold.id)
        assert released == hold
        for each in (chat, memory.session("s", user_id="alice")):
            assert await texts(each) == ["long"]
        assert await held(memory) == set()
        assert await rows(memory, chat) == 2
        report = await memory.sweep()
        assert (report.records, report.sessions, await rows(memory, chat)) == (2, 1, 1)
        assert not (await head_of(memory, chat)).keep
        await memory.erase_user("alice")
        assert await infos(memory) == {}


async def test_one_session_is_held(file_url: str, clock: FakeClock) -> None:
    """A hold on one leaves the person's others as they are."""
    async with opened(file_url, clock, RULES) as memory:
        chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "x")
        await add(other, "x")
        hold = await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        assert hold.session == (await handle_of(memory, chat)).hex()
        await assert_hidden(chat)
        assert await texts(other) == ["x"]
        with pytest.raises(LegalHoldError):
            await chat.clear()
        await other.clear()
        assert await held(memory) == {"s"}


@pytest.mark.parametrize("first", [0, 1])
async def test_holds_overlap(file_url: str, clock: FakeClock, first: int) -> None:
    """Whichever of two is released first, the session is held until the last one is."""
    async with opened(file_url, clock, RULES) as memory:
        chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "x")
        await add(other, "x")
        holds = [await memory.holds.place("alice", reason_code="CASE-1")]
        clock.advance(1)
        holds.append(await memory.holds.place("alice", session_id="s", reason_code="CASE-2"))
        assert [hold.reason_code for hold in await memory.holds.list()] == ["CASE-1", "CASE-2"]
        await memory.holds.release(holds.pop(first).id)
        await assert_hidden(chat)
        assert await held(memory) == ({"s"} if first == 0 else {"s", "t"})
        await memory.holds.release(holds.pop().id)
        assert await texts(chat) == await texts(other) == ["x"]
        assert await memory.holds.list() == []


async def test_a_session_begun_under_a_hold_is_held(url: str, clock: FakeClock) -> None:
    """From its first message on nobody reads it, nothing trims it, and it cannot be cleared."""
    async with opened(url, clock, RULES, max_messages=2) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        hold = await memory.holds.place("alice", reason_code="CASE-1")
        chat = memory.session("later", user_id="alice")
        await add(chat, "x", "y", "z", **TAGGED)
        await assert_hidden(chat)
        await assert_hidden(memory.session("later", user_id="alice"))
        assert await rows(memory, chat) == 3
        with pytest.raises(LegalHoldError):
            await chat.clear()
        clock.advance(2 * DAY)
        assert (await memory.sweep()).records == 0
        await memory.holds.release(hold.id)
        assert (await memory.sweep()).sessions == 1


async def test_a_session_of_others_is_not_looked_into(url: str, clock: FakeClock) -> None:
    """A hold on somebody, and a restriction of somebody else, hide what these begin, and nobody else's sessions."""
    async with opened(url, clock, RULES) as memory:
        for name in ("alice", "bob"):
            await add(memory.session("s", user_id=name), "x")
        await memory.holds.place("alice", reason_code="CASE-1")
        await memory.restrict_user("bob")
        for name in ("bob", "carol"):
            await add(memory.session("later", user_id=name), "x", "y")
        await assert_hidden(memory.session("later", user_id="bob"))
        carols = memory.session("later", user_id="carol")
        assert await texts(carols) == ["x", "y"]
        await memory.lift_restriction("bob")
        assert await texts(memory.session("later", user_id="bob")) == ["x", "y"]
        assert not (await head_of(memory, carols)).keep
        await carols.add("user", "as a guest", user_id="alice")
        visited = memory.session("visited", user_id="carol")
        await visited.add("user", "as a guest", user_id="alice")
        assert (await head_of(memory, visited)).keep


async def test_a_held_person_of_whom_nothing_is_left_is_not_erased(file_url: str, clock: FakeClock) -> None:
    """Though their last session was cleared before, what is to come is held: they go after the release."""
    async with opened(file_url, clock, RULES) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        await memory.session("s", user_id="alice").clear()
        hold = await memory.holds.place("alice", reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await memory.erase_user("alice")
        await memory.holds.release(hold.id)
        await memory.erase_user("alice")


async def test_a_person_who_only_visits_is_held(url: str, clock: FakeClock) -> None:
    """What they said in somebody else's session is kept against all, and still shown there."""
    async with opened(url, clock, RULES, max_messages=2) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "said", user_id="bob", **TAGGED)
        await add(chat, "own", **TAGGED)
        await add(chat, "stays")
        hold = await memory.holds.place("bob", reason_code="CASE-1")
        assert await texts(chat) == ["own", "stays"]
        await add(chat, "said again", user_id="bob", **TAGGED)
        assert await rows(memory, chat) == 3, "nothing is trimmed any more; the first went before"
        clock.advance(2 * DAY)
        assert (await memory.sweep()).records == 1
        with pytest.raises(LegalHoldError):
            await chat.clear()
        with pytest.raises(LegalHoldError):
            await memory.erase_user("bob")
        await memory.holds.release(hold.id)
        assert await texts(chat) == ["stays"], "the request waited for this"
        assert (await memory.sweep()).records == 0


@pytest.mark.parametrize("session_id", [None, "s"])
async def test_a_guest_goes_from_no_session_that_is_held(
    file_url: str, clock: FakeClock, session_id: str | None
) -> None:
    """Who asks to be forgotten waits while what they said lies in somebody's held session."""
    async with opened(file_url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "said", user_id="bob")
        hold = await memory.holds.place("alice", session_id=session_id, reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await memory.erase_user("bob")
        await memory.holds.release(hold.id)
        assert await texts(chat) == ["own"], "the request waited for this"


@LASTING
async def test_another_process_sees_a_hold(url: str, clock: FakeClock) -> None:
    """A handle of another process that has everything in memory is refused, and given it again after the release."""
    async with opened(url, clock, RULES) as one, opened(url, clock, RULES) as other:
        chat = other.session("s", user_id="alice")
        await add(chat, "x")
        assert await texts(chat) == ["x"]
        hold = await one.holds.place("alice", reason_code="CASE-1")
        await assert_hidden(chat)
        with pytest.raises(LegalHoldError):
            await chat.clear()
        assert await other.holds.list() == [hold]
        await other.holds.release(hold.id)
        assert await texts(one.session("s", user_id="alice")) == await texts(chat) == ["x"]


async def test_a_held_session_is_listed_that_another_process_spared(file_url: str, clock: FakeClock) -> None:
    """Who lists sessions is given one that they had in memory and an erasure elsewhere has spared, and all others."""
    async with opened(file_url, clock, RULES) as one, opened(file_url, clock, RULES) as other:
        await add(one.session("s", user_id="alice"), "x")
        await add(one.session("t", user_id="bob"), "x")
        await other.holds.place("alice", session_id="s", reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await other.erase_user("alice")
        listed = [(info.session_id, info.held, info.messages) async for info in one.sessions()]
        assert listed == [("s", True, 1), ("t", False, 1)]


async def test_what_is_no_hold_is_said(file_url: str, clock: FakeClock) -> None:
    """People and sessions that are not there, codes that are none, and ids of nothing are refused; nothing is held."""
    async with opened(file_url, clock, RULES) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        await add(memory.session("t", user_id="bob"), "x")
        for user, session, code in [
            ("carol", None, "C"),
            ("alice", "t", "C"),
            ("alice", None, ""),
            ("alice", None, "x" * 65),
            ("alice", None, "two\nlines"),
            ("alice", "", "C"),
            ("", None, "C"),
        ]:
            with pytest.raises(InvalidInputError):
                await memory.holds.place(user, session_id=session, reason_code=code)
        hold = await memory.holds.place("alice", reason_code="x" * 64)
        await memory.holds.release(hold.id)
        for name in ("", "no hex", "00" * 16, hold.id[:-2], hold.handle, None, hold.id):
            with pytest.raises(InvalidInputError):
                await memory.holds.release(name)  # type: ignore[arg-type]
        assert await memory.holds.list() == []


async def test_a_hold_is_its_tenants(file_url: str, clock: FakeClock) -> None:
    """Another tenant in the same store neither lists nor releases it, and its own people of that name are free."""
    async with opened(file_url, clock, RULES, tenant="one") as one, opened(file_url, clock, RULES, tenant="two") as two:
        for memory in (one, two):
            await add(memory.session("s", user_id="alice"), "x")
        hold = await one.holds.place("alice", reason_code="CASE-1")
        assert await two.holds.list() == []
        with pytest.raises(InvalidInputError):
            await two.holds.release(hold.id)
        assert await texts(two.session("s", user_id="alice")) == ["x"]
        await two.erase_user("alice")
        assert await one.holds.list() == [hold]


async def test_two_persons_release_where_the_policy_says_so(file_url: str, clock: FakeClock) -> None:
    """One person's word is noted, said twice it is still one; nobody's is refused; another's releases."""
    careful = policy("safety: {two_person: [hold_override]}\n", SCRATCH)
    async with opened(file_url, clock, careful) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        hold = await memory.holds.place("alice", reason_code="CASE-1", actor="dpo:a")
        with pytest.raises(Exception, match="two persons"):
            await memory.holds.release(hold.id)
        for _ in range(2):
            assert (await memory.holds.release(hold.id, actor="dpo:a")).waits
            await assert_hidden(chat)
        assert not (await memory.holds.release(hold.id, actor="dpo:b")).waits
        assert await texts(chat) == ["x"]
        found = [event.kind for event in await events(memory)]
        assert found == [EventKind.HOLD, EventKind.PROPOSE, EventKind.PROPOSE, EventKind.RELEASE]


async def test_a_release_wants_two_whatever_its_own_policy_says(file_url: str, clock: FakeClock) -> None:
    """Whoever releases under another policy than the one in force needs a second person all the same."""
    careful = policy("safety: {two_person: [hold_override]}\n", SCRATCH)
    async with opened(file_url, clock, careful) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        hold = await memory.holds.place("alice", reason_code="CASE-1", actor="dpo:a")
    async with opened(file_url, clock, "plain") as memory:
        assert (await memory.holds.release(hold.id, actor="dpo:a")).waits
        assert not (await memory.holds.release(hold.id, actor="dpo:b")).waits


async def test_a_release_that_was_interrupted_is_gone_on_with(file_url: str, clock: FakeClock) -> None:
    """Where the heads could not be set free, for a process died, somebody can still do it."""
    async with opened(file_url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        hold = await memory.holds.place("alice", reason_code="CASE-1")
        await (await inside(memory)).office.holding._holds.release(bytes.fromhex(hold.id), at=1)
        with pytest.raises(UserRestrictedError):
            await chat.history()
        await memory.holds.release(hold.id)
        assert await texts(chat) == ["x"]


async def _waiting(memory: SecureMemory) -> tuple[str, str]:
    """Let an erasure wait for the release of a hold; gives the ids of both."""
    await add(memory.session("s", user_id="alice"), "x")
    hold = await memory.holds.place("alice", reason_code="CASE-1")
    with pytest.raises(LegalHoldError) as caught:
        await memory.erase_user("alice")
    return hold.id, caught.value.request or ""


async def test_a_release_whose_caller_stops_waiting_is_carried_through(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure that waited for it is finished all the same."""
    async with opened(file_url, clock, RULES) as memory:
        hold, request = await _waiting(memory)
        begun, gate, sessions = asyncio.Event(), asyncio.Event(), Holding._sessions

        async def slow(self: Holding, hold: Hold) -> list[bytes]:
            begun.set()
            await gate.wait()
            return await sessions(self, hold)

        monkeypatch.setattr(Holding, "_sessions", slow)
        task = asyncio.create_task(memory.holds.release(hold))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.set()
        await memory.host.under_way.idle()
        assert (await memory.requests.show(request))[0].state == "complete"
        assert await infos(memory) == {}


async def test_a_release_that_is_repeated_finishes_what_waited_for_it(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the erasure could not be finished, it is by the next call, which says that the hold was released."""
    async with opened(file_url, clock, RULES) as memory:
        hold, request = await _waiting(memory)

        async def failing(*_: object) -> int:
            raise BackendUnavailableError("the store is away")

        with monkeypatch.context() as patch:
            patch.setattr(Requesting, "go_on", failing)
            with pytest.raises(BackendUnavailableError):
                await memory.holds.release(hold)
        assert (await memory.requests.show(request))[0].state == "preflight"
        with pytest.raises(InvalidInputError, match="was released"):
            await memory.holds.release(hold)
        assert (await memory.requests.show(request))[0].state == "complete"


async def test_a_damaged_session_keeps_no_store_from_opening(file_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """What is damaged cannot be marked, and is read by nobody; everybody else goes on, here and at the next opening."""
    async with opened(file_url, clock, RULES) as memory:
        await add(memory.session("s", user_id="alice"), "damaged")
        await add(memory.session("s", user_id="bob"), "whole")
    with closing(sqlite3.connect(tmp_path / "store.db")) as con:
        [(number, body)] = con.execute("SELECT id, body FROM messages WHERE id & 4294967295 = 4294967295 LIMIT 1")
        con.execute("UPDATE messages SET body = ? WHERE id = ?", (body[:-1] + bytes([body[-1] ^ 1]), number))
        con.commit()
    for _ in range(2):
        async with opened(file_url, clock, RULES) as memory:
            await memory.holds.place("alice", reason_code="CASE-1")
            assert await texts(memory.session("s", user_id="bob")) == ["whole"]
            with pytest.raises(CorruptRecordError):
                await memory.session("s", user_id="alice").history()
