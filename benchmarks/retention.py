"""Retention: a worker that takes out 100,000 messages while 64 sessions chat, and a plan of 1,000,000 records."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import processes, retention_chat, retention_plan, server_places
from benchmarks.report import Figure, print_below, show
from benchmarks.retention_chat import Expired
from benchmarks.retention_stores import GOING, MEMORY, SQLITE
from benchmarks.server_places import POSTGRESQL, REDIS
from benchmarks.timing import Measured

PACKAGES = ("securemem", "asyncpg", "redis", "aiosqlite", "cryptography")
NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL", REDIS: "Redis", MEMORY: "memory"}
_NOTE = """\
turn: load twenty, append two, 64 sessions that think for half a second between.
The worker is a process of its own, no faster than --rate, and with one it rests
between sessions; it stands still for as long as it works, a share at a time:
the idle turns are those meanwhile.
lock: from BEGIN IMMEDIATE's return to COMMIT's, on the data's file, in the
worker. A third of its sessions end, a third lose a run at the front, a third
get stubs in the middle. plan: the first of a store that was opened anew; what
the machine or the server has cached stays there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages and records")
    parser.add_argument("--backend", choices=NAMES, help="measure this one only")
    parser.add_argument("--only", choices=("expire", "plan"), help="measure this only")
    parser.add_argument(
        "--rate",
        type=float,
        default=5000,
        metavar="RECORDS",
        help="of the worker, a second; 0 for no limit (%(default)s)",
    )
    server_places.add_servers(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--dir", type=Path, help="where files go, on a real disk; TMPDIR by default")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 where a bar is missed."""
    others = processes.OtherWork()
    backends = [arguments.backend] if arguments.backend else list(NAMES)
    with TemporaryDirectory(prefix="securemem-bench-", dir=arguments.dir) as folder:
        if set(backends) & set(server_places.BACKENDS):
            with server_places.running(arguments) as versions:
                measured = asyncio.run(_measure(arguments, backends, Path(folder)))
        else:
            versions, measured = {}, asyncio.run(_measure(arguments, backends, Path(folder)))
    figures = figures_of(measured)
    show("Retention", figures, measured)
    facts = processes.machine(*PACKAGES) | versions | others.facts()
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {"facts": facts, "figures": measured}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(not arguments.quick and any(not figure.passes(measured[figure.key]) for figure in figures))


async def _measure(arguments: argparse.Namespace, backends: list[str], folder: Path) -> dict[str, Measured]:
    share = 10 if arguments.quick else 1
    measured: dict[str, Measured] = {}
    for backend in backends:
        if arguments.only != "plan" and backend != MEMORY:
            sessions = 100_000 // GOING // share
            found = await retention_chat.measure(backend, folder / f"{backend}-expire", sessions, arguments.rate)
            measured |= {f"{backend}.{key}": value for key, value in expired(backend, found).items()}
            print(f"{NAMES[backend]}: expired", file=sys.stderr)
        if arguments.only != "expire":
            seconds = await retention_plan.measure(backend, folder / f"{backend}-plan", 1_000_000 // share)
            median, first = statistics.median(seconds), seconds[0]
            measured[f"{backend}.plan"] = Measured(median, first, median)
            print(f"{NAMES[backend]}: planned", file=sys.stderr)
    return measured


def expired(backend: str, found: Expired) -> dict[str, Measured]:
    """Give the figures of what was measured, in milliseconds but for the pass itself."""
    passed = found.passed
    figures = {"pass": Measured(passed.seconds, passed.records / passed.seconds, passed.seconds)}
    for key, share in (("p50", 0.50), ("p99", 0.99)):
        busy, idle = (sorted(turns)[int(len(turns) * share)] * 1e3 for turns in (found.busy, found.idle))
        figures[key] = Measured(busy, idle, busy / idle)
    if backend == SQLITE:
        locks = sorted(lock.seconds * 1e3 for lock in passed.locks)
        worked = sorted(lock.worked * 1e3 for lock in passed.locks)
        figures["lock"] = Measured(sum(locks), len(locks), sum(locks))
        figures["longest"] = Measured(locks[-1], statistics.median(locks), locks[-1])
        figures["worked"] = Measured(worked[-1], locks[-2], worked[-1])
    return figures


def figures_of(taken: dict[str, Measured]) -> list[Figure]:
    """Give the figures that were taken, with their bars."""
    found = []
    for backend, name in NAMES.items():
        on_server = 1.5 if backend in server_places.BACKENDS else None
        bar = 5.0 if backend in {SQLITE, POSTGRESQL} else None
        figures = (
            Figure(key="pass", what=f"{name}: a pass", beside="records a second", unit="", difference=True),
            Figure(key="lock", what=f"{name}: lock in all", beside="commits", unit="ms", bar=250, difference=True),
            Figure(key="longest", what=f"{name}: longest lock", beside="median", unit="ms", bar=5, difference=True),
            Figure(
                key="worked",
                what=f"{name}: longest, processor's time",
                beside="the second longest lock",
                unit="ms",
                difference=True,
            ),
            Figure(key="p50", what=f"{name}: a turn, p50", beside="idle", unit="ms"),
            Figure(key="p99", what=f"{name}: a turn, p99", beside="idle", unit="ms", bar=on_server),
            Figure(key="plan", what=f"{name}: plan", beside="the first", unit="s", bar=bar, difference=True),
        )
        found += [replace(figure, key=f"{backend}.{figure.key}") for figure in figures]
    return [figure for figure in found if figure.key in taken]
