"""One SQLite file: a writer with group commit and a reader, with the settings that durability and deletion rest on."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.lane import BUSY_SECONDS, Lane, Work, connect, in_transaction, plainly

MEMORY = ":memory:"
_ON, _FULL = 1, 2  # as `secure_delete` and `synchronous` answer


def _each(con: sqlite3.Connection, calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [call(con, *arguments) for call, arguments in calls]


class SqliteFile:
    """A file (or a database in memory) with the settings that SecureMem needs, checked after they were set."""

    def __init__(self, path: str, *, application_id: int, version: int, schema: str) -> None:
        """Name a file; nothing is opened yet.

        Args:
            path: the file, or ":memory:".
            application_id: the number in the file's header that says whose it is.
            version: of the schema, in the header too.
            schema: the SQL that makes an empty file ours.
        """
        self.path = path
        self._application_id = application_id
        self._version = version
        self._schema = schema
        self._tables = set(re.findall(r'CREATE TABLE IF NOT EXISTS "?(\w+)', schema))
        self._writer: Lane | None = None
        self._reader: Lane | None = None

    async def open(self) -> None:
        """Open or create the file.

        Raises:
            ConfigurationError: a directory, another program's file, a newer version, or a setting did not take.
            BackendUnavailableError: it may not be read or written.
        """
        if self.path != MEMORY:
            self._check_place()
        self._writer = Lane(await connect(self.path, self._prepare), in_transaction, self.path)
        if self.path == MEMORY:
            self._reader = self._writer
        else:
            self._reader = Lane(await connect(self.path, _reading_settings), plainly, self.path)

    async def write(self, work: Work, argument: Any) -> Any:
        """Run `work` in a transaction, together with what else waits, and give its result once it is durable."""
        if self._writer is None:
            raise BackendUnavailableError(f"{self.path} is closed")
        return await self._writer.call(work, argument)

    async def read(self, work: Work, argument: Any) -> Any:
        """Run `work` on the reading connection."""
        if self._reader is None:
            raise BackendUnavailableError(f"{self.path} is closed")
        return await self._reader.call(work, argument)

    def read_here(self, work: Work, argument: Any) -> Any:
        """Run a short read of what is likely in memory on the caller's thread; None where that cannot be."""
        reader = self._reader
        return reader.step_past(work, argument) if reader is not None and reader is not self._writer else None

    async def write_one(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run `call(connection, *arguments)` in a transaction, together with what else waits."""
        return await self.write(_each, (call, arguments))

    async def read_one(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run `call(connection, *arguments)` on the reading connection."""
        return await self.read(_each, (call, arguments))

    async def truncate_log(self, seconds: float) -> bool:
        """Move the write-ahead log into the file and cut it to nothing, overwriting what deletions left.

        Returns:
            False where another connection was reading for all of `seconds`: the log is then still there.
        """
        if self.path == MEMORY or self._writer is None:
            return True
        deadline = time.monotonic() + seconds
        while True:
            if not await self._writer.run_alone(_checkpoint):
                return True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.005)

    async def aclose(self) -> None:
        """Finish what waits and close both connections."""
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if reader is not None and reader is not writer:
            await reader.aclose()
        if writer is not None:
            await writer.aclose()

    def _check_place(self) -> None:
        path = Path(self.path)
        if path.is_dir():
            raise ConfigurationError(f"{self.path} is a directory: name a file in it")
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {self.path} does not exist: create it first")
        if path.exists() and not os.access(path, os.W_OK):
            raise BackendUnavailableError(f"{self.path} is read-only: give this process the right to write")

    def _prepare(self, con: sqlite3.Connection) -> None:
        """Set up the writer, and the file if it is new; runs in the connection's thread."""
        application = con.execute("PRAGMA application_id").fetchone()[0]
        version = con.execute("PRAGMA user_version").fetchone()[0]
        empty = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if application != self._application_id and not (empty and application == 0):
            raise ConfigurationError(f"{self.path} is not a SecureMem store of this kind: name another file")
        if application == self._application_id and version > self._version:
            raise ConfigurationError(f"{self.path} was written by a newer SecureMem: upgrade this one")
        _settings(con)
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if application != self._application_id or not tables >= self._tables:
            in_transaction(con, [(self._create, None)])

    def _create(self, con: sqlite3.Connection, _: list[Any]) -> list[Any]:
        con.execute(f"PRAGMA application_id = {self._application_id}")
        con.execute(f"PRAGMA user_version = {self._version}")
        for statement in self._schema.split(";"):
            if statement.strip():
                con.execute(statement)
        return []


def _settings(con: sqlite3.Connection) -> None:
    """Set what durability and deletion rest on, and check that it took: builds of SQLite differ."""
    in_memory = con.execute("PRAGMA database_list").fetchone()[2] == ""
    mode = con.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    con.execute("PRAGMA synchronous = FULL")
    secure = con.execute("PRAGMA secure_delete = ON").fetchone()[0]
    con.execute("PRAGMA foreign_keys = ON")
    if not in_memory and mode != "wal":
        raise ConfigurationError("this file system does not let SQLite keep a write-ahead log: use a local disk")
    if (secure, con.execute("PRAGMA synchronous").fetchone()[0]) != (_ON, _FULL):
        raise ConfigurationError("this build of SQLite refuses secure_delete or synchronous=FULL: use another")


def _reading_settings(con: sqlite3.Connection) -> None:
    """Set up a connection that reads, and never waits for a lock by itself (`lane.plainly` does)."""
    _settings(con)
    con.execute("PRAGMA query_only = ON")
    con.execute("PRAGMA busy_timeout = 0")


def _checkpoint(con: sqlite3.Connection) -> bool:
    """Checkpoint and truncate; True if another connection was in the way."""
    con.execute("PRAGMA busy_timeout = 0")
    try:
        return bool(con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    finally:
        con.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def placeholders(count: int) -> str:
    """Give so many `?`, separated by commas."""
    return ",".join("?" * count)
