"""Requests of people: written down, verified before anything is touched, carried out, refused, extended, forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from securemem import AccessDeniedError, ConflictError, InvalidInputError, SecureMemory, UserRestrictedError
from securemem.destruction import Destruction
from securemem.interrupted import GRACE_SECONDS
from securemem.ledger.audit import Audit, EventKind
from securemem.retention import keeper
from securemem.rights.receipt import verify_receipt
from securemem.rights.requests import VERIFICATION

from .store import DAY, INVOICE, INVOICES, SCRATCH, add, infos, inside, kinds, opened, policy, run_sql, texts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

POLICY = policy("requests: {regimes: [ukgdpr, ccpa], log_retention: 24mo}\n")


async def _audited(memory: SecureMemory) -> list[str]:
    return [event.kind.value for event in await Audit((await inside(memory)).ledger).events()]


async def test_nothing_is_touched_before_it_is_verified(url: str, clock: FakeClock) -> None:
    """Received and acknowledged, the person's data is as it was; verified, they are gone, and the receipt is there."""
    async with opened(url, clock, POLICY) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        request = await memory.requests.receive("erasure", "alice")
        assert (request.state, request.regime, request.confirm_by) == ("received", "ukgdpr", None)
        assert (await memory.requests.acknowledge(request.id)).state == "acknowledged"
        await memory.retention.work()
        assert await texts(chat) == ["x"]
        done = await memory.requests.verify(request.id)
        assert (done.state, done.handle, done.done_at) == ("complete", request.handle, clock.now)
        assert await infos(memory) == {}
        found, receipt = await memory.requests.show(request.id)
        assert found == done
        assert receipt is not None
        assert (receipt["receipt"]["handle"], receipt["receipt"]["stores"]["data"]["records"]) == (request.handle, 1)
        assert await memory.requests.list() == []
        assert await memory.requests.list(everything=True) == [done]
        assert await _audited(memory) == ["request", "acknowledge", "verify", "erase", "complete"]


@pytest.mark.parametrize("kind", ["access", "portability", "rectification"])
async def test_what_somebody_has_to_do_is_planned(file_url: str, clock: FakeClock, kind: str) -> None:
    """Verified it waits for whoever does it; it is complete when they say so, and not before."""
    async with opened(file_url, clock, POLICY) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        request = await memory.requests.receive(kind, "alice")
        with pytest.raises(ConflictError, match="received"):
            await memory.requests.complete(request.id)
        assert (await memory.requests.verify(request.id)).state == "planned"
        await memory.retention.work()
        assert [each.state for each in await memory.requests.list()] == ["planned"]
        assert (await memory.requests.complete(request.id)).state == "complete"


@pytest.mark.parametrize("kind", ["restriction", "objection"])
async def test_a_restriction_is_carried_out(file_url: str, clock: FakeClock, kind: str) -> None:
    """Verified, nobody reads the person's data any more."""
    async with opened(file_url, clock, POLICY) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        request = await memory.requests.receive(kind, "alice")
        assert await texts(chat) == ["x"]
        assert (await memory.requests.verify(request.id)).state == "complete"
        with pytest.raises(UserRestrictedError):
            await chat.history()


@pytest.mark.parametrize("kind", ["access", "erasure", "restriction", "objection"])
async def test_of_nobody_nothing_is_held(file_url: str, clock: FakeClock, kind: str) -> None:
    """A request about somebody who is not known is complete once it is verified, and names nobody."""
    async with opened(file_url, clock, POLICY) as memory:
        request = await memory.requests.receive(kind, "nobody")
        assert request.handle == ""
        assert (await memory.requests.verify(request.id)).state == "complete"


