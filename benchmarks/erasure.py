"""What an erasure takes beyond the time for which it waits until its stores have written durably and purged."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import processes, server_places
from benchmarks.report import Figure, print_below, show
from benchmarks.retention_stores import SQLITE, Home, new_home
from benchmarks.server_places import BACKENDS
from benchmarks.timing import Measured
from securemem import Message, SecureMemory
from securemem.compose import Deployment

PACKAGES = ("securemem", "aiosqlite", "asyncpg", "redis", "cryptography", "sqlalchemy")
SESSIONS = 4
_BAR_MS = 5.0
_ROWS_BAR_MS = 50.0
_ROUNDS = 11
_AT_ONCE = 1000
_NOTE = """\
A person's messages, of 200 characters, in four sessions, under policy plain;
keystore and ledger in SQLite. whole: from the call of erase_user to its
receipt, purge included. beyond: less the time in which it waits for what its
stores commit (heads closed, keys shredded, rows deleted, stamps, the ledger's
transactions that write) and purge. rows: the deletion of the rows alone."""


class Waits:
    """Adds up for how long a store is waited for, whatever is waited for at the same time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.rows = 0.0
        self._open = 0
        self._since = 0.0

    def watch(self, where: object, name: str) -> None:
        """Count every call of a method of one object."""
        real: Callable[..., Awaitable[Any]] = getattr(where, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            if not self._open:
                self._since = began
            self._open += 1
            try:
                return await real(*arguments, **options)
            finally:
                self._open -= 1
                if not self._open:
                    self.seconds += time.perf_counter() - self._since
                if name == "delete":
                    self.rows += time.perf_counter() - began

        setattr(where, name, counted)

    def watch_all(self, deployment: Deployment) -> None:
        """Count what an erasure has its stores write."""
        for name in ("swap", "delete", "stamp", "purge"):
            self.watch(deployment.backend, name)
        for name in ("shred_user", "stamp", "purge"):
            self.watch(deployment.keyring.keystore, name)
        for name in ("begin", "finish"):
            self.watch(deployment.ledger, name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="three rounds, and 1,000 messages for 10,000")
    parser.add_argument("--backend", choices=(SQLITE, *BACKENDS), help="measure this one only")
    server_places.add_servers(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--dir", type=Path, help="where files go, on a real disk; TMPDIR by default")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 where a bar is missed."""
    others = processes.OtherWork()
    backends = [arguments.backend] if arguments.backend else [SQLITE, *BACKENDS]
    sizes = (200, 1000 if arguments.quick else 10_000)
    measured: dict[str, Measured] = {}
    with server_places.running(arguments) as versions:
        for backend in backends:
            for messages in sizes:
                with TemporaryDirectory(prefix="securemem-bench-", dir=arguments.dir) as folder:
                    rounds = 3 if arguments.quick else _ROUNDS
                    measured |= asyncio.run(_measure(backend, Path(folder) / "home", messages, rounds))
    figures = [figure for backend in backends for messages in sizes for figure in figures_of(backend, messages)]
    show("Erasure", figures, measured)
    facts = processes.machine(*PACKAGES) | versions | others.facts()
    print_below(_NOTE, facts)
    if arguments.json is not None:
        report = {"facts": facts, "figures": measured}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(not arguments.quick and any(not figure.passes(measured[figure.key]) for figure in figures))


def figures_of(backend: str, messages: int) -> list[Figure]:
    """Give how the figures of one kind are shown and judged."""
    what, key = f"{backend}, {messages:,} messages", f"{backend}.{messages}"
    return [
        Figure(key=f"{key}.beyond", what=f"{what}: beyond", beside="whole", unit="ms", bar=_BAR_MS, difference=True),
        Figure(key=f"{key}.rows", what=f"{what}: rows", beside="whole", unit="ms", bar=_ROWS_BAR_MS, difference=True),
    ]


async def _measure(backend: str, folder: Path, messages: int, rounds: int) -> dict[str, Measured]:
    whole, beyond, rows = [], [], []
    async with new_home(backend, folder) as home, _opened(home, messages) as memory:
        waits = Waits()
        waits.watch_all(await memory.host.ready())
        for number in range(rounds + 1):
            await _fill(memory, f"user {number}", messages)
            waits.seconds = waits.rows = 0.0
            began = time.perf_counter()
            await memory.erase_user(f"user {number}")
            seconds = time.perf_counter() - began
            if number:  # the first one imports
                whole.append(1000 * seconds)
                beyond.append(1000 * (seconds - waits.seconds))
                rows.append(1000 * waits.rows)
    ours, beside, deleted = statistics.median(beyond), statistics.median(whole), statistics.median(rows)
    key = f"{backend}.{messages}"
    return {f"{key}.beyond": Measured(ours, beside, ours), f"{key}.rows": Measured(deleted, beside, deleted)}


def _opened(home: Home, messages: int) -> SecureMemory:
    return SecureMemory.open(
        home.place.url,
        prefix=home.place.prefix or None,
        keystore=f"sqlite:///{home.folder}/keys.db",
        ledger=f"sqlite:///{home.folder}/ledger.db",
        kms=f"file:///{home.folder}/kek",
        policy="plain",
        max_messages=messages,
    )


async def _fill(memory: SecureMemory, user: str, messages: int) -> None:
    for number in range(SESSIONS):
        chat = memory.session(f"session {number}", user_id=user)
        for start in range(0, messages // SESSIONS, _AT_ONCE):
            count = min(_AT_ONCE, messages // SESSIONS - start)
            await chat.add_many([Message("user", "x" * 200)] * count)
