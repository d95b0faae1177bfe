"""The worker of the retention benchmark, in a process of its own, and how long it keeps SQLite's write lock.

The lock is timed from outside: the writer's connection is given to `lane.in_transaction` within a wrapper that reads
the clock once `BEGIN IMMEDIATE` has returned, which is when the lock is had, and once `COMMIT` has, its fsync included.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Self

from benchmarks.retention_stores import Home
from securemem import lane, sqlitefile


class Lock(NamedTuple):
    """For how many seconds a transaction had the lock, and how many of these the processor worked on it.

    The rest is what the machine took it away for, or the disk.
    """

    seconds: float
    worked: float


@dataclass(slots=True)
class Passed:
    """What a worker did since it was last let go on.

    Attributes:
        records: how many were taken out since it began.
        seconds: that it worked since it began.
        locks: of each transaction on the data, since it began.
        done: whether the pass is over.
    """

    records: int = 0
    seconds: float = 0.0
    locks: list[Lock] = field(default_factory=list)
    done: bool = False


class Worker:
    """A process that takes out what is past its time, a share at a time."""

    def __init__(self, home: Home, share: int, rate: float) -> None:
        """Make it.

        Args:
            home: the store.
            share: after how many records it stops until it is let go on.
            rate: how many it takes out in a second at most; 0 for no limit.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(home, share, rate, theirs), daemon=True)

    async def __aenter__(self) -> Self:
        self._process.start()
        await asyncio.to_thread(self._pipe.recv)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.join)

    async def go_on(self) -> Passed:
        """Let it take out the next share; gives how far it is by then."""
        self._pipe.send(None)
        passed: Passed = await asyncio.to_thread(self._pipe.recv)
        return passed


def _work(home: Home, share: int, rate: float, pipe: Connection) -> None:
    asyncio.run(_go_through(home, share, rate, pipe))


async def _go_through(home: Home, share: int, rate: float, pipe: Connection) -> None:
    passed = Passed()
    time_locks(str(home.folder / "data.db"), passed.locks.append)
    async with home.open() as memory:
        pipe.send(passed)
        await asyncio.to_thread(pipe.recv)
        began, stop = time.perf_counter(), share

        async def pace(records: int) -> bool:
            nonlocal began, stop
            passed.records += records
            if rate:
                await asyncio.sleep(records / rate)
            if passed.records >= stop:
                stop += share
                passed.seconds += time.perf_counter() - began
                pipe.send(passed)
                await asyncio.to_thread(pipe.recv)
                began = time.perf_counter()
            return True

        await memory.retention.work(pace=pace, gentle=rate > 0, purge_seconds=None)
        passed.seconds += time.perf_counter() - began
    passed.done = True
    pipe.send(passed)


class _Timed:
    """A connection that says for how long each transaction had the lock."""

    def __init__(self, connection: sqlite3.Connection, say: Callable[[Lock], None]) -> None:
        self._connection = connection
        self._say = say
        self._since = Lock(0.0, 0.0)

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        """Execute a statement."""
        cursor = self._connection.execute(statement, *arguments)
        if statement == "BEGIN IMMEDIATE":
            self._since = Lock(time.perf_counter(), time.thread_time())
        elif statement in {"COMMIT", "ROLLBACK"}:
            began = self._since
            self._say(Lock(time.perf_counter() - began.seconds, time.thread_time() - began.worked))
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def time_locks(path: str, say: Callable[[Lock], None]) -> None:
    """Time the transactions of this process on one file, from now on."""

    def timed(con: sqlite3.Connection, requests: list[tuple[lane.Work, Any]]) -> list[Any]:
        is_ours = con.execute("PRAGMA database_list").fetchone()[2] == path
        return lane.in_transaction(_Timed(con, say) if is_ours else con, requests)  # type: ignore[arg-type]

    sqlitefile.in_transaction = timed  # type: ignore[attr-defined]
