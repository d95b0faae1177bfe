"""One sweep: takes out what is past its time, and what destroyed sessions left behind.

It holds no user's key. It reads the clear columns, checks them by their row tags before it deletes by them, and moves
the head by compare-and-swap, so that an append, a hold or another sweep that comes between makes it look again. A run
of expired records at the front moves `first`; one in the middle leaves a stub. A session in which nothing is left to
read is destroyed with its key.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from securemem.crypto.head import HeadSeal, Walk
from securemem.destruction import Destruction, Outcome
from securemem.errors import IntegrityError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Floor, Owner
from securemem.model import NEVER, Change, Head, to_milliseconds
from securemem.ports import Backend, Clock

_BATCH = 100
_ALL_ROWS = 0xFFFFFFFF


@dataclass(slots=True)
class SweepReport:
    """What a sweep did.

    Attributes:
        records: how many expired records were taken out.
        sessions: how many sessions were destroyed because nothing readable was left.
        closed_heads: how many heads of sessions destroyed earlier were removed.
        without_key: sessions whose key is not in the keystore: left alone, for the operator to look at.
    """

    records: int = 0
    sessions: int = 0
    closed_heads: int = 0
    without_key: int = 0


class Sweep:
    """Sweeps one tenant's sessions."""

    def __init__(self, backend: Backend, keyring: Keyring, destruction: Destruction, clock: Clock) -> None:
        """Take the rooms that it needs."""
        self._backend = backend
        self._keyring = keyring
        self._destruction = destruction
        self._clock = clock

    async def run(self, *, purge_seconds: float) -> SweepReport:
        """Take out all that is due now, and what the deletions left on disk.

        Raises:
            IntegrityError: a record or head is not as it was written; nothing of its session was deleted, and all the
                others were swept.
        """
        report = SweepReport()
        now = to_milliseconds(self._clock())
        looked_at: set[bytes] = set()
        damaged: list[IntegrityError] = []
        while True:
            due = await self._backend.due(now, len(looked_at) + _BATCH)
            fresh = [session for session in due if session not in looked_at]
            if not fresh:
                break
            for session in fresh:
                try:
                    await self._session(session, now, report)
                except IntegrityError as exc:
                    damaged.append(exc)
            looked_at.update(fresh)
        if report.records or report.sessions or report.closed_heads:
            await self._destruction.purge(Outcome(), purge_seconds)
        if damaged:
            raise damaged[0]
        return report

    async def _session(self, session: bytes, now: int, report: SweepReport) -> None:
        owner = await self._keyring.keystore.owner_of(session)
        seal = self._keyring.head_seal(session)
        if owner is None:
            await self._without_key(session, seal, report)
            return
        while owner.tenant == self._keyring.tenant:
            raw, rows = await self._backend.tail(session, _ALL_ROWS)
            head = owner.accepts(seal.decode(raw), session) if raw else None
            if head is None or head.keep:
                return
            if head.closed:  # and its time is past: whoever closed it was interrupted
                await self._destroy(session, owner, report)
                return
            change, count, ends = self._change(seal, head, raw, rows, session=session, owner=owner.user, now=now)
            if change is None:
                if await self._destruction.close_as_read(session, raw):
                    await self._destroy(session, owner, report)
                    return
            elif await self._backend.swap(change) is None:
                await self._keyring.keystore.raise_floors([Floor(session, head.version + 1, ends)])
                report.records += count
                return

    async def _destroy(self, session: bytes, owner: Owner, report: SweepReport) -> None:
        """Destroy a session that was closed because nothing is left in it to read.

        It is closed before this is decided, unlike a clear: an append that came between would be lost by a decision
        that stood already.
        """
        done = await self._destruction.expire(session, owner.generation)
        report.sessions += 1
        report.records += done.records

    async def _without_key(self, session: bytes, seal: HeadSeal, report: SweepReport) -> None:
        """Remove the closed head of a session of this tenant that was destroyed; leave all else alone."""
        raw, _ = await self._backend.tail(session, 0)
        try:
            closed = bool(raw) and seal.decode(raw).closed
        except IntegrityError:
            return  # another tenant's, whose own sweep knows it
        if closed:
            report.closed_heads += 1
            await self._backend.delete([session], heads=True)
        elif raw:
            report.without_key += 1

    def _change(
        self,
        seal: HeadSeal,
        head: Head,
        raw: bytes,
        rows: list[tuple[int, bytes]],
        *,
        session: bytes,
        owner: bytes,
        now: int,
    ) -> tuple[Change | None, int, int]:
        """Work out what goes, None where nothing would be left; how many records, and when the last other one ends."""
        walk = Walk(seal, head, session=session, owner=owner)
        records = walk.page(rows)
        walk.finish()
        stubs = dict(seal.stub_for(sealed) for sealed in records if NEVER < sealed.expiry <= now)
        left = [sealed for sealed in records if sealed.seq not in stubs]
        if not left:
            return None, len(stubs), NEVER
        first = min(sealed.seq for sealed in left)
        ends = [sealed.expiry for sealed in left if sealed.expiry != NEVER]
        due, latest = min(ends, default=NEVER), max(ends) if len(ends) == len(left) else NEVER
        new = msgspec.structs.replace(
            head,
            version=head.version + 1,
            first=first,
            holes=head.next - first - len(left),
            due=due,
            latest_expiry=latest,
            edits={seq: tag for seq, tag in head.edits.items() if seq >= first and seq not in stubs},
            pins=tuple(pin for pin in head.pins if pin >= first and pin not in stubs),
        )
        kept_stubs = sorted((seq, stub) for seq, stub in stubs.items() if seq > first)
        change = Change(
            session, raw, seal.encode(new), rows=kept_stubs, trim=(head.first, first), due=due, until=latest
        )
        return change, len(stubs), latest