async def test_the_same_asked_twice(file_url: str, clock: FakeClock) -> None:
    """The second names the first; when one is carried out, nothing is left for the other, which is complete too."""
    async with opened(file_url, clock, POLICY) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        first = await memory.requests.receive("erasure", "alice")
        clock.advance(1)
        second = await memory.requests.receive("erasure", "alice")
        other = await memory.requests.receive("access", "alice")
        assert (first.same_as, second.same_as, other.same_as) == (None, first.id, None)
        assert (await memory.requests.verify(second.id)).state == "complete"
        assert (await memory.requests.verify(first.id)).state == "complete"
        with pytest.raises(ConflictError, match="complete"):
            await memory.requests.verify(first.id)
        assert (await kinds(memory))["erase"] == 1  # type: ignore[index]


async def test_a_refusal_names_its_basis(file_url: str, clock: FakeClock) -> None:
    """Nothing is done any more; a text for a basis, or a request that was answered, is refused."""
    async with opened(file_url, clock, POLICY) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        request = await memory.requests.receive("erasure", "alice")
        for basis in ("", "because we say so", "x" * 33, "ünzulässig"):
            with pytest.raises(InvalidInputError):
                await memory.requests.refuse(request.id, basis=basis)
        refused = await memory.requests.refuse(request.id, basis="gdpr-12-5-b")
        assert (refused.state, refused.basis) == ("refused", "gdpr-12-5-b")
        for call in (memory.requests.verify, memory.requests.acknowledge, memory.requests.extend):
            with pytest.raises(ConflictError, match="refused"):
                await call(request.id)
        assert await texts(chat) == ["x"]


async def test_time_is_extended_once_and_in_time(file_url: str, clock: FakeClock) -> None:
    """By what the law gives; not twice, not when it was due already, and not where the law extends nothing."""
    async with opened(file_url, clock, POLICY) as memory:
        requests = memory.requests
        one, late = [await requests.receive("access", "alice", regime="ccpa") for _ in range(2)]
        never = await requests.receive("access", "alice", regime="lgpd")
        extended = await requests.extend(one.id)
        assert (extended.extended, extended.due_at - one.due_at) == (True, timedelta(days=45))
        with pytest.raises(ConflictError, match="before"):
            await requests.extend(one.id)
        with pytest.raises(ConflictError, match="lgpd"):
            await requests.extend(never.id)
        clock.advance(46 * DAY)
        with pytest.raises(ConflictError, match="due already"):
            await requests.extend(late.id)


async def test_a_clock_that_is_stopped(file_url: str, clock: FakeClock) -> None:
    """Under the UK's law it is due later by the days that it stood, and not listed as due meanwhile; not elsewhere."""
    async with opened(file_url, clock, POLICY) as memory:
        requests = memory.requests
        one = await requests.receive("access", "alice")
        with pytest.raises(ConflictError, match="gdpr"):
            await requests.pause((await requests.receive("access", "bob", regime="gdpr")).id)
        with pytest.raises(ConflictError, match="does not stand"):
            await requests.resume(one.id)
        assert (await requests.pause(one.id)).paused
        with pytest.raises(ConflictError, match="already"):
            await requests.pause(one.id)
        clock.advance(40 * DAY)
        assert one.id not in [each.id for each in await requests.list(due=timedelta(days=7))]
        resumed = await requests.resume(one.id)
        assert (resumed.paused, resumed.due_at - one.due_at) == (False, timedelta(days=40))
        await requests.pause(one.id)
        clock.advance(DAY * 1.5)
        verified = await requests.verify(one.id)
        assert (verified.paused, verified.due_at - one.due_at) == (False, timedelta(days=41))


async def test_two_at_once_change_its_time_once(file_url: str, clock: FakeClock) -> None:
    """Who reckons from a time that somebody else has changed is refused: none is lost, and none is given twice."""
    async with opened(file_url, clock, POLICY) as memory:
        requests = memory.requests
        one = await requests.receive("access", "alice")
        twice = await asyncio.gather(requests.extend(one.id), requests.extend(one.id), return_exceptions=True)
        assert [isinstance(each, ConflictError) for each in twice] in ([False, True], [True, False])
        two = await requests.receive("access", "bob")
        await requests.pause(two.id)
        clock.advance(10 * DAY)
        both = await asyncio.gather(requests.extend(two.id), requests.resume(two.id), return_exceptions=True)
        refused = [each for each in both if isinstance(each, BaseException)]
        for error in refused:
            assert isinstance(error, ConflictError)
            assert "same moment" in str(error)
        if isinstance(both[0], BaseException):
            await requests.extend(two.id)
        if isinstance(both[1], BaseException):
            await requests.resume(two.id)
        after, _ = await requests.show(two.id)
        assert len(refused) == 1
        assert after.due_at == (await requests.show(one.id))[0].due_at + timedelta(days=10)
        audited = await _audited(memory)
        assert [audited.count(kind) for kind in ("extend", "pause", "resume")] == [2, 1, 1]


