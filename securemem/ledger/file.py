"""A ledger in a SQLite file, or in memory: SQLAlchemy Core over aiosqlite."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from securemem.errors import ConfigurationError
from securemem.ledger.home import BUSY_SECONDS, Peek, Work, revisions
from securemem.model import Stamp

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from securemem.ledger.schema import Tables

MEMORY = ":memory:"

T = TypeVar("T")


class LedgerFile:
    """One file, or one database in memory."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self.place = path
        self._opened: tuple[AsyncEngine, Tables] | None = None
        self._opening = asyncio.Lock()

    async def peek(self) -> Peek | None:
        """As `home.Home`."""
        if self.place == MEMORY:
            return None
        try:
            return await asyncio.to_thread(_peek, self.place)
        except sqlite3.Error as exc:
            raise ConfigurationError(f"{self.place} is no SecureMem ledger: name another file, or restore it") from exc

    async def transact(self, deployment: bytes, work: Work[T]) -> T:
        """As `home.Home`."""
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open(deployment)
        engine, tables = self._opened
        from securemem.ledger.engine import translated  # noqa: PLC0415

        with translated(self.place):
            async with engine.begin() as connection:
                return await work(connection, tables)

    async def _open(self, deployment: bytes) -> tuple[AsyncEngine, Tables]:
        await asyncio.to_thread(__import__, "securemem.ledger.engine")  # half a second of importing, off the loop

        from securemem.ledger.engine import create, make_file_engine, migrate_file, translated  # noqa: PLC0415
        from securemem.ledger.names import in_file  # noqa: PLC0415
        from securemem.ledger.schema import Tables  # noqa: PLC0415

        tables = Tables(in_file)
        if self.place != MEMORY:
            await asyncio.to_thread(migrate_file, self.place, BUSY_SECONDS, deployment)
        engine = make_file_engine(self.place, BUSY_SECONDS)
        if self.place == MEMORY:
            with translated(self.place):
                async with engine.begin() as connection:
                    await connection.run_sync(create, tables, deployment)
        return engine, tables

    async def aclose(self) -> None:
        """As `home.Home`."""
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
