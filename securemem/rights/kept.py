"""Finds out whether something of a person, or in a session, must not be erased: it is held, or a law keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from securemem.crypto.head import Walk
from securemem.errors import IntegrityError, LegalHoldError
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.holds import Holds
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import to_milliseconds
from securemem.policy.decide import Action, Asked
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

    async def check(self, person: bytes, sessions: Sequence[bytes]) -> None:
        """Let a person's sessions be destroyed, or refuse.

        Args:
            person: their handle.
            sessions: of theirs, by their handles.

        Raises:
            LegalHoldError: a hold is on one of them, or on the person; or a law demands that something in one is kept.
        """
        marked = [session for session in sessions if await self._is_marked(session)]
        if not marked:
            return
        if any([await self.is_held(person, session) for session in sessions]):
            why = "a legal hold is on it: release that first"
        elif any([await self._is_kept(session, person) for session in marked]):
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

    async def _is_kept(self, session: bytes, owner: bytes) -> bool:
        """Tell whether a record in a session would outlive its person's erasure."""
        seal = self._keyring.head_seal(session)
        raw, rows = await self._backend.tail(session, _ALL_ROWS)
        try:
            records = Walk(seal, seal.decode(raw), session=session, owner=owner).page(rows) if raw else []
        except IntegrityError:
            return False
        await self._lives.know({sealed.retention_class for sealed in records})
        now = to_milliseconds(self._clock())
        return any(
            self._lives.decide(
                (sealed.retention_class, sealed.hour, sealed.expiry), held=False, asked=_ERASED, now=now
            ).action
            == Action.RESTRICT
            for sealed in records
        )
