"""How late other coroutines get their turn while a store works at a fixed rate on the same loop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

from benchmarks.timing import Measured

BEAT_SECONDS = 0.001
Turn = Callable[[int], Awaitable[object]]


async def compare(turn: Turn, *, rate: float, seconds: float, slices: int = 4) -> Measured:
    """Give the p99 lateness in milliseconds under load and idle, slice by slice in turn, and the difference."""
    idle: list[float] = []
    busy: list[float] = []
    for number in range(slices):
        gc.collect()
        idle += await _lateness(asyncio.sleep(seconds / slices))
        gc.collect()
        first = int(number * rate * seconds / slices)
        busy += await _lateness(_at_rate(turn, first, rate=rate, seconds=seconds / slices))
    ours, beside = _p99(busy) * 1e3, _p99(idle) * 1e3
    return Measured(ours, beside, ours - beside)


async def _lateness(load: Awaitable[None]) -> list[float]:
    """Beat until the load is done; gives how many seconds each beat came late."""
    late: list[float] = []
    done = asyncio.ensure_future(load)
    while not done.done():
        due = time.perf_counter() + BEAT_SECONDS
        await asyncio.sleep(BEAT_SECONDS)
        late.append(time.perf_counter() - due)
    await done
    return late


async def _at_rate(turn: Turn, first: int, *, rate: float, seconds: float) -> None:
    """Start turns at a fixed rate, whether or not those before have ended, and wait for all."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            group.create_task(_await(turn, first + number))


async def _await(turn: Turn, number: int) -> None:
    await turn(number)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
