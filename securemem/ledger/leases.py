"""Leases: who works on what just now, by the clock of the ledger's own database, so that no machine's clock matters.

A lease is taken with a token that nobody else has. What must not be done twice checks the token in the same transaction
that does it (`fence`), so that whoever was asleep for longer than its lease finds that it lost it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from securemem.errors import ConflictError
from securemem.ledger.store import Ledger

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

_NOW = {
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
}
Fence = Callable[["AsyncConnection", "Tables"], Awaitable[None]]


class Leases:
    """The leases of one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes, *, seconds: float) -> None:
        """Take the ledger, the tenant's handle, and how long a lease lasts that nobody renews."""
        self._ledger = ledger
        self._tenant = tenant
        self._milliseconds = int(seconds * 1000)

    async def take(self, names: Sequence[bytes]) -> dict[bytes, int]:
        """Take those leases that nobody has, without waiting for others that do so too; gives their tokens."""
        token = secrets.randbits(62) + 1

        async def work(connection: AsyncConnection, tables: Tables) -> dict[bytes, int]:
            from sqlalchemy import select  # noqa: PLC0415

            from securemem.ledger.engine import insert_new  # noqa: PLC0415

            leases = tables.leases
            now = await _now(connection)
            fresh = [{"tenant": self._tenant, "name": name, "token": 0, "until": 0} for name in sorted(names)]
            await connection.execute(insert_new(leases, connection.dialect.name), fresh)
            mine = (leases.c.tenant == self._tenant, leases.c.name.in_(list(names)))
            free = select(leases.c.name).where(*mine, (leases.c.until <= now) | (leases.c.token == token))
            taken = [name for (name,) in await connection.execute(free.with_for_update(skip_locked=True))]
            if taken:
                theirs = (leases.c.tenant == self._tenant, leases.c.name.in_(taken))
                values = {"token": token, "until": now + self._milliseconds}
                await connection.execute(leases.update().where(*theirs).values(**values))
            return dict.fromkeys(taken, token)

        return await self._ledger.transact(work) if names else {}

    async def give_back(self, taken: Mapping[bytes, int]) -> None:
        """Give leases back; those that somebody else has by now are left alone."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            leases = tables.leases
            for token in set(taken.values()):
                names = [name for name, each in taken.items() if each == token]
                mine = (leases.c.tenant == self._tenant, leases.c.name.in_(names), leases.c.token == token)
                await connection.execute(leases.delete().where(*mine))

        if taken:
            await self._ledger.transact(work)

    def fence(self, taken: Mapping[bytes, int]) -> Fence:
        """Give what fails, within a transaction, where one of these leases is not held any more.

        Raises:
            ConflictError: one was lost.
        """

        async def check(connection: AsyncConnection, tables: Tables) -> None:
            from sqlalchemy import func, select  # noqa: PLC0415

            leases = tables.leases
            now = await _now(connection)
            for token in set(taken.values()):
                names = [name for name, each in taken.items() if each == token]
                mine = (leases.c.tenant == self._tenant, leases.c.name.in_(names))
                held = select(func.count()).where(*mine, leases.c.token == token, leases.c.until > now)
                if (await connection.execute(held)).scalar() != len(names):
                    raise ConflictError("a lease was lost: another worker goes on with this")

        return check


async def _now(connection: AsyncConnection) -> int:
    """Give the database's time, in milliseconds."""
    from sqlalchemy import text  # noqa: PLC0415

    return int((await connection.execute(text(_NOW[connection.dialect.name]))).scalar_one())
