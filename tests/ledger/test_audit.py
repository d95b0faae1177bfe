"""The audit: a chain of events that several processes write, in which a change shows."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from securemem import ReorderedError
from securemem.ledger.audit import Audit, Event, EventKind, append
from securemem.ledger.store import Ledger

from .acts import PERSON, TENANT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

CHANGES = {
    "at": 1,
    "kind": "unheard of",
    "tenant": b"",
    "person": None,
    "actor": b"x" * 32,
    "policy": b"y" * 32,
    "hash": bytes(32),
}


def event(at: int) -> Event:
    """Give an event of a moment."""
    return Event(EventKind.REVEAL, TENANT, PERSON, None, bytes(32), at)


async def test_events_come_back_in_order(ledger: Ledger) -> None:
    """What was written is read, oldest first; of an empty chain nothing."""
    audit = Audit(ledger)
    assert await audit.events() == []
    for at in range(3):
        await audit.write(event(at))
    assert await audit.events() == [event(0), event(1), event(2)]


async def test_two_processes_write_one_chain(ledger: Ledger, other: Ledger) -> None:
    """Events that are written at once follow each other, and the chain holds."""
    await asyncio.gather(*(Audit(each).write(event(at)) for at in range(6) for each in (ledger, other)))
    assert sorted(found.at for found in await Audit(ledger).events()) == sorted([*range(6), *range(6)])


async def test_events_are_numbered_without_a_gap(ledger: Ledger) -> None:
    """From 1 on, also after a transaction that was given up; many come back in as many pages as it takes."""
    audit = Audit(ledger)
    assert await audit.write() == []
    assert await audit.write(event(0), event(1)) == [1, 2]

    async def fail(connection: AsyncConnection, tables: Tables) -> None:
        assert await append(connection, tables, event(2)) == [3]
        raise LookupError

    with pytest.raises(LookupError):
        await ledger.transact(fail)
    assert await audit.write(*(event(at) for at in range(2, 2500))) == list(range(3, 2501))
    assert [entry.number async for entry in audit.entries()] == list(range(1, 2501))
    assert [each.at for each in await audit.events()] == list(range(2500))


async def test_an_event_is_written_with_an_act_or_not_at_all(ledger: Ledger, other: Ledger) -> None:
    """Acts that are written at once by two processes, each with its event, leave one chain and no event alone."""

    async def with_event(connection: AsyncConnection, tables: Tables, counter: int) -> None:
        await append(connection, tables, event(counter))
        if next(calls) % 3 == 0:
            raise LookupError

    calls = itertools.count()
    values = {"kind": "clear", "tenant": TENANT, "person": None, "generation": 1, "at": 1}
    decided = (each.decide(values, with_event) for _ in range(6) for each in (ledger, other))
    done = await asyncio.gather(*decided, return_exceptions=True)
    acts = [act.counter for act in await ledger.acts()]
    assert any(isinstance(each, LookupError) for each in done)
    assert [each.at for each in await Audit(ledger).events()] == acts == sorted(c for c in done if isinstance(c, int))


@pytest.mark.parametrize("column", CHANGES)
async def test_a_change_shows(ledger: Ledger, column: str) -> None:
    """Whichever column of an event is changed, reading names the event; the control reads before."""
    audit = Audit(ledger)
    for at in range(2, 5):
        await audit.write(event(at))
    assert len(await audit.events()) == 3

    async def change(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(
            tables.audit.update().where(tables.audit.c.number == 2).values({column: CHANGES[column]})
        )

    await ledger.transact(change)
    with pytest.raises(ReorderedError, match="audit: event 2"):
        await audit.events()


async def test_an_event_that_is_missing_shows(ledger: Ledger) -> None:
    """One that was taken out of the middle is missed by the one behind it."""
    audit = Audit(ledger)
    for at in range(3):
        await audit.write(event(at))

    async def remove(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.audit.delete().where(tables.audit.c.number == 2))

    await ledger.transact(remove)
    with pytest.raises(ReorderedError, match="audit: event 3"):
        await audit.events()


CANARY = "alice@example.com"


async def test_no_part_takes_a_text(ledger: Ledger) -> None:
    """Neither as text, of whatever length, nor as bytes of another size; nothing of it is written; the control is."""
    audit = Audit(ledger)
    whole = event(1)._replace(session=PERSON, rule=bytes(16), records=1)
    texts: list[Any] = [CANARY, CANARY.encode(), *(CANARY.ljust(size, "x")[:size] for size in (16, 32))]
    for field in Event._fields:
        for text in texts:
            with pytest.raises(ValueError, match="handles and hashes"):
                await audit.write(whole, whole._replace(**{field: text}))
    assert await audit.events() == []
    await audit.write(whole)
    assert await audit.events() == [whole]


@pytest.mark.parametrize("column", ["session", "rule", "records", "kind"])
async def test_a_change_of_what_is_counted_shows(ledger: Ledger, column: str) -> None:
    """An event that names a session, a rule and a number commits to each of them."""
    audit = Audit(ledger)
    whole = event(1)._replace(kind=EventKind.DELETE, session=PERSON, rule=bytes(16), records=7)
    await audit.write(whole, whole, whole)
    values = {"session": TENANT, "rule": b"r" * 16, "records": 8, "kind": "restrict"}

    async def change(connection: AsyncConnection, tables: Tables) -> None:
        audits = tables.audit
        await connection.execute(audits.update().where(audits.c.number == 2).values({column: values[column]}))

    assert await audit.events() == [whole] * 3
    await ledger.transact(change)
    with pytest.raises(ReorderedError, match="audit: event 2"):
        await audit.events()