async def test_a_request_whose_clock_stands_can_be_extended(file_url: str, clock: FakeClock) -> None:
    """It is not overdue as long as its clock stands, whatever its old date says."""
    async with opened(file_url, clock, POLICY) as memory:
        one = await memory.requests.receive("access", "alice")
        await memory.requests.pause(one.id)
        clock.advance(40 * DAY)
        assert (await memory.requests.extend(one.id)).due_at > one.due_at


async def test_what_is_due_is_listed_first(file_url: str, clock: FakeClock) -> None:
    """Requests are in the order of their ends, and those alone that are due within a time where that is asked."""
    async with opened(file_url, clock, POLICY) as memory:
        made = {
            law: (await memory.requests.receive("access", "alice", regime=law)).id for law in ("ccpa", "gdpr", "lgpd")
        }
        assert [each.regime for each in await memory.requests.list()] == ["lgpd", "gdpr", "ccpa"]
        clock.advance(9 * DAY)
        assert [each.id for each in await memory.requests.list(due=timedelta(days=7))] == [made["lgpd"]]
        clock.advance(100 * DAY)
        assert len(await memory.requests.list(due=timedelta(0))) == 3, "overdue"
        assert len(await memory.requests.list(due=timedelta.max)) == 3


async def test_what_was_answered_is_not_listed(file_url: str, clock: FakeClock) -> None:
    """Nobody has to see to a request any more that was answered, be it in part, for a law keeps the rest."""
    async with opened(file_url, clock, policy(rules=INVOICES)) as memory:
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        request = await memory.requests.receive("erasure", "alice")
        assert [each.id for each in await memory.requests.list()] == [request.id]
        answered = await memory.requests.verify(request.id)
        assert (answered.state, answered.done_at is None) == ("partial", False)
        assert await memory.requests.list() == []
        assert await memory.requests.list(everything=True) == [answered]


async def test_a_verification_expires(file_url: str, clock: FakeClock) -> None:
    """What was verified long ago and never begun has to be verified again; meanwhile nothing is touched."""
    async with opened(file_url, clock, POLICY) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        request = await memory.requests.receive("erasure", "alice")
        requesting = (await inside(memory)).office.requesting
        row = await requesting._find(request.id)
        await requesting._moved(row, None, None, state="verified", verified_at=requesting._now())
        clock.advance(VERIFICATION.total_seconds() + 1)
        await memory.retention.work()
        assert await texts(chat) == ["x"]
        assert (await memory.requests.verify(request.id)).state == "complete"


async def test_the_log_is_forgotten(file_url: str, clock: FakeClock) -> None:
    """A request that was answered is kept as long as the policy says; one that is open for as long as it is."""
    async with opened(file_url, clock, POLICY) as memory:
        done, waiting = [await memory.requests.receive("access", user) for user in ("alice", "bob")]
        await memory.requests.refuse(done.id, basis="gdpr-12-5-b")
        clock.advance(730 * DAY)
        await memory.retention.work()
        assert [each.id for each in await memory.requests.list(everything=True)] == [done.id, waiting.id]
        clock.advance(2 * DAY)
        await memory.retention.work()
        assert [each.id for each in await memory.requests.list(everything=True)] == [waiting.id]


