"""One SQLite file through aiosqlite: a writer with group commit and a reader, each one function a batch in its thread.

While one commit runs, what is asked for next gathers and goes into the next transaction; where nothing waits, a call
goes straight through. Works of one kind are handed over together: `work(connection, arguments)` takes a list and gives
a list, so that a batch needs few statements however many ask. If a work raises, the transaction is rolled back and its
members run one by one, so that a batch never dies with one of its members.

aiosqlite's thread is no daemon and its run-a-function is private; both are touched here alone, and the version is
pinned in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite

from securemem.errors import BackendUnavailableError, ConfigurationError, SecureMemError

MEMORY = ":memory:"
BUSY_SECONDS = 30.0

Work = Callable[[sqlite3.Connection, list[Any]], list[Any]]


class _Request(NamedTuple):
    work: Work
    argument: Any
    future: asyncio.Future[Any]


def _in_transaction(con: sqlite3.Connection, requests: list[tuple[Work, Any]]) -> list[Any]:
    con.execute("BEGIN IMMEDIATE")
    try:
        results: list[Any] = []
        for work, group in groupby(requests, key=itemgetter(0)):
            results += work(con, [argument for _, argument in group])
        con.execute("COMMIT")
    except BaseException:
        if con.in_transaction:
            con.execute("ROLLBACK")
        raise
    return results


def _plainly(con: sqlite3.Connection, requests: list[tuple[Work, Any]]) -> list[Any]:
    results: list[Any] = []
    for work, group in groupby(requests, key=itemgetter(0)):
        results += work(con, [argument for _, argument in group])
    return results


def _one_by_one(
    run: Callable[[sqlite3.Connection, list[tuple[Work, Any]]], list[Any]],
    con: sqlite3.Connection,
    requests: list[tuple[Work, Any]],
) -> list[Any]:
    """Run a batch; where it fails and has several members, run each alone and give its own error in its place."""
    try:
        return run(con, requests)
    except (sqlite3.Error, SecureMemError) as exc:
        if len(requests) == 1:
            return [exc]
    results: list[Any] = []
    for request in requests:
        try:
            results += run(con, [request])
        except (sqlite3.Error, SecureMemError) as exc:
            results.append(exc)
    return results


class _Lane:
    """One connection and what waits for it."""

    def __init__(self, connection: aiosqlite.Connection, run: Callable[..., list[Any]], describe: str) -> None:
        self._connection = connection
        self._run = run
        self._describe = describe
        self._busy = False
        self._waiting: list[_Request] = []
        self._drainer: asyncio.Task[None] | None = None

    async def call(self, work: Work, argument: Any) -> Any:
        """Run one work, alone if nothing else is under way."""
        if self._busy:
            request = _Request(work, argument, asyncio.get_running_loop().create_future())
            self._waiting.append(request)
            return await request.future
        self._busy = True
        try:
            [result] = await self._hand_over([(work, argument)])
        finally:
            if self._waiting:
                self._drainer = asyncio.get_running_loop().create_task(self._drain())
            else:
                self._busy = False
        if isinstance(result, Exception):
            raise self._translated(result)
        return result

    async def _hand_over(self, requests: list[tuple[Work, Any]]) -> list[Any]:
        raw = self._connection._conn  # noqa: SLF001  (see the module's docstring)
        return await self._connection._execute(_one_by_one, self._run, raw, requests)  # type: ignore[no-any-return]  # noqa: SLF001

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._hand_over([(request.work, request.argument) for request in batch])
            except BaseException as exc:
                for request in batch:
                    if not request.future.done():
                        request.future.set_exception(
                            BackendUnavailableError(f"{self._describe} was closed before this was written")
                        )
                self._busy = False
                if isinstance(exc, Exception):
                    return
                raise
            for request, result in zip(batch, results, strict=True):
                if request.future.done():
                    continue
                if isinstance(result, Exception):
                    request.future.set_exception(self._translated(result))
                else:
                    request.future.set_result(result)
        self._busy = False

    def _translated(self, error: Exception) -> Exception:
        return translated(error, self._describe) if isinstance(error, sqlite3.Error) else error

    async def aclose(self) -> None:
        if self._drainer is not None:
            await asyncio.wait([self._drainer])
        await self._connection.close()


def _each(con: sqlite3.Connection, calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    return [call(con, *arguments) for call, arguments in calls]


def translated(error: sqlite3.Error, path: str) -> SecureMemError:
    """Give SQLite's error as one of ours that says what to do."""
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")):
        made: SecureMemError = ConfigurationError(f"{path} is not a SQLite database, or is damaged: restore it")
    elif code.startswith("SQLITE_READONLY"):
        made = BackendUnavailableError(f"{path} is read-only: nothing was written; give this process the right to write")
    elif code.startswith("SQLITE_CANTOPEN"):
        made = ConfigurationError(f"{path} cannot be opened: check that its folder exists and may be written to")
    elif code.startswith("SQLITE_FULL"):
        made = BackendUnavailableError(f"the disk of {path} is full: nothing was written; make room and try again")
    elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        made = BackendUnavailableError(f"{path} was locked by another process for {BUSY_SECONDS:g} s")
    else:
        made = BackendUnavailableError(f"{path} cannot be used just now ({code or type(error).__name__})")
    made.__cause__ = error
    return made


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
        self._writer: _Lane | None = None
        self._reader: _Lane | None = None

    async def open(self) -> None:
        """Open or create the file.

        Raises:
            ConfigurationError: a directory, another program's file, a newer version, or a setting did not take.
            BackendUnavailableError: it may not be read or written.
        """
        if self.path != MEMORY:
            self._check_place()
        writer = await self._connect(self._prepare)
        self._writer = _Lane(writer, _in_transaction, self.path)
        if self.path == MEMORY:
            self._reader = self._writer
        else:
            self._reader = _Lane(await self._connect(_settings), _plainly, self.path)

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
        connection = self._writer._connection  # noqa: SLF001
        while True:
            busy = await connection._execute(_checkpoint, connection._conn)  # noqa: SLF001
            if not busy:
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

    async def _connect(self, prepare: Callable[[sqlite3.Connection], None]) -> aiosqlite.Connection:
        connection = aiosqlite.connect(
            self.path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=256, check_same_thread=False
        )
        connection._thread.daemon = True  # noqa: SLF001  (an unclosed store must not keep the process from ending)
        try:
            await connection
            await connection._execute(prepare, connection._conn)  # noqa: SLF001
        except sqlite3.Error as exc:
            with contextlib.suppress(sqlite3.Error):
                await connection.close()
            raise translated(exc, self.path) from exc
        except BaseException:
            await connection.close()
            raise
        return connection

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
            _in_transaction(con, [(self._create, None)])

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
    if secure != 1 or con.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise ConfigurationError("this build of SQLite refuses secure_delete or synchronous=FULL: use another")


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
