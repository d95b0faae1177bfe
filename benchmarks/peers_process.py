"""One process of the peers benchmark: ours and every peer filled alike on the same server, and run side by side."""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import work
from benchmarks.peer import CONTENDERS, Peer, check, open_our_peer
from benchmarks.server_places import new_place
from benchmarks.texts import Corpus
from benchmarks.timing import Measured, Round, alone, at_once, interleave

OURS = "ours"
MESSAGES = 40
WORKERS = 64
GROUPS = 4
"""Workers take sessions in turn, so that none grows much beyond its 40 messages."""
SESSIONS = WORKERS * GROUPS
LENGTHS = (10, 100, 1_000, 10_000)

_ALTOGETHER, _MOST_SESSIONS = 4_000, 200
_FIRST_OF_LENGTH = {length: 1_000 * (place + 1) for place, length in enumerate(LENGTHS)}
_UNTIMED = 900
"""The session that peers are checked with."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done: rounds, operations in each as seconds and count allow, turns of each of the workers."""

    rounds: int
    seconds: float
    operations: int
    turns: int


FULL = Scale(rounds=7, seconds=0.12, operations=60, turns=2)
QUICK = Scale(rounds=3, seconds=0.04, operations=20, turns=1)


def sessions_of(length: int) -> list[int]:
    """Give the sessions of a length: many where they are short, so that appending lets none grow much."""
    count = min(_MOST_SESSIONS, max(1, _ALTOGETHER // length))
    return list(range(_FIRST_OF_LENGTH[length], _FIRST_OF_LENGTH[length] + count))


class PeersProcess:
    """Takes the figures of one process, in a directory that the caller removes."""

    def __init__(self, directory: Path, scale: Scale, seed: int, chosen: Mapping[str, Sequence[str]]) -> None:
        """Take the seed of the order in which variants run, and by backend the keys of the peers to run."""
        self._directory = directory
        self._scale = scale
        self._rng = random.Random(seed)
        self._chosen = chosen
        self._corpus = Corpus()

    async def run(self) -> dict[str, Measured]:
        """Take all figures: `backend.peer.what`, ours first, the peer's second, how often ours goes into it third."""
        figures: dict[str, Measured] = {}
        for backend in self._chosen:
            async with self._opened(backend) as peers:
                taken = await self._short_sessions(peers) | await self._growth(peers)
            figures |= {f"{backend}.{name}": measured for name, measured in taken.items()}
        return figures

    @contextlib.asynccontextmanager
    async def _opened(self, backend: str) -> AsyncIterator[dict[str, Peer]]:
        """Open ours and the peers, each in a place of its own, and make sure that they keep what they are given."""
        async with contextlib.AsyncExitStack() as stack:
            place = await stack.enter_async_context(new_place(backend))
            ours = await stack.enter_async_context(open_our_peer(place, self._new_folder(backend)))
            peers: dict[str, Peer] = {OURS: ours}
            for contender in CONTENDERS[backend]:
                if contender.key in self._chosen[backend]:
                    place = await stack.enter_async_context(new_place(backend))
                    peers[contender.key] = await stack.enter_async_context(contender.open(place))
            for peer in peers.values():
                await check(peer, self._corpus, _UNTIMED)
            gc.freeze()  # so much is imported here that collections would be the most of every figure
            yield peers

    def _new_folder(self, name: str) -> Path:
        folder = self._directory / name
        folder.mkdir()
        return folder

    async def _short_sessions(self, peers: Mapping[str, Peer]) -> dict[str, Measured]:
        """Take every operation alone, and turns 64 at once, in sessions of 40 messages."""
        for peer in peers.values():
            for session in range(SESSIONS):
                await peer.fill(session, self._corpus.run(session, MESSAGES))
        figures = await self._side_by_side("load", {n: work.load(p, SESSIONS) for n, p in peers.items()})
        figures |= await self._side_by_side(
            "append", {n: work.append(p, self._corpus, SESSIONS) for n, p in peers.items()}
        )
        figures |= await self._side_by_side("turn", {n: self._turn(p) for n, p in peers.items()})
        together = {
            name: at_once(self._worker_turn(peer), workers=WORKERS, turns=self._scale.turns)
            for name, peer in peers.items()
        }
        return figures | await self._compared("turns", together)

    def _turn(self, peer: Peer) -> work.Operation:
        return lambda number: peer.turn(work.session_of(number, SESSIONS), self._corpus.pair(number))

    def _worker_turn(self, peer: Peer) -> work.WorkerOperation:
        return lambda worker, number: peer.turn(
            worker + WORKERS * (number % GROUPS), self._corpus.pair(worker + number)
        )

    async def _growth(self, peers: Mapping[str, Peer]) -> dict[str, Measured]:
        """Take load and append in sessions of each length."""
        figures: dict[str, Measured] = {}
        for length in LENGTHS:
            sessions = sessions_of(length)
            for peer in peers.values():
                for session in sessions:
                    await peer.fill(session, self._corpus.run(session, length))
            figures |= await self._side_by_side(
                f"load@{length}", {n: work.load_from(p, sessions) for n, p in peers.items()}
            )
            figures |= await self._side_by_side(
                f"append@{length}", {n: work.append_to(p, self._corpus, sessions) for n, p in peers.items()}
            )
        return figures

    async def _side_by_side(self, what: str, operations: Mapping[str, work.Operation]) -> dict[str, Measured]:
        return await self._compared(what, {n: await self._paced(each) for n, each in operations.items()})

    async def _compared(self, what: str, variants: Mapping[str, Round]) -> dict[str, Measured]:
        samples = await interleave(variants, rounds=self._scale.rounds, rng=self._rng)
        return {f"{name}.{what}": samples.times(OURS, name) for name in variants}

    async def _paced(self, operation: work.Operation) -> Round:
        """Make rounds of as many operations as time allows, at least one; the first to be done is not looked at."""
        await operation(0)
        start = time.perf_counter()
        await operation(1)
        taken = time.perf_counter() - start
        return alone(operation, operations=max(1, min(self._scale.operations, int(self._scale.seconds / taken))))
