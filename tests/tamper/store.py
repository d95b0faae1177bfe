"""A filled store, and what an attacker kept from earlier."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from securemem import Message, SecureMemory, Session
from securemem.model import Change

from .access import Access, MemoryAccess, Rows, SqliteAccess

TRIP, WORK, GROUP, LONG, FOREIGN = range(1, 6)
IDS = {TRIP: ("trip-4711", "alice-real"), GROUP: ("group-room", "carol-real"), LONG: ("long-talk", "erin-real")}
SECRETS = ("-real", "trip-", "work-", "group-", "long-", "SECRET", "acme")


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
    backend, changes = (await memory.host.ready()).backend, list[Change]()
    shared = await memory.host.conversation(chat.user_id, chat.session_id, ())
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

    def __init__(self, url: str, loot: Loot | None = None, *, access: Access | None = None, **options: Any) -> None:
        """Open nothing yet.

        Args:
            url: of the data.
            loot: of a store that was filled before.
            access: to the rows, where they lie on a server.
            options: more for `SecureMemory.open`.
        """
        self.url = url
        self.loot = loot or Loot({}, b"")
        self._options = options
        self._access = access or (
            MemoryAccess(self._sessions) if url == "memory://" else SqliteAccess(url.removeprefix("sqlite:///"))
        )
        self.memory = self.open()

    @property
    def listed(self) -> bool:
        """Whether rows lie in a list, the head as its last element."""
        return self.url.startswith("redis")

    def open(self, tenant: str = "default") -> SecureMemory:
        """Give another store object over the same data."""
        return SecureMemory.open(self.url, tenant=tenant, **({"max_messages": 8} | self._options))

    def chat(self, number: int, memory: SecureMemory | None = None) -> Session:
        """Give a handle of a session by its number."""
        return (memory or self.memory).session(IDS[number][0], user_id=IDS[number][1])

    def _sessions(self) -> dict[bytes, Any]:
        deployment = self.memory.host.deployment
        sessions: dict[bytes, Any] = vars(deployment.backend)["_sessions"] if deployment is not None else {}
        return sessions

    def rows(self) -> Rows:
        """Give all rows and heads."""
        return self._access.rows()

    def put(self, rows: Rows) -> None:
        """Replace what is not the same, and remove what is not there."""
        self._access.put(rows)

    def put_one(self, row: int, body: Any) -> None:
        """Replace one row."""
        self._access.put_one(row, body)

    def handle(self, number: int) -> str:
        """Give a session's handle in hex."""
        return self._access.handle(number)
