"""The part of the PostgreSQL keystore that knows epochs and tenants, and how a query reaches the server."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from securemem import sql
from securemem.errors import NotReadyError
from securemem.keys.rows import (
    DESTROYED,
    OPEN,
    TENANT_KEY_KINDS,
    EpochRow,
    Minted,
    Rewrapped,
    SessionRow,
    TenantKeyRow,
    UserRow,
)
from securemem.model import Route, Stamp
from securemem.postgres import Connection, PostgresServer, Work
from securemem.postgresschema import Part, look, migrate

T = TypeVar("T")
READ_COMMITTED: Final = "read_committed"

_PREFIX = "securemem_keystore_"
_TABLES = ("stamp", "epochs", "tenants", "tenant_keys", "users", "sessions", "guests")


class PostgresEpochs:
    """Epochs, tenants and their keys in a PostgreSQL schema; `PostgresKeystore` adds users and sessions."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Name the database; nothing is opened yet.

        Args:
            url: `postgresql://…`, with the driver's own parameters.
            options: of `postgres.OPTIONS`.

        Raises:
            ConfigurationError: an option that cannot be.
        """
        self._server = PostgresServer(url, options)
        self._part = _part(self._server.schema)
        self._sql = sql.load(Path(__file__).with_name("postgreskeystore.sql"), **self._part.names)
        self._there = False

    async def open(self) -> Stamp | None:
        """As `keystore.Store`."""
        self._server.reopen()
        await self._server.check()
        return await self._server.call(self._look)

    async def _look(self, con: Connection, _: bool) -> Stamp | None:  # noqa: FBT001  (as `postgres.Work` has it)
        """Find out what lies there, without making anything."""
        version = await look(con, self._part, self._server.name)
        if not version:
            return None
        if version < len(self._part.steps):
            await migrate(con, self._part, self._server.name)
        self._there = True
        row = await con.fetchrow(self._sql["stamp"])
        return Stamp(*row) if row else None

    def _call(self, work: Work[T]) -> Awaitable[T]:
        """Give a connection to some work; the tables are made where they are not there yet."""
        return self._server.call(work) if self._there else self._call_first(work)

    async def _call_first(self, work: Work[T]) -> T:
        await self._server.call(lambda con, _: migrate(con, self._part, self._server.name))
        self._there = True
        return await self._server.call(work)

    def _rows(self, query: str, *arguments: object) -> Awaitable[list[asyncpg.Record]]:
        return self._call(lambda con, _: con.fetch(self._sql[query], *arguments))

    async def _row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        return await self._call(lambda con, _: con.fetchrow(self._sql[query], *arguments))

    async def _run(self, query: str, *arguments: object) -> None:
        """Do what may be done twice."""
        await self._call(lambda con, _: con.execute(self._sql[query], *arguments))

    async def epochs(self) -> list[EpochRow]:
        """As `keystore.Epochs`."""
        return [EpochRow(*row) for row in await self._rows("epochs")]

    async def add_epoch(self, epoch: int, state: str, since: int) -> None:
        """As `keystore.Epochs`."""
        await self._run("add_epoch", epoch, state, since)

    async def tenants(self) -> list[tuple[int, bytes, str]]:
        """As `keystore.Tenants`."""
        return [(number, handle, name) for number, handle, name in await self._rows("tenants")]

    async def tenant(self, name: str) -> tuple[int, bytes] | None:
        """As `keystore.Tenants`."""
        row = await self._row("tenant", name)
        return (row[0], row[1]) if row else None

    async def is_any_apart(self, beginning: str) -> bool:
        """As `keystore.Tenants`."""
        found: bool = await self._call(lambda con, _: con.fetchval(self._sql["is_any_apart"], beginning))
        return found

    async def add_tenant(self, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        """As `keystore.Tenants`."""

        async def work(con: Connection, _: bool) -> Minted:  # noqa: FBT001
            async with con.transaction(isolation=READ_COMMITTED):
                for epoch in sorted({key.epoch for key in keys}):
                    if not await con.fetchval(self._sql["lock_epoch"], epoch):
                        return Minted.EPOCH_MOVED
                tenant = await con.fetchval(self._sql["add_tenant"], handle, name)
                if tenant is None:
                    return Minted.EXISTS
                await con.executemany(self._sql["add_tenant_key"], [(tenant, *key) for key in keys])
            return Minted.DONE

        return await self._call(work)

    async def rename_tenants(self, names: Mapping[str, str]) -> None:
        """As `keystore.Tenants`."""
        await self._run("rename_tenants", list(names), list(names.values()))

    async def tenant_keys(self, tenant: int) -> list[TenantKeyRow]:
        """As `keystore.Tenants`."""
        return [TenantKeyRow(*row) for row in await self._rows("tenant_keys", tenant)]

    async def add_tenant_key(self, tenant: int, row: TenantKeyRow) -> None:
        """As `keystore.Tenants`."""
        await self._run("add_tenant_key", tenant, *row)

    async def delete_tenant_keys(self, epoch: int) -> None:
        """As `keystore.Tenants`."""
        await self._run("delete_tenant_keys", epoch)

    async def routes(self) -> list[tuple[str, Route]]:
        """As `keystore.Routes`."""
        return [(name, Route(*row)) for name, *row in await self._rows("routes")]

    async def route(self, name: str) -> Route | None:
        """As `keystore.Routes`."""
        row = await self._row("route", name)
        return Route(*row) if row else None

    async def set_route(self, name: str, expected: Route, new: Route) -> bool:
        """As `keystore.Routes`."""

        async def work(con: Connection, again: bool) -> bool:  # noqa: FBT001
            done = bool(await con.fetchval(self._sql["set_route"], *new, name, expected.version))
            if not done and again:
                row = await con.fetchrow(self._sql["route"], name)
                return row is not None and Route(*row) == new
            return done

        return await self._call(work)

    async def users_by_epoch(self) -> dict[int, int]:
        """As `keystore.Epochs`."""
        return {row[0]: row[1] for row in await self._rows("users_by_epoch")}

    async def switch_epoch(self, old: int, new: int, since: int) -> bool:
        """As `keystore.Epochs`."""

        async def work(con: Connection, again: bool) -> bool:  # noqa: FBT001
            async with con.transaction(isolation=READ_COMMITTED):
                await con.execute(self._sql["hold_epochs"])
                states = {epoch: state for epoch, state, _ in await con.fetch(self._sql["epochs"])}
                if again and states.get(new) == OPEN:
                    return True
                if states.get(old) != OPEN:
                    raise NotReadyError(
                        "another process rotates just now: look at `securemem keys status`, then try again"
                    )
                if await con.fetchval(self._sql["unprepared"], new, len(TENANT_KEY_KINDS)):
                    return False
                await con.execute(self._sql["switch_epoch"], old, new, since)
            return True

        return await self._call(work)

    async def users_under(self, epoch: int, limit: int) -> list[tuple[int, UserRow]]:
        """As `keystore.Epochs`."""
        return [(tenant, UserRow(*rest)) for tenant, *rest in await self._rows("users_under", epoch, limit)]

    async def sessions_to_retag(self, user: int) -> list[SessionRow]:
        """As `keystore.Epochs`."""
        return [SessionRow(*row) for row in await self._rows("sessions_to_retag", user)]

    async def rewrap(self, row: UserRow, new: Rewrapped) -> None:
        """As `keystore.Epochs`."""
        columns = columns_of(new.sessions, 2)

        async def work(con: Connection, _: bool) -> None:  # noqa: FBT001
            async with con.transaction(isolation=READ_COMMITTED):
                if await con.fetchval(self._sql["rewrap_user"], *new[:3], row.number, row.wrapped) and new.sessions:
                    await con.execute(self._sql["retag_sessions"], *columns)

        await self._call(work)

    async def set_destroyed(self, epoch: int, since: int) -> None:
        """As `keystore.Epochs`."""
        await self._run("set_epoch", epoch, DESTROYED, since)


def columns_of(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Give the columns of rows, so many even where there is no row."""
    return [[row[column] for row in rows] for column in range(width)]


def _part(schema: str) -> Part:
    names = {table: f'"{schema}"."{_PREFIX}{table}"' for table in _TABLES}
    folder = Path(__file__).with_name("migrations") / "postgres"
    return Part(schema, "keystore", tuple(f"{_PREFIX}{table}" for table in _TABLES), folder, names)
