"""One process of the core benchmark: every store filled alike, every figure taken once, all on one event loop."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import heartbeat, work
from benchmarks.identity import check_cipher_is_out, take_cipher_out
from benchmarks.stores import Ours, Raw, Store, open_ours, open_raw, size_on_disk
from benchmarks.texts import Corpus
from benchmarks.timing import Measured, Round, Samples, alone, at_once, interleave

SESSIONS = 200
MESSAGES = 40
WORKERS = 64
RATE = 300
FEW, MANY = 10, 10_000
LARGE = 2
"""How many sessions of 10,000 messages there are."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done: rounds, operations in each, turns of each worker, seconds of heartbeat, people erased."""

    rounds: int
    operations: int
    turns: int
    seconds: float
    people: int


FULL = Scale(rounds=11, operations=100, turns=6, seconds=6.0, people=9)
QUICK = Scale(rounds=5, operations=50, turns=4, seconds=2.0, people=3)


class CoreProcess:
    """Takes the figures of one process, in a directory that the caller removes."""

    def __init__(self, directory: Path, scale: Scale, seed: int) -> None:
        """Take a new directory, and the seed of the order in which variants run."""
        self._directory = directory
        self._scale = scale
        self._rng = random.Random(seed)
        self._corpus = Corpus()

    async def run(self) -> dict[str, Measured]:
        """Take all figures."""
        async with self._filled() as (raw, ours, identity):
            figures = self._sizes()
            figures |= await self._load_and_append(raw, ours)
            figures |= await self._turns(raw, ours, identity)
            figures |= await self._new_sessions(ours)
            turn = work.turn(ours, self._corpus, SESSIONS)
            figures["heartbeat"] = await heartbeat.compare(turn, rate=RATE, seconds=self._scale.seconds)
            figures |= await self._erasing(raw, ours)
        return figures | await self._trimming() | await self._growth()

    @contextlib.asynccontextmanager
    async def _filled(self) -> AsyncIterator[tuple[Raw, Ours, Ours]]:
        """Open and fill the raw driver, our store, and our store without its cipher."""
        async with (
            open_raw(self._directory / "raw.db") as raw,
            open_ours(self._directory / "ours.db") as ours,
            open_ours(self._directory / "identity.db") as identity,
        ):
            take_cipher_out(identity)
            for store in (raw, ours, identity):
                await work.fill(store, self._corpus, sessions=SESSIONS, messages=MESSAGES)
            await check_cipher_is_out(identity, 0)
            yield raw, ours, identity

    def _sizes(self) -> dict[str, Measured]:
        names = ("ours.db", "ours.keys.db", "raw.db")
        ours, keys, raw = (size_on_disk(self._directory / name) / (SESSIONS * MESSAGES) for name in names)
        both = ours + keys
        return {"bytes": Measured(ours, raw, ours / raw), "bytes_with_keys": Measured(both, raw, both / raw)}

    async def _interleave(self, **variants: Round) -> Samples:
        return await interleave(variants, rounds=self._scale.rounds, rng=self._rng)

    def _alone(self, operation: work.Operation) -> Round:
        return alone(operation, operations=self._scale.operations)

    async def _load_and_append(self, raw: Raw, ours: Ours) -> dict[str, Measured]:
        loads = await self._interleave(
            ours=self._alone(work.load(ours, SESSIONS)), raw=self._alone(work.load(raw, SESSIONS))
        )
        appends = await self._interleave(
            ours=self._alone(work.append(ours, self._corpus, SESSIONS)),
            raw=self._alone(work.append(raw, self._corpus, SESSIONS)),
        )
        return {"load": loads.compare("ours", "raw"), "append": appends.compare("ours", "raw")}

    async def _turns(self, raw: Raw, ours: Ours, identity: Ours) -> dict[str, Measured]:
        stores: dict[str, Store] = {"raw": raw, "ours": ours, "identity": identity}
        turns = await self._interleave(
            **{name: self._alone(work.turn(store, self._corpus, SESSIONS)) for name, store in stores.items()}
        )
        together = await self._interleave(
            **{
                name: at_once(work.worker_turn(store, self._corpus), workers=WORKERS, turns=self._scale.turns)
                for name, store in stores.items()
            }
        )
        return {
            "turn": turns.compare("ours", "raw"),
            "turns": together.compare("ours", "raw"),
            "cipher_alone": turns.compare("ours", "identity"),
            "cipher_at_once": together.compare("ours", "identity"),
        }

    async def _new_sessions(self, ours: Ours) -> dict[str, Measured]:
        samples = await self._interleave(
            first=self._alone(lambda number: ours.first_turn(number, self._corpus.pair(number))),
            later=self._alone(work.turn(ours, self._corpus, SESSIONS)),
        )
        return {"first_turn": samples.compare("first", "later")}

    async def _erasing(self, raw: Raw, ours: Ours) -> dict[str, Measured]:
        """Erase people of 200 messages, beside what one durable commit of the raw driver costs."""
        people = iter(range(self._scale.people + 1))
        for person in range(self._scale.people + 1):
            await ours.befriend(person, self._corpus)
        samples = await interleave(
            {
                "erase": alone(lambda _: ours.forget(next(people)), operations=1),
                "commit": alone(
                    lambda number: raw.append(number % SESSIONS, self._corpus.run(number, 1)), operations=20
                ),
            },
            rounds=self._scale.people,
            rng=self._rng,
        )
        return {"erase": samples.compare("erase", "commit", scale=1e3)}

    async def _trimming(self) -> dict[str, Measured]:
        """Append to sessions that are full, so that as much goes as comes."""
        async with (
            open_raw(self._directory / "raw_trim.db", keep=MESSAGES) as raw,
            open_ours(self._directory / "ours_trim.db", max_messages=MESSAGES) as ours,
        ):
            for store in (raw, ours):
                await work.fill(store, self._corpus, sessions=SESSIONS, messages=MESSAGES)
            samples = await self._interleave(
                ours=self._alone(work.append(ours, self._corpus, SESSIONS)),
                raw=self._alone(work.append(raw, self._corpus, SESSIONS)),
            )
        return {"append_trim": samples.compare("ours", "raw")}

    async def _growth(self) -> dict[str, Measured]:
        """Compare sessions of 10,000 messages with sessions of 10 in a store of their own."""
        async with open_ours(self._directory / "growth.db") as ours:
            await work.fill(ours, self._corpus, sessions=SESSIONS, messages=FEW)
            large = [SESSIONS + number for number in range(LARGE)]
            for session in large:
                for start in range(0, MANY, 500):
                    await ours.append(session, self._corpus.run(start, 500))
            small = list(range(SESSIONS))
            window = await self._interleave(
                many=self._alone(work.window(ours, large, None)), few=self._alone(work.window(ours, small, None))
            )
            ten = await self._interleave(
                many=self._alone(work.window(ours, large, FEW)), few=self._alone(work.window(ours, small, FEW))
            )
            appends = await self._interleave(
                many=self._alone(work.append_to(ours, self._corpus, large)),
                few=self._alone(work.append_to(ours, self._corpus, small)),
            )
        return {
            "growth_load": ten.compare("many", "few"),
            "growth_window": window.compare("many", "few"),
            "growth_append": appends.compare("many", "few"),
        }
