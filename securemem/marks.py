"""Marks the heads of a person's sessions, so that every reader and writer knows of a hold or a restriction at once.

That a hold or a restriction was placed, released or lifted is an act in the ledger, which the stores' stamps follow: in
a store that was restored from before it, and where whoever did it died before the heads were marked, they are marked
when the store is opened next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from securemem.errors import IntegrityError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.ledger.acts import ActKind
from securemem.ledger.holds import Hold, Holds, Kind
from securemem.ledger.store import Ledger
from securemem.model import NEVER, Change, Head, HeadFlag, Stamp, to_milliseconds
from securemem.ports import Backend, Clock, Reconnecting
from securemem.throughout import carry_through

MARKING = frozenset({ActKind.HOLD, ActKind.RELEASE, ActKind.RESTRICT, ActKind.LIFT})
"""The acts that only mark heads, and destroy nothing."""
PERSIST_SECONDS = 2.0
"""How long a hold or a restriction waits for the data's server to have it where a failure does not take it away."""
_KEEP, _RESTRICTED, _HELD = int(HeadFlag.KEEP), int(HeadFlag.RESTRICTED), int(HeadFlag.HELD)
_MARKS: dict[str, int] = {
    Kind.HOLD: _KEEP | _RESTRICTED | _HELD,
    Kind.RESTRICTION: _RESTRICTED,
    Kind.PRESERVED: _KEEP | _RESTRICTED,
}

Moved = Callable[[Head, bytes], Awaitable[Head | None]]
"""Gives the head to set, from the one that stands and the handle of the session's owner; None to leave it."""


class Marks:
    """Sets heads by compare-and-swap."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring

    async def move(self, session: bytes, moved: Moved, *, until: int | None) -> bool:
        """Set a session's head, and tell whether; one that is closed, damaged, or has none, is left.

        What is damaged is told by whoever reads it, and is read by nobody: it keeps no act from being through.

        Args:
            session: its handle.
            moved: gives the head.
            until: as `Change.until`.
        """
        seal = self._keyring.head_seal(session)
        while (owner := await self._keyring.keystore.owner_of(session)) is not None:
            raw, _ = await self._backend.tail(session, 0)
            try:
                head = seal.decode(raw) if raw else None
            except IntegrityError:
                return False
            new = await moved(head, owner.user) if head is not None and not head.closed else None
            if new is None:
                return False
            if await self._backend.swap(Change(session, raw, seal.encode(new), due=new.due, until=until)) is None:
                return True
        return False

    async def carry_out(self, mark: Callable[[], Awaitable[None]], ledger: Ledger, counter: int, at: int) -> None:
        """Carry out an act that marks heads, and say that it is through.

        That is said in the stamps, as far as all before it is done, and in the ledger.

        Args:
            mark: marks the heads; may be repeated.
            ledger: the act's.
            counter: its number.
            at: the present moment, in milliseconds.

        Raises:
            NotReadyError: as `throughout`.
        """
        keystore = self._keyring.keystore

        async def marked() -> Stamp:
            await mark()
            if isinstance(self._backend, Reconnecting):
                await self._backend.persist(PERSIST_SECONDS)
            return Stamp((await keystore.stamp_now()).deployment, await ledger.settled(counter))

        await carry_through(self._backend, keystore, marked)
        await ledger.finish(counter, at=at)


async def mark_anew(backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock) -> None:
    """Mark the heads of a tenant's sessions as the ledger says now, those of released holds included.

    What a hold kept stays kept until a worker has looked.
    """
    holds, marks = Holds(ledger, keyring.tenant), Marks(backend, keyring)
    every = await holds.all()
    visits = {
        each.person: set((await handles.of_person(keyring, each.person))[1]) for each in every if not each.session
    }

    async def sessions_of(hold: Hold) -> list[bytes]:
        if hold.session is not None:
            return [hold.session]
        own, visited = await handles.of_person(keyring, hold.person)
        return [*own, *visited]

    for session in dict.fromkeys([session for hold in every for session in await sessions_of(hold)]):
        await _mark(session, marks, holds, visits, clock)


async def mark_begun(backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock, session: bytes) -> None:
    """Mark the head of a session that was begun just now, as the ledger says of its owner and its guests."""
    guests = await keyring.keystore.guests(session)
    visits = {guest.user.handle: {session} for guest in guests}
    await _mark(session, Marks(backend, keyring), Holds(ledger, keyring.tenant), visits, clock)


async def _mark(session: bytes, marks: Marks, holds: Holds, visits: Mapping[bytes, set[bytes]], clock: Clock) -> None:
    """Mark the head of one session.

    Args:
        session: its handle.
        marks: of the tenant, and
        holds: likewise.
        visits: by people, the sessions of others in which they said something.
        clock: the store's.
    """

    async def marked(head: Head, owner: bytes) -> Head | None:
        flags = head.flags & ~(_HELD | _RESTRICTED)
        for each in await holds.active(kind=None):
            if session == each.session or (not each.session and each.person == owner):
                flags |= _MARKS[each.kind]
            elif each.kind == Kind.HOLD and session in visits.get(each.person, ()):
                flags |= _KEEP
        due = NEVER if flags & _HELD else to_milliseconds(clock())
        return changed(head, flags, due) if flags != head.flags else None

    await marks.move(session, marked, until=NEVER)


def changed(head: Head, flags: int, due: int) -> Head:
    """Give a head with other flags, in a new epoch."""
    return msgspec.structs.replace(head, version=head.version + 1, epoch=head.epoch + 1, flags=flags, due=due)
