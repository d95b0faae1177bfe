"""Our store beside the raw driver, on SQLite: time, bytes, and what other coroutines notice.

Every process opens both on new files and fills them alike, then runs them side by side in shuffled rounds on one event
loop; the bars hold for medians over the processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import processes
from benchmarks.core_process import FULL, QUICK, CoreProcess
from benchmarks.report import Figure, print_below, show

FIGURES = (
    Figure(key="append", what="append two, alone", beside="raw", unit="µs", bar=1.15),
    Figure(key="load", what="load twenty, alone", beside="raw", unit="µs", bar=0.6),
    Figure(key="turns", what="a turn, 64 at once", beside="raw", unit="µs", bar=0.4),
    Figure(key="turn", what="a turn, alone", beside="raw", unit="µs"),
    Figure(key="append_trim", what="append two, trim two", beside="raw", unit="µs"),
    Figure(key="cipher_alone", what="a turn, alone", beside="no cipher", unit="µs", bar=1.3),
    Figure(key="cipher_at_once", what="a turn, 64 at once", beside="no cipher", unit="µs", bar=1.6),
    Figure(key="first_turn", what="first turn, new session", beside="later", unit="µs", bar=2.5),
    Figure(key="growth_append", what="append two: at 10,000", beside="at 10", unit="µs", bar=2.0),
    Figure(key="growth_load", what="load ten: at 10,000", beside="at 10", unit="µs", bar=2.0),
    Figure(key="growth_window", what="load 20 of 10,000", beside="10 of 10", unit="µs", bar=2.0),
    Figure(key="bytes", what="bytes a message", beside="raw, indexed", unit="B", bar=1.7),
    Figure(key="bytes_with_keys", what="with keystore", beside="raw, indexed", unit="B"),
    Figure(key="heartbeat", what="p99 late, 300 turns/s", beside="idle", unit="ms", bar=1.5, difference=True),
    Figure(key="erase", what="erase 200 messages", beside="1 commit", unit="ms"),
)
PACKAGES = ("securemem", "aiosqlite", "cryptography", "msgspec")
_NOTE = """\
raw: one aiosqlite connection under a lock. turn: load twenty, append two.
no cipher: our store with the identity for a cipher. late: a 1 ms heartbeat.
A hop to a thread is several times faster while others keep a core busy, so the
ratios hold for a quiet machine only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and 2 processes unless told otherwise")
    parser.add_argument("--processes", type=int, metavar="N", help="fresh processes to run, 7 by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every process's figures there too")
    parser.add_argument("--dir", type=Path, help="where the stores go, on a real disk; TMPDIR by default")
    parser.add_argument("--single", type=int, metavar="SEED", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run all processes and print the table; or be one of them, and print its figures as JSON."""
    if arguments.single is not None:
        process = CoreProcess(arguments.dir, QUICK if arguments.quick else FULL, arguments.single)
        json.dump(asyncio.run(process.run()), sys.stdout)
        return 0
    count = arguments.processes or (2 if arguments.quick else 7)
    passed_on = ["core", "--quick"] if arguments.quick else ["core"]
    others = processes.OtherWork()
    taken = processes.run(passed_on, count=count, directory=arguments.dir)
    medians, facts = processes.medians(taken), processes.machine(*PACKAGES) | others.facts()
    show(f"SecureMem beside raw aiosqlite: medians of {count} processes", FIGURES, medians)
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {
            "facts": facts,
            "bars": [asdict(figure) for figure in FIGURES],
            "medians": medians,
            "processes": taken,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0
