"""One aiosqlite connection, and what waits for it: a natural batch, one function a batch in the connection's thread.

While one batch runs, what is asked for next gathers and goes into the next one; where nothing waits, a call goes
straight through. Works of one kind are handed over together: `work(connection, arguments)` takes a list and gives a
list, so that a batch needs few statements however many ask. If a work raises, its members run one by one, so that a
batch never dies with one of its members.

aiosqlite's thread is no daemon and its run-a-function is private; both are touched here alone, and the version is
pinned in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import aiosqlite

from securemem.errors import BackendUnavailableError, ConfigurationError, SecureMemError

BUSY_SECONDS = 30.0
CACHED_STATEMENTS = 256
_PRIMARY_CODE = 0xFF
_POLL_SECONDS = 0.01

Work = Callable[[sqlite3.Connection, list[Any]], list[Any]]
Runner = Callable[[sqlite3.Connection, list[tuple[Work, Any]]], list[Any]]


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing, after what is under way."""


_WAITING = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "VACUUM")
"""How statements begin that wait, for a lock or for the disk."""


async def connect(path: str, prepare: Callable[[sqlite3.Connection], None]) -> aiosqlite.Connection:
    """Open a connection and set it up, in its own thread.

    Raises:
        ConfigurationError, BackendUnavailableError: SQLite's own error, translated; or what `prepare` raises.
    """
    connection = aiosqlite.connect(
        path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=CACHED_STATEMENTS, check_same_thread=False
    )
    connection._thread.daemon = True  # noqa: SLF001  (an unclosed store must not keep the process from ending)
    deadline = time.monotonic() + BUSY_SECONDS
    try:
        await connection
        # Another process is waited for, which no event of ours can tell of.
        while (hindrance := await in_thread(connection, _prepared, prepare)) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
    except BaseException as exc:
        await connection.close()
        if isinstance(exc, sqlite3.Error):
            raise translated(exc, path) from exc
        raise
    if hindrance:
        await connection.close()
        raise translated(hindrance, path)
    return connection


def _prepared(
    con: sqlite3.Connection, prepare: Callable[[sqlite3.Connection], None]
) -> sqlite3.OperationalError | None:
    """Set a connection up; gives the error where another process is in the way: a change of journal does not wait."""
    try:
        prepare(con)
    except sqlite3.OperationalError as exc:
        if con.in_transaction:
            con.execute("ROLLBACK")
        if not is_busy(exc):
            raise
        return exc
    return None


class _Request(NamedTuple):
    work: Work
    argument: Any
    future: asyncio.Future[Any]


def in_transaction(con: sqlite3.Connection, requests: list[tuple[Work, Any]]) -> list[Any]:
    """Run a batch in one transaction that takes the write lock at once."""
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


def _hits_all(error: sqlite3.Error) -> bool:
    """Tell whether an error is the file's, so that every member of a batch would meet it again."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return is_busy(error) or code == sqlite3.SQLITE_READONLY


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection was in the way."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def plainly(con: sqlite3.Connection, requests: list[tuple[Work, Any]]) -> list[Any]:
    """Run a batch of reads, each statement on its own; wait where another process recovers or closes the log."""
    try:
        return _run_plainly(con, requests)
    except sqlite3.OperationalError as exc:
        if not is_busy(exc):
            raise
    con.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    try:
        return _run_plainly(con, requests)
    finally:
        con.execute("PRAGMA busy_timeout = 0")


def _run_plainly(con: sqlite3.Connection, requests: list[tuple[Work, Any]]) -> list[Any]:
    results: list[Any] = []
    for work, group in groupby(requests, key=itemgetter(0)):
        results += work(con, [argument for _, argument in group])
    return results


def _one_by_one(
    con: sqlite3.Connection,
    run: Runner,
    requests: list[tuple[Work, Any]],
) -> list[Any]:
    """Run a batch; where it fails and has several members, run each alone and give its own error in its place."""
    try:
        return run(con, requests)
    except Exception as exc:  # noqa: BLE001  (given to whoever asked)
        if len(requests) == 1 or (isinstance(exc, sqlite3.Error) and _hits_all(exc)):
            return [exc] * len(requests)
    results: list[Any] = []
    for request in requests:
        try:
            results += run(con, [request])
        except Exception as exc:  # noqa: BLE001
            results.append(exc)
    return results


class Near(aiosqlite.Connection):
    """A connection that waits in its thread, and does on the event loop what takes microseconds.

    Waiting is for the lock (BEGIN) and for the disk (COMMIT). Statements between the two touch pages in memory, and a
    way to a thread and back takes ten times as long as they do. It has to be connected with `check_same_thread=False`,
    and be used by one coroutine at a time.
    """

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        owner = getattr(fn, "__self__", None)
        waits = not isinstance(owner, sqlite3.Cursor) or (args and str(args[0]).startswith(_WAITING))
        if self._connection is None or (waits and fn.__name__ != "cursor"):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return fn(*args, **kwargs)


def near(path: str, **options: Any) -> Near:
    """Give such a connection, to be awaited; its thread does not keep the process from ending."""
    connection = Near(lambda: sqlite3.connect(path, **options), 64)
    connection._thread.daemon = True  # noqa: SLF001  (as the docstring of this module says)
    return connection


async def in_thread(connection: aiosqlite.Connection, call: Callable[..., Any], *arguments: Any) -> Any:
    """Run `call(raw connection, *arguments)` in the connection's own thread."""
    raw = connection._conn  # noqa: SLF001  (see the module's docstring)
    return await connection._execute(call, raw, *arguments)  # type: ignore[no-untyped-call]  # noqa: SLF001


