"""The way to a store's rows as they lie there, for somebody who knows nothing of SecureMem.

A SQLite file is touched with the plain sqlite3 module, a server by its driver, the store in process memory through its
dicts. On a server the keystore, which lies in a SQLite file, tells which number a session has.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import asyncpg
import redis

from securemem.testing.servers.postgres import run_blocking

HEAD = 0xFFFFFFFF
_NEXT_BYTES = 8
_OF_ROWS = {
    "DELETE": "DELETE FROM messages WHERE session = $1 AND seq = $2",
    "PUT": "INSERT INTO messages VALUES ($1, $2, $3) ON CONFLICT (session, seq) DO UPDATE SET body = excluded.body",
}
_OF_HEADS = {
    "DELETE": "DELETE FROM messages_sessions WHERE session = $1",
    "PUT": """
        INSERT INTO messages_sessions (session, head, next) VALUES ($1, $2, 1)
        ON CONFLICT (session) DO UPDATE SET head = excluded.head
        """,
}
_ENDS = """
UPDATE messages_sessions s SET next = ends.next
FROM (SELECT session, max(seq) + 1 AS next FROM messages GROUP BY session) ends
WHERE s.session = ends.session AND s.next <> ends.next
"""

Rows = dict[int, Any]
"""Bodies by id: session number << 32 | seq, the head of a session at the highest seq."""


def at(session: int, seq: int) -> int:
    """Give a row's id."""
    return session << 32 | seq


class Access(Protocol):
    """What somebody can do who has the data store in their hands."""

    def rows(self) -> Rows:
        """Give all rows and heads."""

    def put(self, rows: Rows) -> None:
        """Replace what is not the same, and remove what is not there."""

    def put_one(self, row: int, body: Any) -> None:
        """Replace one row."""

    def handle(self, number: int) -> str:
        """Give a session's handle in hex."""


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a SQLite file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA synchronous = OFF")
        yield con


class SqliteAccess:
    """To a SQLite file."""

    def __init__(self, path: str) -> None:
        """Take its path."""
        self._path = path

    def rows(self) -> Rows:
        """As `Access`."""
        with opened(self._path) as con:
            return dict(con.execute("SELECT id, body FROM messages"))

    def put(self, rows: Rows) -> None:
        """As `Access`."""
        before = self.rows()
        changed = [pair for pair in rows.items() if pair not in before.items()]
        with opened(self._path) as con:
            con.execute("BEGIN")
            con.executemany("DELETE FROM messages WHERE id = ?", [(row,) for row in before.keys() - rows.keys()])
            con.executemany("INSERT OR REPLACE INTO messages VALUES (?, ?)", changed)
            con.execute("COMMIT")

    def put_one(self, row: int, body: Any) -> None:
        """As `Access`."""
        with opened(self._path) as con:
            con.execute("INSERT OR REPLACE INTO messages VALUES (?, ?)", (row, body))

    def handle(self, number: int) -> str:
        """As `Access`."""
        with opened(self._path) as con:
            found: bytes = con.execute("SELECT handle FROM messages_sessions WHERE number = ?", (number,)).fetchone()[0]
            return found.hex()


class MemoryAccess:
    """To the dicts of a store in process memory."""

    def __init__(self, sessions: Callable[[], dict[bytes, Any]]) -> None:
        """Take what gives the sessions by their handles, in the order in which they were made."""
        self._sessions = sessions

    def rows(self) -> Rows:
        """As `Access`."""
        return {
            at(number, seq): body
            for number, each in enumerate(self._sessions().values(), 1)
            for seq, body in [*each.rows.items(), (HEAD, each.head)]
            if body or seq != HEAD
        }

    def put(self, rows: Rows) -> None:
        """As `Access`."""
        for number, session in enumerate(self._sessions().values(), 1):
            own = {row & HEAD: body for row, body in sorted(rows.items()) if row >> 32 == number}
            session.head = own.pop(HEAD, b"")
            session.rows = own

    def put_one(self, row: int, body: Any) -> None:
        """As `Access`."""
        session = list(self._sessions().values())[(row >> 32) - 1]
        if row & HEAD == HEAD:
            session.head = body
        else:
            session.rows[row & HEAD] = body

    def handle(self, number: int) -> str:
        """As `Access`."""
        return list(self._sessions())[number - 1].hex()


