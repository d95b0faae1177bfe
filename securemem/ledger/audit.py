"""The audit: who was let do what with whose data and when, as a chain in which every event commits to those before it.

    hash = SHA-256(PAE("securemem/audit/1", hash before, kind, tenant, person, actor, policy, at u64))

Handles and keyed hashes only: no column could take a text. An event is durable before what it tells of is done.
"""

from __future__ import annotations

import enum
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from securemem.crypto.pae import pae, u64
from securemem.errors import ReorderedError
from securemem.ledger.store import Ledger, in_order

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

_BEGINNING = bytes(32)


class EventKind(enum.StrEnum):
    """What happened."""

    REVEAL = "reveal"
    """Somebody was given what stands under a person's pseudonyms."""


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: what happened.
        tenant: the tenant's handle.
        person: the person's handle; None where nobody of that id is known.
        actor: a keyed hash of who asked; None where no actor was named.
        policy: SHA-256 of the policy in force.
        at: in milliseconds.
    """

    kind: EventKind
    tenant: bytes
    person: bytes | None
    actor: bytes | None
    policy: bytes
    at: int

    def chained(self, before: bytes) -> bytes:
        """Give the hash of the event, as it follows another one."""
        parts = (self.kind.value.encode(), self.tenant, self.person or b"", self.actor or b"", self.policy)
        return hashlib.sha256(pae(b"securemem/audit/1", before, *parts, u64(self.at))).digest()


class Audit:
    """The events in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger

    async def write(self, event: Event) -> None:
        """Write an event, durably, at the chain's end."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            from sqlalchemy import select  # noqa: PLC0415

            audit = tables.audit
            await in_order(connection, audit)
            newest = select(audit.c.hash).order_by(audit.c.number.desc()).limit(1)
            before: bytes = (await connection.execute(newest)).scalar() or _BEGINNING
            values = event._asdict() | {"kind": event.kind.value, "hash": event.chained(before)}
            await connection.execute(audit.insert().values(**values))

        await self._ledger.transact(work)

    async def events(self) -> list[Event]:
        """Give all events, oldest first.

        Raises:
            ReorderedError: one was changed, or one before it is missing.
        """

        async def work(connection: AsyncConnection, tables: Tables) -> list[Event]:
            from sqlalchemy import select  # noqa: PLC0415

            rows = await connection.execute(select(tables.audit).order_by(tables.audit.c.number))
            events: list[Event] = []
            before = _BEGINNING
            for row in rows:
                event = Event(EventKind(row.kind), row.tenant, row.person, row.actor, row.policy, row.at)
                before = event.chained(before)
                if row.hash != before:
                    raise ReorderedError(f"audit: event {row.number} was changed, or one before it is missing")
                events.append(event)
            return events

        return await self._ledger.transact(work)
