"""The order in which batches take heads on PostgreSQL: the same for all, so that no two wait for each other for ever.

A third transaction holds the middle one of three heads, so that of two batches each has taken what it takes first, and
waits, before either goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from asyncpg import exceptions as pg

from securemem.backends.postgres import Answer, PostgresBackend
from securemem.model import Change
from securemem.postgres import Connection
from securemem.testing.backend.hooks import handle

SHIPPED = {"moved": "ORDER BY s.session FOR UPDATE", "begun": "WHERE expected = '' ORDER BY session"}
AS_ASKED = {
    "moved": "ORDER BY array_position($1, s.session) FOR UPDATE",
    "begun": "WHERE expected = '' ORDER BY array_position($1, session)",
}
"""Fault: heads are taken in the order in which a batch names them."""
HOLD = {
    "moved": "SELECT 1 FROM messages_sessions WHERE session = $1 FOR UPDATE",
    "begun": "INSERT INTO messages_sessions (session, head, next) VALUES ($1, 'theirs', 1)",
}
IS_WAITING = "SELECT cardinality(pg_blocking_pids($1)) > 0"
BEGUN = {"moved": b"before", "begun": b""}


@pytest.fixture
async def backend(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """Give an open store with its tables."""
    backend = PostgresBackend(postgres_url, {})
    await backend.open()
    await backend._ensure()
    yield backend
    await backend.aclose()


async def _meet(backend: PostgresBackend, url: str, how: str) -> list[list[Answer] | BaseException]:
    """Let two batches of the same three sessions meet, in opposite orders, without another try; gives what they got."""
    sessions = sorted(handle() for _ in range(3))
    if BEGUN[how]:
        assert await backend._swap_together([Change(each, b"", BEGUN[how]) for each in sessions]) == [None] * 3
    async with AsyncExitStack() as stack:
        holder, watcher, one, other = [await _connected(stack, url) for _ in range(4)]
        holding = holder.transaction()
        await holding.start()
        await holder.execute(HOLD[how], sessions[1])
        under_way: list[asyncio.Task[list[Answer]]] = []
        for connection, order, mark in ((one, sessions, b"one"), (other, sessions[::-1], b"other")):
            batch = [Change(session, BEGUN[how], mark, rows=[(1, mark)]) for session in order]
            under_way.append(asyncio.create_task(backend._change_all(connection, batch, again=False)))
            async with asyncio.timeout(10):
                # The server has no event for it that would reach us.
                while not await watcher.fetchval(IS_WAITING, connection.get_server_pid()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await holding.rollback()
        return await asyncio.gather(*under_way, return_exceptions=True)


async def _connected(stack: AsyncExitStack, url: str) -> Connection:
    connection = await asyncpg.connect(url)
    stack.push_async_callback(connection.close)
    return connection


@pytest.mark.parametrize("how", ["moved", "begun"])
async def test_batches_in_opposite_orders(backend: PostgresBackend, postgres_url: str, how: str) -> None:
    """Of two batches that move, or begin, the same sessions in opposite orders one wins all, and both get through."""
    for _ in range(3):
        assert await _meet(backend, postgres_url, how) == [[None] * 3, [b"one"] * 3]


@pytest.mark.parametrize("how", ["moved", "begun"])
async def test_batches_that_take_heads_as_asked(backend: PostgresBackend, postgres_url: str, how: str) -> None:
    """Control: where heads are taken in the order of the batch, the same two batches deadlock."""
    assert SHIPPED[how] in backend._sql["moves"]
    backend._sql["moves"] = backend._sql["moves"].replace(SHIPPED[how], AS_ASKED[how])
    found = await _meet(backend, postgres_url, how)
    assert [type(each) for each in found].count(pg.DeadlockDetectedError) == 1
    assert [each for each in found if isinstance(each, list)] == [[None] * 3]
