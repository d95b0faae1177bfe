"""Finds out whether something of a person, or in a session, must not be erased: it is held, or a law keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from securemem.crypto.envelope import Sealed
from securemem.crypto.head import Walk
from securemem.errors import IntegrityError, LegalHoldError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Owner
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
        held = frozenset(hold.session or hold.person for hold in await self._holds.active())
        rules: list[str | None] = [HOLD] if person in held else []
        # Heads are not asked: their marks are those of the policy under which they were written.
        if held or any(rule.basis is not None for rule in self._lives.rules.rules):
            rules += [await self._kept_by(session, held) for session in sessions]
            rules += [await self._kept_by(session, held, guest=person) for session in visited]
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

    async def _kept_by(self, session: bytes, held: frozenset[bytes], *, guest: bytes | None = None) -> str | None:
        """Give by what a record in a session would outlive an erasure; None if none would.

        Args:
            session: its handle.
            held: people and sessions that a hold is on.
            guest: whose records would go; all of the session if not given.
        """
        owner = await self._keyring.keystore.owner_of(session)
        if owner is None:
            return None
        if {session, owner.user} & held:
            return HOLD
        now = to_milliseconds(self._clock())
        records = await self._records(session, owner)
        await self._lives.know({sealed.retention_class for sealed in records})
        for sealed in records:
            if guest is not None and sealed.subject != guest:
                continue
            place = (sealed.retention_class, sealed.hour, sealed.expiry)
            decision = self._lives.decide(place, held=sealed.subject in held, asked=_ERASED, now=now)
            if decision.action == Action.RESTRICT:
                return decision.rule
        return None

    async def _records(self, session: bytes, owner: Owner) -> list[Sealed]:
        """Give what lies in a session, verified; nothing of one that is closed already.

        What was tampered with keeps nobody from being forgotten.
        """
        raw, rows = await self._backend.tail(session, _ALL_ROWS)
        seal = self._keyring.head_seal(session)
        try:
            head = seal.decode(raw) if raw else None
            if head is None or head.closed:
                return []
            return Walk(seal, head, session=session, owner=owner.user).page(rows)
        except IntegrityError:
            return []
