"""Sessions that chat at a fixed pace while a worker does its work, and while it does not, in turn."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.retention_stores import Home, fill_expired, new_home
from benchmarks.retention_worker import Passed, Worker
from benchmarks.stores import Ours
from benchmarks.texts import Corpus

SESSIONS = 64
SHARES = 8
_THINK_SECONDS = 0.5
LEAST_IDLE_SECONDS = 1.5
_FIRST = 500_000
"""The number of the first session that chats: none that was filled."""


@dataclass(slots=True)
class Expired:
    """What was measured on one backend.

    Attributes:
        idle: seconds of each turn while the worker stood still.
        busy: while it worked.
        passed: what the worker did.
    """

    idle: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    passed: Passed = field(default_factory=Passed)


async def measure(backend: str, folder: Path, sessions: int, rate: float) -> Expired:
    """Fill a store and let a worker take out what is past its time while others chat."""
    corpus = Corpus()
    async with new_home(backend, folder) as home:
        expired = await fill_expired(home, corpus, sessions)
        async with home.open() as memory, Worker(home, expired // SHARES, rate) as worker:
            chat = _Chat(Ours(memory), corpus)
            found = await chat.beside(worker)
        await _check(home, expired, found.passed)
        return found


async def _check(home: Home, expired: int, passed: Passed) -> None:
    """See that all that was past its time is gone, and nothing else."""
    async with home.open() as memory:
        plan = await memory.retention.plan()
    if passed.records != expired or plan.by_rules:
        raise RuntimeError(f"{passed.records} records were taken out of {expired}, {plan.by_rules} are left")


class _Chat:
    """Coroutines that load twenty, append two, and think."""

    def __init__(self, ours: Ours, corpus: Corpus) -> None:
        self._ours = ours
        self._corpus = corpus
        self._rng = random.Random(1)
        self._into: list[float] = []

    async def beside(self, worker: Worker) -> Expired:
        """Chat until the worker is done, which stands still for as long as it works."""
        found = Expired()
        chatting = asyncio.gather(*(self._talk(_FIRST + number) for number in range(SESSIONS)))
        try:
            await asyncio.sleep(2 * LEAST_IDLE_SECONDS)  # for warmth
            while not found.passed.done:
                self._into, began = found.busy, time.perf_counter()
                found.passed = await worker.go_on()
                self._into = found.idle
                await asyncio.sleep(max(LEAST_IDLE_SECONDS, time.perf_counter() - began))
        finally:
            chatting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await chatting
        return found

    async def _talk(self, number: int) -> None:
        turn = 0
        while True:
            await asyncio.sleep(_THINK_SECONDS * self._rng.uniform(0.5, 1.5))
            into, began = self._into, time.perf_counter()
            await self._ours.load(number)
            await self._ours.append(number, self._corpus.pair(number + turn))
            into.append(time.perf_counter() - began)
            turn += 1
