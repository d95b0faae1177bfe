"""The audit: who was let do what with whose data and when, as a chain in which every event commits to those before it.

What an event is and how it is hashed, `events` says; how one is proven without the others, `tree`. An event is durable
before what it tells of is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.crypto.merkle import Frontier, consistency, inclusion
from securemem.errors import IntegrityError, InvalidInputError, ReorderedError
from securemem.ledger.events import BEGINNING, Event, EventKind, rule_name
from securemem.ledger.store import Ledger, in_order
from securemem.ledger.tree import Inclusion, frontier, heads, nodes, size_of

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

__all__ = ["Audit", "Entry", "Event", "EventKind", "append", "rule_name"]

_PAGE = 1000


class Entry(NamedTuple):
    """An event as it stands in the chain.

    Attributes:
        number: from 1, without a gap.
        event: the event.
        hash: as the module says.
    """

    number: int
    event: Event
    hash: bytes


async def append(
    connection: AsyncConnection, tables: Tables, *events: Event, given: dict[int, bytes] | None = None
) -> list[int]:
    """Write events at the chain's end, within a transaction of somebody else's; gives their numbers.

    They are durable, and others write on, when the transaction ends. It takes what it locks after the acts, if it does.

    Args:
        connection: of the transaction.
        tables: of the ledger.
        events: what happened.
        given: the hashes that an earlier try of the transaction gave them, by number; takes those that this one gives.
            Where they stand nothing is written again: that try was carried out, and its answer lost.

    Raises:
        ValueError: as `Event.check`.
    """
    for event in events:
        event.check()
    await in_order(connection, tables.audit)
    if given and await _stand(connection, tables, given):
        return list(given)
    tree, last = await frontier(connection, tables, await size_of(connection, tables))
    values, before = [], last or BEGINNING
    for event in events:
        before = event.chained(before)
        node = tree.append(before)
        values.append(event._asdict() | {"number": tree.size, "kind": event.kind.value, "hash": before, "node": node})
    if values:
        await connection.execute(tables.audit.insert(), values)
    written = {value["number"]: value["hash"] for value in values}
    if given is not None:
        given.clear()
        given.update(written)
    return list(written)


class Audit:
    """The events in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger

    async def write(self, *events: Event) -> list[int]:
        """Write events, durably and once, at the chain's end; gives their numbers.

        Raises:
            ValueError: as `Event.check`.
        """
        for event in events:
            event.check()
        if not events:
            return []
        given: dict[int, bytes] = {}
        return await self._ledger.transact(lambda connection, tables: append(connection, tables, *events, given=given))

    async def write_once(self, event: Event) -> None:
        """Write an event, unless there is one of its kind that names the same by its `rule`.

        Raises:
            ValueError: as `Event.check`.
        """
        event.check()
        given: dict[int, bytes] = {}

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            from sqlalchemy import select  # noqa: PLC0415

            audit = tables.audit
            await in_order(connection, audit)
            same = select(audit.c.number).where(audit.c.kind == event.kind.value, audit.c.rule == event.rule)
            if (await connection.execute(same.limit(1))).first() is None:
                await append(connection, tables, event, given=given)

        await self._ledger.transact(work)

    async def entries(self, tree: Frontier | None = None) -> AsyncIterator[Entry]:
        """Go through the chain, oldest first, a page at a time.

        Args:
            tree: an empty one, that is to grow with every event.

        Raises:
            ReorderedError: an event was changed, or one before it is missing.
        """
        tree, before = tree or Frontier(), BEGINNING
        while rows := await self._page(tree.size):
            for row in rows:
                event = _event(row)
                if row.number != tree.size + 1 or event is None or row.hash != event.chained(before):
                    raise ReorderedError(f"audit: event {row.number} was changed, or one before it is missing")
                if row.node != tree.append(row.hash):
                    raise ReorderedError(f"audit: the node beside event {row.number} was changed")
                before = row.hash
                yield Entry(row.number, event, before)

    async def head(self) -> tuple[int, bytes]:
        """Give how many events there are, and the head of the tree over them."""

        async def work(connection: AsyncConnection, tables: Tables) -> tuple[int, bytes]:
            tree, _ = await frontier(connection, tables, await size_of(connection, tables))
            return tree.size, tree.root()

        return await self._ledger.transact(work)

    async def proof(self, number: int) -> Inclusion:
        """Prove that an event is in the chain as it is now.

        Raises:
            InvalidInputError: there is no event of this number.
            ReorderedError: it was changed, or what the proof consists of was.
        """
        return await self._ledger.transact(lambda connection, tables: _prove(connection, tables, number))

    async def consistency(self, first: int, second: int) -> list[bytes]:
        """Give what proves that the chain of the first so many events grew into that of so many."""

        async def work(connection: AsyncConnection, tables: Tables) -> list[bytes]:
            return await heads(connection, tables, consistency(first, second))

        return await self._ledger.transact(work)

    async def events(self) -> list[Event]:
        """Give all events, oldest first.

        Raises:
            ReorderedError: as `entries`.
        """
        return [entry.event async for entry in self.entries()]

    async def _page(self, after: int) -> Sequence[Row[Any]]:
        async def work(connection: AsyncConnection, tables: Tables) -> Sequence[Row[Any]]:
            from sqlalchemy import select  # noqa: PLC0415

            audit = tables.audit
            query = select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(_PAGE)
            return (await connection.execute(query)).all()

        return await self._ledger.transact(work)


