"""Times variants of the same work side by side: in rounds, shuffled in each, so that what the machine does hits all."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

Round = Callable[[], Awaitable[float]]
"""Does one round of a variant and gives the mean seconds of an operation."""


class Measured(NamedTuple):
    """One figure of one process: ours, what it is held against, and the two compared."""

    ours: float
    beside: float
    compared: float


class Samples:
    """Seconds an operation, by variant and round."""

    def __init__(self, rounds: Mapping[str, list[float]]) -> None:
        """Take the rounds of every variant; those at one place were run one after the other."""
        self._rounds = rounds

    def compare(self, ours: str, beside: str, *, scale: float = 1e6) -> Measured:
        """Give both medians, in microseconds by default, and the median of the ratios within each round."""
        ratios = [mine / other for mine, other in zip(self._rounds[ours], self._rounds[beside], strict=True)]
        mine, other = (statistics.median(self._rounds[name]) * scale for name in (ours, beside))
        return Measured(mine, other, statistics.median(ratios))

    def times(self, ours: str, other: str) -> Measured:
        """Give both medians in microseconds, and how many times ours the other costs: again a median of ratios."""
        theirs, mine, ratio = self.compare(other, ours)
        return Measured(mine, theirs, ratio)


def alone(
    operation: Callable[[int], Awaitable[object]],
    *,
    operations: int,
    before: Callable[[int], object] | None = None,
) -> Round:
    """Make rounds of operations one after the other; each gets a number that never comes twice.

    Args:
        operation: is timed.
        operations: how many a round has.
        before: is called for each of a round's numbers before the time of that round begins.
    """
    numbers = itertools.count()

    async def once() -> float:
        chosen = list(itertools.islice(numbers, operations))
        if before is not None:
            for number in chosen:
                before(number)
        start = time.perf_counter()
        for number in chosen:
            await operation(number)
        return (time.perf_counter() - start) / operations

    return once


def at_once(operation: Callable[[int, int], Awaitable[object]], *, workers: int, turns: int) -> Round:
    """Make rounds in which so many workers each do so many turns, all at the same time."""
    rounds = itertools.count()

    async def once() -> float:
        first = next(rounds) * turns

        async def work(worker: int) -> None:
            for turn in range(first, first + turns):
                await operation(worker, turn)

        start = time.perf_counter()
        await asyncio.gather(*(work(worker) for worker in range(workers)))
        return (time.perf_counter() - start) / (workers * turns)

    return once


async def interleave(variants: Mapping[str, Round], *, rounds: int, rng: random.Random) -> Samples:
    """Run every variant once for warmth, then all of them in each round, in an order shuffled anew."""
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        await variant()
    for _ in range(rounds):
        for name in rng.sample(list(variants), len(variants)):
            gc.collect()
            samples[name].append(await variants[name]())
    return Samples(samples)
