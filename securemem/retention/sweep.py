"""One sweep: takes out what is past its time, and what destroyed sessions left behind.

It holds no user's key. It reads the clear columns, checks them by their row tags before it deletes by them, and moves
the head by compare-and-swap, so that an append, a hold or another sweep that comes between makes it look again. A run
of expired records at the front moves `first`; one in the middle leaves a stub. A session in which nothing is left to
read is destroyed with its key.

Any number of sweeps can go on at once, on any number of machines: each works on sessions that it has the lease of, a
few at a time. Whatever is decided is in the audit before it is done; whoever is killed leaves leases that run out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from securemem.crypto.envelope import Sealed
from securemem.crypto.head import HeadSeal, Walk
from securemem.destruction import Destruction
from securemem.ending import Outcome
from securemem.errors import ConflictError, IntegrityError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Floor, Owner
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.ledger.holds import Hold, Holds, Kind
from securemem.ledger.leases import Leases
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import to_milliseconds
from securemem.ports import ALL_ROWS, Backend, Clock
from securemem.preserving import ended
from securemem.retention.judge import Court, Docket, Judgement, is_over, judge
from securemem.together import few_at_once, swap_all

LEASE_SECONDS = 60.0

_BATCH = 32
_LISTED = 1024
_PAGE = 500
_RESTS = 4
"""How many times as long as it worked on a page of records a gentle sweep rests, so that it has a fifth of a core."""
_LEASE_SHARE = 4
"""The share of a lease, one in so many, that it rests at most while it has it."""


@dataclass(slots=True)
class SweepReport:
    """What a sweep did.

    Attributes:
        records: how many expired records were taken out.
        sessions: how many sessions were destroyed because nothing readable was left.
        closed_heads: how many heads of sessions destroyed earlier were removed.
        without_key: sessions whose key is not in the keystore: left alone, for the operator to look at.
        restricted: how many records are kept out of sight from now on.
        quarantined: how many records were met whose class or time is not known.
        waiting: how many are over, and wait for somebody's word.
        oldest: since when the oldest of those should be gone, in milliseconds; None where there is none.
        left_to_others: how many sessions were not looked at, for another worker has their leases, or had when it died.
        resumed: how many acts that somebody had left before they were through were carried out.
        closed_epochs: how many KEK epochs were closed, as the policy promises after an erasure.
        refusal: why rules deleted nothing, and what to do; empty where they did.
    """

    records: int = 0
    sessions: int = 0
    closed_heads: int = 0
    without_key: int = 0
    restricted: int = 0
    quarantined: int = 0
    waiting: int = 0
    oldest: int | None = None
    left_to_others: int = 0
    resumed: int = 0
    closed_epochs: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How a sweep is done.

    Attributes:
        may: tells whether something may be deleted by a rule.
        everything: whether sessions are looked at too that were not to be looked at yet, for the policy has changed.
        pace: is awaited between batches, with the number of records that were taken out; whoever wants to slow a sweep
            down or stop it does so there.
        gentle: whether it rests between records that it looks at, for whoever shares the machine.
        lease_seconds: how long others leave alone what a sweep has begun.
    """

    may: Callable[[str], bool] = lambda _: True
    everything: bool = False
    pace: Callable[[int], Awaitable[bool]] | None = None
    gentle: bool = False
    lease_seconds: float = LEASE_SECONDS


class _Case(NamedTuple):
    """A session as it was read."""

    docket: Docket
    owner: Owner
    rows: list[tuple[int, bytes]]


@dataclass(slots=True)
class _Batch:
    """What came of some sessions: those to be destroyed, with their generation, and the errors."""

    ending: list[tuple[bytes, int]] = field(default_factory=list)
    damaged: list[IntegrityError] = field(default_factory=list)