async def prove_newest(connection: AsyncConnection, tables: Tables, kind: EventKind, person: bytes) -> Inclusion | None:
    """Prove that the newest event of a kind about a person is in the chain; None where there is none.

    Raises:
        ReorderedError: as `Audit.proof`.
    """
    from sqlalchemy import select  # noqa: PLC0415

    audit = tables.audit
    query = select(audit.c.number).where(audit.c.kind == kind.value, audit.c.person == person)
    number = (await connection.execute(query.order_by(audit.c.number.desc()).limit(1))).scalar()
    return await _prove(connection, tables, number) if number is not None else None


async def rules_since(connection: AsyncConnection, tables: Tables, person: bytes, number: int) -> frozenset[bytes]:
    """Give the rules by which something of a person was restricted after an event, as `rule_name` gives them."""
    from sqlalchemy import select  # noqa: PLC0415

    audit = tables.audit
    query = select(audit.c.rule).where(
        audit.c.number > number, audit.c.kind == EventKind.RESTRICT.value, audit.c.person == person
    )
    return frozenset((await connection.execute(query.distinct())).scalars()) - {None}


async def _stand(connection: AsyncConnection, tables: Tables, given: Mapping[int, bytes]) -> bool:
    """Tell whether the events of an earlier try are there; the last one's hash commits to those before it."""
    last = max(given)
    return (await nodes(connection, tables, [last]))[last].hash == given[last]


async def _prove(connection: AsyncConnection, tables: Tables, number: int) -> Inclusion:
    from sqlalchemy import select  # noqa: PLC0415

    size = await size_of(connection, tables)
    if not 0 < number <= size:
        raise InvalidInputError("audit: there is no event of this number")
    audit = tables.audit
    found = select(audit).where(audit.c.number.in_((number - 1, number))).order_by(audit.c.number)
    rows = (await connection.execute(found)).all()
    event, before = _event(rows[-1]), rows[0].hash if number > 1 else BEGINNING
    tree, _ = await frontier(connection, tables, size)
    path = await heads(connection, tables, inclusion(number - 1, size))
    if event is None or rows[-1].hash != event.chained(before):
        raise ReorderedError(f"audit: event {number} was changed, or one before it is missing")
    proof = Inclusion(number, size, tree.root(), tuple(path), before, event)
    try:
        proof.check()
    except IntegrityError as exc:
        raise ReorderedError(f"audit: event {number} is not in the tree: verify the whole audit") from exc
    return proof


def _event(row: Row[Any]) -> Event | None:
    """Give the event in a row; None where no event could have been written so."""
    named = (row.tenant, row.person, row.actor, row.policy, row.at, row.session, row.rule, row.records)
    try:
        event = Event(EventKind(row.kind), *named)
        event.check()
    except ValueError:
        return None
    return event