async def test_what_is_no_request_is_said(file_url: str, clock: FakeClock) -> None:
    """Kinds, laws and ids that are none, and actors without the right, are refused; nothing is written."""
    roles = policy("access: {roles: {agent: [read, write], dpo: [erase]}}\n")
    async with opened(file_url, clock, roles) as memory:
        requests = memory.requests
        for kind, regime in (("deletion", None), ("erasure", "hgb")):
            with pytest.raises(InvalidInputError):
                await requests.receive(kind, "alice", regime=regime)
        for name in ("", "zz", "00" * 16):
            with pytest.raises(InvalidInputError):
                await requests.verify(name)
        with pytest.raises(AccessDeniedError):
            await requests.receive("erasure", "alice", actor="agent:bot")
        assert await requests.list(everything=True) == []
        assert (await requests.receive("erasure", "alice", actor="dpo:b")).regime == "gdpr"


async def test_a_receipt_proves_that_the_erasure_is_in_the_audit(file_url: str, clock: FakeClock) -> None:
    """The event that it names is the one that the audit has, in a tree whose head is signed with it."""
    async with opened(file_url, clock, POLICY) as memory:
        for user in ("alice", "bob"):
            await add(memory.session("s", user_id=user), "x")
        await memory.erase_user("bob")
        receipt = (await memory.erase_user("alice")).to_json()
        verify_receipt(receipt, await memory.keys.public_key())
        audit = Audit((await inside(memory)).ledger)
        [*_, entry] = [each async for each in audit.entries() if each.event.kind == "erase"]
        assert receipt["receipt"]["audit"]["number"] == entry.number
        assert receipt["receipt"]["audit"]["event"]["person"] == receipt["receipt"]["handle"]
        await run_sql(memory, "UPDATE {audit} SET at = at + 1 WHERE number = 1")
        await add(memory.session("s", user_id="carol"), "x")
        assert (await memory.erase_user("carol")).state == "SHREDDED", "a damaged audit keeps nobody"


