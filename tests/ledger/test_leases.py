"""Leases: one holder at a time, by the database's clock, and nobody acts on one that was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from securemem import ConflictError
from securemem.ledger.leases import Leases
from securemem.ledger.store import Ledger

from .acts import TENANT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

NAMES = [bytes([number]) * 16 for number in range(1, 9)]
OTHER = b"\x09" * 16


async def holds(ledger: Ledger, leases: Leases, taken: Mapping[bytes, int]) -> bool:
    """Tell whether leases are still held."""

    async def work(connection: AsyncConnection, tables: Tables) -> None:
        await leases.fence(taken)(connection, tables)

    try:
        await ledger.transact(work)
    except ConflictError:
        return False
    return True


async def end_all(ledger: Ledger) -> None:
    """Let the time of all leases be over."""

    async def work(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.leases.update().values(until=1))

    await ledger.transact(work)


async def test_one_at_a_time(ledger: Ledger, other: Ledger) -> None:
    """What one has, another does not get; what it gives back, it does."""
    mine, theirs = (Leases(each, TENANT, seconds=60) for each in (ledger, other))
    taken = await mine.take(NAMES[:3])
    assert list(taken) == NAMES[:3]
    assert set(await theirs.take(NAMES)) == set(NAMES[3:])
    assert await mine.take(NAMES) == {}
    await mine.give_back(taken)
    assert set(await theirs.take(NAMES)) == set(NAMES[:3])


async def test_many_at_once_share_out(ledger: Ledger, other: Ledger) -> None:
    """However many ask for the same, each lease goes to one of them."""
    rooms = [Leases(each, TENANT, seconds=60) for each in (ledger, other) for _ in range(4)]
    found = await asyncio.gather(*(room.take(NAMES) for room in rooms))
    assert sorted(chain.from_iterable(found)) == NAMES


async def test_a_lease_ends(ledger: Ledger, other: Ledger) -> None:
    """After its time somebody else has it, by another token; who had it is fenced off, and gives nothing back."""
    mine, theirs = (Leases(each, TENANT, seconds=60) for each in (ledger, other))
    old = await mine.take(NAMES)
    assert await holds(ledger, mine, old)
    await end_all(ledger)
    assert not await holds(ledger, mine, old), "though nobody has it yet"
    new = await theirs.take(NAMES[:1])
    assert new[NAMES[0]] != old[NAMES[0]]
    await mine.give_back(old)
    assert await holds(other, theirs, new)
    assert not await holds(ledger, mine, {NAMES[0]: old[NAMES[0]]})


async def test_time_is_the_databases(ledger: Ledger) -> None:
    """A lease of a moment is over by itself; one of an hour is not."""
    short, long = Leases(ledger, TENANT, seconds=0.05), Leases(ledger, TENANT, seconds=3600)
    brief, taken = await short.take(NAMES[:1]), await long.take(NAMES[1:])
    await asyncio.sleep(0.2)
    assert not await holds(ledger, short, brief)
    assert await holds(ledger, long, taken)
    assert set(await long.take(NAMES)) == {NAMES[0]}


async def test_one_lost_of_several_fails_the_whole(ledger: Ledger) -> None:
    """A fence is of all leases that it was made of; of none it is open."""
    leases = Leases(ledger, TENANT, seconds=60)
    taken = await leases.take(NAMES[:3])
    await leases.give_back({NAMES[0]: taken[NAMES[0]]})
    assert not await holds(ledger, leases, taken)
    assert await holds(ledger, leases, {name: taken[name] for name in NAMES[1:3]})
    assert await holds(ledger, leases, {})
    assert await leases.take([]) == {}


async def test_tenants_have_leases_of_their_own(ledger: Ledger) -> None:
    """The same name of two tenants is two leases."""
    mine, theirs = (Leases(ledger, tenant, seconds=60) for tenant in (TENANT, OTHER))
    assert set(await mine.take(NAMES)) == set(await theirs.take(NAMES)) == set(NAMES)


@pytest.mark.parametrize("count", [1, 3])
async def test_a_fence_that_fails_undoes_its_transaction(ledger: Ledger, count: int) -> None:
    """What was written before it in the same transaction is not there."""
    leases = Leases(ledger, TENANT, seconds=60)

    async def work(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.classes.insert().values(tenant=TENANT, number=count, facts="[]"))
        await leases.fence(dict.fromkeys(NAMES[:count], 1))(connection, tables)

    with pytest.raises(ConflictError, match="lease was lost"):
        await ledger.transact(work)

    async def look(connection: AsyncConnection, tables: Tables) -> int:
        return len((await connection.execute(tables.classes.select())).all())

    assert await ledger.transact(look) == 0
