"""Moves a tenant from one server to another while it is read and written (`memory.tenants`).

    keystore: moving → every process knows → each session carried over (`handover`) → ledger's record
    → keystore: at rest there → every process knows → late writers carried over, what is left removed → purge

Each step is durable before the next and can be repeated: a process that dies anywhere is followed by another `move`.
Until then the tenant goes on on both servers. A session that cannot be verified stays where it is, and keeps the move
from its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from securemem import codec
from securemem.crypto.head import is_moved
from securemem.ending import CLOSED_HEAD_SECONDS
from securemem.errors import ConfigurationError, ConflictError, IntegrityError, InvalidInputError
from securemem.handover import Handover
from securemem.keys import routes
from securemem.ledger.moves import Move, Moves
from securemem.model import HOME, Residue, Route, Stamp, to_milliseconds
from securemem.ports import Backend, Spread
from securemem.readiness import Stamps, catch_up, named
from securemem.residue import PURGE_SECONDS, check_purge_seconds

if TYPE_CHECKING:
    from securemem.compose import Deployment
    from securemem.host import SessionHost

_TOGETHER = 64
_KNOWN, _OVER = 2, 6
"""How many times `ROUTE_SECONDS` until every process knows a route, and until no call of before is tried again."""
_LOOKED_AT_SECONDS = 5.0
"""How long what was seen at the server that is left is believed: it takes longer to move a tenant away and back."""


@dataclass(frozen=True, slots=True)
class TenantPlace:
    """Where a tenant lies.

    Attributes:
        tenant: its name.
        server: the server's, `default` for the one of the store's own URL.
        moving_to: the server that it is being moved to; None if it is not.
        leaving: the server on which something is left of it that the next `move` removes; None if there is none.
    """

    tenant: str
    server: str
    moving_to: str | None
    leaving: str | None


@dataclass(slots=True)
class MoveReport:
    """What a move did.

    Attributes:
        source: the server that the tenant was moved from.
        target: the one that it lies on now.
        sessions: how many sessions were looked at.
        records: how many of their records were carried over.
        residue: what is left at the source.
    """

    source: str
    target: str
    sessions: int = 0
    records: int = 0
    residue: list[Residue] = field(default_factory=list)


class Tenants:
    """What an operator does with the tenants of a store (`memory.tenants`)."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share."""
        self._host = host

    async def list(self) -> list[TenantPlace]:
        """Give where each tenant of this store's table lies, by name."""
        async with self._host.in_use() as deployment:
            return await _places(deployment)

    async def move(
        self, to: str, *, backups_until: datetime | None = None, purge_seconds: float = PURGE_SECONDS
    ) -> MoveReport:
        """Move this store's tenant to another server, or go on with a move that was interrupted.

        Args:
            to: the server's name in the settings, or `default`.
            backups_until: when the last backup of the server that is left will be gone, where that is known.
            purge_seconds: how long to work on what is left on that server's disk, and to wait for whoever keeps it in
                use; what is left after that is in the report.

        Raises:
            ConfigurationError: there is no such server, or it is another deployment's, or the one that is left by
                another name.
            InvalidInputError: the moment is past, for there is a copy still; or a number that is none.
            ConflictError: the tenant is being moved to another server.
            IntegrityError: sessions that are not as they were written; all others were moved.
        """
        seconds = check_purge_seconds(purge_seconds)
        async with self._host.in_use() as deployment:
            if backups_until is not None and codec.check_time(backups_until, "backups_until") <= deployment.clock():
                raise InvalidInputError("backups_until has to lie ahead: what is backed up was there until now")
            if not isinstance(deployment.backend, Spread) or to not in (HOME, *deployment.settings.servers):
                raise ConfigurationError(f"there is no server {to!r}: name it under [servers] in securemem.toml")
            return await _Mover(deployment, deployment.backend, backups_until, seconds).move(to)


