"""The stores that are held against each other, behind one face: ours, and the raw driver as one must use it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import aiosqlite

from benchmarks.texts import Corpus, Said
from securemem import Message, SecureMemory, Session

USERS = 50
PLENTY = 20_000
"""A `max_messages` that no session here comes near, so that nothing is trimmed."""

_SCHEMA = """
create table m (id integer primary key, sid text not null, role text not null, content text not null, ts real not null);
create index m_sid on m (sid, id);
"""
_INSERT = "insert into m (sid, role, content, ts) values (?, ?, ?, ?)"
_NEWEST = "select role, content, ts from m where sid = ? order by id desc limit 20"
_TRIM = "delete from m where sid = ? and id <= (select id from m where sid = ? order by id desc limit 1 offset ?)"


class Store(Protocol):
    """What every variant can do, by a session's number."""

    async def append(self, number: int, said: list[Said]) -> None:
        """Append messages durably."""

    async def load(self, number: int) -> object:
        """Give the newest twenty messages, oldest first."""


class Raw:
    """One aiosqlite connection, and the lock without which transactions of two coroutines would run into each other."""

    def __init__(self, connection: aiosqlite.Connection, keep: int | None) -> None:
        """Made by `open_raw`."""
        self._connection = connection
        self._lock = asyncio.Lock()
        self._keep = keep

    async def append(self, number: int, said: list[Said]) -> None:
        """Insert rows, delete what is beyond `keep` where there is one, and commit."""
        sid, now = session_name(number), time.time()
        async with self._lock:
            await self._connection.executemany(_INSERT, [(sid, role, content, now) for role, content in said])
            if self._keep is not None:
                await self._connection.execute(_TRIM, (sid, sid, self._keep))
            await self._connection.commit()

    async def load(self, number: int) -> list[dict[str, Any]]:
        """Select the newest twenty as dicts."""
        async with self._lock:
            rows = await self._connection.execute_fetchall(_NEWEST, (session_name(number),))
        return [{"role": role, "content": content, "ts": ts} for role, content, ts in reversed(list(rows))]


@contextlib.asynccontextmanager
async def open_raw(path: Path, *, keep: int | None = None) -> AsyncIterator[Raw]:
    """Open the raw driver on a new file, as durable as ours: WAL and synchronous=FULL."""
    async with aiosqlite.connect(path) as connection:
        await connection.execute("pragma journal_mode = wal")
        await connection.execute("pragma synchronous = full")
        await connection.executescript(_SCHEMA)
        yield Raw(connection, keep)


class Ours:
    """A SecureMemory; every operation takes a handle anew, as a web request would."""

    def __init__(self, memory: SecureMemory) -> None:
        """Take an open store."""
        self.memory = memory

    async def append(self, number: int, said: list[Said]) -> None:
        """Append messages in one step."""
        await self._session(number).add_many([Message(role, content) for role, content in said])

    async def load(self, number: int, limit: int | None = None) -> list[Message]:
        """Give the window."""
        return await self._session(number).context(max_messages=limit)

    async def first_turn(self, number: int, said: list[Said]) -> None:
        """Begin a session of a known user: look, find nothing, append."""
        session = self.memory.session(f"new-{number:06}", user_id=user_name(number))
        await session.history()
        await session.add_many([Message(role, content) for role, content in said])

    async def befriend(self, person: int, corpus: Corpus) -> None:
        """Give a person five sessions of 40 messages."""
        for number in range(5):
            session = self.memory.session(session_name(number), user_id=f"leaver-{person:04}")
            await session.add_many([Message(role, content) for role, content in corpus.run(40 * number, 40)])

    async def forget(self, person: int) -> None:
        """Erase a person whom `befriend` made."""
        receipt = await self.memory.erase_user(f"leaver-{person:04}")
        if receipt.stores["data"]["records"] != 200:
            raise RuntimeError("the erasure did not delete what it was to delete")

    def _session(self, number: int) -> Session:
        return self.memory.session(session_name(number), user_id=user_name(number))


@contextlib.asynccontextmanager
async def open_ours(path: Path, *, max_messages: int = PLENTY) -> AsyncIterator[Ours]:
    """Open our store on a new file, with its keystore, ledger and KEK beside it."""
    async with SecureMemory.open(f"sqlite:///{path}", policy="plain", max_messages=max_messages) as memory:
        yield Ours(memory)


def session_name(number: int) -> str:
    """Give a session's id, as long as those that applications make."""
    return f"session-{number:06}"


def user_name(number: int) -> str:
    """Give the id of a session's user."""
    return f"user-{number % USERS:04}"


def size_on_disk(path: Path) -> int:
    """Give a database's bytes with its write-ahead log moved in; on a copy, for a cut log makes appends slow."""
    copy = path.with_name(f"copy-{path.name}")
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    return copy.stat().st_size
