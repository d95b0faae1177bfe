"""What a law demands outlives a clear and an erasure: sealed anew, out of sight, and gone when its time is over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest

from securemem import LegalHoldError, Message, SecureMemory, Session, UserErasedError, UserRestrictedError
from securemem.conversation import Conversation
from securemem.crypto.secret import RawKey
from securemem.demands import Demands
from securemem.destruction import Destruction
from securemem.errors import WrongKeyError
from securemem.keys.unwrapped import UserKey
from securemem.ledger.acts import ActKind
from securemem.ledger.audit import EventKind, rule_name
from securemem.ledger.holds import Holds, Kind
from securemem.preserving import Preserving
from securemem.rights.hold import Holding
from securemem.writer import Copies, Writer

from .store import (
    EMAIL,
    INVOICE,
    INVOICES,
    LASTING,
    SCRATCH,
    add,
    events,
    exported,
    handle_of,
    infos,
    inside,
    opened,
    policy,
    texts,
)

if TYPE_CHECKING:
    from tests.conftest import FakeClock

KEEPING = policy(rules=SCRATCH + INVOICES)
YEAR = timedelta(days=365, hours=1)


async def _preserved(memory: SecureMemory) -> list[bytes | None]:
    deployment = await inside(memory)
    return [each.session for each in await Holds(deployment.ledger, deployment.keyring.tenant).active(Kind.PRESERVED)]


async def test_an_erasure_keeps_what_a_law_demands(url: str, clock: FakeClock) -> None:
    """The invoice stays, read by nobody; all else goes, the receipt says so, and a year later it is gone too."""
    async with opened(url, clock, KEEPING) as memory:
        begun = clock.now
        chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "hello", "invoice", **INVOICE)
        await chat.add_many([Message("user", "plain")])
        await add(other, "plain")
        await add(memory.session("s", user_id="bob"), "bob")
        old = await handle_of(memory, chat)
        receipt = await memory.erase_user("alice")
        assert receipt.stores["data"]["preserved"] == 2
        [kept] = [left for left in receipt.residue if "demands" in left.what]
        assert kept.until is not None
        assert timedelta(0) <= kept.until - begun - timedelta(days=365) <= timedelta(hours=1)
        assert [
            (info.session_id, info.user_id, info.messages, info.restricted) async for info in memory.sessions()
        ] == [
            ("s", "bob", 1, False),
            ("s", "alice", 2, True),
        ]
        with pytest.raises(UserErasedError):
            await chat.history()
        assert await texts(memory.session("s", user_id="alice")) == []
        assert await exported(memory, "alice") == ["hello", "invoice"]
        assert not (await (await inside(memory)).backend.tail(old, 100)).rows
        [(request, said)] = [
            await memory.requests.show(each.id) for each in await memory.requests.list(everything=True)
        ]
        assert (request.state, request.basis, said) == ("partial", "gdpr-17-3-b", receipt.to_json())
        clock.now = begun + YEAR - timedelta(milliseconds=1)
        assert (await memory.sweep()).records == 0
        clock.now = begun + YEAR
        assert (await memory.sweep()).records == 2
        assert await infos(memory) == {"s": 1}
        assert await _preserved(memory) == []


async def test_the_rest_is_shredded(url: str, clock: FakeClock) -> None:
    """What lay in the session opens under no key any more, nor under the one that what is kept is sealed with."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await add(chat, "plain")
        deployment = await inside(memory)
        keyring, keystore = deployment.keyring, deployment.keyring.keystore
        before = await keyring.find_user("alice")
        assert before is not None
        user = await keyring.user(before, "alice")
        session = (await keystore.page(keyring.tenant_number, after=0, limit=9, user=before.handle))[0][2]
        user.unwrap_session_key(session.handle, session.generation, session.wrapped)  # the control
        await memory.erase_user("alice")
        after = await keyring.find_user("alice")
        assert after is not None
        assert (after.handle, after.generation) == (before.handle, before.generation + 1)
        assert await keystore.owner_of(session.handle) is None
        renewed = await keyring.user(after, "alice")
        with pytest.raises(WrongKeyError):
            renewed.unwrap_session_key(session.handle, session.generation, session.wrapped)


