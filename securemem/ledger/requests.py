"""The requests of people, as states that outlive every process; no text, and of the person a handle alone.

A request moves from one state to another by compare-and-swap, so that two who carry on with it do not both do so.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.ledger.audit import Event, append
from securemem.ledger.outbox import drop
from securemem.ledger.store import Besides, Ledger, stands

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


Also = Callable[["AsyncConnection", "Tables"], Awaitable[None]]
"""Writes what belongs to a request's next state; what it raises lets the request stay where it is."""


class RequestKind(enum.StrEnum):
    """What is asked for."""

    ACCESS = "access"
    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    PORTABILITY = "portability"
    OBJECTION = "objection"


class RequestState(enum.StrEnum):
    """How far it is."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    VERIFIED = "verified"
    """It is known that the person themselves asks; nothing was touched before."""
    PREFLIGHT = "preflight"
    """It waits: a legal hold is on what it is about, or the same was asked before and is under way."""
    PLANNED = "planned"
    """What has to be done is known, and somebody has to do it."""
    EXECUTING = "executing"
    AWAITING = "awaiting"
    """It is done here, and recipients have not said so yet."""
    COMPLETE = "complete"
    PARTIAL = "partial"
    """It is done but for what a hold or a law keeps, or what a recipient never confirmed."""
    REFUSED = "refused"


OPEN = frozenset(RequestState) - {RequestState.COMPLETE, RequestState.REFUSED}
"""States that something may still come after."""
UNTOUCHED = frozenset({RequestState.RECEIVED, RequestState.ACKNOWLEDGED, RequestState.VERIFIED, RequestState.PREFLIGHT})
"""States before anything is done."""
_TIMES = ("due_at", "extended_at", "paused_at")
"""What says until when a request has to be answered."""


class Row(NamedTuple):
    """A request as it lies in the ledger; moments in milliseconds.

    Attributes:
        id: 16 random bytes.
        tenant: the tenant's handle.
        kind: what is asked for.
        regime: by which law.
        person: the person's handle; None where nothing was held of them.
        state: how far it is.
        received_at: when it came.
        due_at: until when it has to be answered.
        verified_at: when it was known that the person themselves asks.
        extended_at: when the time for it was extended.
        paused_at: since when its clock stands still.
        basis: the article by which it was refused, or which keeps a part.
        same_as: the request that asks for the same, and was first.
        act: the number of the act that carries it out.
        changed_at: when it came into its state.
        done_at: when it was answered.
    """

    id: bytes
    tenant: bytes
    kind: str
    regime: str
    person: bytes | None
    state: str
    received_at: int
    due_at: int
    verified_at: int | None = None
    extended_at: int | None = None
    paused_at: int | None = None
    basis: str | None = None
    same_as: bytes | None = None
    act: int | None = None
    changed_at: int = 0
    done_at: int | None = None


class Requests:
    """The requests of one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes) -> None:
        """Take the ledger, and the tenant's handle."""
        self._ledger = ledger
        self._tenant = tenant

    async def add(self, row: Row, event: Event) -> None:
        """Write a request that is new, with its event; one that is there stays."""
        await self._ledger.transact(lambda connection, tables: _add(connection, tables, row, event))

    def adding(self, row: Row, event: Event) -> Besides:
        """Give what writes a request that is new within the transaction of the act that carries it out."""

        async def work(connection: AsyncConnection, tables: Tables, counter: int) -> None:
            await _add(connection, tables, row._replace(act=counter), event)

        return work

    def moving(self, request: bytes, event: Event | None, *, by: int | None = None, **values: Any) -> Besides:
        """Give what moves a request on within the transaction of an act; `act` is set where it is in `values`.

        One that somebody else has answered meanwhile stays answered, and is told in the audit once.

        Args:
            request: its id.
            event: to be written with it.
            by: the act that has to be the one that carries it out, still; any if not given.
            values: what is set.
        """

        async def work(connection: AsyncConnection, tables: Tables, counter: int) -> None:
            given = values | ({"act": counter} if "act" in values else {})
            mine = [tables.requests.c.id == request, tables.requests.c.done_at.is_(None)]
            if by is not None:
                mine.append(tables.requests.c.act == by)
            moved = await connection.execute(tables.requests.update().where(*mine).values(**given))
            if event is not None and moved.rowcount:
                await append(connection, tables, event)

        return work

    async def move(
        self,
        row: Row,
        event: Event | None,
        *,
        where: Collection[str] | None = None,
        also: Also | None = None,
        **values: Any,
    ) -> Row | None:
        """Move a request on if it stands as it was read, or in one of some states; None where it does not.

        Whoever changes its time has reckoned that from the one that was read, which has to stand still. Where an
        earlier try has moved it, and the answer was lost, it is moved.

        Args:
            row: as it was read.
            event: to be written with it.
            where: the states in which it may be; that of `row` if not given.
            also: writes what belongs to it, in the same transaction.
            values: what is set.
        """
        states = list(where) if where is not None else [row.state]
        tried: list[bool] = []

        async def work(connection: AsyncConnection, tables: Tables) -> bool:
            requests = tables.requests
            if any(tried) and await _is_left(connection, tables, row.id, values):
                return True
            mine = [requests.c.id == row.id, requests.c.tenant == self._tenant, requests.c.state.in_(states)]
            if not values.keys().isdisjoint(_TIMES):
                mine += [requests.c[name].is_not_distinct_from(getattr(row, name)) for name in _TIMES]
            done = await connection.execute(requests.update().where(*mine).values(**values))
            tried.append(bool(done.rowcount))
            if done.rowcount and event is not None:
                await append(connection, tables, event)
            if done.rowcount and also is not None:
                await also(connection, tables)
            return bool(done.rowcount)

        return row._replace(**values) if await self._ledger.transact(work) else None

    async def find(self, request: bytes) -> Row | None:
        """Give a request."""
        found = await self.all(request=request)
        return found[0] if found else None

    async def all(
        self, *, request: bytes | None = None, states: Collection[str] | None = None, person: bytes | None = None
    ) -> list[Row]:
        """Give requests, those that are due first: one by its id, those in some states, those of a person."""
        return await self._ledger.transact(
            lambda connection, tables: select_requests(
                connection, tables, self._tenant, request=request, states=states, person=person
            )
        )

    async def receipt(self, act: int) -> str | None:
        """Give the receipt of the act that carried a request out, as JSON; None where there is none yet."""

        async def work(connection: AsyncConnection, tables: Tables) -> str | None:
            from sqlalchemy import select  # noqa: PLC0415

            found = await connection.execute(select(tables.acts.c.receipt).where(tables.acts.c.counter == act))
            receipt: str | None = found.scalar()
            return receipt

        return await self._ledger.transact(work)

    async def keep_receipt(self, act: int, receipt: dict[str, Any]) -> None:
        """Put a receipt that says more in place of an act's."""
        await self._ledger.transact(self.keeping(act, receipt))

    def keeping(self, act: int, receipt: dict[str, Any]) -> Also:
        """Give what does so within a transaction."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            acts = tables.acts
            await connection.execute(acts.update().where(acts.c.counter == act).values(receipt=json.dumps(receipt)))

        return work

    async def forget(self, before: int) -> int:
        """Delete requests that were answered before a moment, with their notices; gives how many."""

        async def work(connection: AsyncConnection, tables: Tables) -> int:
            from sqlalchemy import select  # noqa: PLC0415

            requests = tables.requests
            over = (requests.c.tenant == self._tenant, requests.c.done_at < before)
            for (request,) in (await connection.execute(select(requests.c.id).where(*over))).all():
                await drop(connection, tables, request)
            return (await connection.execute(requests.delete().where(*over))).rowcount

        return await self._ledger.transact(work)


async def select_requests(
    connection: AsyncConnection,
    tables: Tables,
    tenant: bytes,
    *,
    request: bytes | None = None,
    states: Collection[str] | None = None,
    person: bytes | None = None,
) -> list[Row]:
    """Give requests as `Requests.all` does, within a transaction of somebody else's."""
    from sqlalchemy import select  # noqa: PLC0415

    requests = tables.requests
    query = select(requests).where(requests.c.tenant == tenant)
    if request is not None:
        query = query.where(requests.c.id == request)
    if states is not None:
        query = query.where(requests.c.state.in_(list(states)))
    if person is not None:
        query = query.where(requests.c.person == person)
    rows = await connection.execute(query.order_by(requests.c.due_at, requests.c.received_at))
    return [Row(*row) for row in rows]


async def _is_left(connection: AsyncConnection, tables: Tables, request: bytes, values: Mapping[str, Any]) -> bool:
    """Tell whether a request is as an earlier try was to leave it, once that one has ended."""
    from sqlalchemy import select  # noqa: PLC0415

    requests = tables.requests
    await connection.execute(select(requests.c.id).where(requests.c.id == request).with_for_update())
    return await stands(connection, requests, {"id": request, **values})


async def _add(connection: AsyncConnection, tables: Tables, row: Row, event: Event) -> None:
    from sqlalchemy import select  # noqa: PLC0415

    there = await connection.execute(select(tables.requests.c.id).where(tables.requests.c.id == row.id))
    if there.first() is None:
        await connection.execute(tables.requests.insert().values(**row._asdict()))
        await append(connection, tables, event)
