"""One SQLite file: a writer with group commit and a reader, with the settings that durability and deletion rest on."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from securemem.checkpoints import LAST_RESORT_PAGES, Checkpoints, flush
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.lane import BUSY_SECONDS, Lane, Work, connect, in_transaction, is_busy, plainly

MEMORY = ":memory:"
SCRUB_BYTES = 64 * 1024 * 1024
_POLL_SECONDS = 0.005
_PAGES_A_WRITE = 3
_ON, _FULL = 1, 2  # as `secure_delete` and `synchronous` answer


def _each(con: sqlite3.Connection, calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [call(con, *arguments) for call, arguments in calls]


class SqliteFile:
    """A file (or a database in memory) with the settings that SecureMem needs, checked after they were set."""

    def __init__(self, path: str, *, application_id: int, schema: str, upgrades: Sequence[str] = ()) -> None:
        """Name a file; nothing is opened yet.

        Args:
            path: the file, or ":memory:".
            application_id: the number in the file's header that says whose it is.
            schema: the SQL that makes an empty file ours.
            upgrades: the SQL that brings a file of version 1 to 2, of 2 to 3, and so on; the version is in the header.
        """
        self.path = path
        self._application_id = application_id
        self._version = len(upgrades) + 1
        self._upgrades = upgrades
        self._schema = schema
        self._tables = set(re.findall(r'CREATE (?:TABLE|INDEX) IF NOT EXISTS "?(\w+)', schema))
        self._closed = False
        self._creating = asyncio.Lock()
        self._writer: Lane | None = None
        self._reader: Lane | None = None
        self._checkpoints = Checkpoints(path) if path != MEMORY else None

    async def open(self) -> bool:
        """Open the file; one that does not exist is created by the first read or write.

        Returns:
            Whether it exists.

        Raises:
            ConfigurationError: a directory, another program's file, a newer version, or a setting did not take.
            BackendUnavailableError: it may not be read or written.
        """
        self._closed = False
        if self.path != MEMORY and not self._check_place():
            return False
        await self._connect()
        return True

    async def _connect(self) -> None:
        self._writer = Lane(await connect(self.path, self._prepare), in_transaction, self.path)
        if self.path == MEMORY:
            self._reader = self._writer
        else:
            self._reader = Lane(await connect(self.path, _reading_settings), plainly, self.path)

    async def _lane(self, *, write: bool) -> Lane:
        if self._writer is None or self._reader is None:
            if self._closed:
                raise BackendUnavailableError(f"{self.path} is closed")
            async with self._creating:
                if self._writer is None or self._reader is None:
                    await self._connect()
        lane = self._writer if write else self._reader
        if lane is None:
            raise BackendUnavailableError(f"{self.path} is closed")
        return lane

    async def write(self, work: Work, argument: Any) -> Any:
        """Run `work` in a transaction, together with what else waits, and give its result once it is durable."""
        result = await (self._writer or await self._lane(write=True)).call(work, argument)
        if self._checkpoints is not None:
            self._checkpoints.note(_PAGES_A_WRITE)
        return result

    async def write_all(self, work: Work, arguments: list[Any], *, pages: int) -> list[Any]:
        """Run `work` in a transaction that holds others up as little as can be; gives its results once it is durable.

        The lock is given back before the disk has the transaction, which is waited for afterwards. Whoever writes on
        top of it waits for both, for there is one log; whoever reads may see it some milliseconds before it is durable.

        Args:
            work: as `write`.
            arguments: for it.
            pages: how many it writes, more or less.
        """
        writer = self._writer or await self._lane(write=True)
        results: list[Any] = await writer.run_alone(_flushed_later, self.path, work, arguments)
        if self._checkpoints is not None:
            self._checkpoints.note(pages)
        return results

    async def read(self, work: Work, argument: Any) -> Any:
        """Run `work` on the reading connection."""
        return await (self._reader or await self._lane(write=False)).call(work, argument)

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

    def read_here_one(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run `call(connection, *arguments)` here and now, as `read_here`; None where that cannot be."""
        return self.read_here(_each, (call, arguments))

    async def scrub(self, seconds: float) -> list[str]:
        """Remove what deletions left in the file and its write-ahead log.

        `secure_delete` overwrites a row where it lies; but where SQLite has split a page, an older copy of a row can be
        left in its free space, and the log holds pages as they were. So the file is rewritten, and the log moved into
        it and cut to nothing. A file over 64 MiB is not rewritten here: that would hold up its writers for too long.

        Returns:
            What is still there, in words: other connections can keep the log, or the lock, for all of `seconds`.
        """
        if self.path == MEMORY or self._writer is None:
            return []
        if self._checkpoints is not None:
            await self._checkpoints.settle()
        deadline = time.monotonic() + seconds
        left = []
        hindrance = await self._rewritten(deadline)
        if hindrance is not None:
            left.append(f"older copies of deleted rows in the file's free space: {hindrance}")
        if not await self._repeat(_checkpoint, deadline):
            left.append("deleted pages in the write-ahead log: another process kept reading it")
        return left

    async def _rewritten(self, deadline: float) -> str | None:
        """Rewrite the file; gives why that could not be, if it could not."""
        if self._writer is None or await self._writer.run_alone(_size) > SCRUB_BYTES:
            return "it is too large to be rewritten while it is used; vacuum it in a quiet hour"
        try:
            return None if await self._repeat(_rewrite, deadline) else "another process kept it locked"
        except BackendUnavailableError:
            return "there was no room to rewrite it"

    async def _repeat(self, step: Callable[[sqlite3.Connection], bool], deadline: float) -> bool:
        """Run a step until it is through, or the time is."""
        while self._writer is not None:
            if await self._writer.run_alone(step):
                return True
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def aclose(self) -> None:
        """Finish what waits and close both connections."""
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        self._closed = True
        if self._checkpoints is not None:
            await self._checkpoints.settle()
        if reader is not None and reader is not writer:
            await reader.aclose()
        if writer is not None:
            await writer.aclose()

    def _check_place(self) -> bool:
        """Refuse what cannot become our file; tell whether it is there."""
        path = Path(self.path)
        if path.is_dir():
            raise ConfigurationError(f"{self.path} is a directory: name a file in it")
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {self.path} does not exist: create it first")
        if path.exists() and not os.access(path, os.W_OK):
            raise BackendUnavailableError(f"{self.path} is read-only: give this process the right to write")
        return path.exists()

    def _prepare(self, con: sqlite3.Connection) -> None:
        """Set up the writer, and the file if it is new; runs in the connection's thread."""
        self._check_owner(con)
        _settings(con)
        con.execute(f"PRAGMA wal_autocheckpoint = {LAST_RESORT_PAGES}")
        in_transaction(con, [(self._create, None)] if self._wants_tables(con) else [])

    def _check_owner(self, con: sqlite3.Connection) -> None:
        """Refuse another program's file, and one of a newer version."""
        con.execute("BEGIN")  # both answers from one state: another process may be making the file just now
        application = con.execute("PRAGMA application_id").fetchone()[0]
        version = con.execute("PRAGMA user_version").fetchone()[0]
        empty = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        con.execute("COMMIT")
        if application != self._application_id and not (empty and application == 0):
            raise ConfigurationError(f"{self.path} is not a SecureMem store of this kind: name another file")
        if application == self._application_id and version > self._version:
            raise ConfigurationError(f"{self.path} was written by a newer SecureMem: upgrade this one")

    def _wants_tables(self, con: sqlite3.Connection) -> bool:
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
        return not self._tables <= tables or con.execute("PRAGMA user_version").fetchone()[0] < self._version

    def _create(self, con: sqlite3.Connection, _: list[Any]) -> list[Any]:
        """Make what is not there, and bring what is there up to date."""
        version = con.execute("PRAGMA user_version").fetchone()[0]
        con.execute(f"PRAGMA application_id = {self._application_id}")
        con.execute(f"PRAGMA user_version = {self._version}")
        for text in (*(self._upgrades[version - 1 :] if version else ()), self._schema):
            for statement in text.split(";"):
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
    con.execute("PRAGMA temp_store = MEMORY")  # a rewrite must not leave a copy among temporary files
    if not in_memory and mode != "wal":
        raise ConfigurationError("this file system does not let SQLite keep a write-ahead log: use a local disk")
    if (secure, con.execute("PRAGMA synchronous").fetchone()[0]) != (_ON, _FULL):
        raise ConfigurationError("this build of SQLite refuses secure_delete or synchronous=FULL: use another")


