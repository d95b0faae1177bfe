"""The one order of steps in which anything is destroyed: clear, expiry of a session, erasure of a person.

    ledger's tombstone → heads closed (compare-and-swap, committed) → keys shredded → rows deleted, in a later statement
    → purge

An append in flight fails its compare-and-swap on the closed head; a first append fails on the user's row, and a session
that has a key and no head yet is given a closed one. Each step can be repeated: an act that was interrupted is carried
out again when the store is opened next, and so is every act that a restored store has missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from securemem.crypto.head import HeadSeal, Walk
from securemem.errors import BackendUnavailableError, IntegrityError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import UserRow
from securemem.keys.unwrapped import GENERATION
from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.ledger.leases import Fence
from securemem.ledger.store import Ledger
from securemem.model import Change, Head, HeadFlag, Residue, Stamp, to_milliseconds
from securemem.ports import Backend, Clock
from securemem.together import few_at_once

CLOSED_HEAD_SECONDS = 600
"""How long a closed head stays, to turn away whoever still has its keys in memory (300 seconds at most)."""

_ALL_ROWS = 0xFFFFFFFF
_LAST_VERSION = 2**62


@dataclass(slots=True)
class Outcome:
    """What a destruction did.

    Attributes:
        counter: the act's number in the ledger; 0 where nothing was held.
        user: the person's handle, for an erasure.
        sessions: how many sessions were destroyed.
        records: how many records were deleted from the data store, those that left a stub included.
        residue: what is left of them, by the stores' own word.
        purged: the stores that have removed what the deletions left on disk.
    """

    counter: int = 0
    user: bytes | None = None
    sessions: int = 0
    records: int = 0
    residue: list[Residue] = field(default_factory=list)
    purged: set[str] = field(default_factory=set)


class Destruction:
    """Destroys sessions and people over the three stores of one deployment."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock, deployment: bytes) -> None:
        """Take the stores; each was opened by the caller."""
        self._backend = backend
        self._keyring = keyring
        self._keystore = keyring.keystore
        self._ledger = ledger
        self._clock = clock
        self._deployment = deployment

    async def decide_session(self, session: bytes, generation: int, kind: ActKind) -> Act:
        """Decide to destroy one session."""
        return await self._ledger.begin(
            kind,
            tenant=self._keyring.tenant,
            user=None,
            generation=0,
            sessions=[Tombstone(session, generation)],
            at=self._now(),
        )

    def closing(self, session: bytes, raw: bytes) -> Change:
        """Give the change that closes a session if its head is still the one that was judged."""
        seal = self._keyring.head_seal(session)
        return _closing(session, raw, seal, self._closed(seal.decode(raw)))

    async def expire(self, sessions: Sequence[tuple[bytes, int]], *, fence: Fence | None = None) -> Outcome:
        """Decide to destroy sessions whose heads were closed because their time is over, and do it.

        Args:
            sessions: handles and generations.
            fence: fails within the transaction that decides, where the caller may not any more.

        Raises:
            ConflictError: as `fence`; nothing was decided.
        """
        act = await self._ledger.begin(
            ActKind.EXPIRE,
            tenant=self._keyring.tenant,
            user=None,
            generation=0,
            sessions=[Tombstone(*session) for session in sessions],
            at=self._now(),
            fence=fence,
        )
        done = await self.carry_out(act, purge_seconds=None)
        await self._ledger.finish(act.counter, at=self._now())
        return done

    async def retire(self, session: bytes, generation: int) -> None:
        """Destroy a session that its store has dropped at its end, unless somebody has begun to write there again."""
        seal = self._keyring.head_seal(session)
        closed = self._closed(Head(version=_LAST_VERSION, generation=generation))
        if await self._backend.swap(_closing(session, b"", seal, closed)) is None:
            await self.expire([(session, generation)])

    async def decide(self, row: UserRow) -> Act:
        """Decide to destroy everything of one person: their key, sessions, and messages in other people's sessions."""
        own, visited = await self._keystore.sessions_of(row.number)
        return await self._ledger.begin(
            ActKind.ERASE,
            tenant=self._keyring.tenant,
            user=row.handle,
            generation=row.generation,
            sessions=_tombstones(own, visited),
            at=self._now(),
        )

    async def carry_out(self, act: Act, *, purge_seconds: float | None) -> Outcome:
        """Do what an act says, from wherever it was left; marking it as through is the caller's.

        Args:
            act: as the ledger has it.
            purge_seconds: how long to wait for other processes while what is left on disk is removed; None leaves it
                to the caller (`purge`), who has more to destroy.
        """
        outcome = Outcome(act.counter, act.user)
        sessions = {tombstone.session for tombstone in act.tombstones if not tombstone.guest}
        visited = {tombstone.session for tombstone in act.tombstones if tombstone.guest} - sessions
        await few_at_once(sorted(sessions), self._close)
        if act.user is None:
            await few_at_once(sorted(sessions), self._keystore.shred_session)
        else:
            for session in visited:
                await self._stub_out(session, act.user, outcome)
            await self._shred_person(act, act.user, sessions, visited, outcome)
            for session in visited:
                # Whoever wrote as this person between the first pass and the shredding is met by the second.
                await self._stub_out(session, act.user, outcome)
            self._keyring.forget_handle(act.user)
        outcome.sessions = len(sessions)
        outcome.records += await self._backend.delete(sorted(sessions), heads=False)
        # A stamp says that all up to it is done: it never passes an act that another has under way.
        stamp = Stamp(self._deployment, await self._ledger.settled(act.counter))
        await self._keystore.stamp(stamp)
        await self._backend.stamp(stamp)
        if purge_seconds is not None:
            await self.purge(outcome, purge_seconds)
        return outcome

    async def _shred_person(
        self, act: Act, user: bytes, sessions: set[bytes], visited: set[bytes], outcome: Outcome
    ) -> None:
        """Delete a person's keys, once no session of theirs, or that they spoke in, is open for them any more."""
        while (number := await self._keystore.user_number(user)) is not None:
            own, guest_in = await self._keystore.sessions_of(number)
            late = [session for session in own if session not in sessions]
            late_visits = [session for session in guest_in if session not in sessions | visited]
            await self._ledger.add_tombstones(act.counter, _tombstones(late, late_visits))
            for session in late:
                await self._close(session)
            for session in late_visits:
                await self._stub_out(session, user, outcome)
            sessions.update(late)
            visited.update(late_visits)
            if await self._keystore.shred_user(number, known=sessions | visited):
                return

    async def _close(self, session: bytes) -> None:
        """Close a session's head, so that nothing is appended any more, whatever is cached anywhere."""
        seal = self._keyring.head_seal(session)
        while True:
            raw, _ = await self._backend.tail(session, 0)
            head = self._for_closing(seal, raw)
            if head.closed:
                return
            closed = self._closed(head)
            if await self._backend.swap(_closing(session, raw, seal, closed)) is None:
                return

    def _closed(self, head: Head) -> Head:
        return Head(
            version=head.version + 1,
            generation=head.generation,
            epoch=head.epoch + 1,
            flags=head.flags | HeadFlag.CLOSED,
            first=head.next,
            next=head.next,
            last_tag=head.last_tag,
            due=self._now() + CLOSED_HEAD_SECONDS * 1000,
        )

    def _for_closing(self, seal: HeadSeal, raw: bytes) -> Head:
        """Give the head to close; one that was tampered with keeps nobody from being forgotten."""
        if not raw:
            return Head(version=0, generation=GENERATION)
        try:
            return seal.decode(raw)
        except IntegrityError:
            return Head(version=_LAST_VERSION, generation=GENERATION)

    async def _stub_out(self, session: bytes, guest: bytes, outcome: Outcome) -> None:
        """Put stubs in place of a guest's records in somebody else's session.

        A session that has no head yet is given one, so that a first append in flight fails. One that was tampered with
        keeps nobody from being forgotten: what is left in it opens under no key, and the receipt says so.
        """
        owner = await self._keystore.owner_of(session)
        if owner is None:
            return
        seal = self._keyring.head_seal(session)
        while True:
            raw, rows = await self._backend.tail(session, _ALL_ROWS)
            try:
                head = owner.accepts(seal.decode(raw) if raw else Head(version=0, generation=owner.generation), session)
                if head.closed:
                    return
                walk = Walk(seal, head, session=session, owner=owner.user)
                stubs = [seal.stub_for(sealed) for sealed in walk.page(rows) if sealed.subject == guest]
                walk.finish()
            except IntegrityError:
                outcome.residue.append(Residue("data", "sealed messages in another person's session that is damaged"))
                return
            changed = _without(head, stubs)
            if await self._backend.swap(Change(session, raw, seal.encode(changed), rows=stubs)) is None:
                outcome.records += len(stubs)
                return

    async def purge(self, outcome: Outcome, seconds: float) -> None:
        """Remove what deletions left on disk, and note what is still left."""
        for name, store in (("data", self._backend), ("keystore", self._keystore)):
            try:
                left = await store.purge(seconds)
            except BackendUnavailableError:
                left = [Residue(name, "deleted rows on the server's disk: it did not answer while they were removed")]
            outcome.residue += left
            if not left:
                outcome.purged.add(name)

    async def catch_up(self, acts: Iterable[Act], *, purge_seconds: float) -> int:
        """Carry out acts that were interrupted, or that a restored store has missed; gives how many."""
        count = 0
        for act in acts:
            await self.carry_out(act, purge_seconds=purge_seconds)
            await self._ledger.finish(act.counter, at=self._now())
            count += 1
        return count

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _closing(session: bytes, raw: bytes, seal: HeadSeal, closed: Head) -> Change:
    return Change(session, raw, seal.encode(closed), due=closed.due, until=closed.due)


def _tombstones(own: Iterable[bytes], visited: Iterable[bytes]) -> list[Tombstone]:
    sessions = [Tombstone(session, GENERATION) for session in own]
    return sessions + [Tombstone(session, GENERATION, guest=True) for session in visited]


def _without(head: Head, stubs: list[tuple[int, bytes]]) -> Head:
    """Give the head of a session in which stubs were put in place of records."""
    gone = {seq for seq, _ in stubs}
    return msgspec.structs.replace(
        head,
        version=head.version + 1,
        epoch=head.epoch + 1,
        holes=head.holes + len(stubs),
        edits={seq: tag for seq, tag in head.edits.items() if seq not in gone},
        pins=tuple(pin for pin in head.pins if pin not in gone),
    )
