"""Whoever writes the ledger can write all of it anew; what was signed and put down elsewhere shows it.

Each kind of tampering with its control: the same look at the audit before it, or without the checkpoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import IntegrityError, ReorderedError
from securemem.crypto.merkle import Frontier
from securemem.crypto.note import Checkpoint, sign
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer
from securemem.ledger.audit import Audit, Event
from securemem.ledger.store import Ledger
from securemem.ledger.witness import Witness, origin_of
from securemem.sinks.file import FileSink

from .acts import DEPLOYMENT, TENANT
from .test_audit import event

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

ORIGIN = origin_of(DEPLOYMENT, TENANT)
SIGNER = Signer(RawKey(bytes(32)))


@pytest.fixture
def sink(tmp_path: Path) -> FileSink:
    """Give a place outside."""
    return FileSink(tmp_path / "audit.notes")


@pytest.fixture
async def witness(ledger: Ledger, sink: FileSink) -> Witness:
    """Give a witness of ten events, of which it has put down three, seven and ten."""
    audit = Audit(ledger)
    witness = Witness(audit, SIGNER, ORIGIN)
    for at in range(10):
        await audit.write(event(at))
        if at in (2, 6, 9):
            assert (await witness.put(sink)) is not None
    report = await witness.verify(await sink.notes(ORIGIN))
    assert (report.events, report.checkpoints, report.last) == (10, 3, 10)
    return witness


async def rewrite(ledger: Ledger, change: Callable[[list[Event]], list[Event]]) -> None:
    """Write the whole chain anew, hashes and nodes and all, as who knows how it is made."""
    events = change(await Audit(ledger).events())

    async def empty(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.audit.delete())

    await ledger.transact(empty)
    await Audit(ledger).write(*events)


def _edit(events: list[Event]) -> list[Event]:
    return [*events[:4], events[4]._replace(person=None), *events[5:]]


def _remove(events: list[Event]) -> list[Event]:
    return [*events[:4], *events[5:], event(99)]


def _reorder(events: list[Event]) -> list[Event]:
    return [*events[:4], events[5], events[4], *events[6:]]


def _insert(events: list[Event]) -> list[Event]:
    return [*events[:4], event(99), *events[4:]]


def _cut(events: list[Event]) -> list[Event]:
    return events[:8]


def _back(events: list[Event]) -> list[Event]:
    return events[:7]


def _empty(_: list[Event]) -> list[Event]:
    return []


REWRITTEN = {
    _edit: "of the events 4 to 7 at least one",
    _remove: "of the events 4 to 7 at least one",
    _reorder: "of the events 4 to 7 at least one",
    _insert: "of the events 4 to 7 at least one",
    _cut: "event 9 is missing: the chain ends at 8, and a checkpoint of 10",
    _back: "event 8 is missing: the chain ends at 7, and a checkpoint of 10",
    _empty: "event 1 is missing: the chain ends at 0, and a checkpoint of 10",
}


@pytest.mark.parametrize(("change", "said"), REWRITTEN.items(), ids=[each.__name__ for each in REWRITTEN])
async def test_a_chain_written_anew_shows(
    ledger: Ledger, witness: Witness, sink: FileSink, change: Callable[[list[Event]], list[Event]], said: str
) -> None:
    """It holds in itself, and not against what was put down; and no checkpoint is signed on top of it."""
    await rewrite(ledger, change)
    assert (await witness.verify([])).checkpoints == 0, "the control: it holds in itself"
    with pytest.raises(ReorderedError, match=said):
        await witness.verify(await sink.notes(ORIGIN))
    before = await sink.notes(ORIGIN)
    with pytest.raises(ReorderedError, match=r"(is missing|written anew)"):
        await witness.put(sink)
    assert await sink.notes(ORIGIN) == before


def _at(number: int, /, **values: object) -> Callable[[AsyncConnection, Tables], Awaitable[None]]:
    async def change(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.audit.update().where(tables.audit.c.number == number).values(**values))

    return change


async def _taken_out(connection: AsyncConnection, tables: Tables) -> None:
    await connection.execute(tables.audit.delete().where(tables.audit.c.number == 5))


async def _cut_off(connection: AsyncConnection, tables: Tables) -> None:
    await connection.execute(tables.audit.delete().where(tables.audit.c.number > 8))


async def _swapped(connection: AsyncConnection, tables: Tables) -> None:
    for old, new in ((5, 50), (6, 5), (50, 6)):
        await _at(old, number=new)(connection, tables)


RAW = {
    "edit": (_at(5, at=77), "event 5 was changed"),
    "person": (_at(5, person=None), "event 5 was changed"),
    "removal": (_taken_out, "event 6 was changed, or one before it is missing"),
    "reorder": (_swapped, "event 5 was changed"),
    "node": (_at(5, node=bytes(32)), "beside event 5"),
    "cut": (_cut_off, "event 9 is missing"),
}


@pytest.mark.parametrize("how", RAW)
async def test_a_change_of_rows_shows(ledger: Ledger, witness: Witness, sink: FileSink, how: str) -> None:
    """The first event that is not what it was is named; the control is in the fixture, which has verified."""
    change, said = RAW[how]
    await ledger.transact(change)
    with pytest.raises(ReorderedError, match=said):
        await witness.verify(await sink.notes(ORIGIN))


async def test_a_cut_tail_goes_unseen_without_checkpoints(ledger: Ledger, witness: Witness) -> None:
    """The control: what was put down outside is what finds it."""
    await ledger.transact(_cut_off)
    assert (await witness.verify([])).events == 8


async def test_nothing_new_puts_nothing_down(ledger: Ledger, witness: Witness, sink: FileSink) -> None:
    """And an audit with no events at all neither; something new does."""
    assert await witness.put(sink) is None
    assert len(await sink.notes(ORIGIN)) == 3
    assert await Witness(Audit(ledger), SIGNER, "securemem/another").put(sink) is not None
    await Audit(ledger).write(event(11))
    made = await witness.put(sink)
    assert made is not None
    assert (made.origin, made.size, made.root) == (ORIGIN, *await Audit(ledger).head())


async def test_an_empty_audit_puts_nothing_down(ledger: Ledger, sink: FileSink) -> None:
    """There is nothing to say of it; verifying it finds nothing, and a checkpoint of nothing holds."""
    witness = Witness(Audit(ledger), SIGNER, ORIGIN)
    assert await witness.put(sink) is None
    assert (await witness.verify([])).events == 0
    empty = sign(SIGNER, Checkpoint(ORIGIN, 0, Frontier().root()))
    assert (await witness.verify([empty])).last == 0


async def test_a_checkpoint_that_somebody_else_signed_is_refused(witness: Witness, sink: FileSink) -> None:
    """In the sink, and where a key from before is named; the control verifies by that key."""
    notes = await sink.notes(ORIGIN)
    await witness.verify(notes, SIGNER.public_key)
    stranger = Signer(RawKey(b"x" * 32))
    with pytest.raises(IntegrityError, match="not signed by this key"):
        await witness.verify(notes, stranger.public_key)
    await sink.put(ORIGIN, 10, sign(stranger, Checkpoint(ORIGIN, 10, bytes(32))))
    with pytest.raises(IntegrityError, match="not signed by this key"):
        await witness.verify(await sink.notes(ORIGIN))
    with pytest.raises(IntegrityError, match="not signed by this key"):
        await witness.put(sink)
