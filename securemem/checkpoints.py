"""Moves a SQLite file's write-ahead log into the file beside whoever writes, so that no transaction pays for it.

SQLite would do it at the end of a transaction that finds the log over 1,000 pages: copying them and two fsyncs, while
that transaction's batch waits. Here a thread does it over a connection of its own, which takes no writer's lock. The
log begins anew only where a writer finds all of it moved; so what came meanwhile is moved too, until nothing is left.
The writer does it only where that has not kept up (`LAST_RESORT_PAGES`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from contextlib import closing

from securemem.errors import BackendUnavailableError

LAST_RESORT_PAGES = 4000
_AFTER_PAGES = 1000
_ROUNDS = 8
"""How often it is moved at most, where more comes meanwhile each time."""


class Checkpoints:
    """Those of one file, by one process."""

    def __init__(self, path: str) -> None:
        """Name the file."""
        self._path = path
        self._pages = 0
        self._under_way: asyncio.Task[None] | None = None

    def note(self, pages: int) -> None:
        """Count pages that were written, more or less; where they are many, begin to move them."""
        self._pages += pages
        if self._pages < _AFTER_PAGES or (self._under_way is not None and not self._under_way.done()):
            return
        self._pages = 0
        self._under_way = asyncio.get_running_loop().create_task(asyncio.to_thread(_checkpoint, self._path))

    async def settle(self) -> None:
        """Wait for what is under way."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])


def flush(path: str) -> None:
    """Wait until the disk has the log of a file, all of it.

    Raises:
        BackendUnavailableError: the disk does not take it.
    """
    try:
        number = os.open(f"{path}-wal", os.O_RDWR)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as exc:
        raise BackendUnavailableError(f"{path} cannot be flushed to its disk ({exc.strerror})") from exc


def _checkpoint(path: str) -> None:
    """Move what no reader needs in the log any more; what goes wrong here is done by the next one, or the writer."""
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA synchronous = FULL")
        before = -1
        for _ in range(_ROUNDS):
            busy, pages, moved = con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if busy or moved < pages or pages == before:
                break
            before = pages
