"""Which policy is in force for a tenant, who put it there, and when a worker last went through under which one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.ledger.store import Ledger, in_order, stands

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class InForce(NamedTuple):
    """A policy that was applied, or is proposed to be.

    Attributes:
        number: in the order in which they came.
        policy: SHA-256 of it.
        document: what it says of time, as JSON.
        actor: a keyed hash of who; None where no actor was named.
        at: when, in milliseconds.
        applied: whether it is in force; else it waits for somebody else's word.
    """

    number: int
    policy: bytes
    document: str
    actor: bytes | None
    at: int
    applied: bool


class Pass(NamedTuple):
    """A worker's last way through a tenant's data.

    Attributes:
        policy: SHA-256 of the one that it went by.
        at: when it ended, in milliseconds.
        records: how many it took out.
        oldest: since when the oldest record that it left should be gone; None where it left none.
    """

    policy: bytes
    at: int
    records: int
    oldest: int | None


class Standing:
    """What is in force for one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes) -> None:
        """Take the ledger, and the tenant's handle."""
        self._ledger = ledger
        self._tenant = tenant

    async def put(self, policy: bytes, document: str, *, actor: bytes | None, at: int, applied: bool) -> None:
        """Write that a policy is applied, or proposed; once, whatever becomes of the answer."""
        values: dict[str, Any] = {"tenant": self._tenant, "policy": policy, "document": document}
        values |= {"actor": actor, "at": at, "applied": applied}
        given: list[int] = []

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            await in_order(connection, tables.policies)
            for number in given:
                if await stands(connection, tables.policies, {"number": number, **values}):
                    return
            row = await connection.execute(tables.policies.insert().values(**values))
            given.append(int(row.inserted_primary_key[0]))  # type: ignore[index]

        await self._ledger.transact(work)

    async def all(self) -> list[InForce]:
        """Give what was applied and proposed, the newest first."""

        async def work(connection: AsyncConnection, tables: Tables) -> list[InForce]:
            from sqlalchemy import select  # noqa: PLC0415

            policies = tables.policies
            query = select(policies).where(policies.c.tenant == self._tenant).order_by(policies.c.number.desc())
            return [
                InForce(row.number, row.policy, row.document, row.actor, row.at, row.applied)
                for row in await connection.execute(query)
            ]

        return await self._ledger.transact(work)

    async def went_through(self, done: Pass) -> None:
        """Write down that a worker went through."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            passes = tables.passes
            await in_order(connection, passes)
            await connection.execute(passes.delete().where(passes.c.tenant == self._tenant))
            await connection.execute(passes.insert().values(tenant=self._tenant, **done._asdict()))

        await self._ledger.transact(work)

    async def last_pass(self) -> Pass | None:
        """Give the last way through; None where no worker was there yet."""

        async def work(connection: AsyncConnection, tables: Tables) -> Pass | None:
            from sqlalchemy import select  # noqa: PLC0415

            passes = tables.passes
            row = (await connection.execute(select(passes).where(passes.c.tenant == self._tenant))).first()
            return Pass(row.policy, row.at, row.records, row.oldest) if row is not None else None

        return await self._ledger.transact(work)


async def document_in_force(connection: AsyncConnection, tables: Tables, tenant: bytes) -> str | None:
    """Give what the policy in force for a tenant says of time; None where none ever was."""
    from sqlalchemy import select  # noqa: PLC0415

    policies = tables.policies
    applied = select(policies.c.document).where(policies.c.tenant == tenant, policies.c.applied)
    document: str | None = (await connection.execute(applied.order_by(policies.c.number.desc()).limit(1))).scalar()
    return document
