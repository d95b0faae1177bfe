"""What the retention classes of a tenant's records stand for.

A class is a number of 32 bits in the clear columns of a record. It stands for what was true of the record when it was
written (`Facts`): its tags, its session's tags and its purpose as keyed hashes, and the entities that were found in it.
It is in the ledger before a record bears it, and it never goes: the number of a set of facts is the same for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from securemem.crypto.pae import pae, u32
from securemem.errors import ConflictError
from securemem.ledger.store import Ledger

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

Facts = frozenset[tuple[str, str]]
"""Kinds and words, as a policy's rules ask for them."""

NOTHING = 0
"""The class of which nothing is true that a rule could ask for."""
OWN = 1
"""The class of what lives as long as it says itself, whatever a policy says: what a person's vault holds."""
_LOWEST = 16
_TRIES = 16


class Classes:
    """The classes of one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes, keyed_hash: Callable[[bytes], bytes]) -> None:
        """Take the ledger, the tenant's handle and its hash."""
        self._ledger = ledger
        self._tenant = tenant
        self._keyed_hash = keyed_hash
        self._facts: dict[int, Facts] = {NOTHING: frozenset()}
        self._numbers: dict[Facts, int] = {frozenset(): NOTHING}

    def facts(self, number: int) -> Facts | None:
        """Give what a class stands for; None where this process does not know."""
        return self._facts.get(number)

    def number(self, facts: Facts) -> int | None:
        """Give the class of some facts, if this process knows it."""
        return self._numbers.get(facts)

    async def load(self) -> None:
        """Learn all classes that the ledger has."""

        async def work(connection: AsyncConnection, tables: Tables) -> list[tuple[int, str]]:
            from sqlalchemy import select  # noqa: PLC0415

            classes = tables.classes
            query = select(classes.c.number, classes.c.facts).where(classes.c.tenant == self._tenant)
            return [(row.number, row.facts) for row in await connection.execute(query)]

        for number, text in await self._ledger.transact(work):
            self._learn(number, _decoded(text))

    async def make(self, facts: Facts) -> int:
        """Give the class of some facts, which is in the ledger when this returns."""
        known = self._numbers.get(facts)
        if known is not None:
            return known
        for attempt in range(_TRIES):
            number = self._candidate(facts, attempt)
            stands = _decoded(await self._ledger.transact(lambda c, t, n=number: self._put(c, t, n, facts)))  # type: ignore[misc]
            self._learn(number, stands)
            if stands == facts:
                return number
        raise ConflictError("the numbers of this retention class are all taken: use fewer different tags")

    def _candidate(self, facts: Facts, attempt: int) -> int:
        parts = [part.encode() for fact in sorted(facts) for part in fact]
        digest = self._keyed_hash(pae(b"securemem/class/1", u32(attempt), *parts))
        return max(_LOWEST, int.from_bytes(digest[:4]))

    async def _put(self, connection: AsyncConnection, tables: Tables, number: int, facts: Facts) -> str:
        """Write a class unless its number is taken; gives what the number stands for."""
        from sqlalchemy import select  # noqa: PLC0415

        from securemem.ledger.engine import insert_new  # noqa: PLC0415

        classes = tables.classes
        values = {"tenant": self._tenant, "number": number, "facts": _encoded(facts)}
        await connection.execute(insert_new(classes, connection.dialect.name), [values])
        query = select(classes.c.facts).where(classes.c.tenant == self._tenant, classes.c.number == number)
        return str((await connection.execute(query)).scalar_one())

    def _learn(self, number: int, facts: Facts) -> None:
        self._facts[number] = facts
        self._numbers[facts] = number


def _encoded(facts: Iterable[tuple[str, str]]) -> str:
    return json.dumps(sorted(facts))


def _decoded(text: str) -> Facts:
    return frozenset((kind, word) for kind, word in json.loads(text))
