"""The audit: who was let do what with whose data and when, as a chain in which every event commits to those before it.

    hash = SHA-256(PAE("securemem/audit/1", hash before, kind, tenant, person, actor, policy, at u64))
    hash = SHA-256(PAE("securemem/audit/2", hash before, kind, tenant, person, actor, policy, at u64,
                       session, rule, records u64))          where a session, a rule or a number is named

Handles and hashes only, each of a fixed size: no column could take a text. A rule is named by the first 16 bytes of the
SHA-256 of its id. An event is durable before what it tells of is done.
"""

from __future__ import annotations

import enum
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from securemem.crypto.pae import pae, u64
from securemem.errors import ReorderedError
from securemem.ledger.store import Ledger, in_order
from securemem.model import HANDLE_BYTES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

_BEGINNING = bytes(32)
_RULE_BYTES = 16


class EventKind(enum.StrEnum):
    """What happened."""

    REVEAL = "reveal"
    """Somebody was given what stands under a person's pseudonyms."""
    DELETE = "delete"
    """Records are deleted, for their time is over."""
    RESTRICT = "restrict"
    """Records are kept out of sight from now on: their time is over, and something keeps them."""
    REFUSE = "refuse"
    """What was asked for is not done: it would delete more than the policy lets a worker, or what has to be kept."""
    EXPORT = "export"
    """All that is held of a person was given to somebody who answers for it."""
    HOLD = "hold"
    """A legal hold was placed."""
    RELEASE = "release"
    """A legal hold was released."""
    RESTRICTION = "restriction"
    """The processing of a person's data was restricted."""
    LIFT = "lift"
    """That was lifted."""
    APPLY = "apply"
    """A policy was put in force."""
    PROPOSE = "propose"
    """A policy waits for a second person's word."""


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: what happened.
        tenant: the tenant's handle.
        person: the person's handle; None where nobody of that id is known.
        actor: a keyed hash of who asked; None where no actor was named.
        policy: SHA-256 of the policy in force.
        at: in milliseconds.
        session: the session's handle; None where it is about no single one.
        rule: of the policy, as `rule_name` gives it; None where none decided.
        records: how many; None where none are counted.
    """

    kind: EventKind
    tenant: bytes
    person: bytes | None
    actor: bytes | None
    policy: bytes
    at: int
    session: bytes | None = None
    rule: bytes | None = None
    records: int | None = None

    def check(self) -> None:
        """Refuse what could be a text.

        Raises:
            ValueError: a part that is no bytes of the size of a handle or a hash, or no number where one belongs.
        """
        handles = [(part, HANDLE_BYTES) for part in (self.tenant, self.person, self.session)]
        sizes = [*handles, (self.actor, 32), (self.policy, 32), (self.rule, _RULE_BYTES)]
        mistaken = any(part is not None and (type(part) is not bytes or len(part) != size) for part, size in sizes)
        numbers = (self.at, 0 if self.records is None else self.records)
        if mistaken or type(self.kind) is not EventKind or any(type(number) is not int for number in numbers):
            raise ValueError("an audited event holds handles and hashes, each of its size")

    def chained(self, before: bytes) -> bytes:
        """Give the hash of the event, as it follows another one."""
        parts = (self.kind.value.encode(), self.tenant, self.person or b"", self.actor or b"", self.policy)
        if self.session is None and self.rule is None and self.records is None:
            return hashlib.sha256(pae(b"securemem/audit/1", before, *parts, u64(self.at))).digest()
        more = (self.session or b"", self.rule or b"", u64(self.records or 0))
        return hashlib.sha256(pae(b"securemem/audit/2", before, *parts, u64(self.at), *more)).digest()


def rule_name(rule: str) -> bytes:
    """Give what an event names a rule by."""
    return hashlib.sha256(rule.encode()).digest()[:_RULE_BYTES]


class Audit:
    """The events in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger

    async def write(self, *events: Event) -> None:
        """Write events, durably, at the chain's end.

        Raises:
            ValueError: as `Event.check`.
        """
        for event in events:
            event.check()

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            from sqlalchemy import select  # noqa: PLC0415

            audit = tables.audit
            await in_order(connection, audit)
            newest = select(audit.c.hash).order_by(audit.c.number.desc()).limit(1)
            before: bytes = (await connection.execute(newest)).scalar() or _BEGINNING
            values = []
            for event in events:
                before = event.chained(before)
                values.append(event._asdict() | {"kind": event.kind.value, "hash": before})
            await connection.execute(audit.insert(), values)

        if events:
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
                named = (row.tenant, row.person, row.actor, row.policy, row.at, row.session, row.rule, row.records)
                event = Event(EventKind(row.kind), *named)
                before = event.chained(before)
                if row.hash != before:
                    raise ReorderedError(f"audit: event {row.number} was changed, or one before it is missing")
                events.append(event)
            return events

        return await self._ledger.transact(work)
