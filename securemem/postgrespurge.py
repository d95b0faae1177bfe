"""Removes what deletions leave on a PostgreSQL server's disk, and says what is left and until when.

A deleted row stays in its page until VACUUM, and its bytes in the page's free space after that: a small table is
written anew, with its indexes (VACUUM FULL); a large one, which that would block for too long, is only vacuumed. A row
that an older transaction may still see is kept by the server, so that is waited for. The write-ahead log holds rows as
they were inserted: where this user may, the log is moved on, standbys and archiver are given half of the time to take
it, and past a checkpoint the old segments that wait for reuse are written over; else it is left to the server. That
removes it with the checkpoint after the one that is under way, twice `checkpoint_timeout` from now at the latest, where
it uses no segment again (`wal_recycle`) and keeps none for others; else only the amount that is written decides, and
there is no date.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import asyncpg
from asyncpg import exceptions as pg

from securemem import sql
from securemem.errors import BackendUnavailableError
from securemem.model import Residue, ResidueKind
from securemem.postgres import Connection, PostgresServer


class _Left(NamedTuple):
    """What is left of the log: in words, until when, and who else can tell."""

    what: str
    until: datetime | None = None
    kind: ResidueKind = ResidueKind.PLACE


REWRITTEN_BYTES = 64 * 1024 * 1024
OVERWRITTEN_BYTES = 1024 * 1024 * 1024

_LOCK_PATIENCE = "250ms"  # whoever comes after one that waits for a table's lock waits too
_POLL_SECONDS = 0.05
_LEAST_SECONDS = 0.01
_GRACE_SECONDS = 5.0
_SQL = sql.load(Path(__file__).with_suffix(".sql"), patience=_LOCK_PATIENCE)

_TABLE = "older copies of deleted rows in its tables' files: "
_LARGE = _TABLE + "one is too large to be written anew while it is used; run VACUUM FULL in a quiet hour"
_FOREIGN = _TABLE + "this user does not own them; have their owner run VACUUM FULL"
_LOCKED = _TABLE + "another transaction kept one locked"
_WATCHED = _TABLE + "a transaction, a replica or a slot that may still see them was there all the time"
_LOG = "deleted rows in the server's write-ahead log"
_LOG_KEPT = _LOG + ": a replication slot, the archiver or wal_keep_size keeps it"
_LOG_SLOW = _LOG + ": there was no time to move it on"
_LOG_UNKNOWN = (
    _LOG + ", until the server has written over it; docs/servers.md says which rights or settings end that sooner"
)
_ARCHIVE = "deleted rows in the archive of the server's write-ahead log"
_REPLICA = "deleted rows in the write-ahead logs of the server's replicas"
_BROKEN_OFF = "deleted rows on the server's disk: it did not answer while the rest of them was removed"
_COPIES = ((_ARCHIVE, "archived"), (_REPLICA, "replicas"))


async def purge(server: PostgresServer, tables: Sequence[str], *, store: str, seconds: float) -> list[Residue]:
    """Remove what deletions left in some tables and in the write-ahead log.

    Args:
        server: where they lie, in its schema.
        tables: their names; one that is not there is passed over.
        store: whose residue it is.
        seconds: how long to wait and work, at most.

    Raises:
        BackendUnavailableError: the server cannot be reached, and nothing was found out.
    """
    deadline, found = time.monotonic() + seconds, dict[Residue, None]()
    try:
        async with server.connection(seconds + _GRACE_SECONDS) as con:
            [(mark, sees_all)] = await con.fetch(_SQL["begin"])
            for table in tables:
                place = _Table(con, f'"{server.schema}"."{table}"', mark, sees_all=sees_all)
                if (what := await place.purge(deadline)) is not None:
                    found[Residue(store, what)] = None
            found |= dict.fromkeys(Residue(store, *left) for left in await _purge_log(con, deadline))
    except BackendUnavailableError:
        if not found:
            raise
        found[Residue(store, _BROKEN_OFF)] = None
    return list(found)


class _Table:
    """One table that rows were deleted from."""

    def __init__(self, con: Connection, name: str, mark: str, *, sees_all: bool) -> None:
        """Name it.

        Args:
            con: to the server.
            name: with its schema, quoted.
            mark: a transaction that is younger than the deletions.
            sees_all: whether this user is told of everybody's transactions.
        """
        self._con = con
        self._name = name
        self._mark = mark
        self._sees_all = sees_all

    async def purge(self, deadline: float) -> str | None:
        """Write it anew, or vacuum it if it is large; gives what is left, in words."""
        found = await self._con.fetchrow(_SQL["table"], self._name)
        if found is None:
            return None
        if found[0] > REWRITTEN_BYTES:
            await self._within(deadline, "vacuum")
            return _LARGE
        while True:
            hindrance = await self._rewrite(deadline, found[1])
            if hindrance in (None, _FOREIGN) or time.monotonic() >= deadline:
                return hindrance
            await asyncio.sleep(_POLL_SECONDS)

    async def _rewrite(self, deadline: float, file: int) -> str | None:
        if await self._con.fetchval(_SQL["watched"], self._mark):
            return _WATCHED
        try:
            await self._con.execute(self._text("probe"))
        except pg.InsufficientPrivilegeError:
            return _FOREIGN
        except (pg.LockNotAvailableError, pg.DeadlockDetectedError):
            return _LOCKED
        finally:
            if self._con.is_in_transaction():
                await self._con.execute("ROLLBACK")
        kept = _Kept()
        self._con.add_log_listener(kept)
        try:
            if not await self._within(deadline, "rewrite"):
                return _LOCKED
            await asyncio.sleep(0)  # the driver hands messages on a tick later
        finally:
            self._con.remove_log_listener(kept)
        if await self._con.fetchval(_SQL["table"], self._name, column=1) == file:
            return _FOREIGN  # it said so in a warning
        return None if self._sees_all or not kept.rows else _WATCHED

    async def _within(self, deadline: float, query: str) -> bool:
        try:
            await self._con.execute(self._text(query), timeout=max(deadline - time.monotonic(), _LEAST_SECONDS))
        except TimeoutError:
            return False
        return True

    def _text(self, query: str) -> str:
        return _SQL[query].replace("{table}", self._name)


class _Kept:
    """Hears how many deleted rows a rewrite had to keep: the first number in the detail, in every language."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        """Take a message of the server."""
        count = (getattr(message, "detail", None) or "").partition(" ")[0]
        if count.isdecimal():
            self.rows += int(count)


async def _purge_log(con: Connection, deadline: float) -> list[_Left]:
    """Remove what the write-ahead log holds; gives what is left of it, and until when."""
    [facts] = await con.fetch(_SQL["log"])
    found = await (_overwrite(con, facts, deadline) if facts["ours"] else _leave(con, facts, _LOG_UNKNOWN))
    left = [found] if found is not None else []
    return left + [_Left(what, kind=ResidueKind.COPY) for what, fact in _COPIES if facts[fact]]


async def _leave(con: Connection, facts: asyncpg.Record, otherwise: str) -> _Left:
    """Leave the log to the server, which removes it by a date, or uses it again some day."""
    if not facts["removed"]:
        return _Left(otherwise)
    await con.execute(_SQL["note"], facts["segment_bytes"])  # what was deleted lies in a segment that is complete
    return _Left(_LOG, facts["until"])


async def _overwrite(con: Connection, facts: asyncpg.Record, deadline: float) -> _Left | None:
    """Let the server be done with its log up to now, and fill the segments that it wants to use again."""
    try:
        async with asyncio.timeout(max(deadline - time.monotonic(), _LEAST_SECONDS)):
            await _move_on(con)
            await _until_taken(con, facts["newest"], (deadline + time.monotonic()) / 2)
            await con.execute(_SQL["checkpoint"])
            waiting = [name for name in await _segments(con) if name > facts["newest"]]
            if len(waiting) * facts["segment_bytes"] > OVERWRITTEN_BYTES:
                return _Left(_LOG_UNKNOWN)
            while await con.fetchval(_SQL["newest"]) <= waiting[-1]:
                await _move_on(con)
            kept = any(name <= facts["newest"] for name in await _segments(con))
    except TimeoutError:
        return await _leave(con, facts, _LOG_SLOW)
    return _Left(_LOG_KEPT, kind=ResidueKind.COPY) if kept else None


async def _until_taken(con: Connection, newest: str, deadline: float) -> None:
    """Wait until the archiver and the standbys that are there have taken the log, for which the server keeps it."""
    end = await con.fetchval(_SQL["end"])
    while await con.fetchval(_SQL["wanted"], newest, end):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(_POLL_SECONDS)


async def _move_on(con: Connection) -> None:
    """Fill the present segment of the log."""
    await con.execute(_SQL["note"], 1)
    await con.execute(_SQL["switch"])


async def _segments(con: Connection) -> list[str]:
    return [name for (name,) in await con.fetch(_SQL["segments"])]