async def test_a_receipt_says_when_backups_are_closed(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """Once the epoch is destroyed and the operator's days are past; not before, and not without such a statement."""
    async with opened(file_url, clock, POLICY, backup_days=30) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        await add(memory.session("s", user_id="bob"), "x")
        first = await memory.erase_user("alice")
        [request] = await memory.requests.list(everything=True)

        async def state() -> str:
            _, receipt = await memory.requests.show(request.id)
            assert receipt is not None
            verify_receipt(receipt, await memory.keys.public_key())
            return str(receipt["receipt"]["state"])

        clock.advance(31 * DAY)
        assert await state() == "SHREDDED", "the epoch is open"
        await memory.keys.close_epoch(backup=tmp_path / "keys.backup")
        assert await state() == "SHREDDED", "the KEK's own copies are not past"
        clock.advance(30 * DAY - 1)
        assert await state() == "SHREDDED"
        clock.advance(1)
        assert await state() == "BACKUP_CLOSED"
        _, closed = await memory.requests.show(request.id)
        assert closed is not None
        assert (closed["receipt"]["residue"], closed["receipt"]["horizon"]) == ([], clock.now.isoformat())
        assert closed["receipt"]["id"] != first.id
    async with opened(file_url, clock, POLICY) as memory:
        await memory.erase_user("bob")
        await memory.keys.close_epoch(backup=tmp_path / "keys.again")
        clock.advance(1000 * DAY)
        *_, last = await memory.requests.list(everything=True)
        _, receipt = await memory.requests.show(last.id)
        assert receipt is not None
        assert receipt["receipt"]["state"] == "SHREDDED"


async def test_a_store_in_numbers(file_url: str, clock: FakeClock) -> None:
    """People, sessions, holds, requests that are open, the next to be due and those overdue, the last worker."""
    async with opened(file_url, clock, POLICY) as memory:
        empty = await memory.status()
        assert (empty.people, empty.sessions, empty.requests, empty.next_due, empty.last_pass) == (0, 0, 0, None, None)
        for user in ("alice", "bob"):
            await add(memory.session("s", user_id=user), "x")
        await memory.holds.place("bob", reason_code="CASE-1")
        late = await memory.requests.receive("access", "alice", regime="lgpd")
        await memory.requests.receive("access", "alice", regime="ccpa")
        clock.advance(20 * DAY)
        found = await memory.status()
        assert (found.people, found.sessions, found.epoch, found.holds) == (2, 2, 1, 1)
        assert (found.requests, found.overdue, found.next_due, found.interrupted) == (2, 1, late.due_at, 0)
        await memory.sweep()
        assert (await memory.status()).last_pass == clock.now


@pytest.mark.parametrize("rules", ["", SCRATCH], ids=["no rule of time", "another rule"])
async def test_what_no_worker_looks_at_is_said(file_url: str, clock: FakeClock, rules: str) -> None:
    """A message with an end of its own is past its time under any policy; what was destroyed keeps nobody waiting."""
    async with opened(file_url, clock, policy(rules=rules)) as memory:

        async def said() -> list[str]:
            return [each for each in await memory.caveats() if "no worker looks" in each]

        await add(memory.session("s", user_id="alice"), "x", ttl=60)
        await add(memory.session("gone", user_id="bob"), "x")
        await memory.session("gone", user_id="bob").clear()
        assert await said() == []
        clock.advance(DAY)
        [never] = await said()
        assert "none was ever here" in never
        await memory.session("s", user_id="alice").clear()
        clock.advance(DAY)
        assert await said() == [], "closed heads alone lie there"
        await add(memory.session("t", user_id="alice"), "x", ttl=2 * DAY)
        await memory.sweep()
        clock.advance(2 * DAY)
        [since] = await said()
        assert "the last was here on" in since
        await memory.sweep()
        assert await said() == []


async def test_what_was_destroyed_hides_nothing_that_waits(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many heads of cleared sessions and of another tenant are overdue, it is said if anything else is."""
    monkeypatch.setattr(keeper, "_LOOKED_AT", 2)
    async with opened(file_url, clock, "plain", tenant="another") as other:
        for number in range(3):
            await add(other.session(f"{number}", user_id="bob"), "x", ttl=60)
    async with opened(file_url, clock, "plain") as memory:
        for number in range(5):
            await add(memory.session(f"{number}", user_id="alice"), "x")
            await memory.session(f"{number}", user_id="alice").clear()
        clock.advance(DAY)
        assert not any("no worker looks" in each for each in await memory.caveats())
        await add(memory.session("s", user_id="alice"), "x", ttl=60)
        clock.advance(60)
        assert any("no worker looks" in each for each in await memory.caveats())


async def test_a_worker_leaves_a_request_to_whoever_is_at_it(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who carry out one request would each count what they did alone; one that was left is gone on with."""
    async with opened(file_url, clock, POLICY) as memory, opened(file_url, clock, POLICY) as worker:
        await add(memory.session("s", user_id="alice"), "x")
        request = await memory.requests.receive("erasure", "alice")
        carry_out = Destruction.carry_out

        async def beside(self: Destruction, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Destruction, "carry_out", carry_out)
            await worker.retention.work()
            assert (await memory.requests.show(request.id))[0].state == "executing"
            return await carry_out(self, *arguments, **options)

        async def dies(*_: Any, **__: Any) -> Any:
            raise RuntimeError("killed")

        monkeypatch.setattr(Destruction, "carry_out", beside)
        assert (await memory.requests.verify(request.id)).state == "complete"
        found = await kinds(memory)
        assert (found[EventKind.ERASE], found[EventKind.COMPLETE]) == (1, 1)

        await add(memory.session("s", user_id="bob"), "x")
        other = await memory.requests.receive("erasure", "bob")
        monkeypatch.setattr(Destruction, "carry_out", dies)
        with pytest.raises(RuntimeError):
            await memory.requests.verify(other.id)
        monkeypatch.setattr(Destruction, "carry_out", carry_out)
        clock.advance(GRACE_SECONDS)
        await worker.retention.work()
        assert (await memory.requests.show(other.id))[0].state == "complete"
