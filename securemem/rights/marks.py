"""Marks the heads of a person's sessions, so that every reader and writer knows of a hold or a restriction at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from securemem.keys.keyring import Keyring
from securemem.model import Change, Head
from securemem.ports import Backend

Moved = Callable[[Head, bytes], Awaitable[Head | None]]
"""Gives the head to set, from the one that stands and the handle of the session's owner; None to leave it."""


class Marks:
    """Sets heads by compare-and-swap."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring

    async def move(self, session: bytes, moved: Moved, *, until: int | None) -> bool:
        """Set a session's head, and tell whether; one that is closed, or has none, is left.

        Args:
            session: its handle.
            moved: gives the head.
            until: as `Change.until`.
        """
        seal = self._keyring.head_seal(session)
        while (owner := await self._keyring.keystore.owner_of(session)) is not None:
            raw, _ = await self._backend.tail(session, 0)
            head = seal.decode(raw) if raw else None
            new = await moved(head, owner.user) if head is not None and not head.closed else None
            if new is None:
                return False
            if await self._backend.swap(Change(session, raw, seal.encode(new), due=new.due, until=until)) is None:
                return True
        return False


def changed(head: Head, flags: int, due: int) -> Head:
    """Give a head with other flags, in a new epoch."""
    return msgspec.structs.replace(head, version=head.version + 1, epoch=head.epoch + 1, flags=flags, due=due)
