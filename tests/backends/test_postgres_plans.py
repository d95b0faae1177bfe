"""What a load reads on PostgreSQL: its page, however long the session, by the plan that serves every call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from securemem.backends.postgres import PostgresBackend
from securemem.postgres import Connection
from securemem.testing.backend.hooks import handle, write

MANY, PAGE = 10_000, 20
LOWER_BOUND = {"tail": "seq >= least(s.next, $3) - $2 AND ", "tails": "seq >= least(s.next, a.before) - a.most AND "}
TYPES = {"tail": "bytea, bigint, bigint", "tails": "bytea[], bigint[], bigint[]"}
ARGUMENTS = {"tail": "{session}, {page}, {before}", "tails": "ARRAY[{session}], ARRAY[{page}], ARRAY[{before}]"}
NEWEST, FROM_THE_MIDDLE = 2**62, MANY // 2
ONE_PLAN = "force_generic_plan"

Scan = dict[str, Any]


@pytest.fixture
async def session(postgres_url: str) -> AsyncIterator[tuple[PostgresBackend, bytes]]:
    """Give a store with one long session among short ones, and which it is."""
    backend, session = PostgresBackend(postgres_url, {}), handle()
    await backend.open()
    for _ in range(50):
        await write(backend, handle(), 1, PAGE)
    await write(backend, session, 1, MANY + 1)
    yield backend, session
    await backend.aclose()


@pytest.fixture
async def planner(postgres_url: str) -> AsyncIterator[Connection]:
    """Give a connection on which a statement has one plan for all its arguments."""
    connection = await asyncpg.connect(postgres_url, server_settings={"plan_cache_mode": ONE_PLAN})
    yield connection
    await connection.close()


async def _scan(con: Connection, name: str, query: str, session: bytes, before: int) -> Scan:
    """Prepare a statement, run it by its generic plan, and give how that read the rows."""
    await con.execute(f"PREPARE shipped ({TYPES[name]}) AS {query}")
    arguments = ARGUMENTS[name].format(session=f"'\\x{session.hex()}'::bytea", page=PAGE, before=before)
    explained = await con.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, FORMAT JSON) EXECUTE shipped ({arguments})"
    )
    await con.execute("DEALLOCATE shipped")
    [scan] = [node for node in _nodes(json.loads(explained)[0]["Plan"]) if node.get("Relation Name") == "messages"]
    return scan


def _nodes(plan: Scan) -> Iterator[Scan]:
    """Give a plan's nodes, as EXPLAIN has them in JSON: an input's under its own."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _rows(scan: Scan) -> int:
    """Give how many rows were looked at."""
    found: float = (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
    return round(found)


def _blocks(scan: Scan) -> int:
    """Give how many pages of table and index were looked at."""
    found: int = scan["Shared Hit Blocks"] + scan["Shared Read Blocks"]
    return found


@pytest.mark.parametrize("before", [NEWEST, FROM_THE_MIDDLE])
@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("name", ["tail", "tails"])
async def test_a_load_reads_no_more_than_its_page(
    session: tuple[PostgresBackend, bytes], planner: Connection, name: str, before: int, *, analyzed: bool
) -> None:
    """Of 10,000 rows the generic plan of the shipped statement reads twenty, with the server's statistics or without.

    Control: without the lower bound, which comes from the head, the same plan reads all of them.
    """
    backend, handle = session
    if analyzed:
        await planner.execute("ANALYZE messages, messages_sessions")
    query = backend._sql[name]
    scan = await _scan(planner, name, query, handle, before)
    assert (scan["Node Type"], _rows(scan)) == ("Index Scan", PAGE)
    assert _blocks(scan) < PAGE
    unbounded = query.replace(LOWER_BOUND[name], "")
    assert unbounded != query
    scan = await _scan(planner, name, unbounded, handle, before)
    assert _rows(scan) == min(before - 1, MANY)
    assert _blocks(scan) > PAGE


async def test_the_store_plans_so(session: tuple[PostgresBackend, bytes]) -> None:
    """A store's own connections have one plan a statement too, so that its calls go by the plans above."""
    backend, _ = session
    assert await backend._server.call(lambda con, _: con.fetchval("SHOW plan_cache_mode")) == ONE_PLAN
