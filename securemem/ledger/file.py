"""A ledger in a SQLite file, or in memory: SQLAlchemy Core over aiosqlite."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from securemem import lane
from securemem.errors import ConfigurationError
from securemem.ledger.home import BUSY_SECONDS, Peek, Work, revisions
from securemem.model import Stamp
from securemem.newfile import check_database_place, put_database, told
from securemem.underway import UnderWay

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from securemem.ledger.schema import Tables

MEMORY = ":memory:"
STANDING = "SELECT EXISTS (SELECT 1 FROM holds WHERE released_at IS NULL AND kind <> 'preserved')"
"""Asks what `home.Home.has_standing` gives."""

T = TypeVar("T")


class LedgerFile:
    """One file, or one database in memory."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self.place = path
        self._opened: tuple[AsyncEngine, Tables] | None = None
        self._opening = asyncio.Lock()
        self._reading: sqlite3.Connection | None = None
        self._under_way = UnderWay()

    async def peek(self) -> Peek | None:
        """As `home.Home`."""
        if self.place == MEMORY:
            return None
        try:
            return await asyncio.to_thread(_peek, self.place)
        except sqlite3.Error as exc:
            raise ConfigurationError(f"{self.place} is no SecureMem ledger: name another file, or restore it") from exc

    async def has_standing(self) -> bool:
        """As `home.Home`."""
        if self.place == MEMORY:
            return self._opened is not None and await self.transact(b"", _has_standing)
        with contextlib.suppress(sqlite3.Error):  # another process may be in the way for a moment
            return _stands(self._reading or await self._open_reading())
        try:
            return await asyncio.to_thread(_look_for_standing, self.place)
        except sqlite3.Error as exc:
            raise lane.translated(exc, self.place) from exc

    async def _open_reading(self) -> sqlite3.Connection:
        """Open what looks are done on, on the event loop, and keep it."""
        async with self._opening:
            if self._reading is None:
                self._reading = await asyncio.to_thread(_connected, self.place, 0.0)
            return self._reading

    async def transact(self, deployment: bytes, work: Work[T]) -> T:
        """As `home.Home`."""
        steps = self._transact(deployment, work)
        # SQLAlchemy drops the connection of whoever is cancelled, and a database in memory goes with its connection.
        return await (self._under_way.through(steps) if self.place == MEMORY else steps)

    async def _transact(self, deployment: bytes, work: Work[T]) -> T:
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open(deployment)
        engine, tables = self._opened
        from securemem.ledger.engine import translated  # noqa: PLC0415

        with translated(self.place):
            async with engine.begin() as connection:
                return await work(connection, tables)

    async def _open(self, deployment: bytes) -> tuple[AsyncEngine, Tables]:
        await asyncio.to_thread(__import__, "securemem.ledger.engine")  # a third of a second of importing, off the loop

        from securemem.ledger.engine import create, make_file_engine, migrate_file, translated  # noqa: PLC0415
        from securemem.ledger.names import in_file  # noqa: PLC0415
        from securemem.ledger.schema import tables_of  # noqa: PLC0415

        tables = tables_of(in_file)
        if self.place != MEMORY:
            await asyncio.to_thread(migrate_file, self.place, BUSY_SECONDS, deployment)
        engine = make_file_engine(self.place, BUSY_SECONDS)
        if self.place == MEMORY:
            with translated(self.place):
                async with engine.begin() as connection:
                    await connection.run_sync(create, tables, deployment)
        return engine, tables

    async def backup(self, _: bytes, path: Path) -> None:
        """As `home.Home`."""
        self._check()
        from securemem.ledger.copies import copy_file  # noqa: PLC0415

        with told(path):
            try:
                await asyncio.to_thread(copy_file, self.place, path)
            except sqlite3.Error as exc:
                raise lane.translated(exc, self.place) from exc

    async def adopt(self, deployment: bytes, copy: Path) -> None:
        """As `home.Home`."""
        self._check()
        check_database_place(Path(self.place))
        await LedgerFile(str(copy)).brought_up(deployment)
        await asyncio.to_thread(put_database, copy, Path(self.place))

    async def brought_up(self, deployment: bytes) -> None:
        """Bring a backup up to this version.

        Raises:
            ConfigurationError: it is no ledger, of a newer version, or another deployment's.
        """
        if await self.peek() is None:
            raise ConfigurationError(f"{self.place} is no ledger")
        from securemem.ledger.engine import migrate_file  # noqa: PLC0415

        await asyncio.to_thread(migrate_file, self.place, BUSY_SECONDS, deployment)

    def _check(self) -> None:
        if self.place == MEMORY:
            raise ConfigurationError("memory:// is gone with this process: name a place for the ledger")

    async def aclose(self) -> None:
        """As `home.Home`."""
        await self._under_way.idle()
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        if self._opened is not None:
            await self._opened[0].dispose()
            self._opened = None


def _peek(path: str) -> Peek | None:
    if not Path(path).exists():
        return None
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as con:
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return None
        if "alembic_version" in tables:
            written = {version for (version,) in con.execute("SELECT version_num FROM alembic_version")}
            if not written <= revisions():
                raise ConfigurationError(f"{path} was written by a newer SecureMem: upgrade this one")
        row = con.execute("SELECT deployment FROM securemem_stamp").fetchone()
        if row is None:
            return None
        counter = con.execute("SELECT coalesce(max(counter), 0) FROM acts").fetchone()[0]
        unfinished = con.execute("SELECT count(*) FROM acts WHERE done_at IS NULL").fetchone()[0]
        return Peek(Stamp(row[0], counter), unfinished)


def _connected(path: str, busy_seconds: float) -> sqlite3.Connection:
    """Open a file that is there, for a look that takes microseconds."""
    place = f"{Path(path).absolute().as_uri()}?mode=rw"
    return sqlite3.connect(place, uri=True, timeout=busy_seconds, check_same_thread=False)


def _stands(con: sqlite3.Connection) -> bool:
    return bool(con.execute(STANDING).fetchone()[0])


def _look_for_standing(path: str) -> bool:
    with closing(_connected(path, BUSY_SECONDS)) as con:
        return _stands(con)


async def _has_standing(connection: AsyncConnection, _: Tables) -> bool:
    from sqlalchemy import text  # noqa: PLC0415

    return bool((await connection.execute(text(STANDING))).scalar_one())
