"""The ledger's store: acts and tombstones, in a SQLite file, in PostgreSQL or in memory, one implementation for all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from securemem.ledger.acts import Act, ActKind, Edit, Tombstone
from securemem.ledger.file import MEMORY, LedgerFile
from securemem.ledger.home import Home, Peek, Work

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.holds import Hold
    from securemem.ledger.schema import Tables

T = TypeVar("T")
Besides = Callable[["AsyncConnection", "Tables", int], Awaitable[None]]
"""Writes what belongs to an act that has just got its number."""


class Circumstances(NamedTuple):
    """What was so when an act was decided.

    Attributes:
        rules: by which a law demands that something is kept, as `Act.rules`.
        standing: the holds, and all else of their kind.
    """

    rules: str | None
    standing: list[Hold]


class Ledger:
    """What was decided."""

    def __init__(self, place: str) -> None:
        """Name the place; nothing is opened yet.

        Args:
            place: a file, ":memory:", or `postgresql://…` with options of `postgres.OPTIONS` and the driver's own.

        Raises:
            ConfigurationError: an option that cannot be.
        """
        self._home = _home(place)
        self._deployment = b""

    @property
    def place(self) -> str:
        """Where it lies, for messages; with no password in it."""
        return self._home.place

    async def peek(self) -> Peek | None:
        """Give the stamp and how many acts are not through; None where there is no ledger yet.

        Raises:
            ConfigurationError: what lies there is something else, or a newer version's.
            BackendUnavailableError: it cannot be reached or read.
        """
        return await self._home.peek()

    async def has_standing(self) -> bool:
        """As `home.Home`."""
        return await self._home.has_standing()

    async def create(self, deployment: bytes) -> None:
        """Belong to a deployment; but for one in memory, make the tables now."""
        self._deployment = deployment
        if self.place != MEMORY and await self.peek() is None:
            await self.transact(_nothing)

    async def transact(self, work: Work[T]) -> T:
        """Do some work in one transaction; it may be done again, where its answer was lost."""
        return await self._home.transact(self._deployment, work)

    async def decide(self, values: Mapping[str, Any], besides: Besides) -> int:
        """Write an act, once, and what belongs to it; gives its number.

        Numbers become visible in their own order: whoever sees one sees all that are lower, but for those that were
        given up.

        Args:
            values: of its row, without the number.
            besides: writes what belongs to it.
        """
        given: list[int] = []

        async def work(connection: AsyncConnection, tables: Tables) -> int:
            await in_order(connection, tables.acts)
            for counter in given:
                if await stands(connection, tables.acts, {"counter": counter, **values}):
                    return counter
            row = await connection.execute(tables.acts.insert().values(**values))
            counter = int(row.inserted_primary_key[0])  # type: ignore[index]
            given.append(counter)
            await besides(connection, tables, counter)
            return counter

        return await self.transact(work)

    async def begin(
        self,
        kind: ActKind,
        *,
        tenant: bytes,
        user: bytes | None,
        generation: int,
        sessions: list[Tombstone],
        at: int,
        circumstances: Callable[[AsyncConnection, Tables], Awaitable[Circumstances]] | None = None,
        fence: Callable[[AsyncConnection, Tables], Awaitable[None]] | None = None,
        besides: Besides | None = None,
        edit: Edit | None = None,
    ) -> Act:
        """Write an act and its tombstones, durably, before anything is touched.

        What it is made of is as `Act` says. Nothing is written where `fence` raises; `circumstances` finds out what has
        to be kept, and `besides` writes what else belongs to the act.
        """
        values = {"kind": kind.value, "tenant": tenant, "person": user, "generation": generation, "at": at}
        found: list[Circumstances] = []
        others: list[int | None] = []
        if edit is not None:
            values["receipt"] = json.dumps(edit._asdict())  # a rectification has no receipt, and this in its place

        async def bury(connection: AsyncConnection, tables: Tables, counter: int) -> None:
            if fence is not None:
                await fence(connection, tables)
            await _bury(connection, tables, counter, sessions)
            others[:] = [await _lowest_open(connection, tables, counter)]
            if circumstances is not None:
                found[:] = [await circumstances(connection, tables)]
                await _set(connection, tables, counter, rules=found[0].rules)
            if besides is not None:
                await besides(connection, tables, counter)

        counter = await self.decide(values, bury)
        rules, standing = found[0] if found else (None, None)
        named = (counter, kind, tenant, user, generation, at)
        return Act(*named, tuple(sessions), rules, standing, edit=edit, alone=others == [None])

    async def add_tombstones(self, counter: int, sessions: list[Tombstone]) -> None:
        """Add sessions that came to light while an act was under way."""
        await self.transact(lambda connection, tables: _bury(connection, tables, counter, sessions))

    async def drop_tombstones(self, counter: int, sessions: Collection[bytes]) -> None:
        """Take back sessions that an act was to destroy and has spared, so that no restored store loses them by it."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            graves = tables.tombstones
            mine = (graves.c.counter == counter, graves.c.session.in_(list(sessions)))
            await connection.execute(graves.delete().where(*mine))

        await self.transact(work)

    async def skip(self, counter: int, *, tenant: bytes, at: int) -> None:
        """Go on counting behind a number that other stores know of, by an act that says so and is through.

        Args:
            counter: the highest number that any of them knows.
            tenant: whose act it is to be.
            at: in milliseconds.
        """
        upcoming = counter + 1
        values = {"counter": upcoming, "kind": ActKind.RESTORE.value, "tenant": tenant, "generation": 0}

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            from securemem.ledger.engine import count_from, insert_new  # noqa: PLC0415

            await in_order(connection, tables.acts)
            act = values | {"at": at, "done_at": at}
            await connection.execute(insert_new(tables.acts, connection.dialect.name), [act])
            await count_from(connection, tables.acts, "counter", upcoming + 1)

        await self.transact(work)

    async def settled(self, counter: int) -> int:
        """Give the highest counter up to which all is done, once this act is."""
        lowest = await self.transact(lambda connection, tables: _lowest_open(connection, tables, counter))
        return counter if lowest is None or lowest > counter else lowest - 1

    async def give_up(self, counter: int, *, at: int) -> None:
        """Mark a rectification as one that was not made."""
        await self.finish(counter, at=at, receipt={})

    async def finish(
        self, counter: int, *, at: int, receipt: dict[str, Any] | None = None, besides: Besides | None = None
    ) -> None:
        """Mark an act as through, and keep its receipt.

        Args:
            counter: of the act.
            at: in milliseconds.
            receipt: as JSON knows it.
            besides: writes what else is said of it now, in the same transaction.
        """
        values: dict[str, Any] = {"done_at": at}
        if receipt is not None:
            values["receipt"] = json.dumps(receipt)

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            await _set(connection, tables, counter, **values)
            if besides is not None:
                await besides(connection, tables, counter)

        await self.transact(work)

    async def acts(self, *, after: int = 0, unfinished: bool = False) -> list[Act]:
        """Give acts by ascending counter: those after one, or those that are not through."""

        async def work(connection: AsyncConnection, tables: Tables) -> list[Act]:
            from sqlalchemy import select  # noqa: PLC0415

            acts, tombstones = tables.acts, tables.tombstones
            condition = acts.c.done_at.is_(None) if unfinished else acts.c.counter > after
            rows = (await connection.execute(select(acts).where(condition).order_by(acts.c.counter))).all()
            by_act: dict[int, list[Tombstone]] = {}
            for counter, *grave in await connection.execute(select(tombstones).join(acts).where(condition)):
                by_act.setdefault(counter, []).append(Tombstone(*grave))
            return [_act(row, by_act.get(row.counter, [])) for row in rows]

        return await self.transact(work)

    async def backup(self, path: Path) -> None:
        """As `home.Home`."""
        await self._home.backup(self._deployment, path)

    async def adopt(self, deployment: bytes, copy: Path) -> None:
        """As `home.Home`; it belongs to the deployment from now on."""
        await self._home.adopt(deployment, copy)
        self._deployment = deployment

    async def aclose(self) -> None:
        """Close what was opened."""
        await self._home.aclose()


