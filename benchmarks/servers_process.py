"""One process of the servers benchmark: on each server every store filled alike, and every figure taken once."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import work
from benchmarks.core_process import FEW, LARGE, MANY, MESSAGES, SESSIONS, WORKERS
from benchmarks.identity import check_cipher_is_out, take_cipher_out
from benchmarks.server_fence import POOLER, open_fenced
from benchmarks.server_places import POSTGRESQL, TREATED, new_place, open_ours, size_of
from benchmarks.server_stores import open_raw
from benchmarks.stores import Ours, Store, session_name, user_name
from benchmarks.texts import Corpus
from benchmarks.timing import Measured, Round, Samples, alone, at_once, interleave

_TTL_SECONDS = 86_400.0
_AT_ONCE = 500

Opening = Callable[..., contextlib.AbstractAsyncContextManager[Ours]]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done: rounds, operations in each, turns of each worker."""

    rounds: int
    operations: int
    turns: int


FULL = Scale(rounds=11, operations=100, turns=6)
QUICK = Scale(rounds=5, operations=50, turns=4)


class ServersProcess:
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
            taken = await self._kept(backend) | await self._trimmed(backend)
            taken |= await self._growth(backend) | await self._keystore_in_postgres(backend)
            figures |= {f"{backend}.{name}": measured for name, measured in taken.items()}
        return figures

    async def _kept(self, backend: str) -> dict[str, Measured]:
        """Take what is held against stores that keep everything."""
        async with contextlib.AsyncExitStack() as stack:
            places = [await stack.enter_async_context(new_place(backend)) for _ in range(4)]
            raw = await stack.enter_async_context(open_raw(places[0]))
            ours, identity = [
                await stack.enter_async_context(open_ours(place, self._new_folder())) for place in places[1:3]
            ]
            treated = await stack.enter_async_context(open_ours(places[3], self._new_folder(), policy=TREATED))
            take_cipher_out(identity)
            for store in (raw, ours, identity, treated):
                await self._fill(store)
            await check_cipher_is_out(identity, 0)
            sizes = [await size_of(place) / (SESSIONS * MESSAGES) for place in places]
            figures = {"bytes": Measured(sizes[1], sizes[0], sizes[1] / sizes[0])}
            figures |= await self._loads(ours, raw) | await self._turns(raw, ours, identity, treated)
            return figures | await self._miss(ours, "miss_sqlite")

    async def _loads(self, ours: Ours, raw: Store) -> dict[str, Measured]:
        loads = await self._interleave(
            ours=self._alone(work.load(ours, SESSIONS)), raw=self._alone(work.load(raw, SESSIONS))
        )
        return {"load": loads.compare("ours", "raw")}

    async def _turns(self, raw: Store, ours: Ours, identity: Ours, treated: Ours) -> dict[str, Measured]:
        stores: dict[str, Store] = {"raw": raw, "ours": ours, "identity": identity}
        turns = await self._interleave(
            **{name: self._alone(work.turn(store, self._corpus, SESSIONS)) for name, store in stores.items()}
        )
        together = await self._interleave(
            **{name: self._at_once(store) for name, store in (stores | {"treated": treated}).items()}
        )
        return {
            "turns": together.compare("ours", "raw"),
            "turns_treated": together.compare("treated", "raw"),
            "cipher_alone": turns.compare("ours", "identity"),
            "cipher_at_once": together.compare("ours", "identity"),
        }

    async def _trimmed(self, backend: str) -> dict[str, Measured]:
        """Append to sessions that are full, so that as much goes as comes, of messages that end one day."""
        async with contextlib.AsyncExitStack() as stack:
            place = await stack.enter_async_context(new_place(backend))
            stores: dict[str, Store] = {
                "raw": await stack.enter_async_context(open_raw(place, keep=MESSAGES, ttl=_TTL_SECONDS))
            }
            variants: dict[str, tuple[Opening, str]] = {"ours": (open_ours, "")}
            if backend == POSTGRESQL:
                variants |= {
                    "fenced": (open_fenced, ""),
                    "pooled": (open_ours, POOLER),
                    "pooled_fenced": (open_fenced, POOLER),
                }
            for name, (opening, options) in variants.items():
                place = await stack.enter_async_context(new_place(backend))
                stores[name] = await stack.enter_async_context(
                    opening(place, self._new_folder(), max_messages=MESSAGES, ttl=_TTL_SECONDS, options=options)
                )
            return await self._appends(stores)

    async def _appends(self, stores: Mapping[str, Store]) -> dict[str, Measured]:
        for store in stores.values():
            await self._fill(store)
        appends = await self._interleave(
            **{name: self._alone(work.append(store, self._corpus, SESSIONS)) for name, store in stores.items()}
        )
        together = await self._interleave(**{name: self._at_once(stores[name]) for name in ("ours", "raw")})
        figures = {"append": appends.compare("ours", "raw"), "turns_trimmed": together.compare("ours", "raw")}
        if "fenced" in stores:
            figures["append_fenced"] = appends.compare("fenced", "ours")
            figures["append_pooled_fenced"] = appends.compare("pooled_fenced", "pooled")
        return figures

    async def _growth(self, backend: str) -> dict[str, Measured]:
        """Compare sessions of 10,000 messages with sessions of 10 in a store of their own."""
        async with new_place(backend) as place, open_ours(place, self._new_folder()) as ours:
            await self._fill(ours, messages=FEW)
            small, large = list(range(SESSIONS)), list(range(SESSIONS, SESSIONS + LARGE))
            for session in large:
                for start in range(0, MANY, _AT_ONCE):
                    await ours.append(session, self._corpus.run(start, _AT_ONCE))
            figures = {}
            for name, few in (("growth_load", FEW), ("growth_window", None)):
                loads = await self._interleave(
                    many=self._alone(work.window(ours, large, few)), few=self._alone(work.window(ours, small, FEW))
                )
                figures[name] = loads.compare("many", "few")
            appends = await self._interleave(
                many=self._alone(work.append_to(ours, self._corpus, large)),
                few=self._alone(work.append_to(ours, self._corpus, small)),
            )
        return figures | {"growth_append": appends.compare("many", "few")}

    async def _keystore_in_postgres(self, backend: str) -> dict[str, Measured]:
        """Miss the key cache where the keystore is a second database of the PostgreSQL server."""
        async with (
            new_place(backend) as data,
            new_place(POSTGRESQL) as keys,
            open_ours(data, self._new_folder(), keystore=keys.url) as ours,
        ):
            await self._fill(ours)
            return await self._miss(ours, "miss_postgres")

    async def _miss(self, ours: Ours, name: str) -> dict[str, Measured]:
        """Compare loads that find no key of session or user in memory with loads that find both.

        Those find the messages opened, too, where nobody has written since; the second figure is beside loads that
        have to open them, as the miss has. What a session's keys hold is freed before the time begins, as in use it is
        when they are too old, and not when somebody asks again.
        """
        deployment = ours.memory.host.deployment
        if deployment is None:
            raise RuntimeError("open the store first")
        keyring = deployment.keyring

        def forget(number: int) -> None:
            session = work.session_of(number, SESSIONS)
            keyring.held.forget(user_name(session), session_name(session))

        async def cold(number: int) -> None:
            session = work.session_of(number, SESSIONS)
            keyring.held.forget_user(user_name(session))  # another session of theirs had its turn
            await ours.load(session)

        def close_messages(number: int) -> None:
            session = work.session_of(number, SESSIONS)
            keys = keyring.held.sessions.get((user_name(session), session_name(session)))
            if keys is not None:
                keys.known.clear()

        load, operations = work.load(ours, SESSIONS), self._scale.operations
        samples = await self._interleave(
            cold=alone(cold, operations=operations, before=forget),
            opening=alone(load, operations=operations, before=close_messages),
            warm=alone(load, operations=operations),
        )
        return {name: samples.compare("cold", "warm"), f"{name}_opening": samples.compare("cold", "opening")}

    def _new_folder(self) -> Path:
        folder = self._directory / str(next(self._numbers))
        folder.mkdir()
        return folder

    async def _fill(self, store: Store, *, messages: int = MESSAGES) -> None:
        await work.fill(store, self._corpus, sessions=SESSIONS, messages=messages)

    async def _interleave(self, **variants: Round) -> Samples:
        return await interleave(variants, rounds=self._scale.rounds, rng=self._rng)

    def _alone(self, operation: work.Operation) -> Round:
        return alone(operation, operations=self._scale.operations)

    def _at_once(self, store: Store) -> Round:
        return at_once(work.worker_turn(store, self._corpus), workers=WORKERS, turns=self._scale.turns)
