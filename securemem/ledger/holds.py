"""Legal holds, and restrictions of processing (GDPR Art. 18).

A hold is on all that is held of a person, or on one session; several may overlap, and each is released by its id. A
restriction is on all of a person's. That one was placed or released is an act, which the stores' stamps follow, and
with it stands the audit's event.
"""

from __future__ import annotations

import enum
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.errors import InvalidInputError
from securemem.ledger.acts import ActKind
from securemem.ledger.audit import Event, append
from securemem.ledger.store import Besides, Ledger
from securemem.model import HANDLE_BYTES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class Kind(enum.StrEnum):
    """Why something is kept out of sight."""

    HOLD = "hold"
    RESTRICTION = "restriction"
    PRESERVED = "preserved"
    """The rest of what it belonged to is destroyed, or going to be."""


class Hold(NamedTuple):
    """One hold, or restriction, or keeping of what is preserved.

    Attributes:
        id: by which it is released.
        tenant: the tenant's handle.
        person: the person's handle.
        session: the session's; None where it is on all that is held of the person.
        reason: a code of the caller's own, such as the number of a case.
        placed_at: when it was placed, in milliseconds.
        kind: why, as `Kind` says.
    """

    id: bytes
    tenant: bytes
    person: bytes
    session: bytes | None
    reason: str
    placed_at: int
    kind: str = Kind.HOLD.value


class Placed(NamedTuple):
    """A hold that was placed just now, and the number of the act; 0 for what is preserved, which an erasure does."""

    hold: Hold
    act: int


_PLACED = {Kind.HOLD: ActKind.HOLD, Kind.RESTRICTION: ActKind.RESTRICT}
_RELEASED = {Kind.HOLD: ActKind.RELEASE, Kind.RESTRICTION: ActKind.LIFT}


class Release(NamedTuple):
    """How far the release of a hold is.

    Attributes:
        hold: which.
        asked_by: a keyed hash of who has asked for it first, where it waits for a second person's word.
        is_released: whether it was released, though its sessions may still have to be told.
    """

    hold: Hold
    asked_by: bytes | None
    is_released: bool


class Holds:
    """The holds of one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes) -> None:
        """Take the ledger, and the tenant's handle."""
        self._ledger = ledger
        self._tenant = tenant

    async def place(
        self,
        person: bytes,
        session: bytes | None,
        *,
        reason: str,
        at: int,
        kind: Kind = Kind.HOLD,
        event: Event | None = None,
    ) -> Placed:
        """Write a hold, durably, and the event that tells of it; its sessions' heads are the caller's to mark.

        The act is through once they are.
        """
        hold = Hold(secrets.token_bytes(HANDLE_BYTES), self._tenant, person, session, reason, at, kind.value)

        async def besides(connection: AsyncConnection, tables: Tables, _: int) -> None:
            from securemem.ledger.engine import insert_new  # noqa: PLC0415

            await connection.execute(insert_new(tables.holds, connection.dialect.name), [hold._asdict()])
            if event is not None:
                await append(connection, tables, event)

        return Placed(hold, await self._decide(_PLACED.get(kind), at, besides))

    async def _decide(self, kind: ActKind | None, at: int, besides: Besides) -> int:
        """Write something as an act of its own, and give its number; 0 where it is part of another."""
        if kind is None:
            await self._ledger.transact(lambda connection, tables: besides(connection, tables, 0))
            return 0
        act = {"kind": kind.value, "tenant": self._tenant, "person": None, "generation": 0, "at": at}
        return await self._ledger.decide(act, besides)

    async def find(self, hold: bytes) -> Release:
        """Give a hold, and how far its release is.

        Raises:
            InvalidInputError: there is none of this id.
        """

        async def work(connection: AsyncConnection, tables: Tables) -> Release | None:
            from sqlalchemy import select  # noqa: PLC0415

            holds = tables.holds
            mine = (holds.c.id == hold, holds.c.tenant == self._tenant)
            row = (await connection.execute(select(holds).where(*mine))).first()
            if row is None:
                return None
            return Release(Hold(*row[: len(Hold._fields)]), row.asked_by, is_released=row.released_at is not None)

        found = await self._ledger.transact(work)
        if found is None:
            raise InvalidInputError("there is no hold of this id")
        return found

    async def release(self, hold: bytes, *, at: int, kind: Kind = Kind.HOLD, event: Event | None = None) -> int:
        """Mark a hold as released, and write the event that tells of it, unless somebody has done so.

        Returns:
            The number of the act, which is through once its sessions' heads are set.
        """

        async def besides(connection: AsyncConnection, tables: Tables, _: int) -> None:
            if await self._change(connection, tables, hold, released_at=at) and event is not None:
                await append(connection, tables, event)

        return await self._decide(_RELEASED.get(kind), at, besides)

    async def ask(self, hold: bytes, actor: bytes, *, event: Event | None = None) -> None:
        """Note who wants a hold released, which waits for a second person's word, and write the event of it."""
        given: dict[int, bytes] = {}

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            if await self._change(connection, tables, hold, asked_by=actor) and event is not None:
                await append(connection, tables, event, given=given)

        await self._ledger.transact(work)

    async def _change(self, connection: AsyncConnection, tables: Tables, hold: bytes, **values: Any) -> bool:
        """Change a hold; tells whether it stands still."""
        holds = tables.holds
        mine = (holds.c.id == hold, holds.c.tenant == self._tenant, holds.c.released_at.is_(None))
        return bool((await connection.execute(holds.update().where(*mine).values(**values))).rowcount)

    async def all(self) -> list[Hold]:
        """Give every hold and restriction that ever was, the oldest first."""
        return await self._select(None, standing=False)

    async def active(self, kind: Kind | None = Kind.HOLD) -> list[Hold]:
        """Give the holds that were not released, or what else is of a kind; of all kinds if None; the oldest first."""
        return await self._select(kind, standing=True)

    async def _select(self, kind: Kind | None, *, standing: bool) -> list[Hold]:
        return await self._ledger.transact(
            lambda connection, tables: select_holds(connection, tables, self._tenant, kind, standing=standing)
        )


async def select_holds(
    connection: AsyncConnection, tables: Tables, tenant: bytes, kind: Kind | None = None, *, standing: bool = True
) -> list[Hold]:
    """Give what is kept out of sight in a tenant, the oldest first, within a transaction of somebody else's."""
    from sqlalchemy import select  # noqa: PLC0415

    holds = tables.holds
    query = select(holds).where(holds.c.tenant == tenant)
    if standing:
        query = query.where(holds.c.released_at.is_(None))
    if kind is not None:
        query = query.where(holds.c.kind == kind.value)
    rows = await connection.execute(query.order_by(holds.c.placed_at))
    return [Hold(*row[: len(Hold._fields)]) for row in rows]
