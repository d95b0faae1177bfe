"""Lets everything that goes on at once take its steps in an order that a seed gives.

Every call of a store waits for its turn before it is made, and once more before its answer is taken. The next turn is
given when all else has come to rest: so the order is the seed's, whatever the stores are, and how long they take.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from securemem.lane import Lane, in_transaction, plainly
from securemem.ledger.engine import _set_up_file, create
from securemem.ledger.file import MEMORY, STANDING
from securemem.ledger.names import in_file
from securemem.ledger.schema import tables_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from securemem.ledger.home import Peek, Work

T = TypeVar("T")
_REST_SECONDS = 0.0005
_inside: ContextVar[bool] = ContextVar("inside", default=False)


class Turns:
    """Gives turns, one at a time; while it is not running, nobody waits."""

    def __init__(self) -> None:
        """Give none yet."""
        self.rng = random.Random(0)
        self.given = 0
        self._running = False
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way = 0
        self._landed = asyncio.Event()

    async def turn(self) -> None:
        """Wait for a turn."""
        if self._running:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    async def step(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of a store when it is its turn, and give the answer when that is."""
        await self.turn()
        self._under_way += 1
        token = _inside.set(True)  # what a store calls of itself is part of the step
        try:
            answer = await call()
        finally:
            _inside.reset(token)
            self._under_way -= 1
            self._landed.set()
        await self.turn()
        return answer

    async def run(self, tasks: Iterable[asyncio.Task[Any]], rng: random.Random) -> None:
        """Give turns until all tasks are done, and what they have left behind is."""
        every, self.rng, self._running, self.given = list(tasks), rng, True, 0
        try:
            while True:
                await self._rest()
                if self._waiting:
                    turn = self._waiting.pop(rng.randrange(len(self._waiting)))
                    self.given += 1
                    if not turn.done():
                        turn.set_result(None)
                elif all(task.done() for task in every):
                    return
                else:
                    await asyncio.sleep(_REST_SECONDS)
        finally:
            self._running = False

    async def _rest(self) -> None:
        """Wait until nobody can go on without a turn."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        while True:
            while ready:  # noqa: ASYNC110  (nothing tells when a loop has come to rest)
                await asyncio.sleep(0)
            if not self._under_way:
                return
            self._landed.clear()
            await self._landed.wait()

    def take_in_hand(self, store: object, *, but: frozenset[str] = frozenset()) -> None:
        """Let every call of a store wait for its turns; the store stays what it is."""
        for name, method in inspect.getmembers(store, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in but:
                setattr(store, name, self._waiting_for(method))

    def _waiting_for(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def waiting(*args: Any, **options: Any) -> Any:
            if self._running and not _inside.get():
                return await self.step(lambda: method(*args, **options))
            return await method(*args, **options)

        return waiting

    @property
    def running(self) -> bool:
        """Whether turns are being given."""
        return self._running


class HereLane:
    """What `lane.Lane` is to a SQLite database in memory, without the thread: a step is one transaction."""

    def __init__(self, lane: Lane, turns: Turns) -> None:
        """Take the connection of another lane, in whose thread it was made."""
        self.con: sqlite3.Connection = lane._connection._conn
        self._lane = lane
        self._turns = turns

    async def call(self, work: Any, argument: Any) -> Any:
        """As `Lane.call`, each in a transaction of its own."""
        await self._turns.turn()
        [answer] = in_transaction(self.con, [(work, argument)])
        await self._turns.turn()
        return answer

    def step_past(self, work: Any, argument: Any) -> Any:
        """As `Lane.step_past`; while turns are given, everything waits for one."""
        return None if self._turns.running else plainly(self.con, [(work, argument)])[0]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._lane.aclose()


class _HereConnection:
    """SQLAlchemy's connection with the face of its asynchronous one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, *args: Any) -> Any:
        return self._connection.execute(*args)

    async def scalar(self, *args: Any) -> Any:
        return self._connection.scalar(*args)


class HereHome:
    """A ledger in memory without a thread: what `ledger.file.LedgerFile` is, and each transaction a step."""

    place = MEMORY

    def __init__(self, turns: Turns) -> None:
        """Make nothing yet."""
        self._turns = turns
        self._tables = tables_of(in_file)
        self._engine: Engine | None = None

    async def peek(self) -> Peek | None:
        """As `home.Home`."""
        return None

    async def has_standing(self) -> bool:
        """As `home.Home`."""
        await self._turns.turn()
        return self._engine is not None and bool(self.con.execute(STANDING).fetchone()[0])

    async def transact(self, deployment: bytes, work: Work[T]) -> T:
        """As `home.Home`."""
        await self._turns.turn()
        if self._engine is None:
            self._engine = create_engine("sqlite://", poolclass=StaticPool)
            _set_up_file(self._engine)
            with self._engine.begin() as connection:
                create(connection, self._tables, deployment)
        with self._engine.begin() as connection:
            answer = await work(_HereConnection(connection), self._tables)  # type: ignore[arg-type]
        await self._turns.turn()
        return answer

    @property
    def con(self) -> sqlite3.Connection:
        """The database's connection."""
        if self._engine is None:
            raise RuntimeError("nothing was written yet")
        found: sqlite3.Connection = self._engine.raw_connection().driver_connection  # type: ignore[assignment]
        return found

    async def aclose(self) -> None:
        """As `home.Home`."""
        if self._engine is not None:
            self._engine.dispose()
