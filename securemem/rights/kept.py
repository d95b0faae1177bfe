"""What keeps a person's data from being destroyed now: legal holds. What a law demands is preserved instead.

Holds are read from the ledger, not from heads, which are marked a moment later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from securemem.errors import LegalHoldError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.holds import Hold, Holds
from securemem.ledger.store import Ledger
from securemem.model import to_milliseconds
from securemem.ports import Clock


class Held(NamedTuple):
    """What of a person a hold is on.

    Attributes:
        whole: all of theirs.
        sessions: of their own, and of others in which they said something.
    """

    whole: bool
    sessions: frozenset[bytes]

    def __bool__(self) -> bool:
        return self.whole or bool(self.sessions)


class Kept:
    """Knows what holds are on, in one tenant."""

    def __init__(self, keyring: Keyring, *, ledger: Ledger, clock: Clock, policy: bytes) -> None:
        """Take the stores, and the SHA-256 of the policy in force."""
        self._keyring = keyring
        self._clock = clock
        self._policy = policy
        self._holds = Holds(ledger, keyring.tenant)
        self._audit = Audit(ledger)

    async def of_person(self, person: bytes, holds: list[Hold] | None = None) -> Held:
        """Give what holds are on of what a person has said, anywhere.

        Args:
            person: their handle.
            holds: those that stand, for whoever knows them; else they are asked for.
        """
        holds = holds if holds is not None else await self._holds.active()
        if not holds:
            return Held(whole=False, sessions=frozenset())
        on = {hold.session or hold.person for hold in holds}
        own, visited = await handles.of_person(self._keyring, person)
        found = on.intersection(own) | set(await self._held_visits(visited, on))
        return Held(person in on, frozenset(found))

    async def _held_visits(self, visited: Iterable[bytes], on: set[bytes]) -> list[bytes]:
        owners = [(session, await self._keyring.keystore.owner_of(session)) for session in visited]
        return [session for session, owner in owners if owner is not None and {session, owner.user} & on]

    async def is_held(self, person: bytes, session: bytes) -> bool:
        """Tell whether a legal hold is on a session, or on all of its person."""
        return bool({person, session} & {hold.session or hold.person for hold in await self._holds.active()})

    async def check(self, person: bytes, session: bytes) -> None:
        """Let a person's session be cleared; or refuse.

        Raises:
            LegalHoldError: a hold is on it, or on what a guest said in it.
        """
        holds = await self._holds.active()
        if not holds:
            return
        guests = await self._keyring.keystore.guests(session)
        if {person, session, *(guest.user.handle for guest in guests)} & {
            each.session or each.person for each in holds
        }:
            await self.refuse(person, session)
            raise LegalHoldError(
                f"session {session.hex()}: a legal hold is on it: release that first; nothing was destroyed"
            )

    async def refuse(self, person: bytes, session: bytes | None = None) -> None:
        """Write down that something was not destroyed."""
        at = to_milliseconds(self._clock())
        await self._audit.write(Event(EventKind.REFUSE, self._keyring.tenant, person, None, self._policy, at, session))
