"""What a deployment of many people needs, reckoned from what a message, a session and a turn cost here.

People with a few sessions of 100 messages each are written to PostgreSQL and to Redis, their keys to a second database
of the same PostgreSQL; tables, memory, write-ahead log and processor time are read from the servers and the process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks import processes, server_places, work
from benchmarks.report import print_below
from benchmarks.server_places import POSTGRESQL, REDIS, new_place, open_ours, size_of
from benchmarks.stores import Ours, session_name
from benchmarks.texts import Corpus
from benchmarks.timing import at_once
from securemem import Session

SESSIONS, MESSAGES, WORKERS, TURNS = 1_000, 100, 64, 50
PACKAGES = ("securemem", "asyncpg", "redis", "hiredis")
_TABLE = "select pg_total_relation_size($1::regclass) / greatest(count, 1) from (select count(*) from {0}) counted"
_DAY_SECONDS = 86_400
_NOTE = """\
Messages of 200 characters. Processor time is this process's, for a turn (load
twenty, append two) of 64 at once; a server's is what the whole machine used
besides, so it holds on a quiet machine only. Replicas, free space and backups
come on top."""


class People(Ours):
    """Our store, with two sessions of each person."""

    def _session(self, number: int) -> Session:
        return self.memory.session(session_name(number), user_id=f"person-{number // 2:06}")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured: bytes, and seconds of a processor."""

    message_postgres: float
    message_redis: float
    head: float
    person_key: float
    session_key: float
    log_append: float
    log_first: float
    client_postgres: float
    client_redis: float
    server_postgres: float
    server_redis: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--people", type=int, default=10_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=1_000, help="kept of each (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=10, help="of each (default: %(default)s)")
    parser.add_argument("--turns", type=float, default=10, help="of each in a day (default: %(default)s)")
    parser.add_argument("--peak", type=float, default=5, help="the busiest hour beside the mean (default: %(default)s)")
    server_places.add_servers(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, reckon, and print both."""
    with server_places.running(arguments) as versions, TemporaryDirectory(prefix="securemem-bench-") as folder:
        costs = asyncio.run(_measure(Path(folder)))
    _show("Measured", _measured(costs))
    title = f"{arguments.people:,} people, {arguments.messages:,} messages each in {arguments.sessions} sessions"
    _show(title, needed(costs, arguments))
    print_below(_NOTE, processes.machine(*PACKAGES) | versions)
    return 0


async def _measure(folder: Path) -> Costs:
    corpus = Corpus()
    async with new_place(POSTGRESQL) as data, new_place(POSTGRESQL) as keys, _connected(data.url) as con:
        async with open_ours(data, _new(folder, "postgres"), keystore=keys.url) as opened:
            ours = People(opened.memory)
            started = await _log(con)
            await work.fill(ours, corpus, sessions=SESSIONS, messages=2)
            begun = await _log(con)
            await work.fill(ours, corpus, sessions=SESSIONS, messages=MESSAGES)
            filled = await _log(con)
            async with _connected(keys.url) as there:  # before floors are raised, as at every close
                person, session = [await _size(there, f"securemem_keystore_{name}") for name in ("users", "sessions")]
            client, server = await _turns(ours, corpus)
        head, message = await _size(con, "messages_sessions"), await _size(con, "messages")
    async with new_place(REDIS) as place, open_ours(place, _new(folder, "redis")) as opened:
        ours = People(opened.memory)
        await work.fill(ours, corpus, sessions=SESSIONS, messages=MESSAGES)
        size = await size_of(place)
        client_redis, server_redis = await _turns(ours, corpus)
    return Costs(
        message_postgres=message,
        message_redis=size / (SESSIONS * MESSAGES),
        head=head,
        person_key=person,
        session_key=session,
        log_append=(filled - begun) / (SESSIONS * MESSAGES / 2),
        log_first=(begun - started) / SESSIONS,
        client_postgres=client,
        client_redis=client_redis,
        server_postgres=server,
        server_redis=server_redis,
    )


async def _turns(ours: Ours, corpus: Corpus) -> tuple[float, float]:
    """Give the processor seconds that a turn costs this process, and those that it costs all others."""
    once = at_once(work.worker_turn(ours, corpus), workers=WORKERS, turns=TURNS)
    await once()
    others, before = processes.OtherWork(), time.process_time()
    await once()
    turns = WORKERS * TURNS
    return (time.process_time() - before) / turns, (others.seconds() or 0.0) / turns


def _measured(costs: Costs) -> dict[str, str]:
    return {
        "a message in PostgreSQL, with its index": in_bytes(costs.message_postgres),
        "a message in Redis, in memory": in_bytes(costs.message_redis),
        "a session's head in PostgreSQL, with its indexes": in_bytes(costs.head),
        "a person's key in a keystore on PostgreSQL, with indexes": in_bytes(costs.person_key),
        "a session's key, likewise": in_bytes(costs.session_key),
        "write-ahead log for an append of two": in_bytes(costs.log_append),
        "write-ahead log for the first append of a session, keys included": in_bytes(costs.log_first),
        "processor time of the application for a turn, on PostgreSQL": _microseconds(costs.client_postgres),
        "the same, on Redis": _microseconds(costs.client_redis),
        "processor time of PostgreSQL for a turn": _microseconds(costs.server_postgres),
        "processor time of Redis for a turn": _microseconds(costs.server_redis),
    }


def needed(costs: Costs, asked: argparse.Namespace) -> dict[str, str]:
    """Reckon what so many people need."""
    messages, sessions = asked.people * asked.messages, asked.people * asked.sessions
    mean = asked.people * asked.turns / _DAY_SECONDS
    peak = mean * asked.peak
    rows, heads = messages * costs.message_postgres, sessions * costs.head
    people_keys, session_keys = asked.people * costs.person_key, sessions * costs.session_key
    return {
        "messages": f"{messages:,}",
        "data in PostgreSQL": f"{in_bytes(rows)} and {in_bytes(heads)} of heads",
        "data in Redis instead": f"{in_bytes(messages * costs.message_redis)} of memory",
        "keystore": f"{in_bytes(people_keys + session_keys)}, {in_bytes(people_keys)} of it of people",
        "turns a second, on average and at the busiest": f"{mean:,.0f}, {peak:,.0f}",
        "cores of the applications at the busiest": f"{peak * costs.client_postgres:.1f}",
        "cores of PostgreSQL at the busiest": f"{peak * costs.server_postgres:.1f}",
        "cores of Redis instead": f"{peak * costs.server_redis:.1f}",
        "write-ahead log at the busiest": f"{in_bytes(peak * costs.log_append)}/s",
    }


def _show(title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for what, value in rows.items():
        table.add_row(what, value)
    Console().print(table)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _log(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """Give how many bytes of write-ahead log there have been."""
    place: int = await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return place


async def _size(connection: asyncpg.Connection[asyncpg.Record], table: str) -> float:
    """Give the bytes that a row takes, with its indexes."""
    size: int = await connection.fetchval(_TABLE.format(table), table)
    return size


def _new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def in_bytes(count: float) -> str:
    """Give bytes in three figures and a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"
