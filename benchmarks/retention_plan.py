"""How long `plan` takes on many records, which were written as every record is: sealed, through the store itself."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from benchmarks.retention_stores import SCRATCH, Home, new_home, some_at_once
from benchmarks.stores import session_name, user_name
from benchmarks.texts import Corpus
from securemem import Message, SecureMemory

IN_A_SESSION = 100
REPEATS = 3
_TAGS: tuple[list[str], ...] = ([], [SCRATCH], ["health"], ["invoice"])
_HOURS = 90 * 24
_LONG_DAYS = 3650


async def measure(backend: str, folder: Path, records: int) -> list[float]:
    """Fill a store and give how many seconds each of some plans took, the first by a process that has read nothing."""
    corpus = Corpus()
    async with new_home(backend, folder) as home:
        clock = _Clock()
        async with home.open(clock) as memory:
            await _fill(memory, clock, corpus, records // IN_A_SESSION)
            if backend == "memory":
                return [await _plan(memory, records) for _ in range(REPEATS)]
        return [await _planned_anew(home, records) for _ in range(REPEATS)]


async def _planned_anew(home: Home, records: int) -> float:
    async with home.open() as memory:
        return await _plan(memory, records)


async def _plan(memory: SecureMemory, records: int) -> float:
    began = time.perf_counter()
    plan = await memory.retention.plan()
    seconds = time.perf_counter() - began
    if plan.records != records or not plan.by_rules:
        raise RuntimeError(f"the plan counts {plan.records} records of {records}, {plan.by_rules} to be deleted")
    return seconds


class _Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


async def _fill(memory: SecureMemory, clock: _Clock, corpus: Corpus, sessions: int) -> None:
    """Fill sessions over the hours of ninety days, messages of four classes, and every tenth with an end of its own."""
    today = clock.now

    async def add(number: int) -> None:
        session = memory.session(session_name(number), user_id=user_name(number))
        said = corpus.run(number * IN_A_SESSION, IN_A_SESSION)
        own = today + dt.timedelta(days=_LONG_DAYS, seconds=number)
        given = [
            Message(
                role,
                content,
                metadata={"tags": _TAGS[place % len(_TAGS)]},
                expires_at=own + dt.timedelta(milliseconds=place) if place % 10 == 0 else None,
            )
            for place, (role, content) in enumerate(said)
        ]
        await session.add_many(given)

    groups = min(_HOURS, sessions)
    for group in range(groups):
        clock.now = today - dt.timedelta(hours=group * _HOURS // groups)
        await some_at_once(range(group * sessions // groups, (group + 1) * sessions // groups), add)
    clock.now = today
