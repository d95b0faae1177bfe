"""Legal holds: what is held is kept whatever a policy, a clear or an erasure says, and nobody reads it.

    ledger's hold, and its event → heads marked (compare-and-swap, committed) → stamps; only then it is reported

A worker reads the holds after the heads that it judges, and deletes by compare-and-swap on these: a hold that comes
between moves the head, and the deletion fails. Sessions that are begun later are marked by whoever begins them, as
soon as their first head is there; by a worker where that one was killed in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from securemem.errors import ConflictError, InvalidInputError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Event, EventKind
from securemem.ledger.holds import Hold, Holds, Kind
from securemem.ledger.standing import document_in_force
from securemem.ledger.store import Ledger
from securemem.marks import Marks, changed
from securemem.model import NEVER, Head, HeadFlag, from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.policy.rules import brakes_of
from securemem.ports import Backend, Clock
from securemem.retention.judge import held_head

MAX_REASON = 64
HOLD_OVERRIDE = "hold_override"
_KEEP, _RESTRICTED, _HELD = int(HeadFlag.KEEP), int(HeadFlag.RESTRICTED), int(HeadFlag.HELD)


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A hold that stands.

    Attributes:
        id: by which it is released, in hex.
        handle: the person's, in hex.
        session: the session's handle in hex; None where all of the person's is held.
        reason_code: the caller's own.
        placed_at: since when.
        waits: whether its release waits for a second person's word.
    """

    id: str
    handle: str
    session: str | None
    reason_code: str
    placed_at: datetime
    waits: bool = False

    @classmethod
    def of(cls, hold: Hold, *, waits: bool = False) -> LegalHold:
        """Give a hold as callers see it."""
        session = hold.session.hex() if hold.session is not None else None
        return cls(hold.id.hex(), hold.person.hex(), session, hold.reason, from_milliseconds(hold.placed_at), waits)


class Holding:
    """Places and releases the holds of one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock, *, policy: Policy) -> None:
        """Take the stores, and the policy in force."""
        self._marks = Marks(backend, keyring)
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._policy = policy.digest
        self._two_person = policy.safety.two_person
        self._holds = Holds(ledger, keyring.tenant)

    async def place(self, user_id: str, *, session_id: str | None, reason_code: str, actor: str | None) -> LegalHold:
        """Place a hold; it stands when this returns.

        Raises:
            InvalidInputError: nothing is held of this person, or in this session, or the code is none.
        """
        if not 0 < len(reason_code) <= MAX_REASON or not reason_code.isprintable():
            raise InvalidInputError(f"reason_code has to be a text of 1 to {MAX_REASON} characters")
        person = await self._keyring.find_user(user_id)
        if person is None:
            raise InvalidInputError("nothing is held of this person")
        session: bytes | None = None
        if session_id is not None:
            found = await self._keyring.look_up(user_id, session_id)
            if found.session is None:
                raise InvalidInputError("this person has no session of this id")
            session = found.session.handle
        at, who = self._now(), self._keyring.actor_hash(actor)
        event = Event(EventKind.HOLD, self._keyring.tenant, person.handle, who, self._policy, at, session)
        hold, act = await self._holds.place(person.handle, session, reason=reason_code, at=at, event=event)

        async def mark() -> None:
            for handle in await self._sessions(hold):
                await self._mark(handle, hold.person)

        await self._marks.carry_out(mark, self._ledger, act, self._now())
        return LegalHold.of(hold)

    async def release(self, hold_id: str, *, actor: str | None) -> LegalHold | None:
        """Release a hold; what no other holds is read again, and a worker looks at it next.

        Where the policy wants two persons for it, the first one's word is noted, and the hold stands. A release that
        was interrupted is gone on with when it is asked for again.

        Returns:
            The hold; None where it was released before, and all that it was on set free.

        Raises:
            InvalidInputError: there is no hold of this id.
            ConflictError: the policy wants to know who says so.
        """
        try:
            name = bytes.fromhex(hold_id)
        except (TypeError, ValueError):
            raise InvalidInputError("a hold's id is what `place` gave") from None
        act: int | None = None
        hold, asked_by, is_released = await self._holds.find(name)
        who = self._keyring.actor_hash(actor)
        if not is_released:
            if await self._wants_two():
                if who is None:
                    raise ConflictError(
                        "the policy wants two persons' word to release a hold: say whose this is (actor)"
                    )
                if asked_by is None or asked_by == who:
                    await self._holds.ask(name, who, event=self._event(EventKind.PROPOSE, hold, who))
                    return LegalHold.of(hold, waits=True)
            event = self._event(EventKind.RELEASE, hold, who)
            act = await self._holds.release(name, at=event.at, event=event)

        freed: list[bool] = []

        async def unmark() -> None:
            freed.extend([await self._unmark(handle, again=is_released) for handle in await self._sessions(hold)])

        await (unmark() if act is None else self._marks.carry_out(unmark, self._ledger, act, self._now()))
        if is_released and not any(freed):
            return None
        return LegalHold.of(hold)

    async def _wants_two(self) -> bool:
        """Tell whether a release wants two persons: by this process's policy, or by the one in force."""
        if HOLD_OVERRIDE in self._two_person:
            return True
        tenant = self._keyring.tenant
        document = await self._ledger.transact(lambda con, tables: document_in_force(con, tables, tenant))
        return document is not None and HOLD_OVERRIDE in brakes_of(document).two_person

    async def standing(self) -> list[LegalHold]:
        """Give the holds that stand, the oldest first."""
        return [LegalHold.of(hold) for hold in await self._holds.active()]

    async def _sessions(self, hold: Hold) -> list[bytes]:
        if hold.session is not None:
            return [hold.session]
        own, visited = await handles.of_person(self._keyring, hold.person)
        return [*own, *visited]

    async def _mark(self, session: bytes, person: bytes) -> None:
        """Mark a session as held; in somebody else's nothing is hidden, but nothing is trimmed either.

        It is moved even where it is marked, by a hold that was released or for what is kept there already: whoever
        judged it before the hold was there must not come through with that.
        """

        async def marked(head: Head, owner: bytes) -> Head | None:
            if owner != person:
                return changed(head, head.flags | _KEEP, head.due)
            return held_head(head)

        await self._marks.move(session, marked, until=NEVER)

    async def _unmark(self, session: bytes, *, again: bool) -> bool:
        """Let a session go that no hold is on any more; tells whether it was let go.

        It stays kept until a worker has looked: something else may have to be kept in it.

        Args:
            session: its handle.
            again: whether to leave it where it was let go before.
        """

        async def freed(head: Head, owner: bytes) -> Head | None:
            standing = await self._holds.active(kind=None)
            on_it = [
                each.kind for each in standing if session == each.session or (not each.session and each.person == owner)
            ]
            if Kind.HOLD in on_it or (again and not head.held):
                return None
            unseen = Kind.RESTRICTION in on_it or Kind.PRESERVED in on_it
            lifted = _HELD if unseen else _HELD | _RESTRICTED
            return changed(head, head.flags & ~lifted, self._now())

        return await self._marks.move(session, freed, until=NEVER)

    def _event(self, kind: EventKind, hold: Hold, actor: bytes | None) -> Event:
        return Event(kind, self._keyring.tenant, hold.person, actor, self._policy, self._now(), hold.session)

    def _now(self) -> int:
        return to_milliseconds(self._clock())
