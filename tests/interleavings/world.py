"""Stores that several processes share, and can be put back to what they were.

In memory, "another process" is another set of everything above the three stores: keyring, caches, conversations. On
a file or a server it is a store that was opened a second time.
"""

from __future__ import annotations

import copy
import os
import random
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from unittest import mock

from securemem import SecureMemory, compose, conversation
from securemem.backends.memory import MemoryBackend
from securemem.compose import Deployment
from securemem.interrupted import GRACE_SECONDS
from securemem.keys.keyring import Keyring
from securemem.ledger import store as ledger_store
from securemem.model import Tail
from securemem.policy import Policy
from tests.retention.store import INVOICES, SCRATCH, policy

from .turns import HereHome, HereLane, Turns

RULES = policy(rules=SCRATCH + INVOICES)
PSEUDONYMS = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", SCRATCH + INVOICES)
PROCESSES = 2


class Clock:
    """A moment that stays where it is until it is moved."""

    def __init__(self) -> None:
        """Begin on a plain day."""
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """As `ports.Clock`."""
        return self.now

    def pass_scratch(self) -> None:
        """Let go by what ends messages that are scratch, and no others."""
        self.now += timedelta(days=2)

    def pass_grace(self) -> None:
        """Let as much go by as workers leave what was interrupted to whoever began it."""
        self.now += timedelta(seconds=GRACE_SECONDS)


@contextmanager
def drawn_from(rng: random.Random) -> Iterator[None]:
    """Draw keys, handles and nonces from a seed too, for sessions are gone through in the order of their handles."""
    with mock.patch.object(os, "urandom", rng.randbytes), mock.patch.object(secrets, "token_bytes", rng.randbytes):
        yield


class Lagging:
    """A replica: it gives what it last had, and now and then catches up first, with everything at once."""

    def __init__(self, backend: MemoryBackend, turns: Turns) -> None:
        """Follow a store."""
        self._backend = backend
        self._turns = turns
        self._had: dict[bytes, Any] = {}

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Replica`."""
        await self._turns.turn()
        found = self._backend._sessions.get(session)
        if found is not None and (session not in self._had or self._turns.rng.random() < 0.3):
            self._had = copy.deepcopy(self._backend._sessions)
        lagging = MemoryBackend()
        lagging._sessions = self._had
        answer = await lagging.tail(session, limit, before)
        await self._turns.turn()
        return answer

    async def aclose(self) -> None:
        """As `ports.Replica`."""


class Snapshot(NamedTuple):
    """What the three stores held, and when."""

    data: dict[bytes, Any]
    keys: sqlite3.Connection
    ledger: sqlite3.Connection
    now: datetime


@dataclass
class World:
    """Three stores, and the processes that use them."""

    turns: Turns
    clock: Clock
    processes: list[SecureMemory]
    rules: Policy = RULES
    lagging: frozenset[int] = frozenset()
    """Those that read from a replica first."""

    @property
    def pseudonymises(self) -> bool:
        """Whether addresses lie under pseudonyms."""
        return self.rules is PSEUDONYMS

    async def begin(self) -> None:
        """Let the processes be as if they were just started, where that can be."""

    async def handles(self) -> set[bytes]:
        """Give the sessions that lie in the data store, as far as it can be asked for them."""
        return set()


class MemoryWorld(World):
    """In memory, and quick."""

    def __init__(self, turns: Turns, clock: Clock, rules: Policy, deployment: Deployment, home: HereHome) -> None:
        """Take what was opened."""
        super().__init__(turns, clock, [], rules, frozenset({PROCESSES}))
        self._home = home
        self._deployment = deployment
        backend = deployment.backend
        if not isinstance(backend, MemoryBackend):
            raise TypeError("this is for memory://")
        self._backend = backend
        turns.take_in_hand(backend)
        file = deployment.keyring.keystore.file  # type: ignore[attr-defined]
        self._lane = HereLane(file._writer, turns)
        file._writer = file._reader = self._lane

    def snapshot(self) -> Snapshot:
        """Take down what the stores hold."""
        data = copy.deepcopy(self._backend._sessions)
        return Snapshot(data, _copied(self._lane.con), _copied(self._home.con), self.clock.now)

    def restore(self, to: Snapshot) -> None:
        """Put the stores back."""
        self._backend._sessions = copy.deepcopy(to.data)
        to.keys.backup(self._lane.con)
        to.ledger.backup(self._home.con)
        self.clock.now = to.now

    async def begin(self) -> None:
        """Make the processes anew; the last one reads from a replica first."""
        for process in self.processes:
            _stop(process)
        self.processes = [self._process(replica=number == PROCESSES) for number in range(PROCESSES + 1)]

    def _process(self, *, replica: bool) -> SecureMemory:
        memory = SecureMemory.open("memory://", policy=self.rules, clock=self.clock, max_messages=1000)
        base = self._deployment
        ring = base.keyring
        keyring = Keyring(ring.keystore, ring.kms, ring._tenant, ring._name)
        lagging = Lagging(self._backend, self.turns) if replica else None
        opened = compose._Opened(base.id, base.stores, base.make_data, keyring, lagging, base.privacy)
        deployment = compose._put_together(base.settings, self.rules, self.clock, opened)

        async def assembled() -> Deployment:
            return deployment

        memory.host._assemble = assembled  # type: ignore[assignment]
        return memory

    async def handles(self) -> set[bytes]:
        """Give all."""
        return set(self._backend._sessions)


def _copied(con: sqlite3.Connection) -> sqlite3.Connection:
    copied = sqlite3.connect(":memory:")
    con.backup(copied)
    return copied


def _stop(process: SecureMemory) -> None:
    """Let a process in memory end, and leave the stores open."""
    deployment = process.host.deployment
    if deployment is not None:
        deployment.keyring.held.stop()


@asynccontextmanager
async def in_memory(rules: Policy = RULES) -> AsyncIterator[MemoryWorld]:
    """Open stores in memory for any number of runs."""
    turns, clock = Turns(), Clock()
    home = HereHome(turns)
    with (
        mock.patch.object(ledger_store, "_home", return_value=home),
        mock.patch.object(conversation, "_CLOSED_POLL_SECONDS", 0),
    ):
        async with SecureMemory.open("memory://", policy=rules, clock=clock) as memory:
            world = MemoryWorld(turns, clock, rules, await memory.host.ready(), home)
            yield world
            for process in world.processes:
                _stop(process)


@asynccontextmanager
async def opened_twice(url: str, rules: Policy = RULES) -> AsyncIterator[World]:
    """Open a store on a file or a server from two processes."""
    turns, clock = Turns(), Clock()

    def opened() -> SecureMemory:
        return SecureMemory.open(url, policy=rules, clock=clock, max_messages=1000)

    async with opened() as one, opened() as other:
        for process in (one, other):
            deployment = await process.host.ready()
            for store in (deployment.backend, deployment.keyring.keystore):
                turns.take_in_hand(store, but=frozenset({"open", "aclose"}))
            home = deployment.ledger._home
            turns.take_in_hand(home, but=frozenset({"open", "aclose", "peek"}))
        yield World(turns, clock, [one, other], rules)


Opened = Callable[[], Any]
