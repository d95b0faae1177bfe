"""Legal holds, and restrictions of processing (GDPR Art. 18).

A hold is on all that is held of a person, or on one session; several may overlap, and each is released by its id. A
restriction is on all of a person's.
"""

from __future__ import annotations

import enum
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.errors import InvalidInputError
from securemem.ledger.store import Ledger
from securemem.model import HANDLE_BYTES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class Kind(enum.StrEnum):
    """Why something is kept out of sight."""

    HOLD = "hold"
    RESTRICTION = "restriction"


class Hold(NamedTuple):
    """One hold, or restriction.

    Attributes:
        id: by which it is released.
        tenant: the tenant's handle.
        person: the person's handle.
        session: the session's; None where it is on all that is held of the person.
        reason: a code of the caller's own, such as the number of a case.
        placed_at: when it was placed, in milliseconds.
        kind: which of the two it is.
    """

    id: bytes
    tenant: bytes
    person: bytes
    session: bytes | None
    reason: str
    placed_at: int
    kind: str = Kind.HOLD.value


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
        self, person: bytes, session: bytes | None, *, reason: str, at: int, kind: Kind = Kind.HOLD
    ) -> Hold:
        """Write a hold, durably; its sessions' heads are the caller's to mark."""
        hold = Hold(secrets.token_bytes(HANDLE_BYTES), self._tenant, person, session, reason, at, kind.value)

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            from securemem.ledger.engine import insert_new  # noqa: PLC0415

            await connection.execute(insert_new(tables.holds, connection.dialect.name), [hold._asdict()])

        await self._ledger.transact(work)
        return hold

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

    async def release(self, hold: bytes, *, at: int) -> None:
        """Mark a hold as released."""
        await self._set(hold, released_at=at)

    async def ask(self, hold: bytes, actor: bytes) -> None:
        """Note who wants a hold released, which waits for a second person's word."""
        await self._set(hold, asked_by=actor)

    async def _set(self, hold: bytes, **values: Any) -> None:
        async def work(connection: AsyncConnection, tables: Tables) -> None:
            holds = tables.holds
            mine = (holds.c.id == hold, holds.c.tenant == self._tenant, holds.c.released_at.is_(None))
            await connection.execute(holds.update().where(*mine).values(**values))

        await self._ledger.transact(work)

    async def active(self, kind: Kind | None = Kind.HOLD) -> list[Hold]:
        """Give the holds that were not released, or the restrictions, or both; the oldest first."""

        async def work(connection: AsyncConnection, tables: Tables) -> list[Hold]:
            from sqlalchemy import select  # noqa: PLC0415

            holds = tables.holds
            query = select(holds).where(holds.c.tenant == self._tenant, holds.c.released_at.is_(None))
            if kind is not None:
                query = query.where(holds.c.kind == kind.value)
            rows = await connection.execute(query.order_by(holds.c.placed_at))
            return [Hold(*row[: len(Hold._fields)]) for row in rows]

        return await self._ledger.transact(work)
