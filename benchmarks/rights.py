"""People's rights: an export of 100,000 messages, in one session and in a thousand, and the memory that it takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import processes
from benchmarks.report import Figure, print_below, show
from benchmarks.timing import Measured
from securemem import Message, SecureMemory
from securemem.rights.formats import Lines

PACKAGES = ("securemem", "aiosqlite", "cryptography")
SHAPES = {"one": 1, "many": 1000}
_EXPORT_SECONDS, _EXPORT_MEGABYTES = 5.0, 16.0
_AT_ONCE = 1000
_NOTE = """\
Messages of 200 characters, policy plain, SQLite; written to a file as JSON Lines.
The store is opened anew before it is exported. Memory: by how much the process
had more at its most than before the export; beside it what it had before."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages")
    parser.add_argument("--only", choices=("export",), help="measure this only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--dir", type=Path, help="where files go, on a real disk; TMPDIR by default")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 where a bar is missed."""
    others = processes.OtherWork()
    messages = 10_000 if arguments.quick else 100_000
    measured: dict[str, Measured] = {}
    for shape, sessions in SHAPES.items():
        with TemporaryDirectory(prefix="securemem-bench-", dir=arguments.dir) as folder:
            measured |= asyncio.run(_export(Path(folder), shape, min(sessions, messages // 10), messages))
    figures = figures_of(messages)
    show("Rights", figures, measured)
    facts = processes.machine(*PACKAGES) | others.facts()
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {"facts": facts, "figures": measured}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(not arguments.quick and any(not figure.passes(measured[figure.key]) for figure in figures))


def figures_of(messages: int) -> list[Figure]:
    """Give how the figures are shown and judged."""
    found = []
    for shape, sessions in SHAPES.items():
        what = f"export {messages:,} messages, {'one session' if sessions == 1 else 'a thousand sessions'}"
        bars = (("seconds", "s", "the bar", _EXPORT_SECONDS), ("memory", "MB", "before", _EXPORT_MEGABYTES))
        found += [
            Figure(
                key=f"export.{shape}.{kind}", what=f"{what}: {kind}", beside=beside, unit=unit, bar=bar, difference=True
            )
            for kind, unit, beside, bar in bars
        ]
    return found


async def _export(folder: Path, shape: str, sessions: int, messages: int) -> dict[str, Measured]:
    """Fill a store with what is one person's, and export it."""
    url = f"sqlite:///{folder}/store.db"
    each = messages // sessions
    async with SecureMemory.open(url, policy="plain", max_messages=messages) as memory:
        for number in range(sessions):
            chat = memory.session(f"session {number}", user_id="alice")
            for start in range(0, each, _AT_ONCE):
                await chat.add_many([Message("user", "x" * 200)] * min(_AT_ONCE, each - start))
    async with SecureMemory.open(url, policy="plain", max_messages=messages) as memory:
        before, began, writer = _megabytes(), time.perf_counter(), Lines()
        with (folder / "export.jsonl").open("w", encoding="utf-8") as file:
            async for item in memory.export_user("alice"):
                file.write(writer.take(item))
        seconds = time.perf_counter() - began
    grown = _megabytes() - before
    return {
        f"export.{shape}.seconds": Measured(seconds, _EXPORT_SECONDS, seconds),
        f"export.{shape}.memory": Measured(before + grown, before, grown),
    }


def _megabytes() -> float:
    """Give how much memory the process had at its most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
