"""A filled store, the way to its rows as they lie there, and what an attacker kept from earlier.

A SQLite file is touched with the plain sqlite3 module, the store in process memory through its dicts.
"""

from __future__ import annotations

import contextlib
import copy
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from securemem import Message, SecureMemory, Session
from securemem.model import Change

HEAD = 0xFFFFFFFF
TRIP, WORK, GROUP, LONG, FOREIGN = range(1, 6)
IDS = {TRIP: ("trip-4711", "alice-real"), GROUP: ("group-room", "carol-real"), LONG: ("long-talk", "erin-real")}
SECRETS = ("-real", "trip-", "work-", "group-", "long-", "SECRET", "acme")

Rows = dict[int, Any]
"""Bodies by id: session number << 32 | seq, the head of a session at the highest seq."""


def at(session: int, seq: int) -> int:
    """Give a row's id."""
    return session << 32 | seq


class Loot(NamedTuple):
    """What an attacker has kept from earlier."""

    earlier: Rows
    rival: bytes


async def _fill(memory: SecureMemory, number: int, count: int = 8) -> Session:
    session_id, user_id = IDS.get(number, ("work-4711", "alice-real"))
    chat = memory.session(session_id, user_id=user_id)
    for seq in range(1, count + 1):
        await chat.add("user", f"SECRET {number}-{seq}")
    return chat


async def lost_race(memory: SecureMemory, chat: Session, count: int = 1) -> list[tuple[int, bytes]]:
    """Let an append lose its compare-and-swap to another one, and give the rows that it had sealed for the place."""
    backend, changes = (await memory._ready()).backend, list[Change]()
    shared = await memory.conversation(chat.user_id, chat.session_id, ())
    real, stale = backend.swap, copy.copy(shared.newest)

    async def swap(change: Change) -> bytes | None:
        changes.append(change)
        return await real(change)

    await chat.add_many([Message("user", "SECRET winner")] * count)
    shared.newest = stale
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "swap", swap)
        await chat.add_many([Message("user", "SECRET loser")] * count)
    assert len(changes) == 2, "the append had to lose once"
    return changes[0].rows


async def build(memory: SecureMemory, rows: Callable[[], Rows]) -> Loot:
    """Fill a store of which an attacker sees every state: the losing append is for place 7, its second try is 8."""
    trip = memory.session(IDS[TRIP][0], user_id=IDS[TRIP][1])
    await trip.add_many([Message("user", f"SECRET {seq}") for seq in (1, 2, 3)])
    await trip.add("user", "SECRET of a guest", user_id="bob-real")
    await trip.add("user", "SECRET 5", metadata={"more": "SECRET"})
    earlier = rows()
    await trip.add("user", "SECRET 6")
    [(_, rival)] = await lost_race(memory, trip)
    await _fill(memory, WORK)
    group = await _fill(memory, GROUP, 2)
    await group.add("user", "SECRET of Dave", user_id="dave-real")
    await group.add("user", "SECRET 4")
    await _fill(memory, LONG, 3)
    earlier |= {row: body for row, body in rows().items() if row not in earlier}
    await memory.erase_user("dave-real")
    long = memory.session(IDS[LONG][0], user_id=IDS[LONG][1])
    for seq in range(4, 11):
        await long.add("user", f"SECRET 4-{seq}")
    return Loot(earlier, rival)


class Store:
    """A store that was filled, the way to its rows, and what an attacker kept."""

    def __init__(self, url: str, loot: Loot | None = None) -> None:
        """Open nothing yet."""
        self.url = url
        self.loot = loot or Loot({}, b"")
        self.memory = self.open()

    def open(self, tenant: str = "default") -> SecureMemory:
        """Give another store object over the same data."""
        return SecureMemory.open(self.url, tenant=tenant, max_messages=8)

    def chat(self, number: int, memory: SecureMemory | None = None) -> Session:
        """Give a handle of a session by its number."""
        return (memory or self.memory).session(IDS[number][0], user_id=IDS[number][1])

    @contextlib.contextmanager
    def file(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to the file that knows nothing of SecureMem."""
        with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as con:
            con.execute("PRAGMA synchronous = OFF")
            yield con

    def _sessions(self) -> dict[bytes, Any]:
        deployment = self.memory._deployment
        sessions: dict[bytes, Any] = vars(deployment.backend)["_sessions"] if deployment is not None else {}
        return sessions

    def rows(self) -> Rows:
        """Give all rows and heads."""
        if self.url != "memory://":
            with self.file() as con:
                return dict(con.execute("SELECT id, body FROM messages"))
        found = enumerate(self._sessions().values(), 1)
        return {
            at(number, seq): body
            for number, each in found
            for seq, body in [*each.rows.items(), (HEAD, each.head)]
            if body or seq != HEAD
        }

    def put_one(self, row: int, body: Any) -> None:
        """Replace one row."""
        if self.url != "memory://":
            with self.file() as con:
                con.execute("INSERT OR REPLACE INTO messages VALUES (?, ?)", (row, body))
            return
        session = list(self._sessions().values())[(row >> 32) - 1]
        if row & HEAD == HEAD:
            session.head = body
        else:
            session.rows[row & HEAD] = body

    def put(self, rows: Rows) -> None:
        """Replace what is not the same, and remove what is not there."""
        if self.url != "memory://":
            before = self.rows()
            with self.file() as con:
                con.execute("BEGIN")
                changed = [pair for pair in rows.items() if pair not in before.items()]
                con.executemany("DELETE FROM messages WHERE id = ?", [(row,) for row in before.keys() - rows.keys()])
                con.executemany("INSERT OR REPLACE INTO messages VALUES (?, ?)", changed)
                con.execute("COMMIT")
            return
        for number, session in enumerate(self._sessions().values(), 1):
            own = {row & HEAD: body for row, body in sorted(rows.items()) if row >> 32 == number}
            session.head = own.pop(HEAD, b"")
            session.rows = own

    def handle(self, number: int) -> str:
        """Give a session's handle in hex."""
        if self.url == "memory://":
            return list(self._sessions())[number - 1].hex()
        with self.file() as con:
            found: bytes = con.execute("SELECT handle FROM messages_sessions WHERE number = ?", (number,)).fetchone()[0]
            return found.hex()
