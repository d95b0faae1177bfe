"""The data store of a tenant that lies on one of several servers, or is being moved from one to another.

In rest everything goes to one server. While the tenant is moved, each session is at one of the two: where its head is
alive. A session that was taken away leaves a head there that says so, and one that is begun meanwhile puts such a head
(a fence) on the server that is being left, before it is written on the other. So whoever still believes in an earlier
route loses its compare-and-swap, or finds no session, asks the keystore for the route as it is now, and goes on where
the session is. That the route is asked for again every few seconds besides is for what a compare-and-swap cannot tell:
that rows were put back on a server that was left.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Protocol

import msgspec

from securemem.crypto.head import is_fence, is_moved
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.model import Change, Residue, Route, Stamp, Tail
from securemem.ports import Backend, Carrier, Countable, TenantBound

LEASE_SECONDS = 5.0
"""How long a session may take to begin before the keystore is asked whether its tenant is still there; far less than a
move leaves its fences standing."""


class Way(Protocol):
    """Knows the tenant's route."""

    async def current(self) -> Route:
        """Give it as it stood a few seconds ago or later."""

    async def renewed(self) -> Route:
        """Give it as it stands now."""


class RoutedBackend:
    """One tenant's rows and heads, on the server that its route names."""

    def __init__(self, make: Callable[[str], Backend], way: Way) -> None:
        """Name nothing yet; `hand_over` has to be called before sessions are asked for.

        Args:
            make: gives the data store of a server, by its name; a ConfigurationError where there is none.
            way: knows the route.
        """
        self._make = make
        self._way = way
        self._carrier: Carrier | None = None
        self._servers: dict[str, Backend] = {}
        self._counters: dict[str, int] = {}
        self._compared: set[str] = set()
        self._stamp: Stamp | None = None
        self._tenant: bytes | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    def hand_over(self, by: Carrier) -> None:
        """As `ports.Spread`."""
        self._carrier = by

    def bind(self, tenant: bytes) -> None:
        """As `ports.TenantBound`."""
        self._tenant = tenant
        for backend in self._servers.values():
            _bind(backend, tenant)

    async def open(self) -> Stamp | None:
        """Open the tenant's server, or both while it is moved; gives the stamp of the one that has missed more."""
        self._closed = False
        found = []
        for server in (await self._way.current()).servers:
            found.append(await self._open(server))
            self._compared.add(server)
        stamps = [stamp for stamp in found if stamp is not None]
        return min(stamps, key=lambda stamp: stamp.counter, default=None)

    async def stamp(self, stamp: Stamp) -> None:
        """Stamp the tenant's servers, but for one that was opened later and may have missed something.

        Whoever opens that one next holds it against the ledger, by the stamp that it has.
        """
        self._stamp = stamp
        for server in (await self._way.current()).servers:
            if server in self._compared:
                await self._servers[server].stamp(stamp)

    async def at(self, server: str) -> Backend:
        """As `ports.Spread`."""
        if server not in self._servers:
            async with self._opening:
                if self._closed:
                    raise BackendUnavailableError("this store was closed")
                if server not in self._servers:
                    await self._open_later(server)
        return self._servers[server]

    def counter(self, server: str) -> int:
        """As `ports.Spread`."""
        return self._counters[server]

    async def catch_up(self, server: str, stamp: Stamp) -> None:
        """As `ports.Spread`."""
        await self._servers[server].stamp(stamp)
        self._compared.add(server)

    async def _open_later(self, server: str) -> None:
        """Open a server after the others; one that has missed no more than they have is stamped as they are."""
        known = self._stamp
        stamp = await self._open(server)
        if known is not None and stamp is None:
            await self._servers[server].stamp(known)
            self._counters[server] = known.counter
        if known is not None and self._counters[server] >= known.counter:
            self._compared.add(server)

    async def _open(self, server: str) -> Stamp | None:
        """Open a server; one of another deployment is refused."""
        backend = self._make(server)
        try:
            if self._tenant is not None:
                _bind(backend, self._tenant)
            stamp = await backend.open()
            self._check(server, stamp)
        except BaseException:
            await backend.aclose()
            raise
        self._servers[server] = backend
        self._counters[server] = stamp.counter if stamp is not None else 0
        self._stamp = self._stamp or stamp
        return stamp

    def _check(self, server: str, stamp: Stamp | None) -> None:
        if stamp is not None and self._stamp is not None and stamp.deployment != self._stamp.deployment:
            raise ConfigurationError(
                f"server {server!r} belongs to deployment {stamp.deployment.hex()}, and this store to "
                f"{self._stamp.deployment.hex()}: correct [servers] in securemem.toml"
            )

    async def _moving(self, route: Route) -> tuple[Backend, Backend] | None:
        """Give the two servers of a move, from and to; None in rest."""
        if route.moving_to is None:
            return None
        return await self.at(route.place), await self.at(route.moving_to)

    # Reading

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Backend`; that there is no session is said by the route as it is then."""
        while True:
            route = await self._way.current()
            if (move := await self._moving(route)) is not None:
                tail = await self._tail_in_move(*move, session, limit, before)
            else:
                tail = _alive(await (await self.at(route.place)).tail(session, limit, before))
            if tail.head or await self._way.renewed() == route:
                return tail

    async def _tail_in_move(
        self, source: Backend, target: Backend, session: bytes, limit: int, before: int | None
    ) -> Tail:
        tail = _alive(await target.tail(session, limit, before))
        if tail.head:
            return tail
        here = await source.tail(session, limit, before)
        if not is_moved(here.head):
            return here if here.head or here.rows else tail
        await self._carry(session, here.head, source, target)
        return _alive(await target.tail(session, limit, before))

    async def _carry(self, session: bytes, head: bytes, source: Backend, target: Backend) -> None:
        """Let a session arrive that was taken away, by whoever, and is on its way."""
        if not is_fence(head):
            await self._carries().carry(session, source, target)

    def _carries(self) -> Carrier:
        if self._carrier is None:
            raise ConfigurationError("this store was not made ready to follow a tenant that is being moved")
        return self._carrier

    # Changing

    async def swap(self, change: Change) -> bytes | None:
        """As `ports.Backend`; that there is no session is said by the route as it is then.

        A session is begun by a route that was asked for after its key was made, so that who lists the keys of a tenant
        that is being moved knows of every session that may be begun on the server that is left.
        """
        while True:
            asked = time.monotonic()
            route = await (self._way.current() if change.expected else self._way.renewed())
            if (move := await self._moving(route)) is not None:
                swap = self._swap_in_move if change.expected else self._begin_in_move
                answer = await swap(change, route, *move)
            else:
                answer = await self._swap_in_rest(change, route)
            if answer:
                return answer
            if answer is None:
                if not change.expected and time.monotonic() - asked > LEASE_SECONDS:
                    await self._confirm(change.session, route)
                return None
            if await self._way.renewed() == route:
                return b""

    async def _swap_in_rest(self, change: Change, route: Route) -> bytes | None:
        place = await self.at(route.place)
        answer = await place.swap(change)
        if answer is None or not is_moved(answer):
            return answer
        if change.expected or await self._way.renewed() != route:
            return b""
        # What an earlier move has left here: nobody is kept from the place where the tenant rests.
        answer = await place.swap(msgspec.structs.replace(change, expected=answer))
        return b"" if answer is not None and is_moved(answer) else answer

    async def _swap_in_move(self, change: Change, _: Route, source: Backend, target: Backend) -> bytes | None:
        answer = await target.swap(change)
        if answer is None or not _is_gone(answer):
            return answer
        answer = await source.swap(change)
        if answer is None or not is_moved(answer):
            return answer
        await self._carry(change.session, answer, source, target)
        return _alive(await target.tail(change.session, 0)).head

    async def _begin_in_move(self, change: Change, route: Route, source: Backend, target: Backend) -> bytes | None:
        hindrance = await self._fence(change.session, route.version, source)
        if is_moved(hindrance):
            await self._carry(change.session, hindrance, source, target)
            return _alive(await target.tail(change.session, 0)).head
        if hindrance:
            return hindrance
        answer = await target.swap(change)
        if answer is not None and is_moved(answer):
            answer = await target.swap(msgspec.structs.replace(change, expected=answer))
        return b"" if answer is not None and is_moved(answer) else answer

    async def _fence(self, session: bytes, move: int, source: Backend) -> bytes:
        """Keep a session from being begun at the source; gives the head that stands there already, if one does."""
        fence = self._carries().fence(session, move, b"")
        while (answer := await source.swap(fence)) is not None and answer != fence.head:
            if answer and not is_fence(answer):
                return answer
            fence = self._carries().fence(session, move, answer)
        return b""

    async def _confirm(self, session: bytes, route: Route) -> None:
        """Check that a session that took long to begin was begun where its tenant still was.

        One change of the route since does no harm: the server is the one that is being left, where fences stand, or the
        one that the tenant has come to.

        Raises:
            BackendUnavailableError: the fence that would have stood there may have been removed before.
        """
        if (await self._way.renewed()).version not in (route.version, route.version + 1):
            raise BackendUnavailableError(
                f"session {session.hex()}: this process was held up while its tenant was moved to another server, and "
                "whether the message was stored cannot be told: look at the history before trying again"
            )

    # All the rest

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """As `ports.Backend`."""
        servers = [await self.at(server) for server in (await self._way.current()).servers]
        return sum([await server.delete(sessions, heads=heads) for server in servers])

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """As `ports.Countable`, of all servers that the tenant is on."""
        found: Counter[bytes] = Counter()
        for server in (await self._way.current()).servers:
            backend = await self.at(server)
            if not isinstance(backend, Countable):
                raise ConfigurationError(f"server {server!r} cannot count its records")
            found.update(await backend.census(sessions))
        return found

    async def due(self, now: int, limit: int) -> list[bytes]:
        """As `ports.Backend`; while the tenant is moved, from both servers in turn."""
        servers = [await self.at(server) for server in (await self._way.current()).servers]
        found = [await server.due(now, limit) for server in servers]
        in_turn = dict.fromkeys(session for session in chain(*zip_longest(*found)) if session is not None)
        return list(in_turn)[:limit]

    async def purge(self, seconds: float) -> list[Residue]:
        """As `ports.Backend`; while the tenant is moved, on both servers."""
        servers = [await self.at(server) for server in (await self._way.current()).servers]
        return [left for server in servers for left in await server.purge(seconds)]

    async def aclose(self) -> None:
        """As `ports.Backend`."""
        self._closed = True
        servers, self._servers = self._servers, {}
        self._compared.clear()
        for backend in servers.values():
            await backend.aclose()


def _bind(backend: Backend, tenant: bytes) -> None:
    if isinstance(backend, TenantBound):
        backend.bind(tenant)


def _is_gone(head: bytes) -> bool:
    return not head or is_moved(head)


def _alive(tail: Tail) -> Tail:
    """Give what a server answers, without a head that only says that the session is not there."""
    return Tail(b"", tail.rows) if is_moved(tail.head) else tail