async def test_who_comes_back_begins_anew(url: str, clock: FakeClock) -> None:
    """A session of the same name is a new one, and can be erased again; what is kept stays beside it."""
    async with opened(url, clock, KEEPING) as memory:
        for said in ("first", "second"):
            chat = memory.session("s", user_id="alice")
            await add(chat, said, **INVOICE)
            assert await texts(chat) == [said]
            await memory.erase_user("alice")
        assert await exported(memory, "alice") == ["first", "second"]
        back = memory.session("s", user_id="alice")
        assert await texts(back) == []
        await add(back, "third")
        assert await texts(back) == ["third"]
        clock.advance(YEAR.total_seconds())
        assert (await memory.sweep()).sessions == 2
        assert await exported(memory, "alice") == ["third"]


async def test_a_request_names_the_article_that_kept_something(file_url: str, clock: FakeClock) -> None:
    """It is that of the rule which applied, not of another that could have."""
    other = "  - {id: claims, match: {tag: claim}, keep_for: 2y, keep_basis: {article: gdpr-17-3-e}}\n"
    async with opened(file_url, clock, policy(rules=other + INVOICES)) as memory:
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        await memory.erase_user("alice")
        [request] = await memory.requests.list(everything=True)
        assert request.basis == "gdpr-17-3-b"


async def test_a_clear_keeps_what_a_law_demands(url: str, clock: FakeClock) -> None:
    """The handle begins anew, and what is kept of the session is read by nobody, lifted restrictions or not."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await add(chat, "plain")
        session = await handle_of(memory, chat)
        await chat.clear()
        assert await texts(chat) == []
        await add(chat, "new")
        await memory.restrict_user("alice")
        await memory.lift_restriction("alice")
        assert await texts(chat) == ["new"]
        assert await exported(memory, "alice") == ["invoice", "new"]
        [kept] = [info async for info in memory.sessions(user_id="alice") if info.restricted]
        assert (kept.session_id, kept.messages) == ("s", 1)
        [event] = [each for each in await events(memory) if each.kind == EventKind.RESTRICT]
        assert (event.session, event.rule, event.records) == (session, rule_name("invoices"), 1)


async def test_what_a_guest_said_is_kept_for_the_guest(url: str, clock: FakeClock) -> None:
    """A guest's invoice in somebody's session outlives both: it is the guest's, and their export has it."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        await add(chat, "invoice", user_id="bob", **INVOICE)
        await add(chat, "hi", user_id="bob")
        receipt = await memory.erase_user("alice")
        assert receipt.stores["data"]["preserved"] == 0, "it is not hers"
        assert await exported(memory, "bob") == ["invoice"]
        assert (await memory.erase_user("bob")).stores["data"]["preserved"] == 1
        assert await exported(memory, "bob") == ["invoice"]
        assert await exported(memory, "alice") == []


async def test_a_guest_leaves_a_stub_and_what_is_kept(url: str, clock: FakeClock) -> None:
    """Who is forgotten leaves nothing in somebody's session, which stays whole; their invoice is kept apart."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        await add(chat, "invoice", user_id="bob", **INVOICE)
        await add(chat, "bye")
        assert (await memory.erase_user("bob")).stores["data"]["preserved"] == 1
        assert await texts(chat) == ["hello", "bye"]
        assert await texts(memory.session("s", user_id="alice")) == ["hello", "bye"]
        assert await exported(memory, "bob") == ["invoice"]


async def test_a_guest_who_comes_back_loses_nothing_that_was_kept(url: str, clock: FakeClock) -> None:
    """Erased, back in the same session and erased again: both invoices are kept."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        for said in ("first", "second"):
            await add(chat, said, user_id="bob", **INVOICE)
            await memory.erase_user("bob")
            assert await texts(chat) == ["hello"]
        assert await exported(memory, "bob") == ["first", "second"]


