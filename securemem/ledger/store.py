"""The ledger's store: SQLAlchemy Core over aiosqlite, its schema by Alembic.

Both are imported when the first act is written, not when a store is opened: `peek` reads the little that opening needs
by plain SQL.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.errors import ConfigurationError
from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.model import Stamp

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MEMORY = ":memory:"
_BUSY_SECONDS = 30.0


class Peek(NamedTuple):
    """What opening a store needs to know of its ledger."""

    stamp: Stamp
    unfinished: int


class Ledger:
    """Acts and tombstones in a SQLite file, or in memory."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self.path = path
        self._deployment = b""
        self._engine: AsyncEngine | None = None
        self._starting = asyncio.Lock()

    async def peek(self) -> Peek | None:
        """Give the stamp and how many acts are not through; None where there is no ledger yet.

        Raises:
            ConfigurationError: the file is something else.
        """
        if self.path == MEMORY:
            return None
        try:
            return await asyncio.to_thread(_peek, self.path)
        except sqlite3.Error as exc:
            raise ConfigurationError(f"{self.path} is no SecureMem ledger: name another file, or restore it") from exc

    async def create(self, deployment: bytes) -> None:
        """Belong to a deployment; in a file, make the tables now."""
        self._deployment = deployment
        if self.path != MEMORY and await self.peek() is None:
            async with self._transaction():
                pass

    async def begin(
        self, kind: ActKind, *, tenant: bytes, user: bytes | None, generation: int, sessions: list[Tombstone], at: int
    ) -> Act:
        """Write an act and its tombstones, durably, before anything is touched."""
        from securemem.ledger import schema  # noqa: PLC0415

        async with self._transaction() as connection:
            row = await connection.execute(
                schema.acts.insert().values(kind=kind.value, tenant=tenant, person=user, generation=generation, at=at)
            )
            counter: int = row.inserted_primary_key[0]  # type: ignore[index]
            await self._bury(connection, counter, sessions)
        return Act(counter, kind, tenant, user, generation, at, tuple(sessions))

    async def add_tombstones(self, counter: int, sessions: list[Tombstone]) -> None:
        """Add sessions that came to light while an act was under way."""
        async with self._transaction() as connection:
            await self._bury(connection, counter, sessions)

    async def settled(self, counter: int) -> int:
        """Give the highest counter up to which all is done, once this act is."""
        from sqlalchemy import func, select  # noqa: PLC0415

        from securemem.ledger import schema  # noqa: PLC0415

        acts = schema.acts.c
        unfinished = select(func.min(acts.counter)).where(acts.done_at.is_(None), acts.counter != counter)
        async with self._transaction() as connection:
            lowest = (await connection.execute(unfinished)).scalar()
        return counter if lowest is None or lowest > counter else int(lowest) - 1

    async def finish(self, counter: int, *, at: int, receipt: dict[str, Any] | None = None) -> None:
        """Mark an act as through, and keep its receipt."""
        from securemem.ledger import schema  # noqa: PLC0415

        values: dict[str, Any] = {"done_at": at}
        if receipt is not None:
            values["receipt"] = json.dumps(receipt)
        async with self._transaction() as connection:
            await connection.execute(schema.acts.update().where(schema.acts.c.counter == counter).values(**values))

    async def acts(self, *, after: int = 0, unfinished: bool = False) -> list[Act]:
        """Give acts by ascending counter: those after one, or those that are not through."""
        from sqlalchemy import select  # noqa: PLC0415

        from securemem.ledger import schema  # noqa: PLC0415

        acts, tombstones = schema.acts, schema.tombstones
        condition = acts.c.done_at.is_(None) if unfinished else acts.c.counter > after
        async with self._transaction() as connection:
            rows = (await connection.execute(select(acts).where(condition).order_by(acts.c.counter))).all()
            graves = await connection.execute(select(tombstones).join(acts).where(condition))
            by_act: dict[int, list[Tombstone]] = {}
            for counter, session, generation, guest in graves:
                by_act.setdefault(counter, []).append(Tombstone(session, generation, guest))
        return [
            Act(
                row.counter,
                ActKind(row.kind),
                row.tenant,
                row.person,
                row.generation,
                row.at,
                tuple(by_act.get(row.counter, ())),
            )
            for row in rows
        ]

    async def aclose(self) -> None:
        """Close the file."""
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def _bury(self, connection: AsyncConnection, counter: int, sessions: list[Tombstone]) -> None:
        from securemem.ledger import schema  # noqa: PLC0415

        if sessions:
            await connection.execute(
                schema.tombstones.insert().prefix_with("OR IGNORE", dialect="sqlite"),
                [
                    {
                        "counter": counter,
                        "session": tombstone.session,
                        "generation": tombstone.generation,
                        "guest": tombstone.guest,
                    }
                    for tombstone in sessions
                ],
            )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Connect and bring the schema up to date, once; then give a transaction, its errors translated."""
        async with self._starting:
            if self._engine is None:
                self._engine = await self._start()
        from securemem.ledger.engine import translated  # noqa: PLC0415

        with translated(self.path):
            async with self._engine.begin() as connection:
                yield connection

    async def _start(self) -> AsyncEngine:
        await asyncio.to_thread(__import__, "securemem.ledger.engine")  # half a second of importing, off the loop

        from securemem.ledger.engine import create, make_engine, migrate, translated  # noqa: PLC0415

        if self.path != MEMORY:
            await asyncio.to_thread(migrate, self.path, _BUSY_SECONDS, self._deployment)
        engine = make_engine(self.path, _BUSY_SECONDS)
        if self.path == MEMORY:
            with translated(self.path):
                async with engine.begin() as connection:
                    await connection.run_sync(create, self._deployment)
        return engine


def _peek(path: str) -> Peek | None:
    if not Path(path).exists():
        return None
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as con:
        if con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            return None
        row = con.execute("SELECT deployment FROM securemem_stamp").fetchone()
        if row is None:
            return None
        counter = con.execute("SELECT coalesce(max(counter), 0) FROM acts").fetchone()[0]
        unfinished = con.execute("SELECT count(*) FROM acts WHERE done_at IS NULL").fetchone()[0]
        return Peek(Stamp(row[0], counter), unfinished)
