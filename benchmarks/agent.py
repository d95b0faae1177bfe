"""An agent's turns beside the same turns through `Session`, and forks, on SQLite, PostgreSQL and Redis.

The model answers in no time, so that what is left is the agent's own. Both are on one store, in sessions filled alike,
and run side by side in shuffled rounds; the bars hold for medians over the processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import processes, server_places
from benchmarks.agent_process import FULL, LENGTHS, QUICK, SQLITE, AgentProcess
from benchmarks.report import Figure, print_below, show
from benchmarks.server_places import BACKENDS, POSTGRESQL, REDIS

ALL = (SQLITE, *BACKENDS)
NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL", REDIS: "Redis"}
PACKAGES = ("securemem", "aiosqlite", "asyncpg", "redis", "cryptography", "msgspec")
TURN_RATIO = 1.2
FORK_MS = dict(zip(LENGTHS, (5.0, 40.0), strict=True))
"""On SQLite; on servers the round trips are counted by a test."""
_FIGURES = tuple(
    figure
    for policy in ("plain", "default")
    for figure in (
        Figure(key=f"turn_{policy}", what=f"a turn, policy {policy}", beside="by Session", unit="µs", bar=TURN_RATIO),
        Figure(key=f"busy_{policy}", what="the same, processor time", beside="by Session", unit="µs", bar=TURN_RATIO),
        Figure(key=f"turns_{policy}", what=f"50 turns at once, {policy}", beside="by Session", unit="µs"),
        *(
            Figure(
                key=f"fork_{length}_{policy}",
                what=f"fork {length}, policy {policy}",
                beside="processor time",
                unit="ms",
                bar=FORK_MS[length],
                difference=True,
            )
            for length in LENGTHS
        ),
    )
)
_NOTE = """\
a turn: load twenty, ask a model that answers in no time, append two.
processor time: this process's own, with its threads; what waits takes none of it.
policy plain does nothing to texts, default looks for cards and secrets."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and 1 process unless told otherwise")
    parser.add_argument("--processes", type=int, metavar="N", help="fresh processes to run, 5 by default")
    parser.add_argument("--backend", choices=ALL, help="measure this one only")
    server_places.add_servers(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every process's figures there too")
    parser.add_argument("--dir", type=Path, help="where stores in files go, on a real disk; TMPDIR by default")
    parser.add_argument("--single", type=int, metavar="SEED", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run all processes and print a table a backend; or be one of them, and print its figures as JSON."""
    backends = [arguments.backend] if arguments.backend else list(ALL)
    if arguments.single is not None:
        scale = QUICK if arguments.quick else FULL
        process = AgentProcess(arguments.dir, scale, arguments.single, backends)
        json.dump(asyncio.run(process.run()), sys.stdout)
        return 0
    count = arguments.processes or (1 if arguments.quick else 5)
    passed_on = ["agent", *server_places.passed_on(arguments), *(["--quick"] if arguments.quick else [])]
    others = processes.OtherWork()
    with contextlib.ExitStack() as stack:
        versions = stack.enter_context(server_places.running(arguments)) if backends != [SQLITE] else {}
        taken = processes.run(passed_on, count=count, directory=arguments.dir)
    facts = processes.machine(*PACKAGES) | versions | others.facts()
    medians = processes.medians(taken)
    for backend in backends:
        show(f"Agents on {NAMES[backend]}: medians of {count} processes", figures_of(backend), medians)
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {"facts": facts, "medians": medians, "processes": taken}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def figures_of(backend: str) -> list[Figure]:
    """Give the figures of a backend, with its bars: those of forks are SQLite's alone."""
    return [
        replace(
            figure,
            key=f"{backend}.{figure.key}",
            bar=figure.bar if backend == SQLITE or not figure.difference else None,
        )
        for figure in _FIGURES
    ]
