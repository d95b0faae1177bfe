"""One process of the agents' benchmark: turns of an agent beside the same turns through `Session`, and forks."""

from __future__ import annotations

import contextlib
import itertools
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import server_places
from benchmarks.stores import PLENTY
from benchmarks.texts import Corpus
from benchmarks.timing import Measured, Round, alone, at_once, interleave
from securemem import Agent, Message, SecureMemory

SQLITE = "sqlite"
SESSIONS = 50
LENGTHS = (100, 1000)
_REPLY = "Your parcel was handed over in Leeds this morning, and is with you on Monday between eight and ten o'clock."


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done: rounds, turns in each, turns of each worker, forks of each length."""

    rounds: int
    operations: int
    turns: int
    forks: int


FULL = Scale(rounds=15, operations=100, turns=4, forks=21)
QUICK = Scale(rounds=5, operations=50, turns=2, forks=7)


async def _model(_: list[dict[str, Any]]) -> str:
    """Answer in no time."""
    return _REPLY


class AgentProcess:
    """Takes the figures of one process, in a directory that the caller removes."""

    def __init__(self, directory: Path, scale: Scale, seed: int, backends: Sequence[str]) -> None:
        """Take a new directory, and the seed of the order in which variants run."""
        self._directory = directory
        self._numbers = itertools.count()
        self._scale = scale
        self._rng = random.Random(seed)
        self._backends = backends
        self._corpus = Corpus()

    async def run(self) -> dict[str, Measured]:
        """Take all figures: `backend.what`."""
        figures: dict[str, Measured] = {}
        for backend in self._backends:
            taken: dict[str, Measured] = {}
            for policy in ("plain", "default"):
                async with self._open(backend, policy) as memory:
                    taken |= {f"{name}_{policy}": each for name, each in (await self._turns(memory)).items()}
                    taken |= {f"{name}_{policy}": each for name, each in (await self._forks(memory)).items()}
            figures |= {f"{backend}.{name}": each for name, each in taken.items()}
        return figures

    @contextlib.asynccontextmanager
    async def _open(self, backend: str, policy: str) -> AsyncIterator[SecureMemory]:
        folder = self._directory / str(next(self._numbers))
        folder.mkdir()
        if backend == SQLITE:
            url = f"sqlite:///{folder}/store.db"
            async with SecureMemory.open(url, policy=policy, max_messages=PLENTY) as memory:
                yield memory
            return
        async with (
            server_places.new_place(backend) as place,
            server_places.open_ours(place, folder, policy=policy) as ours,
        ):
            yield ours.memory

    async def _turns(self, memory: SecureMemory) -> dict[str, Measured]:
        """Let an agent have turns, and others have the same through `Session`, in sessions alike."""
        agent = Agent(model=_model, memory=memory)

        def said(number: int) -> str:
            return self._corpus.said(2 * number).content

        async def through_agent(number: int, name: str = "agent") -> None:
            await agent.chat(said(number), f"{name}-{number % SESSIONS}", user_id="user")

        async def through_session(number: int, name: str = "session") -> None:
            session = memory.session(f"{name}-{number % SESSIONS}", user_id="user")
            shown = [{"role": message.role, "content": message.content} for message in await session.context()]
            reply = await _model([*shown, {"role": "user", "content": said(number)}])
            await session.add_many([Message("user", said(number)), Message("assistant", reply)])

        for number in range(SESSIONS * 12):
            await through_agent(number)
            await through_session(number)
        scale = self._scale
        one = await interleave(
            {
                "agent": alone(through_agent, operations=scale.operations),
                "session": alone(through_session, operations=scale.operations),
            },
            rounds=scale.rounds,
            rng=self._rng,
        )
        many = await interleave(
            {
                "agent": at_once(lambda worker, _: through_agent(worker, "a"), workers=SESSIONS, turns=scale.turns),
                "session": at_once(lambda worker, _: through_session(worker, "s"), workers=SESSIONS, turns=scale.turns),
            },
            rounds=scale.rounds,
            rng=self._rng,
        )
        busy = await interleave(
            {
                "agent": _busy(through_agent, operations=scale.operations),
                "session": _busy(through_session, operations=scale.operations),
            },
            rounds=scale.rounds,
            rng=self._rng,
        )
        compared = {"turn": one, "busy": busy, "turns": many}
        return {name: samples.compare("agent", "session") for name, samples in compared.items()}

    async def _forks(self, memory: SecureMemory) -> dict[str, Measured]:
        """Fork sessions of each length, each time onto a name that is not there yet."""
        figures = {}
        for length in LENGTHS:
            session = memory.session(f"long-{length}", user_id="user")
            await session.add_many([Message(role, text) for role, text in self._corpus.run(0, length)])
            took, worked = [], []
            for number in range(self._scale.forks):
                begun, at_work = time.perf_counter(), time.process_time()
                await session.fork(f"fork-{length}-{number}")
                worked.append((time.process_time() - at_work) * 1e3)
                took.append((time.perf_counter() - begun) * 1e3)
            middle = statistics.median(took)
            figures[f"fork_{length}"] = Measured(middle, statistics.median(worked), middle)
        return figures


def _busy(operation: Callable[[int], Awaitable[object]], *, operations: int) -> Round:
    """Make rounds of operations one after the other that give this process's own seconds of the processor."""
    numbers = itertools.count()

    async def once() -> float:
        begun = time.process_time()
        for number in itertools.islice(numbers, operations):
            await operation(number)
        return (time.process_time() - begun) / operations

    return once