class Lane:
    """One connection and what waits for it."""

    def __init__(self, connection: aiosqlite.Connection, run: Runner, path: str) -> None:
        """Take an open connection, how a batch is run on it, and the file's name for errors."""
        self._connection = connection
        self._run = run
        self._path = path
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
        except BaseException:
            # Cancelled, and still running in the thread: nothing else may use the connection until it has ended.
            self._drainer = asyncio.get_running_loop().create_task(self._drain(after_what_runs=True))
            raise
        if self._waiting:
            self._drainer = asyncio.get_running_loop().create_task(self._drain())
        else:
            self._busy = False
        if isinstance(result, Exception):
            raise self._translated(result)
        return result

    async def _hand_over(self, requests: list[tuple[Work, Any]]) -> list[Any]:
        results: list[Any] = await in_thread(self._connection, _one_by_one, self._run, requests)
        return results

    async def _drain(self, *, after_what_runs: bool = False) -> None:
        """Run what waits, batch after batch, until nothing does."""
        if after_what_runs:
            with contextlib.suppress(ValueError):  # closed: nothing runs any more
                await in_thread(self._connection, _nothing)
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._hand_over([(request.work, request.argument) for request in batch])
            except BaseException as exc:
                for request in batch:
                    if not request.future.done():
                        request.future.set_exception(
                            BackendUnavailableError(f"{self._path} was closed before this was written")
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
        return translated(error, self._path) if isinstance(error, sqlite3.Error) else error

    def step_past(self, work: Work, argument: Any) -> Any:
        """Run one short read here and now, on the caller's own thread, if nothing else is under way.

        A hop into the connection's thread and back costs more than reading a few rows that are in memory. The
        connection must be one that never waits for a lock.

        Returns:
            The result, or None where it has to go through the thread.
        """
        if self._busy:
            return None
        try:
            return work(self._connection._conn, [argument])[0]  # noqa: SLF001
        except sqlite3.Error:
            return None

    async def run_alone(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run `call(connection, *arguments)` after what is under way, outside of any transaction."""
        try:
            return await in_thread(self._connection, call, *arguments)
        except sqlite3.Error as exc:
            raise translated(exc, self._path) from exc

    async def aclose(self) -> None:
        """Finish what waits and close the connection."""
        if self._drainer is not None:
            await asyncio.wait([self._drainer])
        await self._connection.close()


def translated(error: sqlite3.Error, path: str) -> SecureMemError:
    """Give SQLite's error as one of ours that says what to do."""
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")):
        made: SecureMemError = ConfigurationError(f"{path} is not a SQLite database, or is damaged: restore it")
    elif code.startswith("SQLITE_READONLY"):
        made = BackendUnavailableError(
            f"{path} is read-only: nothing was written; give this process the right to write"
        )
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
