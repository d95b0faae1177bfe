"""The stores of the retention benchmark: under a policy with rules, filled by a clock that stands in the past."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.server_places import Place, new_place
from benchmarks.stores import PLENTY, session_name, user_name
from benchmarks.texts import Corpus
from securemem import Message, SecureMemory

SQLITE, MEMORY = "sqlite", "memory"
GOING, STAYING = 40, 10
"""How many messages of a session are past their time, and how many stay beside them in two sessions of three."""
SCRATCH = "scratch"

_AGE = dt.timedelta(days=3)
_AT_ONCE = 50
_POLICY = """\
apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: benchmark, version: 1}
defaults: {ttl: 400d, clock: created_at, on_unclassified: quarantine}
rules:
  - {id: scratch, match: {tag: scratch}, ttl: 24h}
  - {id: health, match: {tag: health}, ttl: 30d}
  - {id: invoices, match: {tag: invoice}, ttl: 60d}
safety: {after_change: apply}
"""


class Home(NamedTuple):
    """Where a store is: what a process needs to open it.

    Attributes:
        place: of the data.
        folder: of keystore, ledger, KEK and policy.
    """

    place: Place
    folder: Path

    def open(self, clock: Callable[[], dt.datetime] | None = None) -> SecureMemory:
        """Name the store under the benchmark's policy."""
        policy = self.folder / "policy.yaml"
        policy.write_text(_POLICY, encoding="utf-8")
        return SecureMemory.open(
            self.place.url,
            prefix=self.place.prefix or None,
            keystore=f"sqlite:///{self.folder}/keys.db",
            ledger=f"sqlite:///{self.folder}/ledger.db",
            kms=f"file:///{self.folder}/kek",
            policy=policy,
            max_messages=PLENTY,
            clock=clock,
        )


@contextlib.asynccontextmanager
async def new_home(backend: str, folder: Path) -> AsyncIterator[Home]:
    """Make an empty place for a store, with a folder of its own; both go when it is done."""
    await asyncio.to_thread(folder.mkdir)
    if backend == SQLITE:
        yield Home(Place(backend, f"sqlite:///{folder}/data.db"), folder)
    elif backend == MEMORY:
        yield Home(Place(backend, "memory://"), folder)
    else:
        async with new_place(backend) as place:
            yield Home(place, folder)


async def fill_expired(home: Home, corpus: Corpus, sessions: int) -> int:
    """Fill sessions of which, in turn, all is past its time, a run at the front, and some in the middle.

    Returns:
        How many messages are past their time.
    """
    then = dt.datetime.now(dt.UTC) - _AGE

    async def add(memory: SecureMemory, number: int) -> None:
        session = memory.session(session_name(number), user_id=user_name(number))
        await session.add_many(messages(corpus, number))

    async with home.open(lambda: then) as memory:
        await some_at_once(range(sessions), lambda number: add(memory, number))
    return sessions * GOING


def messages(corpus: Corpus, number: int) -> list[Message]:
    """Give the messages of a session, by its number."""
    kind = number % 3
    size = GOING if kind == 0 else GOING + STAYING
    stays: frozenset[int] = frozenset()
    if kind == 1:
        stays = frozenset(range(GOING, size))
    elif kind == 2:
        stays = frozenset(range(0, size, size // STAYING))
    return [
        Message(role, content, metadata={} if place in stays else {"tags": [SCRATCH]})
        for place, (role, content) in enumerate(corpus.run(number * size, size))
    ]


async def some_at_once(numbers: Iterable[int], call: Callable[[int], Awaitable[None]]) -> None:
    """Await a call for each of some numbers, fifty at a time."""
    waiting = list(numbers)
    for start in range(0, len(waiting), _AT_ONCE):
        await asyncio.gather(*(call(number) for number in waiting[start : start + _AT_ONCE]))