class Sweep:
    """Sweeps one tenant's sessions."""

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        destruction: Destruction,
        *,
        ledger: Ledger,
        lives: Lives,
        clock: Clock,
        policy: bytes,
    ) -> None:
        """Take the rooms that it needs, and the SHA-256 of the policy in force."""
        self._backend = backend
        self._keyring = keyring
        self._destruction = destruction
        self._ledger = ledger
        self._lives = lives
        self._clock = clock
        self._policy = policy
        self._audit = Audit(ledger)
        self._holds = Holds(ledger, keyring.tenant)

    async def run(self, orders: Orders | None = None, *, purge_seconds: float | None) -> SweepReport:
        """Take out all that is due now.

        Args:
            orders: how.
            purge_seconds: how long to work on what the deletions left on disk, and to wait for whoever keeps it in use;
                None to leave it.

        Raises:
            IntegrityError: a record or head is not as it was written; nothing of its session was deleted, and all the
                others were swept.
        """
        orders = orders or Orders()
        report = SweepReport()
        leases = Leases(self._ledger, self._keyring.tenant, seconds=orders.lease_seconds)
        damaged: list[IntegrityError] = []
        others: set[bytes] = set()
        async for sessions in self._sessions(orders, others):
            before = report.records
            taken = await leases.take(sessions)
            others.update(session for session in sessions if session not in taken)
            try:
                batch = await self._batch(list(taken), orders, report)
                damaged += batch.damaged
                await self._end(batch, leases, taken, report)
            finally:
                await leases.give_back(taken)
            if orders.pace is not None and not await orders.pace(report.records - before):
                break
        report.left_to_others = len(others)
        if purge_seconds is not None and (report.records or report.sessions or report.closed_heads):
            await self._destruction.purge(Outcome(), purge_seconds)
        if damaged:
            raise damaged[0]
        return report

    async def _sessions(self, orders: Orders, others: set[bytes]) -> AsyncIterator[list[bytes]]:
        """Give the sessions to look at, a few at a time: those that are due, or all of them first.

        Args:
            orders: how.
            others: those that others were at; they are given once more at the end, and taken out of this.
        """
        looked_at: set[bytes] = set()
        if orders.everything:
            async for sessions in handles.of_tenant(self._keyring, at_once=_BATCH):
                looked_at.update(sessions)
                yield sessions
        now = to_milliseconds(self._clock())
        while True:
            due = await self._backend.due(now, len(looked_at) + _LISTED)
            fresh = [session for session in due if session not in looked_at]
            if not fresh:
                break
            looked_at.update(fresh)
            for start in range(0, len(fresh), _BATCH):
                yield fresh[start : start + _BATCH]
        again = sorted(others)
        others.clear()
        for start in range(0, len(again), _BATCH):
            yield again[start : start + _BATCH]

    async def _batch(self, sessions: list[bytes], orders: Orders, report: SweepReport) -> _Batch:
        """Judge some sessions, write down what was decided, and do it, but for what ends whole sessions."""
        batch = _Batch()
        cases = await few_at_once(sessions, lambda session: self._read(session, report, batch))
        found = [case for case in cases if case is not None]
        while found:
            judged = await self._judge(found, orders, batch)
            await self._write_down(judged)
            again = await self._carry_out(judged, report, batch)
            found = [case for case in await few_at_once(again, lambda each: self._read(each, report, batch)) if case]
        return batch

    async def _read(self, session: bytes, report: SweepReport, batch: _Batch) -> _Case | None:
        """Read a session that this tenant's sweep may touch; None where there is nothing to judge."""
        try:
            owner = await self._keyring.keystore.owner_of(session)
            seal = self._keyring.head_seal(session)
            if owner is None:
                await self._without_key(session, seal, report)
                return None
            if owner.tenant != self._keyring.tenant:
                return None
            raw, rows = await self._backend.tail(session, ALL_ROWS)
            head = owner.accepts(seal.decode(raw), session) if raw else None
        except IntegrityError as exc:
            batch.damaged.append(exc)
            return None
        if head is None:
            return None
        if head.closed:
            if head.due <= to_milliseconds(self._clock()):  # whoever closed it was interrupted
                batch.ending.append((session, owner.generation))
            return None
        return _Case(Docket(session, seal, head, raw), owner, rows)

    async def _judge(self, cases: list[_Case], orders: Orders, batch: _Batch) -> list[tuple[_Case, Judgement]]:
        """Judge sessions by the holds that stand once they were read."""
        standing = await self._holds.active(kind=None)
        held = frozenset(each.session or each.person for each in standing if each.kind == Kind.HOLD)
        restricted = frozenset(each.person for each in standing if each.kind == Kind.RESTRICTION)
        read = await self._verified(cases, orders, batch)
        now = to_milliseconds(self._clock())
        is_testimony = any(is_over(sealed, now) for _, records in read for sealed in records)
        court = Court(
            lives=self._lives,
            held=held,
            witnesses=await self._witnesses(standing) if is_testimony else frozenset(),
            restricted=restricted,
            ended=await ended(self._keyring, standing, {case.docket.session for case in cases}),
            now=now,
            may=orders.may,
        )
        return [(case, judge(court, case.docket, case.owner.user, records)) for case, records in read]

    async def _verified(self, cases: list[_Case], orders: Orders, batch: _Batch) -> list[tuple[_Case, list[Sealed]]]:
        """Give the records of sessions, verified, and know their classes; those that are damaged are left out."""
        found = []
        rests_until = time.monotonic() + orders.lease_seconds / _LEASE_SHARE if orders.gentle else 0.0
        for case in cases:
            docket = case.docket
            try:
                walk = Walk(docket.seal, docket.head, session=docket.session, owner=case.owner.user)
                records = []
                for start in range(0, len(case.rows), _PAGE):
                    began = time.monotonic()
                    records += walk.page(case.rows[start : start + _PAGE])
                    now = time.monotonic()
                    await asyncio.sleep(_RESTS * (now - began) if now < rests_until else 0)
                walk.finish()
            except IntegrityError as exc:
                batch.damaged.append(exc)
                continue
            await self._lives.know({sealed.retention_class for sealed in records})
            found.append((case, records))
        return found

    async def _witnesses(self, standing: list[Hold]) -> frozenset[bytes]:
        """Give who spoke in sessions that a hold is on, who is perhaps not held themselves."""
        people: set[bytes] = set()
        for hold in standing:
            if hold.kind != Kind.HOLD:
                continue
            own, _ = (
                await handles.of_person(self._keyring, hold.person) if hold.session is None else ([hold.session], [])
            )
            for session in own:
                people.update(guest.user.handle for guest in await self._keyring.keystore.guests(session))
            people.add(hold.person)
        return frozenset(people)

    async def _write_down(self, judged: Sequence[tuple[_Case, Judgement]]) -> None:
        events = []
        at = to_milliseconds(self._clock())
        for case, found in judged:
            for kind, counts in ((EventKind.DELETE, found.deleted), (EventKind.RESTRICT, found.restricted)):
                named = (self._keyring.tenant, case.owner.user, None, self._policy, at, case.docket.session)
                events += [Event(kind, *named, rule_name(rule), count) for rule, count in counts.items() if count]
        await self._audit.write(*events)

    async def _carry_out(
        self, judged: Sequence[tuple[_Case, Judgement]], report: SweepReport, batch: _Batch
    ) -> list[bytes]:
        """Do what was decided; gives the sessions in which somebody was quicker, or more is to go."""
        again, floors = [], []
        for (case, found), made in zip(judged, await self._made(judged), strict=True):
            session = case.docket.session
            if not made:
                again.append(session)
                continue
            report.records += found.deleted.total()
            if found.ends:
                batch.ending.append((session, case.owner.generation))
                continue
            if found.head is not None:
                floors.append(Floor(session, found.head.version, found.head.latest_expiry))
            report.restricted += found.restricted.total()
            if found.more:
                again.append(session)
            else:
                report.quarantined += found.quarantined
                report.waiting += len(found.waiting)
                oldest = [report.oldest] if report.oldest is not None else []
                report.oldest = min([*found.waiting, *oldest], default=None)
        if floors:
            await self._keyring.keystore.raise_floors(floors)
        return again

    async def _made(self, judged: Sequence[tuple[_Case, Judgement]]) -> list[bool]:
        """Make the changes that were decided on; tells of each session whether its head was still the one judged."""
        changes = {}
        for place, (case, found) in enumerate(judged):
            if found.ends:
                changes[place] = self._destruction.closing(case.docket.session, case.docket.raw)
            elif found.change is not None:
                changes[place] = found.change
        answers = await swap_all(self._backend, list(changes.values()))
        lost = {place for place, answer in zip(changes, answers, strict=True) if answer is not None}
        return [place not in lost for place in range(len(judged))]

    async def _end(self, batch: _Batch, leases: Leases, taken: dict[bytes, int], report: SweepReport) -> None:
        """Destroy sessions that were closed because nothing is left in them to read.

        They are closed before this is decided, unlike by a clear: an append that came between would be lost by a
        decision that stood already.
        """
        if not batch.ending:
            return
        mine = {session: taken[session] for session, _ in batch.ending}
        try:
            await self._destruction.expire(batch.ending, fence=leases.fence(mine))
        except ConflictError:
            return  # the lease was lost, and whoever has it now finds them closed
        report.sessions += len(batch.ending)

    async def _without_key(self, session: bytes, seal: HeadSeal, report: SweepReport) -> None:
        """Remove the closed head of a session of this tenant that was destroyed; leave all else alone.

        One that was closed since the session was found to be due stays for its time, and turns away who has its keys.
        """
        raw, _ = await self._backend.tail(session, 0)
        try:
            head = seal.decode(raw) if raw else None
        except IntegrityError:
            return  # another tenant's, whose own sweep knows it
        if head is not None and not head.closed:
            report.without_key += 1
        elif head is not None and head.due <= to_milliseconds(self._clock()):
            report.closed_heads += 1
            await self._backend.delete([session], heads=True)