@LASTING
@pytest.mark.parametrize("first", [True, False], ids=["some before", "none before"])
async def test_a_guest_who_writes_on_is_met_by_the_second_look(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    """What another process appends for them before their key is gone leaves a stub too, and what a law keeps of it."""
    async with opened(url, clock, KEEPING) as memory, opened(url, clock, KEEPING) as other:
        chat, theirs = memory.session("s", user_id="alice"), other.session("s", user_id="alice")
        await add(chat, "hello")
        await add(theirs, "first", user_id="bob", **(INVOICE if first else {}))
        shred = Destruction._shred_person

        async def late(destruction: Destruction, *arguments: Any) -> None:
            await add(theirs, "second", user_id="bob", **INVOICE)
            await shred(destruction, *arguments)

        monkeypatch.setattr(Destruction, "_shred_person", late)
        await memory.erase_user("bob")
        for each in (chat, theirs, memory.session("s", user_id="alice")):
            assert await texts(each) == ["hello"]
        assert await exported(memory, "bob") == (["first", "second"] if first else ["second"])


@LASTING
@pytest.mark.parametrize("keeps", [True, False], ids=["a law keeps it", "no law keeps it"])
async def test_a_guest_who_is_back_before_the_second_look(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    """What somebody says under a new key is not the erasure's that destroyed the old one, though it is under way."""
    said = INVOICE if keeps else {}
    async with (
        opened(url, clock, KEEPING) as memory,
        opened(url, clock, KEEPING) as other,
        opened(url, clock, KEEPING) as new,
    ):
        chat, theirs = memory.session("s", user_id="alice"), other.session("s", user_id="alice")
        await add(chat, "hello")
        await add(theirs, "first", user_id="bob", **said)
        shred = Destruction._shred_person

        async def early(destruction: Destruction, *arguments: Any) -> None:
            await add(theirs, "second", user_id="bob", **said)
            await shred(destruction, *arguments)
            await add(new.session("s", user_id="alice"), "back", user_id="bob")

        monkeypatch.setattr(Destruction, "_shred_person", early)
        await memory.erase_user("bob")
        for each in (chat, theirs, memory.session("s", user_id="alice")):
            assert await texts(each) == ["hello", "back"]
        assert await exported(memory, "bob") == [*(["first", "second"] if keeps else []), "back"]


async def _read_elsewhere(memory: SecureMemory, other: SecureMemory, who: str) -> Session:
    """Give another process's handle of Alice's session, in which somebody said something and it was read there."""
    chat, theirs = memory.session("s", user_id="alice"), other.session("s", user_id="alice")
    await add(chat, "plain", user_id=who)
    await add(chat, "invoice", user_id=who, **INVOICE)
    assert await texts(theirs) == ["plain", "invoice"]
    return theirs


@LASTING
@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_a_fork_brings_nobody_back_of_whom_a_law_keeps_something(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """What a fork has read of a person is not written once they are forgotten, though their handle goes on."""
    async with opened(url, clock, KEEPING) as memory, opened(url, clock, KEEPING) as other:
        theirs = await _read_elsewhere(memory, other, who)
        start = Writer.start

        async def late(writer: Writer, conversation: Conversation, copies: Copies) -> None:
            await memory.erase_user(who)
            await start(writer, conversation, copies)

        monkeypatch.setattr(Writer, "start", late)
        with pytest.raises(UserErasedError):
            await theirs.fork("branch")
        for each in (memory, other):
            assert await exported(each, who) == ["invoice"]


@LASTING
@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_an_append_brings_nobody_back_of_whom_a_law_keeps_something(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """What was under way when a person was forgotten is not begun again under the key of what is kept of them."""
    async with opened(url, clock, KEEPING) as memory, opened(url, clock, KEEPING) as other:
        theirs = await _read_elsewhere(memory, other, who)
        swap = Conversation.swap

        async def late(conversation: Conversation, *arguments: Any) -> bool:
            monkeypatch.setattr(Conversation, "swap", swap)
            await memory.erase_user(who)
            return await swap(conversation, *arguments)

        monkeypatch.setattr(Conversation, "swap", late)
        with pytest.raises(UserErasedError):
            await add(theirs, "late", user_id=who)
        for each in (memory, other):
            assert await exported(each, who) == ["invoice"]


@LASTING
async def test_what_opens_no_more_costs_nobody_what_is_kept(url: str, clock: FakeClock) -> None:
    """A guest's record under a key that is gone keeps nothing of its session's owner from being preserved."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "theirs", user_id="bob", **INVOICE)
        await add(chat, "mine", **INVOICE)
        keyring = (await inside(memory)).keyring
        row = await keyring.find_user("bob")
        assert row is not None
        assert await keyring.keystore.shred_user(row.number, known={await handle_of(memory, chat)})
        keyring.held.forget_handle(row.handle)
    async with opened(url, clock, KEEPING) as memory:
        await memory.erase_user("alice")
        assert await exported(memory, "alice") == ["mine"]


async def test_nobody_has_a_key_for_nothing(url: str, clock: FakeClock) -> None:
    """A guest of whom no law keeps anything has no key once they are forgotten, though one might have."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        await add(chat, "hi", user_id="bob")
        await memory.erase_user("bob")
        assert (await (await inside(memory)).keyring.keystore.counts()) == (1, 1)


async def test_what_is_kept_says_what_it_said(file_url: str, clock: FakeClock) -> None:
    """What is kept says in an export what it said, without a vault, and goes when it has to."""
    keeping = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", INVOICES)
    async with opened(file_url, clock, keeping) as memory:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        await add(memory.session("s", user_id="bob"), f"mail to {EMAIL}")
        await memory.erase_user("alice")
        await memory.erase_user("bob")
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]
        assert (await (await inside(memory)).keyring.keystore.counts()) == (1, 1)
        clock.advance(YEAR.total_seconds())
        await memory.sweep()
        await memory.sweep()
        assert (await (await inside(memory)).keyring.keystore.counts())[1] == 0


async def test_a_hold_on_a_session_spares_it_and_nothing_else(url: str, clock: FakeClock) -> None:
    """What is held stays as it is; the rest goes at once, the error says which request waits, the release ends it."""
    async with opened(url, clock, KEEPING) as memory:
        chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
        await add(chat, "held")
        await add(other, "plain")
        hold = await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        with pytest.raises(LegalHoldError) as caught:
            await memory.erase_user("alice")
        request = caught.value.request
        assert request is not None
        assert await infos(memory) == {"s": 1}
        assert await exported(memory, "alice") == ["held"]
        with pytest.raises(UserRestrictedError):
            await memory.session("s", user_id="alice").history()
        with pytest.raises(LegalHoldError) as caught:
            await memory.erase_user("alice")
        assert caught.value.request == request, "asked twice, it is the same request"
        assert (await memory.requests.show(request))[0].state == "preflight"
        await memory.retention.work()
        assert await infos(memory) == {"s": 1}
        await memory.holds.release(hold.id)
        assert await infos(memory) == {}
        assert (await memory.requests.show(request))[0].state == "complete"
        assert (await (await inside(memory)).keyring.keystore.counts()) == (0, 0)


async def test_all_that_is_held_waits_for_the_last_release(url: str, clock: FakeClock) -> None:
    """Nothing is erased while a person is held; the last of two releases finishes it."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        await add(memory.session("s", user_id="bob"), "said", user_id="alice")
        holds = [await memory.holds.place("alice", reason_code=code) for code in ("CASE-1", "CASE-2")]
        with pytest.raises(LegalHoldError) as caught:
            await memory.erase_user("alice")
        await memory.holds.release(holds[0].id)
        assert await exported(memory, "alice") == ["x", "said"]
        await memory.holds.release(holds[1].id)
        assert await exported(memory, "alice") == []
        request, receipt = await memory.requests.show(caught.value.request or "")
        assert request.state == "complete"
        assert receipt is not None
        assert receipt["receipt"]["stores"]["data"]["records"] == 2


async def test_a_held_guest_is_spared_in_a_session_that_goes(url: str, clock: FakeClock) -> None:
    """What a held person said outlives its session, held and unread; released, it goes with that session."""
    async with opened(url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "said", user_id="bob")
        hold = await memory.holds.place("bob", reason_code="CASE-1")
        await memory.erase_user("alice")
        assert await exported(memory, "bob") == ["said"]
        assert (await memory.sweep()).records == 0
        await memory.holds.release(hold.id)
        assert (await memory.sweep()).records == 1
        assert await exported(memory, "bob") == []


async def test_a_next_key_leaves_none_in_memory(url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session keys that go on under a person's next key are wiped once they are wrapped, a guest's among them."""
    keys: list[tuple[bytes, RawKey]] = []
    unwrap = UserKey.unwrap_session_key

    def noted(user: UserKey, session: bytes, generation: int, wrapped: bytes) -> RawKey:
        keys.append((session, unwrap(user, session, generation, wrapped)))
        return keys[-1][1]

    async with opened(url, clock, KEEPING) as memory:
        chat, own = memory.session("s", user_id="alice"), memory.session("s", user_id="bob")
        await add(chat, "said", user_id="bob")
        await add(own, "invoice", **INVOICE)
        await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        held = await handle_of(memory, chat)
        monkeypatch.setattr(UserKey, "unwrap_session_key", noted)
        with pytest.raises(LegalHoldError):
            await memory.erase_user("bob")
        assert held in {session for session, _ in keys}, "the control: the guest's key goes on"
    for _, key in keys:
        with pytest.raises(ValueError, match="wiped"):
            key.expose_secret()


@LASTING
async def test_the_last_release_ends_what_outlived_its_session(url: str, clock: FakeClock) -> None:
    """A held guest whose host went first is forgotten when their hold is released: no word of theirs opens any more."""
    async with opened(url, clock, KEEPING) as memory:
        await add(memory.session("s", user_id="alice"), "said", user_id="bob")
        hold = await memory.holds.place("bob", reason_code="CASE-1")
        await memory.erase_user("alice")
        with pytest.raises(LegalHoldError) as caught:
            await memory.erase_user("bob")
        assert await exported(memory, "bob") == ["said"], "the control: it was there"
        await memory.holds.release(hold.id)
        request, receipt = await memory.requests.show(caught.value.request or "")
        assert request.state == "complete"
        assert receipt is not None
        assert receipt["receipt"]["stores"]["data"]["preserved"] == 0
        assert await exported(memory, "bob") == []
        assert await (await inside(memory)).keyring.keystore.counts() == (0, 0)
        assert await _preserved(memory) == []


async def test_an_erasure_judges_anew_what_was_set_apart(file_url: str, clock: FakeClock) -> None:
    """Of a guest's words that a hold kept, the invoice stays when they are erased after its release; the rest goes."""
    async with opened(file_url, clock, KEEPING) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "said", user_id="bob")
        await add(chat, "invoice", user_id="bob", **INVOICE)
        hold = await memory.holds.place("bob", reason_code="CASE-1")
        await memory.erase_user("alice")
        await memory.holds.release(hold.id)
        assert await exported(memory, "bob") == ["said", "invoice"]
        receipt = await memory.erase_user("bob")
        assert receipt.stores["data"]["preserved"] == 1
        assert await exported(memory, "bob") == ["invoice"]
        assert [request.state for request in await memory.requests.list(everything=True)] == ["complete", "partial"]
        [left] = await _preserved(memory)
        await memory.erase_user("bob")
        assert await _preserved(memory) == [left], "what has to be kept whole is left as it is"
        clock.advance(YEAR.total_seconds())
        assert (await memory.erase_user("bob")).stores["data"]["preserved"] == 0, "no law keeps it any more"
        assert await exported(memory, "bob") == []
        assert await (await inside(memory)).keyring.keystore.counts() == (0, 0)


async def test_what_is_set_apart_keeps_its_name(file_url: str, clock: FakeClock) -> None:
    """What is kept of it once more is called what its session was."""
    rules = policy(
        rules=INVOICES + "  - {id: bills, match: {tag: bill}, keep_for: 2d, keep_basis: {article: gdpr-17-3-e}}\n"
    )
    async with opened(file_url, clock, rules) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await add(chat, "bill", metadata={"tags": ["bill"]})
        await memory.erase_user("alice")
        clock.advance(3 * 86_400)
        await memory.erase_user("alice")
        assert await infos(memory) == {"s": 1}
        assert await exported(memory, "alice") == ["invoice"]


@pytest.mark.parametrize("place", [1, 0xFFFFFFFF], ids=["a record", "the head"])
async def test_what_was_set_apart_and_is_damaged_stays(
    file_url: str, tmp_path: Path, clock: FakeClock, place: int
) -> None:
    """Where a law keeps anything, what cannot be judged any more is left as it is, and the request is partial."""
    async with opened(file_url, clock, KEEPING) as memory:
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        await memory.erase_user("alice")
        [left] = await _preserved(memory)
    with closing(sqlite3.connect(tmp_path / "store.db")) as con:
        [(number,)] = con.execute("SELECT number FROM messages_sessions WHERE handle = ?", (left,))
        con.execute("UPDATE messages SET body = zeroblob(200) WHERE id = ?", (number << 32 | place,))
        con.commit()
    clock.advance(YEAR.total_seconds())
    async with opened(file_url, clock, KEEPING) as memory:
        await memory.erase_user("alice")
        assert await _preserved(memory) == [left]
        assert [request.state for request in await memory.requests.list(everything=True)] == ["partial", "partial"]


async def test_an_act_of_long_ago_judges_nothing_anew(file_url: str, clock: FakeClock) -> None:
    """What a restored store has missed is done as it was decided; what is kept longer by today's rules stays."""
    async with opened(file_url, clock, KEEPING) as memory:
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        for _ in range(2):
            await memory.erase_user("alice")
    clock.advance(YEAR.total_seconds())
    async with opened(file_url, clock, policy(rules=INVOICES.replace("1y", "10y"))) as memory:
        deployment = await inside(memory)
        acts = [act for act in await deployment.ledger.acts() if act.kind is ActKind.ERASE]
        await deployment.destruction.catch_up(acts, purge_seconds=0)
        assert await exported(memory, "alice") == ["invoice"]


@pytest.mark.parametrize("stale", [False, True], ids=["not held", "marked as held still"])
async def test_a_hold_forestalls_the_end_of_what_was_set_apart(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, stale: bool
) -> None:
    """A hold that comes once nothing was found to keep it, and before it is closed, wins."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        await add(memory.session("s", user_id="alice"), "said", user_id="bob")
        hold = await memory.holds.place("bob", reason_code="CASE-1")
        await memory.erase_user("alice")
        with monkeypatch.context() as patch:
            if stale:
                patch.setattr(Holding, "_unmark", AsyncMock(return_value=True))
            await memory.holds.release(hold.id)
        ask_anew = Preserving.ask_anew

        async def late(self: Preserving, demands: Demands) -> None:
            monkeypatch.setattr(Preserving, "ask_anew", ask_anew)
            await ask_anew(self, demands)
            await other.holds.place("bob", reason_code="CASE-2")

        monkeypatch.setattr(Preserving, "ask_anew", late)
        with pytest.raises(LegalHoldError):
            await memory.erase_user("bob")
        assert await exported(memory, "bob") == ["said"]


@LASTING
async def test_a_keep_that_is_new_is_for_what_was_stored(url: str, clock: FakeClock) -> None:
    """Under a policy that has come to keep invoices, those of yesterday are kept, though no worker was there."""
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        for user in ("alice", "bob"):
            await add(memory.session("s", user_id=user), "invoice", **(INVOICE if user == "alice" else {}))
    async with opened(url, clock, KEEPING) as memory:
        for user, kept in (("alice", ["invoice"]), ("bob", [])):
            await memory.erase_user(user)
            assert await exported(memory, user) == kept


@pytest.mark.parametrize("since", ["rectified", "said more"])
async def test_what_a_guest_has_since_an_erasure_died(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    """An erasure that died once it had set a guest's words apart leaves each of them once, in the newest wording."""
    async with opened(file_url, clock, KEEPING) as memory:
        await add(memory.session("s", user_id="alice"), "hello")
        await add(memory.session("s", user_id="alice"), "invoice", "bill", user_id="bob", **INVOICE)
        with monkeypatch.context() as patch:
            preserve = Preserving.preserve

            async def dies(self: Preserving, *arguments: Any, **options: Any) -> None:
                await preserve(self, *arguments, **options)
                raise RuntimeError("killed")

            patch.setattr(Preserving, "preserve", dies)
            with pytest.raises(RuntimeError):
                await memory.erase_user("bob")
        clock.advance(1)
        chat = memory.session("s", user_id="alice")
        if since == "rectified":
            await chat.rectify(2, "corrected")
        else:
            await add(chat, "receipt", user_id="bob", **INVOICE)
        assert len(await exported(memory, "bob")) >= 4, "the control: they were there twice"
    async with opened(file_url, clock, KEEPING) as memory:
        expected = ["corrected", "bill"] if since == "rectified" else ["invoice", "bill", "receipt"]
        assert await exported(memory, "bob") == expected
        assert await texts(memory.session("s", user_id="alice")) == ["hello"]
