"""Our store beside the raw drivers, on PostgreSQL and Redis.

Every process opens both in empty places on the same servers and fills them alike, then runs them side by side in
shuffled rounds on one event loop; the bars hold for medians over the processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from benchmarks import processes, server_places
from benchmarks.report import Figure, print_below, show
from benchmarks.server_places import BACKENDS, POSTGRESQL, REDIS
from benchmarks.servers_process import FULL, QUICK, ServersProcess

NAMES = {POSTGRESQL: "PostgreSQL, SecureMem beside asyncpg", REDIS: "Redis, SecureMem beside redis-py"}
PACKAGES = ("securemem", "asyncpg", "redis", "hiredis", "cryptography", "msgspec")
_FIGURES = (
    Figure(key="append", what="append two, trim two, with expiry", beside="raw", unit="µs"),
    Figure(key="append_fenced", what="with row level security", beside="without", unit="µs"),
    Figure(key="append_pooled_fenced", what="the same, as behind a pooler", beside="without", unit="µs"),
    Figure(key="load", what="load twenty, alone", beside="raw", unit="µs"),
    Figure(key="turns", what="a turn, 64 at once", beside="raw", unit="µs"),
    Figure(key="turns_treated", what="the same, with the pattern engine", beside="raw", unit="µs"),
    Figure(key="turns_trimmed", what="64 at once, trim, expiry", beside="raw", unit="µs"),
    Figure(key="cipher_alone", what="a turn, alone", beside="no cipher", unit="µs"),
    Figure(key="cipher_at_once", what="a turn, 64 at once", beside="no cipher", unit="µs"),
    Figure(key="growth_append", what="append two: at 10,000", beside="at 10", unit="µs"),
    Figure(key="growth_load", what="load ten: at 10,000", beside="at 10", unit="µs"),
    Figure(key="growth_window", what="load 20 of 10,000", beside="10 of 10", unit="µs"),
    Figure(key="miss_postgres", what="load, keys only in PostgreSQL", beside="at hand", unit="µs"),
    Figure(key="miss_postgres_opening", what="the same", beside="messages to open", unit="µs"),
    Figure(key="miss_sqlite", what="load, keys only in SQLite", beside="at hand", unit="µs"),
    Figure(key="miss_sqlite_opening", what="the same", beside="messages to open", unit="µs"),
    Figure(key="bytes", what="bytes a message", beside="raw", unit="B"),
)
_BARS: dict[str, tuple[float, float | None]] = {
    "append": (1.1, 1.1),
    "append_fenced": (2.2, None),
    "append_pooled_fenced": (2.2, None),
    "load": (0.9, 1.4),
    "turns": (0.5, 0.85),
    "turns_treated": (0.7, 1.1),
    "cipher_alone": (1.2, 1.2),
    "cipher_at_once": (1.5, 1.5),
    "growth_append": (1.5, 1.5),
    "growth_load": (1.5, 1.5),
    "miss_postgres": (2.5, 3.0),
    "miss_sqlite": (2.0, 2.5),
}
"""For each backend in the order of `BACKENDS`."""

_NOTE = """\
raw: asyncpg's pool of 8, one statement an append; redis-py's asyncio client, a
pipeline where an append is several commands. turn: load twenty, append two.
no cipher: our store with the identity for a cipher. keys only in a keystore:
no key of session or user in memory, so that it and the KMS (a file) are asked;
what a session's keys held was freed before. at hand: keys, and messages as they
were opened when they were last read. messages to open: the keys alone.
as behind a pooler: pooler=transaction on both sides, with no pooler between.
with the pattern engine: eight entities looked for and redacted; all else is by policy `plain`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and 2 processes unless told otherwise")
    parser.add_argument("--processes", type=int, metavar="N", help="fresh processes to run, 7 by default")
    server_places.add_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every process's figures there too")
    parser.add_argument("--dir", type=Path, help="where our keystore and ledger go; TMPDIR by default, as servers do")
    parser.add_argument("--single", type=int, metavar="SEED", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run all processes and print a table a server; or be one of them, and print its figures as JSON."""
    backends = server_places.chosen(arguments)
    if arguments.single is not None:
        scale = QUICK if arguments.quick else FULL
        process = ServersProcess(arguments.dir, scale, arguments.single, backends)
        json.dump(asyncio.run(process.run()), sys.stdout)
        return 0
    count = arguments.processes or (2 if arguments.quick else 7)
    passed_on = ["servers", *server_places.passed_on(arguments), *(["--quick"] if arguments.quick else [])]
    others = processes.OtherWork()
    with server_places.running(arguments) as versions:
        taken = processes.run(passed_on, count=count, directory=arguments.dir)
    facts = processes.machine(*PACKAGES) | versions | others.facts()
    medians = processes.medians(taken)
    for backend in backends:
        title = f"{NAMES[backend]}: medians of {count} processes"
        show(title, figures_of(backend, medians), medians)
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {"facts": facts, "medians": medians, "processes": taken}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def figures_of(backend: str, taken: Container[str]) -> list[Figure]:
    """Give the figures of a backend, of those that were taken, with its bars."""
    place = BACKENDS.index(backend)
    return [
        replace(figure, key=f"{backend}.{figure.key}", bar=_BARS[figure.key][place] if figure.key in _BARS else None)
        for figure in _FIGURES
        if f"{backend}.{figure.key}" in taken
    ]
