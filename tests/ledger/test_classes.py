"""Retention classes: a number stands for the same facts for good, whoever makes it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from securemem import ConflictError
from securemem.ledger.classes import NOTHING, OWN, Classes, Facts
from securemem.ledger.store import Ledger

from .acts import TENANT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

OTHER = b"\x09" * 16
ONE: Facts = frozenset({("tag", "aa"), ("entity", "PERSON")})
TWO: Facts = frozenset({("tag", "bb")})


def _hash(key: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hashlib.blake2b(data, key=key).digest()


def classes(ledger: Ledger, tenant: bytes = TENANT, keyed_hash: Callable[[bytes], bytes] | None = None) -> Classes:
    """Give the classes of a tenant."""
    return Classes(ledger, tenant, keyed_hash or _hash(b"k"))


async def _count(ledger: Ledger) -> int:
    async def work(connection: AsyncConnection, tables: Tables) -> int:
        return len((await connection.execute(tables.classes.select())).all())

    return await ledger.transact(work)


async def test_another_process_learns_a_class(ledger: Ledger, other: Ledger) -> None:
    """What one has made, another knows when it has loaded, and not before."""
    mine, theirs = classes(ledger), classes(other)
    number = await mine.make(ONE)
    assert mine.facts(number) == ONE
    assert (theirs.facts(number), theirs.number(ONE)) == (None, None)
    await theirs.load()
    assert (theirs.facts(number), theirs.number(ONE)) == (ONE, number)


async def test_a_number_is_the_same_for_good(ledger: Ledger, other: Ledger) -> None:
    """Made at once by many, made again, or made after the ledger lost it, it is one number, and one row."""
    rooms = [classes(each) for each in (ledger, other) for _ in range(4)]
    assert len(set(await asyncio.gather(*(room.make(ONE) for room in rooms)))) == 1
    assert await _count(ledger) == 1

    async def lose(connection: AsyncConnection, tables: Tables) -> None:
        await connection.execute(tables.classes.delete())

    await ledger.transact(lose)
    assert await classes(ledger).make(ONE) == rooms[0].number(ONE)


async def test_numbers_leave_the_reserved_alone(ledger: Ledger) -> None:
    """No facts are the class of nothing, without a row; no class that is made has a number that is reserved."""
    room = classes(ledger, keyed_hash=lambda _: bytes(32))
    assert await room.make(frozenset()) == NOTHING
    assert await _count(ledger) == 0
    assert await room.make(ONE) not in {NOTHING, OWN, *range(16)}
    assert room.facts(OWN) is None


async def test_two_that_would_have_one_number_get_two(ledger: Ledger, other: Ledger) -> None:
    """Where a number is taken by other facts the next one is tried; when all are, it is said."""

    def clashing(data: bytes) -> bytes:
        attempt = next(number for number in range(16) if number.to_bytes(4) in data)
        return (1000 + min(attempt, 2)).to_bytes(4) + bytes(28)

    rooms = [classes(each, keyed_hash=clashing) for each in (ledger, other)]
    numbers = {await room.make(facts) for room in rooms for facts in (ONE, TWO)}
    assert len(numbers) == 2
    third: Facts = frozenset({("tag", "cc")})
    assert await rooms[0].make(third) not in numbers
    with pytest.raises(ConflictError, match="fewer different tags"):
        await rooms[1].make(frozenset({("tag", "dd")}))
    for room in rooms:
        assert {room.facts(number) for number in numbers} == {ONE, TWO}


async def test_tenants_share_no_class(ledger: Ledger) -> None:
    """The same facts of another tenant are another row, and another number under its hash."""
    mine, theirs = classes(ledger), classes(ledger, OTHER, _hash(b"other"))
    assert await mine.make(ONE) != await theirs.make(ONE)
    fresh = classes(ledger, OTHER, _hash(b"other"))
    await fresh.load()
    assert fresh.number(ONE) == theirs.number(ONE)
    assert await _count(ledger) == 2