def _flushed_later(con: sqlite3.Connection, path: str, work: Work, arguments: list[Any]) -> list[Any]:
    """Run a transaction, and flush the log once its lock is given back."""
    con.execute("PRAGMA synchronous = NORMAL")
    try:
        results = in_transaction(con, [(work, argument) for argument in arguments])
    finally:
        con.execute("PRAGMA synchronous = FULL")
    if path != MEMORY:
        flush(path)
    return results


def _reading_settings(con: sqlite3.Connection) -> None:
    """Set up a connection that reads, and never waits for a lock by itself (`lane.plainly` does)."""
    _settings(con)
    con.execute("PRAGMA query_only = ON")
    con.execute("PRAGMA busy_timeout = 0")


def _size(con: sqlite3.Connection) -> int:
    pages, size = con.execute("PRAGMA page_count").fetchone()[0], con.execute("PRAGMA page_size").fetchone()[0]
    return int(pages * size)


def _rewrite(con: sqlite3.Connection) -> bool:
    """Rewrite the file without its free space; False if another connection holds the lock."""
    return _unhindered(con, "VACUUM")


def _checkpoint(con: sqlite3.Connection) -> bool:
    """Move the log into the file and cut it to nothing; False if another connection was in the way."""
    return _unhindered(con, "PRAGMA wal_checkpoint(TRUNCATE)")


def _unhindered(con: sqlite3.Connection, statement: str) -> bool:
    con.execute("PRAGMA busy_timeout = 0")
    try:
        row = con.execute(statement).fetchone()
    except sqlite3.OperationalError as exc:
        if not is_busy(exc):
            raise
        return False
    finally:
        con.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return row is None or row[0] == 0


def placeholders(count: int) -> str:
    """Give so many `?`, separated by commas."""
    return ",".join("?" * count)
