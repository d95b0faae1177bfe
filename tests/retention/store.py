"""What tests of retention share: policies, stores under them, and a look at what lies there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import Message, SecureMemory, Session
from securemem.crypto.head import HeadSeal
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.model import Head
from securemem.policy import Policy
from securemem.policy.load import parse

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.compose import Deployment
    from securemem.ledger.schema import Tables

HOUR, DAY = 3600.0, 86_400.0
EMAIL = "sarah.connor@example.com"
LASTING = pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
"""Instead of all backends those whose data is there still when a store is closed and opened again."""

SCRATCH = "  - {id: scratch, match: {tag: scratch}, ttl: 1d}\n"
INVOICES = (
    "  - {id: invoices, match: {tag: invoice}, ttl: 30d, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}, "
    "while_kept: restrict}\n"
)
TAGGED = {"metadata": {"tags": ["scratch"]}}
INVOICE = {"metadata": {"tags": ["invoice"]}}


def policy(more: str = "", rules: str = "", *, name: str = "mine") -> Policy:
    """Give a policy by the lines of its file, and the lines of its rules."""
    text = f"apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {{name: {name}}}\n{more}"
    text += f"rules:\n{rules}" if rules else ""
    return parse(text, f"{name}.yaml", hashlib.sha256(text.encode()).hexdigest())


def opened(url: str, clock: Callable[[], datetime], policy: Policy | str, **options: Any) -> SecureMemory:
    """Give a store under a policy."""
    return SecureMemory.open(url, clock=clock, policy=policy, **options)


async def texts(chat: Session, **options: Any) -> list[Any]:
    """Give the texts that a session has for readers."""
    return [message.content for message in await chat.history(**options)]


async def exported(memory: SecureMemory, user: str) -> list[Any]:
    """Give what a person said, as their export has it."""
    return [item["content"] async for item in memory.export_user(user) if item["kind"] == "message"]


async def add(chat: Session, *contents: str, **options: Any) -> list[Message]:
    """Add messages, one after the other."""
    return [await chat.add("user", content, **options) for content in contents]


async def infos(memory: SecureMemory) -> dict[str, int]:
    """Give how many messages each session of a store is said to hold."""
    return {info.session_id: info.messages async for info in memory.sessions()}


async def inside(memory: SecureMemory) -> Deployment:
    """Give the live objects of a store."""
    return await memory.host.ready()


async def handle_of(memory: SecureMemory, chat: Session) -> bytes:
    """Give a session's handle."""
    keys = await (await inside(memory)).keyring.find(chat.user_id, chat.session_id)
    assert keys is not None
    return keys.handle


async def head_of(memory: SecureMemory, chat: Session) -> Head:
    """Give a session's head, verified."""
    deployment, handle = await inside(memory), await handle_of(memory, chat)
    seal: HeadSeal = deployment.keyring.head_seal(handle)
    return seal.decode((await deployment.backend.tail(handle, 0)).head)


async def rows(memory: SecureMemory, chat: Session) -> int:
    """Count what lies in the data store of a session, stubs included; 0 of one that is not there."""
    deployment = await inside(memory)
    keys = await deployment.keyring.find(chat.user_id, chat.session_id)
    return len((await deployment.backend.tail(keys.handle, 10_000)).rows) if keys is not None else 0


async def events(memory: SecureMemory) -> list[Event]:
    """Give the audit, verified."""
    return await Audit((await inside(memory)).ledger).events()


async def kinds(memory: SecureMemory) -> Counter[EventKind]:
    """Count the audit's events."""
    return Counter(event.kind for event in await events(memory))


async def run_sql(memory: SecureMemory, statement: str) -> None:
    """Change the ledger behind the library's back; `{name}` stands for a table's name."""

    async def work(connection: AsyncConnection, tables: Tables) -> None:
        from sqlalchemy import text  # noqa: PLC0415

        named = {name: getattr(tables, name).name for name in ("classes", "audit", "holds", "policies", "passes")}
        await connection.execute(text(statement.format(**named)))

    await (await inside(memory)).ledger.transact(work)


async def dump(memory: SecureMemory) -> dict[str, list[Any]]:
    """Give every row of the ledger's tables."""

    async def work(connection: AsyncConnection, tables: Tables) -> dict[str, list[Any]]:
        found = {}
        for table in tables.metadata.sorted_tables:
            found[table.name] = sorted(map(tuple, await connection.execute(table.select())), key=repr)
        return found

    return await (await inside(memory)).ledger.transact(work)


def on_hour(moment: datetime) -> datetime:
    """Give the beginning of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def later(moment: datetime, seconds: float) -> datetime:
    """Give a moment so many seconds later."""
    return moment + timedelta(seconds=seconds)


def ledger_bytes(folder: Path) -> bytes:
    """Give all that lies in the files of the ledger."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("store.ledger.db*")))
