"""Personal data: how much of it is found, how often wrongly, and how long that takes, beside presidio.

Quality on a set of labelled samples and on texts that hold nobody's data; speed on messages of 200 characters, one
thread, and how late the event loop's other coroutines are while names are looked for in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import heartbeat, processes
from benchmarks.pii_contenders import Contender, ours, presidio_with_its_defaults
from benchmarks.pii_quality import SCORED, Quality, docstrings, false_hits, measure, samples, tool_calls
from benchmarks.report import Figure, print_below, show
from benchmarks.timing import Measured
from securemem.privacy.leaves import Leaf

PACKAGES = ("securemem", "presidio-analyzer", "onnxruntime", "tokenizers", "spacy")
DATA = Path(__file__).parents[2] / "shared" / "data" / "pii_dev.jsonl"
RATE, SECONDS, REPEATS = 60, 8.0, 300
_DOCSTRINGS = 100_000
_WITH_DATA = (
    "hi, it's sarah o'brien, please ship my order to 42 Baker Street Apt 3, Boston MA 02118 and call (617) 555-0182 "
    "if the driver cannot find the door. Thanks for the quick help with the invoice yesterday"
)
_WITHOUT = (
    "Thanks for the quick help yesterday, I think the plan works well for us and we can start whenever the team is "
    "ready to go. Could you also send me the notes about the design when you have a minute, please?"
)
_NOTE = """\
Presidio is as it comes: its own recognisers, threshold 0, and the largest
English model of spaCy that is installed. A labelled span is found where hits of
its entity cover half of it; a hit that touches no labelled span is false.
Standing: the share of labelled characters that no hit covers. Hits are those in
10,000 characters that hold nobody's data: docstrings of the standard library (a
few do name people), and calls of tools with their answers, walked leaf by leaf.
Late: the p99 of a heartbeat of 1 ms with 60 messages a second in threads, and
idle."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--data", type=Path, default=DATA, help="labelled samples, one JSON object a line")
    parser.add_argument("--regions", default="US,GB", help="whose national numbers are looked for")
    parser.add_argument("--quick", action="store_true", help="every tenth sample, fewer repeats")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 where a bar is missed."""
    others = processes.OtherWork()
    regions = [region for region in arguments.regions.split(",") if region]
    contenders = [ours("patterns", regions), ours("ner", regions), presidio_with_its_defaults()]
    given = samples(arguments.data)[:: 10 if arguments.quick else 1]
    qualities = {contender.name: measure(contender.find, given) for contender in contenders}
    _show_entities(qualities, len(given))
    elsewhere = {contender.name: _elsewhere(contender, arguments) for contender in contenders}
    milliseconds = {contender.name: _milliseconds(contender, arguments) for contender in contenders}
    _show_contenders(qualities, elsewhere, milliseconds)
    late = asyncio.run(_late(contenders[1], SECONDS / 8 if arguments.quick else SECONDS))
    missed = _show_bars(contenders, qualities, elsewhere, milliseconds, late)
    facts = {"spaCy model of presidio": contenders[-1].model or "none"}
    print_below(_NOTE, facts | processes.machine(*PACKAGES) | others.facts())
    return int(missed and not arguments.quick)


def _elsewhere(contender: Contender, arguments: argparse.Namespace) -> tuple[float, float]:
    """Give hits in 10,000 characters of docstrings and of calls of tools."""
    documented = docstrings(_DOCSTRINGS // 10 if arguments.quick else _DOCSTRINGS)
    called, characters = tool_calls()
    in_docstrings, _ = false_hits(contender.find, documented, sum(len(leaf.text) for leaf in documented))
    in_calls, _ = false_hits(contender.find, called, characters)
    return in_docstrings, in_calls


def _milliseconds(contender: Contender, arguments: argparse.Namespace) -> tuple[float, float]:
    """Give the medians for a message of 200 characters with personal data and for one without."""
    repeats = REPEATS // 10 if arguments.quick else REPEATS
    with_data, without = (_median(contender, Leaf(text[:200]), repeats) for text in (_WITH_DATA, _WITHOUT))
    return with_data, without


def _median(contender: Contender, leaf: Leaf, repeats: int) -> float:
    times: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        contender.find(leaf)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


async def _late(contender: Contender, seconds: float) -> Measured:
    """Give how late a heartbeat is while messages are looked through in threads, in milliseconds."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:

        async def turn(number: int) -> object:
            return await loop.run_in_executor(pool, contender.find, Leaf((_WITH_DATA, _WITHOUT)[number % 2]))

        return await heartbeat.compare(turn, rate=RATE, seconds=seconds)