def _home(place: str) -> Home:
    if place.partition("://")[0] not in ("postgresql", "postgres"):
        return LedgerFile(place)
    from securemem.config import options_of  # noqa: PLC0415
    from securemem.ledger.database import LedgerDatabase  # noqa: PLC0415
    from securemem.postgres import OPTIONS  # noqa: PLC0415

    return LedgerDatabase(*options_of(place, OPTIONS))


async def _nothing(_: AsyncConnection, __: Tables) -> None:
    """Be a transaction, for what the first one makes."""


async def in_order(connection: AsyncConnection, table: Table) -> None:
    """Wait for whoever writes to a table just now; in SQLite a transaction has done so when it begins."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy import text  # noqa: PLC0415

        await connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


async def stands(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> bool:
    """Tell whether a row is there as an earlier try was to leave it, which has ended for sure."""
    from sqlalchemy import literal, select  # noqa: PLC0415

    same = (table.c[name].is_not_distinct_from(value) for name, value in values.items())
    found = await connection.execute(select(literal(1)).select_from(table).where(*same))
    return found.first() is not None


async def _lowest_open(connection: AsyncConnection, tables: Tables, counter: int) -> int | None:
    """Give the first act that is not through, beside one."""
    from sqlalchemy import func, select  # noqa: PLC0415

    acts = tables.acts.c
    others = select(func.min(acts.counter)).where(acts.done_at.is_(None), acts.counter != counter)
    lowest: int | None = (await connection.execute(others)).scalar()
    return lowest


async def _set(connection: AsyncConnection, tables: Tables, counter: int, **values: Any) -> None:
    await connection.execute(tables.acts.update().where(tables.acts.c.counter == counter).values(**values))


async def _bury(connection: AsyncConnection, tables: Tables, counter: int, sessions: list[Tombstone]) -> None:
    from securemem.ledger.engine import insert_new  # noqa: PLC0415

    rows = [
        {"counter": counter, "session": each.session, "generation": each.generation, "guest": each.guest}
        for each in sessions
    ]
    if rows:
        await connection.execute(insert_new(tables.tombstones, connection.dialect.name), rows)


def _act(row: Any, tombstones: list[Tombstone]) -> Act:
    kind = ActKind(row.kind)
    found = json.loads(row.receipt) if kind is ActKind.RECTIFY and row.receipt else None
    edit = Edit(**found) if found else None
    named = (row.counter, kind, row.tenant, row.person, row.generation, row.at)
    return Act(*named, tuple(tombstones), row.rules, done=row.done_at is not None, edit=edit)
