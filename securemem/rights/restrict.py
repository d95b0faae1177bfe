"""Restriction of processing (GDPR Art. 18): what is held of a person is kept and grows, and nobody reads it.

    ledger's restriction, and its event → heads marked (compare-and-swap, committed) → stamps; only then it is reported

It lengthens no life: what is past its time goes as before. Sessions that are begun later are marked by whoever begins
them, as soon as their first head is there; by a worker where that one was killed in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from securemem.errors import InvalidInputError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Event, EventKind
from securemem.ledger.holds import Holds, Kind
from securemem.ledger.store import Ledger
from securemem.marks import Marks, changed
from securemem.model import Head, HeadFlag, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Backend, Clock
from securemem.retention.judge import restricted_head

_RESTRICTED = int(HeadFlag.RESTRICTED)
_ARTICLE = "gdpr-18"


class Restricting:
    """Restricts the processing of people's data in one tenant, and lifts that."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock, *, policy: Policy) -> None:
        """Take the stores, and the policy in force."""
        self._marks = Marks(backend, keyring)
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._policy = policy.digest
        self._holds = Holds(ledger, keyring.tenant)

    async def restrict(self, user_id: str, *, actor: str | None) -> None:
        """Restrict a person; where they are already, what was interrupted is gone on with.

        Raises:
            InvalidInputError: nothing is held of this person.
        """
        await self.restrict_person(await self._person(user_id), actor=actor)

    async def restrict_person(self, person: bytes, *, actor: str | None) -> None:
        """Restrict a person by their handle, likewise."""
        act: int | None = None
        if not await self._standing(person):
            event = self._event(EventKind.RESTRICTION, person, actor)
            _, act = await self._holds.place(
                person, None, reason=_ARTICLE, at=event.at, kind=Kind.RESTRICTION, event=event
            )

        async def marked(head: Head, _: bytes) -> Head | None:
            return None if head.restricted else restricted_head(head, self._now())

        async def mark() -> None:
            own, _ = await handles.of_person(self._keyring, person)
            for session in own:
                await self._marks.move(session, marked, until=None)

        await self._carry_out(mark, [act] if act is not None else [])

    async def lift(self, user_id: str, *, actor: str | None) -> None:
        """Lift a person's restriction; what a hold is on, or what outlives an erasure, stays out of sight.

        Raises:
            InvalidInputError: nothing is held of this person.
        """
        person = await self._person(user_id)
        acts = []
        for each in await self._standing(person):
            event = self._event(EventKind.LIFT, person, actor)
            acts.append(await self._holds.release(each, at=event.at, kind=Kind.RESTRICTION, event=event))

        async def freed(head: Head, _: bytes) -> Head | None:
            if head.held or not head.restricted:
                return None
            return changed(head, head.flags & ~_RESTRICTED, self._now())

        async def unmark() -> None:
            preserved = {each.session for each in await self._holds.active(Kind.PRESERVED)}
            own, _ = await handles.of_person(self._keyring, person)
            for session in own:
                if session not in preserved:
                    await self._marks.move(session, freed, until=None)

        await self._carry_out(unmark, acts)

    async def _carry_out(self, mark: Callable[[], Awaitable[None]], acts: Sequence[int]) -> None:
        """Mark the heads, and say that acts are through that do no more than that."""
        if not acts:
            await mark()
        for act in acts:
            await self._marks.carry_out(mark, self._ledger, act, self._now())

    async def _person(self, user_id: str) -> bytes:
        row = await self._keyring.find_user(user_id)
        if row is None:
            raise InvalidInputError("nothing is held of this person")
        return row.handle

    async def _standing(self, person: bytes) -> list[bytes]:
        return [each.id for each in await self._holds.active(Kind.RESTRICTION) if each.person == person]

    def _event(self, kind: EventKind, person: bytes, actor: str | None) -> Event:
        who = self._keyring.actor_hash(actor)
        return Event(kind, self._keyring.tenant, person, who, self._policy, self._now())

    def _now(self) -> int:
        return to_milliseconds(self._clock())