def _show_entities(qualities: dict[str, Quality], count: int) -> None:
    table = Table(title=f"Precision, recall and F2 on {count} samples", title_justify="left")
    table.add_column("entity (labelled)", no_wrap=True)
    for name in qualities:
        table.add_column(name, justify="right")
    for entity in SCORED:
        tallies = [quality.tallies[entity] for quality in qualities.values()]
        figures = [f"{one.precision:.2f} {one.recall:.2f} {one.f2:.2f}" for one in tallies]
        table.add_row(f"{entity} ({tallies[0].labelled})", *figures)
    Console().print(table)


def _show_contenders(
    qualities: dict[str, Quality],
    elsewhere: dict[str, tuple[float, float]],
    milliseconds: dict[str, tuple[float, float]],
) -> None:
    table = Table(title="All entities together, texts without any, and time", title_justify="left")
    for heading in ("", *qualities):
        table.add_column(heading, justify="right" if heading else "left")
    overall = {name: quality.overall for name, quality in qualities.items()}
    rows: list[tuple[str, Sequence[str]]] = [
        ("precision", [f"{one.precision:.3f}" for one in overall.values()]),
        ("recall", [f"{one.recall:.3f}" for one in overall.values()]),
        ("F2", [f"{one.f2:.3f}" for one in overall.values()]),
        ("standing", [f"{one.standing / max(1, one.characters):.3f}" for one in qualities.values()]),
        ("hits in docstrings", [f"{one:.1f}" for one, _ in elsewhere.values()]),
        ("hits in calls of tools", [f"{one:.1f}" for _, one in elsewhere.values()]),
        ("200 characters, data", [f"{one:.3f} ms" for one, _ in milliseconds.values()]),
        ("200 characters, none", [f"{one:.3f} ms" for _, one in milliseconds.values()]),
    ]
    for what, figures in rows:
        table.add_row(what, *figures)
    Console().print(table)


def _show_bars(
    contenders: Sequence[Contender],
    qualities: dict[str, Quality],
    elsewhere: dict[str, tuple[float, float]],
    milliseconds: dict[str, tuple[float, float]],
    late: Measured,
) -> bool:
    """Print our figures with their bars, beside presidio's; tell whether one is missed."""
    patterns, names, peer = (contender.name for contender in contenders)
    measured = {
        "f2": _beside(qualities[names].overall.f2, qualities[peer].overall.f2),
        "docstrings": _beside(elsewhere[names][0], elsewhere[peer][0]),
        "calls": _beside(elsewhere[names][1], elsewhere[peer][1]),
        "names": _beside(milliseconds[names][0], milliseconds[peer][0]),
        "patterns": _beside(milliseconds[patterns][0] * 1e3, milliseconds[peer][0] * 1e3),
        "clean": _beside(milliseconds[patterns][1] * 1e3, milliseconds[peer][1] * 1e3),
        "late": Measured(late.ours, late.beside, late.ours),
    }
    show("Bars", FIGURES, measured)
    return any(not figure.passes(measured[figure.key]) for figure in FIGURES)


def _beside(mine: float, theirs: float) -> Measured:
    return Measured(mine, theirs, mine)


FIGURES = (
    Figure(key="f2", what="F2", beside="presidio", unit="", bar=0.88, least=True, difference=True),
    Figure(key="docstrings", what="hits in docstrings", beside="presidio", unit="", bar=5, difference=True),
    Figure(key="calls", what="hits in calls of tools", beside="presidio", unit="", bar=10, difference=True),
    Figure(key="names", what="patterns + ner", beside="presidio", unit="ms", bar=5, difference=True),
    Figure(key="patterns", what="patterns", beside="presidio", unit="\N{MICRO SIGN}s", bar=50, difference=True),
    Figure(key="clean", what="patterns, no data", beside="presidio", unit="\N{MICRO SIGN}s", bar=20, difference=True),
    Figure(key="late", what="heartbeat p99, with ner", beside="idle", unit="ms", bar=5, difference=True),
)
"""What is held to a bar; `ours` is compared with it, not the difference to what stands beside."""
