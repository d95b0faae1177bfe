"""Finds out whether something of a person, or in a session, must not be erased: it is held, or a law keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from securemem.crypto.envelope import Sealed
from securemem.crypto.head import Walk
from securemem.errors import IntegrityError, LegalHoldError
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.holds import Holds
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import to_milliseconds
from securemem.policy.decide import HOLD, Action, Asked
from securemem.ports import Backend, Clock

_ALL_ROWS = 0xFFFFFFFF
_ERASED = Asked(erasure=True)


class Kept:
    """Refuses what would delete what has to be kept."""

    def __init__(
        self, backend: Backend, keyring: Keyring, *, ledger: Ledger, lives: Lives, clock: Clock, policy: bytes
    ) -> None:
        """Take the stores, how long records live, and the SHA-256 of the policy in force."""
        self._backend = backend
        self._keyring = keyring
        self._lives = lives
        self._clock = clock
        self._policy = policy
        self._holds = Holds(ledger, keyring.tenant)
        self._audit = Audit(ledger)

    async def check(self, person: bytes, sessions: Sequence[bytes], *, visited: Sequence[bytes] = ()) -> None:
        """Let a person's sessions be destroyed, and what they said in other people's; or refuse.

        Args:
            person: their handle.
            sessions: of theirs, by their handles.
            visited: those in which they are a guest.

        Raises:
            LegalHoldError: a hold is on something of it; or a law demands that something is kept.
        """
        marked = [session for session in sessions if await self._is_marked(session)]
        guest_in = [session for session in visited if await self._is_marked(session)]
        if not marked and not guest_in:
            return
        held = frozenset(hold.session or hold.person for hold in await self._holds.active())
        rules = [await self._kept_by(session, held, owner=person) for session in marked]
        rules += [await self._kept_by(session, held, guest=person) for session in guest_in]
        if HOLD in rules:
            why = "a legal hold is on it: release that first"
        elif any(rules):
            why = "a law demands that something is kept for longer, as the policy says"
        else:
            return
        at = to_milliseconds(self._clock())
        await self._audit.write(Event(EventKind.REFUSE, self._keyring.tenant, person, None, self._policy, at))
        raise LegalHoldError(f"data of person {person.hex()}: {why}; nothing was erased")

    async def is_held(self, person: bytes, session: bytes) -> bool:
        """Tell whether a legal hold is on a session, or on all of its person."""
        holds = await self._holds.active()
        return any(hold.session == session or (hold.session is None and hold.person == person) for hold in holds)

    async def _is_marked(self, session: bytes) -> bool:
        raw, _ = await self._backend.tail(session, 0)
        try:
            head = self._keyring.head_seal(session).decode(raw) if raw else None
        except IntegrityError:
            return False  # what was tampered with keeps nobody from being forgotten
        return head is not None and head.keep and not head.closed

    async def _kept_by(
        self, session: bytes, held: frozenset[bytes], *, owner: bytes | None = None, guest: bytes | None = None
    ) -> str | None:
        """Give by what a record in a session would outlive an erasure; None if none would.

        Args:
            session: its handle.
            held: people and sessions that a hold is on.
            owner: whose session it is, where all of it would go.
            guest: whose records would go, where it is somebody else's.
        """
        if session in held or (owner is not None and owner in held):
            return HOLD
        now = to_milliseconds(self._clock())
        records = await self._records(session)
        await self._lives.know({sealed.retention_class for sealed in records})
        for sealed in records:
            if guest is not None and sealed.subject != guest:
                continue
            place = (sealed.retention_class, sealed.hour, sealed.expiry)
            decision = self._lives.decide(place, held=sealed.subject in held, asked=_ERASED, now=now)
            if decision.action == Action.RESTRICT:
                return decision.rule
        return None

    async def _records(self, session: bytes) -> list[Sealed]:
        """Give what lies in a session, verified; nothing of one that was tampered with."""
        owner = await self._keyring.keystore.owner_of(session)
        raw, rows = await self._backend.tail(session, _ALL_ROWS)
        seal = self._keyring.head_seal(session)
        try:
            if owner is None or not raw:
                return []
            return Walk(seal, seal.decode(raw), session=session, owner=owner.user).page(rows)
        except IntegrityError:
            return []
