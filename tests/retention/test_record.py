"""The audit of retention: what was decided, by handles, hashes and counts, and nothing of anybody's in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from securemem import LegalHoldError
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.testing import assert_absent, assert_found, make_canary

from .store import (
    DAY,
    HOUR,
    INVOICE,
    INVOICES,
    SCRATCH,
    TAGGED,
    add,
    events,
    handle_of,
    inside,
    opened,
    policy,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

WRITTEN = {
    *(EventKind.REVEAL, EventKind.DELETE, EventKind.RESTRICT, EventKind.REFUSE, EventKind.EXPORT, EventKind.HOLD),
    *(EventKind.RELEASE, EventKind.RESTRICTION, EventKind.LIFT, EventKind.APPLY, EventKind.PROPOSE),
}

TWO = "safety: {two_person: [ttl_shortened]}\n"


async def test_what_is_deleted_is_written_down(url: str, clock: FakeClock) -> None:
    """Rule by rule and session by session: how many, of whom, under which policy; who asked for a `ttl` is `call`."""
    mine = policy("defaults: {ttl: 5d}\n", SCRATCH)
    async with opened(url, clock, mine) as memory:
        chat, other = memory.session("s", user_id="alice"), memory.session("s", user_id="bob")
        await add(chat, "1", "2", **TAGGED)
        await add(chat, "3", ttl=HOUR)
        await add(chat, "4")
        await add(other, "5", **TAGGED)
        names = {await handle_of(memory, each): each.user_id for each in (chat, other)}
        people = {
            row.handle: user
            for user in ("alice", "bob")
            if (row := await (await inside(memory)).keyring.find_user(user)) is not None
        }
        clock.advance(DAY)
        await memory.sweep()
        found = await events(memory)
        rules = {rule_name(rule): rule for rule in ("scratch", "call", "defaults")}
        assert sorted(
            (names[each.session or b""], people[each.person or b""], rules[each.rule or b""], each.records)
            for each in found
        ) == [("alice", "alice", "call", 1), ("alice", "alice", "scratch", 2), ("bob", "bob", "scratch", 1)]
        assert {(each.kind, each.policy, each.actor, each.at) for each in found} == {
            (EventKind.DELETE, mine.digest, None, int(clock.now.timestamp() * 1000))
        }
        await memory.sweep()
        assert await events(memory) == found, "what was not done again is not told again"


async def test_who_did_what_is_written_down(file_url: str, clock: FakeClock) -> None:
    """A hold and its release, a proposal and an approval, and what was refused: who, by a keyed hash, and of whom."""
    async with opened(file_url, clock, policy(TWO, SCRATCH + INVOICES)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        hold = await memory.holds.place("alice", session_id="s", reason_code="CASE-1", actor="dpo:a")
        with pytest.raises(LegalHoldError):
            await chat.clear()
        await memory.holds.release(hold.id, actor="dpo:b")
        plan = await memory.retention.plan()
        await memory.retention.apply(plan.token, actor="dpo:a")
        deployment = await inside(memory)
        who = {deployment.keyring.actor_hash(f"dpo:{name}"): name for name in "ab"}
        session, person = await handle_of(memory, chat), bytes.fromhex(hold.handle)
        found = [
            (each.kind.value, who.get(each.actor or b""), each.person, each.session) for each in await events(memory)
        ]
        assert found == [
            ("hold", "a", person, session),
            ("refuse", None, person, session),
            ("release", "b", person, session),
            ("apply", "a", None, None),
        ]


async def test_nothing_of_anybodys_is_in_the_ledger(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """After everything that retention does no id, text, tag or actor is in it; the same look finds what is planted."""
    names = ("user", "guest", "session", "tag", "text", "actor", "purpose", "mail")
    words = {name: make_canary(name) for name in names}
    mine = policy(TWO + "pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", SCRATCH + INVOICES)
    ledger = [tmp_path / f"store.ledger.db{name}" for name in ("", "-wal")]
    async with opened(file_url, clock, "default") as memory:
        chat = memory.session(words["session"], user_id=words["user"], tags=(words["tag"],), purpose=words["purpose"])
        await add(chat, words["text"], **TAGGED)
        await add(chat, words["text"], metadata={"tags": [words["tag"]]}, user_id=words["guest"])
    async with opened(file_url, clock, mine) as memory:
        chat = memory.session(words["session"], user_id=words["user"], purpose=words["purpose"], actor=words["actor"])
        await add(chat, f"{words['mail']}@example.com", **INVOICE)
        hold = await memory.holds.place(words["user"], reason_code="CASE-1", actor=words["actor"])
        with pytest.raises(LegalHoldError):
            await chat.clear()
        await memory.holds.release(hold.id, actor=words["actor"])
        clock.advance(DAY)
        for actor in (words["actor"], "somebody else"):
            await memory.retention.apply((await memory.retention.plan()).token, actor=actor)
        await chat.reveal("[EMAIL_ADDRESS_1]")
        await memory.restrict_user(words["user"])
        await memory.lift_restriction(words["user"])
        assert [item async for item in memory.export_user(words["user"])]
        clock.advance(40 * DAY)
        await memory.sweep()
        found = {event.kind for event in await events(memory)}
        assert found == WRITTEN
        assert_absent(ledger, words.values())
        planted = make_canary("case")
        await memory.holds.place(words["user"], reason_code=planted)
        assert_found(ledger, planted)


async def test_an_event_that_could_be_a_text_is_not_written(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """Refused before the file is touched, whatever part of it holds the text."""
    canary = make_canary()
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        deployment = await inside(memory)
        whole = Event(EventKind.DELETE, deployment.keyring.tenant, None, None, bytes(32), 1)
        for field in Event._fields:
            for text in (canary, canary[:16], canary.ljust(32)[:32], canary.encode()):
                with pytest.raises(ValueError, match="handles and hashes"):
                    await Audit(deployment.ledger).write(whole._replace(**{field: text}))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="handles and hashes"):
            await Audit(deployment.ledger).write(whole._replace(records=0))  # it has the hash of what has no count
        await Audit(deployment.ledger).write(whole)
        assert_absent([tmp_path], canary)
        assert await events(memory) == [whole]
