"""The tree over the audited events: proofs from the nodes that lie beside them, and nodes for events from before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from alembic import command

from securemem import InvalidInputError, ReorderedError
from securemem.crypto.merkle import Frontier, check_consistency, check_inclusion
from securemem.ledger import migrating
from securemem.ledger.audit import Audit
from securemem.ledger.events import BEGINNING
from securemem.ledger.store import Ledger
from securemem.ledger.tree import Inclusion

from .acts import DEPLOYMENT
from .test_audit import event

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

MANY = 77


async def hashes(audit: Audit) -> list[bytes]:
    """Give the hashes of all events."""
    return [entry.hash async for entry in audit.entries()]


async def test_every_event_has_a_proof(ledger: Ledger) -> None:
    """Of each event, in a tree that is no power of two; the event's own hash follows from what the proof holds."""
    audit = Audit(ledger)
    assert await audit.head() == (0, Frontier().root())
    for at in range(3):
        await audit.write(event(at))
    await audit.write(*(event(at) for at in range(3, MANY)))
    size, root = await audit.head()
    for number in range(1, MANY + 1):
        proof = await audit.proof(number)
        entry = proof.event.chained(proof.before)
        assert Inclusion.from_json(json.loads(json.dumps(proof.to_json()))) == proof
        assert (proof.number, proof.size, proof.root, entry) == (number, size, root, (await hashes(audit))[number - 1])
        check_inclusion(entry, number - 1, size, proof.path, root)
    for number in (-1, 0, MANY + 1):
        with pytest.raises(InvalidInputError, match="no event"):
            await audit.proof(number)


async def test_what_grew_proves_that_it_did(ledger: Ledger) -> None:
    """From every size that it had to what it is now."""
    audit = Audit(ledger)
    roots = {}
    for at in range(MANY):
        await audit.write(event(at))
        size, roots[size] = await audit.head()
    for first, root in roots.items():
        check_consistency(first, MANY, await audit.consistency(first, MANY), (root, roots[MANY]))


@pytest.mark.parametrize(("column", "number"), [("node", 3), ("hash", 2), ("at", 2)])
async def test_what_was_changed_is_not_proven(ledger: Ledger, column: str, number: int) -> None:
    """Neither an event nor a node that a proof needs can be another; the control is the proof before."""
    audit = Audit(ledger)
    await audit.write(*(event(at) for at in range(8)))
    await audit.proof(number)

    async def change(connection: AsyncConnection, tables: Tables) -> None:
        value = 7 if column == "at" else bytes(32)
        await connection.execute(tables.audit.update().where(tables.audit.c.number == 2).values({column: value}))

    await ledger.transact(change)
    with pytest.raises(ReorderedError, match=f"audit: event {number}"):
        await audit.proof(number)
    with pytest.raises(ReorderedError, match="event 2"):
        await audit.events()


async def test_events_from_before_get_their_nodes(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older version wrote, with gaps between the numbers, is numbered anew and proven as all else."""
    upgrade, before = command.upgrade, [BEGINNING]
    for at in range(1100):
        before.append(event(at).chained(before[-1]))

    async def write(connection: AsyncConnection, tables: Tables) -> None:
        values = [event(at)._asdict() | {"number": 3 * at + 2, "hash": before[at + 1]} for at in range(1100)]
        await connection.execute(tables.audit.insert(), values)

    monkeypatch.setattr(migrating, "make", migrating.upgrade)
    monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0005"))
    older = Ledger(place)
    await older.create(DEPLOYMENT)
    await older.transact(write)
    await older.aclose()
    monkeypatch.undo()
    newer = Ledger(place)
    await newer.create(DEPLOYMENT)
    audit = Audit(newer)
    assert await hashes(audit) == before[1:]
    assert await audit.write(event(1)) == [1101]
    await audit.proof(1100)
    await newer.aclose()
