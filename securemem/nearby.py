"""Where a page of a session is read: in the data store, or in a replica of it that may lag.

A replica may still hold what was erased, in rows and in heads, and its answer opens under keys that are in memory. So
of every answer that comes from one the keystore is asked whether the session still has its key, and how far it has come
at least, after the answer is there and before anything of it is opened; and an answer older than that, or than what is
known already, is left for the primary's.
Keys of guests are taken from the keystore anew for every such answer in which guests speak: of an erased guest's
records a replica still has, the session's key says nothing.
A replica that does not answer is left alone for a while, for longer each time; the primary has every answer meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import NamedTuple

from securemem.crypto.envelope import is_of_guest
from securemem.errors import BackendUnavailableError
from securemem.keys.keystore import Keystore
from securemem.keys.unwrapped import SessionKeys
from securemem.model import Tail
from securemem.ports import Backend, Prefetching, Replica

_FIRST_ABSENCE, _LONGEST_ABSENCE = 2.0, 60.0


class Ahead(NamedTuple):
    """A page that was asked for before it was known whether it can be opened."""

    session: bytes
    tail: Awaitable[Tail]


class _Absence:
    """For how long a replica that did not answer is left alone: twice as long each time."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    def look(self) -> float | None:
        """Tell whether the replica is to be asked: gives what `failed` wants to know; None while it is left alone."""
        if self._seconds:
            now = time.monotonic()
            if now < self._until:
                return None
            self._until = now + self._seconds  # whoever comes meanwhile does not wait for this one
        return self._until

    def failed(self, look: float) -> None:
        """Leave the replica alone from now on; of several that asked at once the first one's failure counts."""
        if look == self._until:
            self._seconds = min(self._seconds * 2 or _FIRST_ABSENCE, _LONGEST_ABSENCE)
            self._until = time.monotonic() + self._seconds

    def over(self) -> None:
        """Take note that it answered."""
        self._seconds = 0.0


class Pages:
    """Reads pages of sessions."""

    def __init__(self, backend: Backend, replica: Replica | None, keystore: Keystore, *, far: bool) -> None:
        """Take the data store, and what lags behind it if anything does.

        Args:
            backend: the data store.
            replica: what lags behind it, or None.
            keystore: the deployment's.
            far: whether the data lies on a server, which answers while something else is done.
        """
        self._far = far and replica is None
        self._prefetch = backend.prefetch if self._far and isinstance(backend, Prefetching) else None
        self._asked: set[asyncio.Task[Tail]] = set()
        self._backend = backend
        self._replica = replica
        self._absence = _Absence()
        self._keystore = keystore

    async def ahead(self, session: bytes, limit: int, before: int | None) -> Ahead | None:
        """Ask the data's server for a page, and do not wait for it; None where the data is at hand anyway."""
        if not self._far:
            return None
        tail = self._prefetch(session, limit, before) if self._prefetch is not None else None
        if tail is not None:
            return Ahead(session, tail)
        asked = asyncio.create_task(self._backend.tail(session, limit, before))
        self._asked.add(asked)
        asked.add_done_callback(self._answered)
        await asyncio.sleep(0)  # it is on its way
        return Ahead(session, asked)

    def _answered(self, asked: asyncio.Task[Tail]) -> None:
        """Take note of an answer that nobody may want any more: its error is whoever's who asks for it."""
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()

    def tail(
        self, keys: SessionKeys, limit: int, before: int | None, *, least: int | None
    ) -> Awaitable[Tail] | Awaitable[Tail | None]:
        """Read a head and rows, as `ports.Backend` gives them; None where the session has no key any more.

        Args:
            keys: the session's, from the cache or not.
            limit: how many rows.
            before: the seq that they lie below.
            least: the lowest version of the head that a replica's answer may have; None for the primary's alone.
        """
        if self._replica is None or least is None:
            return self._backend.tail(keys.handle, limit, before)
        return self._tail_of(self._replica, keys, limit, before, least)

    async def _tail_of(
        self, replica: Replica, keys: SessionKeys, limit: int, before: int | None, least: int
    ) -> Tail | None:
        tail = await self._asked_of(replica, keys.handle, limit, before)
        owner = await self._keystore.owner_of(keys.handle)
        if owner is None:
            return None
        if not tail.head:
            return await self._backend.tail(keys.handle, limit, before)
        head = keys.head.decode(tail.head)
        if head.version < max(least, keys.floor, owner.floor) or head.closed:
            return await self._backend.tail(keys.handle, limit, before)
        if any(is_of_guest(raw) for _, raw in tail.rows):
            keys.guests.clear()
            keys.guest_ids.clear()
        return tail

    async def _asked_of(self, replica: Replica, session: bytes, limit: int, before: int | None) -> Tail:
        """Give a replica's answer; nothing where there is none: the primary has it, or says what is wrong."""
        look = self._absence.look()
        if look is None:
            return Tail(b"", [])
        try:
            tail = await replica.tail(session, limit, before)
        except BackendUnavailableError:
            self._absence.failed(look)
            return Tail(b"", [])
        self._absence.over()
        return tail