class _ServerAccess:
    """What ways to servers have in common."""

    def __init__(self, keystore: Path) -> None:
        self._keystore = keystore

    def _handles(self) -> dict[int, bytes]:
        """Give the sessions that have a key, by their numbers."""
        with opened(self._keystore) as con:
            return dict(con.execute("SELECT session, handle FROM sessions"))

    def handle(self, number: int) -> str:
        """As `Access`."""
        return self._handles()[number].hex()


class PostgresAccess(_ServerAccess):
    """To a database; what says where a session ends goes with its rows."""

    def __init__(self, url: str, keystore: Path) -> None:
        """Take the database's URL, and the file of the keystore."""
        super().__init__(keystore)
        self._url = url

    def rows(self) -> Rows:
        """As `Access`."""
        return run_blocking(self._rows())

    def put(self, rows: Rows) -> None:
        """As `Access`."""
        run_blocking(self._put(rows))

    def put_one(self, row: int, body: Any) -> None:
        """As `Access`."""
        self.put(self.rows() | {row: body})

    async def _rows(self) -> Rows:
        numbers = {handle: number for number, handle in self._handles().items()}
        con = await asyncpg.connect(self._url)
        found = [
            *await con.fetch("SELECT session, seq, body FROM messages"),
            *await con.fetch("SELECT session, $1::bigint, head FROM messages_sessions", HEAD),
        ]
        await con.close()
        return {at(numbers[session], seq): body for session, seq, body in found if session in numbers}

    async def _put(self, rows: Rows) -> None:
        handles, before = self._handles(), await self._rows()
        con = await asyncpg.connect(self._url)
        async with con.transaction():
            for row in before.keys() - rows.keys():
                await _change(con, "DELETE", handles[row >> 32], row & HEAD)
            for row, body in rows.items():
                if before.get(row) != body:
                    await _change(con, "PUT", handles[row >> 32], row & HEAD, body)
            await con.execute(_ENDS)
        await con.close()


async def _change(con: asyncpg.Connection[asyncpg.Record], what: str, handle: bytes, seq: int, *body: bytes) -> None:
    if seq == HEAD:
        await con.execute(_OF_HEADS[what], handle, *body)
    else:
        await con.execute(_OF_ROWS[what], handle, seq, *body)


class RedisAccess(_ServerAccess):
    """To a Redis; a head is the list's last element as it lies there, with what stands before the head in it."""

    def __init__(self, url: str, prefix: str, keystore: Path) -> None:
        """Take the server's URL, the keys' prefix, and the file of the keystore."""
        super().__init__(keystore)
        self._url = url
        self._prefix = prefix

    @contextlib.contextmanager
    def _lists(self) -> Iterator[tuple[redis.Redis, dict[int, str]]]:
        names = {number: f"{self._prefix}{{{handle.hex()}}}" for number, handle in self._handles().items()}
        with redis.Redis.from_url(self._url) as client:
            yield client, names

    def rows(self) -> Rows:
        """As `Access`; a seq follows from the head and a row's place."""
        found: Rows = {}
        with self._lists() as (client, names):
            for number, name in names.items():
                elements = cast("list[bytes]", client.lrange(name, 0, -1))
                if elements:
                    head = elements.pop()
                    first = int.from_bytes(head[:_NEXT_BYTES]) - len(elements)
                    found |= {at(number, first + place): body for place, body in enumerate(elements)}
                    found[at(number, HEAD)] = head
        return found

    def put(self, rows: Rows) -> None:
        """As `Access`; what is not there is not kept room for."""
        with self._lists() as (client, names), client.pipeline() as pipe:
            for number, name in names.items():
                pipe.delete(name)
                elements = [body for row, body in sorted(rows.items()) if row >> 32 == number]
                if elements:
                    pipe.rpush(name, *elements)
            pipe.execute()

    def put_one(self, row: int, body: Any) -> None:
        """As `Access`."""
        self.put(self.rows() | {row: body})
