"""Moves of tenants, as the ledger keeps them: since when a tenant lies where, and what it has left behind.

A move is an act that is through as soon as it is written: a keystore that was restored from before it is behind the
ledger, and is told where the tenant lies. What is left on the server that it came from is residue of every erasure that
comes later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from securemem.ledger.acts import ActKind
from securemem.ledger.store import Ledger
from securemem.model import Residue, ResidueKind, from_milliseconds, to_milliseconds
from securemem.residue import Lasting

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a tenant.

    Attributes:
        counter: the act's number.
        tenant: the tenant's handle.
        source: the server that it came from, by its name.
        target: the server that it lies on since.
        at: since when.
        backups_until: when the last backup of the source from before is gone; None where the operator has not said.
        cleaned_at: when what was left at the source was removed; None if it is still to be.
        residue: what of it could not be.
    """

    counter: int
    tenant: bytes
    source: str
    target: str
    at: datetime
    backups_until: datetime | None = None
    cleaned_at: datetime | None = None
    residue: tuple[Residue, ...] = ()

    def left(self, now: datetime, lasting: Lasting) -> list[Residue]:
        """Give what of the tenant is still at the source.

        Args:
            now: what is past its date by then is not there any more.
            lasting: the operator's statement, which counts for backups where the move bears no date of its own.
        """
        copies = f"sealed copies in backups of server {self.source!r}, from before its tenant was moved away from it"
        backups = Residue("data", copies, self.backups_until, ResidueKind.COPY)
        if self.cleaned_at is None:
            rows = f"rows on server {self.source!r}, until the move of its tenant from there is ended"
            found = [backups, *self.residue, Residue("data", rows)]
        else:
            found = lasting.dated([backups, *self.residue], self.cleaned_at)
        return [each for each in found if each.until is None or each.until > now]


class Moves:
    """The moves in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger

    async def begin(
        self, tenant: bytes, *, source: str, target: str, at: datetime, backups_until: datetime | None
    ) -> Move:
        """Write a move, durably, before the keystore is told of it."""
        moment = to_milliseconds(at)
        act = {"kind": ActKind.MOVE.value, "tenant": tenant, "generation": 0, "at": moment, "done_at": moment}
        until = to_milliseconds(backups_until) if backups_until is not None else None
        move = {"source": source, "target": target, "backups_until": until, "residue": "[]"}

        async def besides(connection: AsyncConnection, tables: Tables, counter: int) -> None:
            await connection.execute(tables.moves.insert().values(counter=counter, **move))

        counter = await self._ledger.decide(act, besides)
        return Move(counter, tenant, source, target, at, backups_until)

    async def finish(
        self, move: Move, *, at: datetime, residue: Sequence[Residue], backups_until: datetime | None
    ) -> None:
        """Note that what a move left behind was removed, what of it could not be, and until when there are backups."""
        values: dict[str, Any] = {"cleaned_at": to_milliseconds(at), "residue": _encoded(residue)}
        if backups_until is not None:
            values["backups_until"] = to_milliseconds(backups_until)

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            moves = tables.moves
            await connection.execute(moves.update().where(moves.c.counter == move.counter).values(**values))

        await self._ledger.transact(work)

    async def all(self) -> list[Move]:
        """Give the moves of all tenants, in the order in which they were."""
        return await self._ledger.transact(all_moves)

    async def of(self, tenant: bytes) -> list[Move]:
        """Give the moves of one tenant."""
        return [move for move in await self.all() if move.tenant == tenant]


async def all_moves(connection: AsyncConnection, tables: Tables) -> list[Move]:
    """Give the moves of all tenants, in their order, within a transaction of somebody else's."""
    from sqlalchemy import select  # noqa: PLC0415

    acts, moves = tables.acts.c, tables.moves.c
    columns = (moves.counter, acts.tenant, moves.source, moves.target, acts.at)
    query = select(*columns, moves.backups_until, moves.cleaned_at, moves.residue).join(tables.acts)
    return [
        Move(counter, tenant, source, target, from_milliseconds(at), _moment(until), _moment(cleaned), _decoded(left))
        for counter, tenant, source, target, at, until, cleaned, left in await connection.execute(
            query.order_by(moves.counter)
        )
    ]


def _moment(milliseconds: int | None) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds is not None else None


def _encoded(residue: Sequence[Residue]) -> str:
    return json.dumps(
        [
            {
                "what": each.what,
                "until": to_milliseconds(each.until) if each.until is not None else None,
                "kind": each.kind.value,
            }
            for each in residue
        ]
    )


def _decoded(text: str) -> tuple[Residue, ...]:
    """Give what was noted; a note of an older version does not say of which kind it is."""
    return tuple(
        Residue("data", each["what"], _moment(each["until"]), ResidueKind(each.get("kind", "place")))
        for each in json.loads(text)
    )
