"""What lies in a store, seen past the library: rows by session, and a log of every record that was taken out.

In SQLite and PostgreSQL triggers write the log, in the very transaction that takes a record out, so that it survives
whoever did so. A record that becomes a stub, or goes, dies once; it cannot do so twice.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from securemem import SecureMemory, UserRestrictedError
from securemem.crypto.head import Walk, is_stub
from securemem.ledger.acts import ActKind
from securemem.ledger.audit import Audit, EventKind
from securemem.testing.servers.postgres import execute

_ALL = 0xFFFFFFFF
_HEAD = 0xFFFFFFFF

_SQLITE = f"""
CREATE TABLE deaths (number INTEGER PRIMARY KEY, session TEXT, seq INTEGER, was TEXT, became TEXT, at INTEGER);
CREATE TRIGGER deaths_gone AFTER DELETE ON messages WHEN old.id & {_HEAD} != {_HEAD} BEGIN
    INSERT INTO deaths (session, seq, was, became, at) VALUES (
        (SELECT lower(hex(handle)) FROM messages_sessions WHERE number = old.id >> 32), old.id & {_HEAD},
        CASE WHEN substr(old.body, 4, 1) = x'00' THEN 'stub' ELSE 'record' END, 'gone',
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
CREATE TRIGGER deaths_stub AFTER UPDATE ON messages WHEN old.id & {_HEAD} != {_HEAD} BEGIN
    INSERT INTO deaths (session, seq, was, became, at) VALUES (
        (SELECT lower(hex(handle)) FROM messages_sessions WHERE number = old.id >> 32), old.id & {_HEAD},
        CASE WHEN substr(old.body, 4, 1) = x'00' THEN 'stub' ELSE 'record' END,
        CASE WHEN substr(new.body, 4, 1) = x'00' THEN 'stub' ELSE 'record' END,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
"""
_POSTGRES = """
CREATE TABLE deaths (number bigserial, session text, seq bigint, was text, became text, at bigint);
CREATE FUNCTION note_death() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO deaths (session, seq, was, became, at) VALUES (encode(old.session, 'hex'), old.seq,
        CASE WHEN get_byte(old.body, 3) = 0 THEN 'stub' ELSE 'record' END,
        CASE WHEN TG_OP = 'DELETE' THEN 'gone' WHEN get_byte(new.body, 3) = 0 THEN 'stub' ELSE 'record' END,
        floor(extract(epoch FROM clock_timestamp()) * 1000));
    RETURN NULL;
END $$;
CREATE TRIGGER deaths AFTER UPDATE OR DELETE ON messages FOR EACH ROW EXECUTE FUNCTION note_death();
"""


class Death(NamedTuple):
    """What became of a row: it was a record or a stub, and became a stub, or is gone."""

    session: str
    seq: int
    was: str
    became: str
    at: int


def _file(url: str) -> str:
    return url.removeprefix("sqlite:///")


async def watch_deaths(url: str) -> None:
    """Set up the log, where there can be one."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(url))) as connection:
            connection.executescript(_SQLITE)
    elif url.startswith("postgresql"):
        await execute(url, _POSTGRES)


async def deaths(url: str) -> list[Death] | None:
    """Give the log; None where there is none."""
    query = "SELECT session, seq, was, became, at FROM deaths ORDER BY number"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(url))) as connection:
            return [Death(*row) for row in connection.execute(query)]
    if url.startswith("postgresql"):
        server = await asyncpg.connect(url)
        rows = await server.fetch(query)
        await server.close()
        return [Death(*row) for row in rows]
    return None


async def rows_of(memory: SecureMemory, session: str) -> dict[int, bytes]:
    """Give the records that lie in a session, stubs left out, by seq; nothing of one that is closed."""
    deployment, handle = await memory.host.ready(), bytes.fromhex(session)
    head, rows = await deployment.backend.tail(handle, _ALL)
    if not head or deployment.keyring.head_seal(handle).decode(head).closed:
        return {}
    return {seq: body for seq, body in rows if not is_stub(body)}


@dataclass(slots=True)
class Sight:
    """What lies in a store.

    Attributes:
        records: of every session that has a key, by its handle in hex and seq: whether a walk verified all of it.
        visible: the texts that a session gives, in order; None of one that is held.
        counted: how many records the data store says that there are.
        stray: sessions that have a head or rows and no key, closed ones among them.
        tombstones: how many decisions to end it each session has.
        unfinished: how many acts are not through.
        audited: how many records of each session the audit says are deleted.
    """

    records: set[tuple[str, int]] = field(default_factory=set)
    visible: dict[tuple[str, str], list[str] | None] = field(default_factory=dict)
    counted: int = 0
    stray: int = 0
    tombstones: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0
    audited: Counter[str] = field(default_factory=Counter)


async def look(memory: SecureMemory) -> Sight:
    """Look at everything; whatever does not verify raises."""
    sight, deployment = Sight(), await memory.host.ready()
    handles = set()
    async for keys in deployment.keyring.sessions(None):
        handles.add(keys.handle)
        seal = deployment.keyring.head_seal(keys.handle)
        raw, rows = await deployment.backend.tail(keys.handle, _ALL)
        if raw:
            walk = Walk(seal, seal.decode(raw), session=keys.handle, owner=keys.user)
            sight.records.update((keys.handle.hex(), sealed.seq) for sealed in walk.page(rows))
            walk.finish()
        chat = memory.session(keys.title.session_id, user_id=keys.user_id)
        try:
            found = [str(message.content) for message in await chat.history(limit=1_000_000)]
        except UserRestrictedError:
            found = None
        sight.visible[keys.user_id, keys.title.session_id] = found
    sight.counted = sum((await deployment.backend.census(None)).values())  # type: ignore[attr-defined]
    far = 2**53
    sight.stray = len(set(await deployment.backend.due(far, 1_000_000)) - handles)
    await _look_at_ledger(memory, sight)
    return sight


async def _look_at_ledger(memory: SecureMemory, sight: Sight) -> None:
    ledger = (await memory.host.ready()).ledger
    for act in await ledger.acts():
        if act.kind is ActKind.EXPIRE:
            sight.tombstones.update(tombstone.session.hex() for tombstone in act.tombstones)
    sight.unfinished = len(await ledger.acts(unfinished=True))
    for event in await Audit(ledger).events():
        if event.kind is EventKind.DELETE and event.session is not None:
            sight.audited[event.session.hex()] += event.records or 0
