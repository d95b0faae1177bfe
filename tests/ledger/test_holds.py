"""Holds as the ledger has them: several may overlap, each is released once, and each is its tenant's."""

from __future__ import annotations

import pytest

from securemem import InvalidInputError
from securemem.ledger.holds import Holds
from securemem.ledger.store import Ledger

from .acts import PERSON, TENANT

SESSION, OTHER = b"\x07" * 16, b"\x09" * 16


async def test_holds_stand_until_they_are_released(ledger: Ledger, other: Ledger) -> None:
    """Every process has those that stand, the oldest first; the release of one leaves the others."""
    holds = Holds(ledger, TENANT)
    later = (await holds.place(PERSON, SESSION, reason="B", at=2)).hold
    first = (await holds.place(PERSON, None, reason="A", at=1)).hold
    assert await Holds(other, TENANT).active() == [first, later]
    await Holds(other, TENANT).release(later.id, at=3)
    assert await holds.active() == [first]
    assert (await holds.find(later.id)).is_released
    assert not (await holds.find(first.id)).is_released


async def test_a_hold_has_an_id_of_its_own(ledger: Ledger) -> None:
    """Placed twice, the same is held twice."""
    holds = Holds(ledger, TENANT)
    one, two = [(await holds.place(PERSON, None, reason="A", at=1)).hold for _ in range(2)]
    assert one.id != two.id
    await holds.release(one.id, at=2)
    assert await holds.active() == [two]


async def test_who_asked_first_is_noted(ledger: Ledger) -> None:
    """As long as a hold stands; what was released is changed by nobody."""
    holds = Holds(ledger, TENANT)
    hold, _ = await holds.place(PERSON, None, reason="A", at=1)
    assert (await holds.find(hold.id)).asked_by is None
    await holds.ask(hold.id, b"a" * 32)
    assert (await holds.find(hold.id)).asked_by == b"a" * 32
    await holds.release(hold.id, at=2)
    await holds.ask(hold.id, b"b" * 32)
    assert await holds.find(hold.id) == (hold, b"a" * 32, True)


async def test_a_hold_is_its_tenants(ledger: Ledger) -> None:
    """Another tenant does not see, find or release it."""
    hold, _ = await Holds(ledger, TENANT).place(PERSON, None, reason="A", at=1)
    theirs = Holds(ledger, OTHER)
    assert await theirs.active() == []
    with pytest.raises(InvalidInputError):
        await theirs.find(hold.id)
    await theirs.release(hold.id, at=2)
    assert await Holds(ledger, TENANT).active() == [hold]
