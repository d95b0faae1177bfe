"""A ledger in PostgreSQL: SQLAlchemy Core over asyncpg, in a schema that it may share with others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from securemem import sql
from securemem.errors import ConfigurationError
from securemem.ledger.file import LedgerFile
from securemem.ledger.home import Peek, Work, revisions
from securemem.ledger.names import in_database
from securemem.model import Stamp
from securemem.postgres import STATEMENTS, Connection, PostgresServer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from securemem.ledger.schema import Tables

T = TypeVar("T")

_CONNECTIONS = 2  # acts and events are written one after the other: more would wait for each other at the server
_TABLES = ("version", "stamp", "acts", "tombstones", "moves", "holds")


async def _nothing(_: AsyncConnection, __: Tables) -> None:
    """Be a transaction, for what the first one makes."""


class LedgerDatabase:
    """One schema of one database."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Name the database; nothing is opened yet.

        Args:
            url: `postgresql://…`, with the driver's own parameters.
            options: of `postgres.OPTIONS`.

        Raises:
            ConfigurationError: an option that cannot be.
        """
        self._server = PostgresServer(url, options)
        self._statements = STATEMENTS if options.get("pooler", "none") == "none" else 0
        self._room = asyncio.Semaphore(_CONNECTIONS)
        self._names = {table: f'"{self._server.schema}".{in_database(table)}' for table in _TABLES}
        self._sql = sql.load(Path(__file__).with_suffix(".sql"), **self._names)
        self._opened: tuple[AsyncEngine, Tables] | None = None
        self._opening = asyncio.Lock()

    @property
    def place(self) -> str:
        """As `home.Home`."""
        return self._server.name

    async def peek(self) -> Peek | None:
        """As `home.Home`; by the driver alone."""
        self._server.reopen()
        await self._server.check()
        return await self._server.call(self._peek)

    async def _peek(self, con: Connection, _: bool) -> Peek | None:  # noqa: FBT001  (as `postgres.Work` has it)
        schema, tables = self._server.schema, [in_database(table) for table in _TABLES]
        [there] = await con.fetch(self._sql["look"], self._names["version"], schema, tables)
        if there["tables"] and not there["kept"]:
            raise ConfigurationError(
                f"{self.place}: schema {schema} has tables of the ledger's names that are not SecureMem's: name another"
            )
        if not there["may_use"] or (not there["kept"] and not there["may_create"]):
            raise ConfigurationError(
                f"{self.place}: this user lacks rights in schema {schema}: grant it those that docs/servers.md names"
            )
        if not there["kept"]:
            return None
        if not {row[0] for row in await con.fetch(self._sql["version"])} <= revisions():
            raise ConfigurationError(f"{self.place}: the ledger was written by a newer SecureMem: upgrade this one")
        row = await con.fetchrow(self._sql["peek"])
        return Peek(Stamp(row[0], row[1]), row[2]) if row else None

    async def has_standing(self) -> bool:
        """As `home.Home`."""
        return await self._server.call(self._has_standing)

    async def _has_standing(self, con: Connection, _: bool) -> bool:  # noqa: FBT001  (as `postgres.Work` has it)
        return bool(await con.fetchval(self._sql["standing"]))

    async def transact(self, deployment: bytes, work: Work[T]) -> T:
        """As `home.Home`."""
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open(deployment)
        engine, tables = self._opened
        async with self._room:  # before its time runs, for to wait for others is no silence of the server's
            return await self._server.retrying(lambda _: self._attempt(engine, tables, work))

    async def _attempt(self, engine: AsyncEngine, tables: Tables, work: Work[T]) -> T:
        from securemem.ledger.engine import unwrapped  # noqa: PLC0415

        with unwrapped():
            async with engine.begin() as connection:
                return await work(connection, tables)

    async def _open(self, deployment: bytes) -> tuple[AsyncEngine, Tables]:
        await asyncio.to_thread(__import__, "securemem.ledger.engine")  # a third of a second of importing, off the loop

        from securemem.ledger.engine import make_database_engine, migrate_database  # noqa: PLC0415
        from securemem.ledger.schema import tables_of  # noqa: PLC0415

        schema, seconds = self._server.schema, self._server.seconds
        migrate = partial(migrate_database, self._connect, schema, deployment, seconds=seconds)
        await self._server.retrying(lambda _: asyncio.to_thread(migrate))
        size, statements = _CONNECTIONS, self._statements
        engine = make_database_engine(self._connect, schema, size=size, statements=statements)
        return engine, tables_of(in_database)

    async def _connect(self, *_: Any, **__: Any) -> Connection:
        """Give a connection as SQLAlchemy asks for one: it hands on what a URL of its own would say."""
        return await self._server.connect()

    async def backup(self, deployment: bytes, path: Path) -> None:
        """As `home.Home`."""
        await self.transact(deployment, _nothing)  # brings it up to date
        from securemem.ledger.copies import copy_database  # noqa: PLC0415

        async with self._server.connection(None) as con:
            await copy_database(con, self._server.schema, deployment, path, seconds=self._server.seconds)

    async def adopt(self, deployment: bytes, copy: Path) -> None:
        """As `home.Home`."""
        await LedgerFile(str(copy)).brought_up(deployment)
        await self.transact(deployment, _nothing)
        from securemem.ledger.copies import fill_database  # noqa: PLC0415

        async with self._server.connection(None) as con:
            if not await fill_database(con, self._server.schema, copy, seconds=self._server.seconds):
                raise ConfigurationError(f"{self.place} has a ledger: a backup is restored where there is none")
        await asyncio.to_thread(copy.unlink)

    async def aclose(self) -> None:
        """As `home.Home`."""
        if self._opened is not None:
            await self._opened[0].dispose()
            self._opened = None
        await self._server.aclose()
