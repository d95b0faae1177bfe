"""Our store beside those that a user would pick instead, on the same servers: time, and how it grows with a session.

All are opened by each process on one server, filled alike and run side by side in shuffled rounds on one event loop. A
peer that cannot be run is named with its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import peers_report, processes, server_places
from benchmarks.peer import CONTENDERS, LEFT_OUT, Contender, check
from benchmarks.peers_process import FULL, QUICK, PeersProcess
from benchmarks.texts import Corpus
from benchmarks.timing import Measured

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PACKAGES = (
    *("asyncpg", "cryptography", "hiredis", "langchain-community", "langchain-postgres", "langgraph-checkpoint"),
    *("langgraph-checkpoint-plainredis", "langgraph-checkpoint-postgres", "openai-agents", "psycopg", "redis"),
    *("securemem", "sqlalchemy"),
)

Chosen = dict[str, list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="less of everything, and 1 process unless told otherwise")
    parser.add_argument("--processes", type=int, metavar="N", help="fresh processes to run, 3 by default")
    server_places.add_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every process's figures there too")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the plots go: docs/images, none with --quick")
    parser.add_argument("--dir", type=Path, help="where our keystore and ledger go; TMPDIR by default, as servers do")
    parser.add_argument("--single", type=int, metavar="SEED", help=argparse.SUPPRESS)
    parser.add_argument("--chosen", type=json.loads, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run all processes, print the tables and draw the plots; or be one of them, and print its figures as JSON."""
    scale = QUICK if arguments.quick else FULL
    if arguments.single is not None:
        process = PeersProcess(arguments.dir, scale, arguments.single, arguments.chosen)
        json.dump(asyncio.run(process.run()), sys.stdout)
        return 0
    count = arguments.processes or (1 if arguments.quick else 3)
    images, others = _images(arguments), processes.OtherWork()
    with server_places.running(arguments) as versions:
        chosen, not_run = asyncio.run(_tried(server_places.chosen(arguments)))
        passed_on = ["peers", "--chosen", json.dumps(chosen), *(["--quick"] if arguments.quick else [])]
        taken = processes.run(passed_on, count=count, directory=arguments.dir)
    facts = processes.machine(*PACKAGES) | versions | others.facts()
    medians = processes.medians(taken)
    for backend, keys in chosen.items():
        peers_report.show(backend, keys, medians, scale=scale, processes=count)
    peers_report.show_notes(not_run, facts=facts)
    if arguments.json is not None:
        report = {"facts": facts, "not run": not_run, "medians": medians, "processes": taken}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if images is not None:
        _draw(images, chosen, medians)
    return 0


def _images(arguments: argparse.Namespace) -> Path | None:
    """Give where plots go; None where none are wanted or can be drawn, which is found out before anything is timed."""
    wanted: Path | None = arguments.images or (None if arguments.quick else IMAGES)
    if wanted is not None and importlib.util.find_spec("matplotlib") is None:
        print("no plots: matplotlib is not installed, which the extra `bench` names", file=sys.stderr)
        return None
    return wanted


async def _tried(backends: Sequence[str]) -> tuple[Chosen, dict[str, str]]:
    """Try every peer once; gives the keys of those that can be run, and why the others cannot."""
    chosen: Chosen = {}
    not_run = dict(LEFT_OUT) if server_places.REDIS in backends else {}
    for backend in backends:
        chosen[backend] = []
        for contender in CONTENDERS[backend]:
            reason = await _obstacle(backend, contender)
            if reason is None:
                chosen[backend].append(contender.key)
            else:
                not_run[f"{contender.name} ({backend})"] = reason
    return chosen, not_run


async def _obstacle(backend: str, contender: Contender) -> str | None:
    """Say why a peer cannot be run; None if it keeps what it is given."""
    try:
        async with server_places.new_place(backend) as place, contender.open(place) as peer:
            await check(peer, Corpus(count=100), 0)
    except Exception as exc:  # noqa: BLE001  (whatever goes wrong is named, and the others are run)
        return traceback.format_exception_only(exc)[-1].strip()
    return None


def _draw(images: Path, chosen: Chosen, medians: Mapping[str, Measured]) -> None:
    from benchmarks import growth_plot  # noqa: PLC0415  (only who draws needs matplotlib)

    images.mkdir(parents=True, exist_ok=True)
    for backend, keys in chosen.items():
        for path in growth_plot.draw(backend, peers_report.growth(backend, keys, medians), images):
            print(f"drawn: {path}", file=sys.stderr)