async def _places(deployment: Deployment) -> list[TenantPlace]:
    space, _ = named(deployment.stores.route.name)
    handles = {name: handle for _, handle, name in await deployment.keyring.keystore.tenants()}
    last = {move.tenant: move for move in await Moves(deployment.ledger).all()}
    found = []
    for name, route in await deployment.keyring.keystore.routes():
        table, tenant = named(name)
        if table == space:
            move = last.get(handles.get(name, b""))
            leaving = move.source if move is not None and move.cleaned_at is None else None
            found.append(TenantPlace(tenant, route.place, route.moving_to, leaving))
    return found


class _Mover:
    """Moves one tenant."""

    def __init__(
        self, deployment: Deployment, backend: Spread, backups_until: datetime | None, purge_seconds: float
    ) -> None:
        self._deployment = deployment
        self._servers = backend
        self._keyring = deployment.keyring
        self._keystore = deployment.keyring.keystore
        self._way = deployment.stores.route
        self._moves = Moves(deployment.ledger)
        self._handover = Handover(deployment.keyring, deployment.clock)
        self._backups_until = backups_until
        self._purge_seconds = purge_seconds
        self._damaged: list[IntegrityError] = []

    async def move(self, to: str) -> MoveReport:
        route = await self._way.renewed()
        if route.moving_to not in (None, to):
            raise ConflictError(f"the tenant is being moved to {route.moving_to!r}: end that move first")
        left = [move for move in await self._moves.of(self._keyring.tenant) if move.cleaned_at is None]
        report = MoveReport(route.place, to)
        if route.moving_to is None:
            for move in left:
                report = MoveReport(move.source, move.target)
                await self._clean(move, report)
            if route.place == to:
                return report
            route, report = await self._begin(route, to), MoveReport(route.place, to)
        await self._carry_all(route, report)
        move = await self._settle(route, to, left)
        await self._clean(move, report)
        return report

    async def _begin(self, route: Route, to: str) -> Route:
        await self._taking(route, route.place, to)  # for what it refuses, before anybody hears of a move
        await self._bring_up(to)
        moving = Route(route.version + 1, route.place, to)
        await self._set(route, moving)
        return moving

    async def _bring_up(self, server: str) -> None:
        """Carry out what a server has missed for the tenants on it, so that its stamp can be kept up to date."""
        keys, peek = await self._keystore.stamp_now(), await self._deployment.ledger.peek()
        newest, unfinished = (peek.stamp.counter, peek.unfinished) if peek is not None else (keys.counter, 0)
        stamps = Stamps(self._deployment.id, (server,), self._servers.counter(server), keys.counter, newest, unfinished)
        await catch_up(self._deployment.stores, stamps, self._keyring, self._deployment.make_data)
        await self._servers.catch_up(server, Stamp(self._deployment.id, newest))

    async def _set(self, route: Route, new: Route) -> None:
        """Change the route, unless another process that does the same was quicker."""
        if not await self._keystore.set_route(self._way.name, route, new):
            stands = await self._way.renewed()
            if stands != new:
                raise ConflictError("another process changed the tenant's route meanwhile: see `securemem tenant list`")

    async def _wait(self, times: int) -> None:
        await asyncio.sleep(times * routes.ROUTE_SECONDS)
        await self._way.renewed()

    async def _carry_all(self, route: Route, report: MoveReport) -> None:
        """Carry every session over.

        Raises:
            IntegrityError: some are not as they were written; the others were carried over.
        """
        await self._wait(_KNOWN)
        take = await self._taking(route, report.source, report.target)
        async for page in self._pages():
            report.sessions += len(page)
            report.records += sum(await self._each(take, page))
        self._check()

    async def _taking(self, route: Route, source: str, target: str) -> Callable[[bytes], Awaitable[int]]:
        """Give what carries one session from one server to another, which has to be another."""
        servers = {"source": await self._servers.at(source), "target": await self._servers.at(target)}
        await self._handover.check_apart(servers["source"], servers["target"], target)
        return lambda session: self._handover.take(session, route, self._way.renewed, **servers)

    async def _pages(self) -> AsyncIterator[list[bytes]]:
        """Go through the handles of the tenant's sessions."""
        found = await self._keystore.tenant(self._way.name)
        number, after = found[0] if found is not None else 0, 0
        while page := await self._keystore.page(number, after=after, limit=_TOGETHER, user=None):
            yield [session.handle for _, _, session in page]
            after = page[-1][0]

    async def _each(self, call: Callable[[bytes], Awaitable[int]], sessions: list[bytes]) -> list[int]:
        """Do something with sessions at once, and go on past those that are damaged."""
        done = []
        for result in await asyncio.gather(*(call(session) for session in sessions), return_exceptions=True):
            if isinstance(result, IntegrityError):
                self._damaged.append(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                done.append(result)
        return done

    def _check(self) -> None:
        if self._damaged:
            raise IntegrityError(
                f"{len(self._damaged)} of its sessions cannot be moved, for they are not as they were written: the "
                "tenant stays on both servers until they are restored or cleared, or their people erased, and it is "
                f"moved again; the first: {self._damaged[0]}"
            ) from self._damaged[0]

    async def _settle(self, route: Route, to: str, left: list[Move]) -> Move:
        """Write down that the tenant lies on the other server, and say so in the keystore."""
        known = [move for move in left if (move.source, move.target) == (route.place, to)]
        if known:
            move = known[-1]
        else:
            at, until = self._deployment.clock(), self._backups_until
            move = await self._moves.begin(
                self._keyring.tenant, source=route.place, target=to, at=at, backups_until=until
            )
        await self._set(route, Route(route.version + 1, to, None))
        settled = await self._deployment.ledger.settled(move.counter)
        await self._keystore.stamp(Stamp(self._deployment.id, settled))
        return move

    async def _clean(self, move: Move, report: MoveReport) -> None:
        """Carry over what late writers have left at the source, and remove all that is there of the tenant."""
        await self._wait(_OVER)
        source = await self._servers.at(move.source)
        route = await self._way.renewed()
        if move.source in route.servers:
            raise ConflictError("another process changed the tenant's route meanwhile: see `securemem tenant list`")
        take = await self._taking(route, move.source, move.target)
        async for page in self._pages():
            started = time.monotonic()
            tails = await asyncio.gather(*(source.tail(session, 1) for session in page))
            there = {session: tail.head for session, tail in zip(page, tails, strict=True) if tail.head or tail.rows}
            late = [session for session, head in there.items() if not is_moved(head)]
            report.records += sum(await self._each(take, late))
            self._check()
            await self._delete(source, list(there), started)
        await self._clean_destroyed(source)
        residue = await source.purge(self._purge_seconds)
        until = self._backups_until or move.backups_until
        now = self._deployment.clock()
        await self._moves.finish(move, at=now, residue=residue, backups_until=until)
        done = replace(move, cleaned_at=now, residue=tuple(residue), backups_until=until)
        report.residue = done.left(now, self._deployment.settings.lasting)

    async def _delete(self, source: Backend, sessions: list[bytes], started: float) -> None:
        """Delete sessions that have left, as long as the tenant cannot have come back meanwhile."""
        if sessions:
            if time.monotonic() - started > _LOOKED_AT_SECONDS:
                raise ConflictError("this process was held up for too long: move the tenant again, to end the move")
            await source.delete(sessions, heads=True)

    async def _clean_destroyed(self, source: Backend) -> None:
        """Remove the heads of sessions that were destroyed, which the tenant's own sweep does not find any more."""
        until = to_milliseconds(self._deployment.clock()) + CLOSED_HEAD_SECONDS * 1000
        seen: set[bytes] = set()
        while fresh := [each for each in await source.due(until, len(seen) + _TOGETHER) if each not in seen]:
            seen.update(fresh)
            started = time.monotonic()
            ended = await asyncio.gather(*(self._has_ended(source, session) for session in fresh))
            gone = [session for session, has_ended in zip(fresh, ended, strict=True) if has_ended]
            await self._delete(source, gone, started)

    async def _has_ended(self, source: Backend, session: bytes) -> bool:
        """Tell whether a head is this tenant's, and of a session that has no key any more."""
        raw, _ = await source.tail(session, 0)
        try:
            head = self._keyring.head_seal(session).decode(raw, moved=True)
        except IntegrityError:
            return False  # another tenant's, who looks after it
        return (head.closed or is_moved(raw)) and await self._keystore.owner_of(session) is None
