"""Tenants apart in PostgreSQL itself: `deploy/postgresql-tenants.sql`, by connections of its own and by a pooler."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from securemem.backends.postgres import PostgresBackend
from securemem.model import Change, Tail
from securemem.postgres import Connection
from securemem.testing.backend.hooks import handle, newest_first, rows
from securemem.testing.servers import PgBouncer, PostgresServer
from tests.faults.store import open_store, with_options

POLICY = Path(__file__).parents[2] / "deploy" / "postgresql-tenants.sql"
TABLES = ("messages", "messages_sessions")
TENANTS, SESSIONS = ("one", "two"), 20
COUNT = "SELECT count(*) FROM messages"
SPEAK_FOR = "SELECT set_config('securemem.tenant', $1, true)"


class Fenced(NamedTuple):
    """A database with the policy.

    Attributes:
        url: as the role that applications connect as.
        owner: the URL as the tables' owner.
        root: an administrator's connection, which sees everything.
    """

    url: str
    owner: str
    root: Connection


@pytest.fixture
async def fenced(postgres_server: PostgresServer, own_postgres_url: str, tmp_path: Path) -> AsyncIterator[Fenced]:
    """Give a database with our tables and the policy."""
    async with open_store(own_postgres_url, tmp_path):
        pass
    database, role = own_postgres_url.rpartition("/")[2], f"app_{os.urandom(4).hex()}"
    root = await asyncpg.connect(postgres_server.admin_url(database))
    await root.execute(POLICY.read_text(encoding="utf-8").replace("securemem_app", role))
    await root.execute(f"ALTER ROLE {role} PASSWORD 'app'")
    postgres_server.passwords[role] = "app"
    yield Fenced(postgres_server.url(database, role), own_postgres_url, root)
    del postgres_server.passwords[role]
    await root.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await root.close()


@pytest.fixture
def pgbouncer(postgres_server: PostgresServer, fenced: Fenced) -> Iterator[PgBouncer]:
    """Give a pooler by transaction that has one connection for all clients of a role."""
    with PgBouncer(postgres_server, settings={"default_pool_size": "1"}) as pgbouncer:
        yield pgbouncer


async def _use(url: str, folder: Path, tenant: str) -> None:
    """Write as a tenant in many sessions at once, and read each of them."""
    async with open_store(url, folder, tenant=tenant) as memory:
        for text in ("first", "second"):
            await asyncio.gather(*(memory.session(f"s{number}").add("user", text) for number in range(SESSIONS)))
        found = await asyncio.gather(*(memory.session(f"s{number}").history() for number in range(SESSIONS)))
        assert [[message.content for message in messages] for messages in found] == [["first", "second"]] * SESSIONS


async def _check_use(fenced: Fenced, url: str, folder: Path) -> None:
    """Show that two tenants work at once by a URL, that an erasure meets one of them, and whose the rows are."""
    await asyncio.gather(*(_use(url, folder, tenant) for tenant in TENANTS))
    assert await fenced.root.fetchval("SELECT count(DISTINCT tenant) FROM messages") == len(TENANTS)
    assert await fenced.root.fetchval(COUNT) == 2 * len(TENANTS) * SESSIONS
    stranger = await asyncpg.connect(url.partition("?")[0], statement_cache_size=0)
    assert await stranger.fetchval(COUNT) == 0
    await stranger.close()
    async with open_store(url, folder, tenant="one") as memory:
        assert (await memory.erase_user("s3")).stores["data"]["records"] == 2
    assert await fenced.root.fetchval(COUNT) == 2 * len(TENANTS) * SESSIONS - 2


@pytest.mark.parametrize("pooler", [None, "transaction"])
async def test_a_stores_work_goes_on(fenced: Fenced, tmp_path: Path, pooler: str | None) -> None:
    """With the policy all of a store's work goes on, by connections of its own and in transactions."""
    await _check_use(fenced, with_options(fenced.url, pooler=pooler) if pooler else fenced.url, tmp_path)


@pytest.mark.machine
async def test_a_stores_work_goes_on_by_a_pooler(fenced: Fenced, pgbouncer: PgBouncer, tmp_path: Path) -> None:
    """Two tenants at once work through one connection of PgBouncer."""
    await _check_use(fenced, with_options(pgbouncer.through(fenced.url), pooler="transaction"), tmp_path)


@pytest.mark.machine
async def test_what_a_connection_of_the_pooler_sees(fenced: Fenced, pgbouncer: PgBouncer, tmp_path: Path) -> None:
    """What speaks for a tenant sees that tenant's rows, for the transaction; who speaks for none sees none.

    Control: without the policy everybody sees all of them.
    """
    url = pgbouncer.through(fenced.url)
    for tenant in TENANTS:
        await _use(with_options(url, pooler="transaction"), tmp_path, tenant)
    tenants = [tenant for (tenant,) in await fenced.root.fetch("SELECT DISTINCT tenant FROM messages")]
    connection = await asyncpg.connect(url, statement_cache_size=0)
    assert await connection.fetchval(COUNT) == 0
    for tenant in tenants:
        async with connection.transaction():
            await connection.fetchval(SPEAK_FOR, tenant.hex())
            assert {found for (found,) in await connection.fetch("SELECT tenant FROM messages")} == {tenant}
            assert await connection.fetchval(COUNT) == 2 * SESSIONS
        assert await connection.fetchval(COUNT) == 0
    await fenced.root.execute("ALTER TABLE messages DISABLE ROW LEVEL SECURITY")
    assert await connection.fetchval(COUNT) == 2 * SESSIONS * len(TENANTS)
    await connection.close()


@pytest.mark.machine
async def test_the_owner_is_fenced_too(fenced: Fenced, pgbouncer: PgBouncer, tmp_path: Path) -> None:
    """The tables' owner sees no rows through the pooler either; control: without FORCE it sees all."""
    await _use(with_options(pgbouncer.through(fenced.url), pooler="transaction"), tmp_path, "one")
    connection = await asyncpg.connect(pgbouncer.through(fenced.owner), statement_cache_size=0)
    for table in TABLES:
        assert await connection.fetch(f"SELECT 1 FROM {table}") == []
        await fenced.root.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        assert len(await connection.fetch(f"SELECT 1 FROM {table}")) >= SESSIONS
    await connection.close()


@pytest.fixture
async def two(fenced: Fenced, pgbouncer: PgBouncer) -> AsyncIterator[tuple[PostgresBackend, PostgresBackend]]:
    """Give the data stores of two tenants, open, by the pooler's one connection."""
    stores = [PostgresBackend(pgbouncer.through(fenced.url), {"pooler": "transaction"}) for _ in TENANTS]
    for store in stores:
        await store.open()
        store.bind(os.urandom(16))
    yield stores[0], stores[1]
    for store in stores:
        await store.aclose()


async def test_who_did_not_look_at_the_tables_before(fenced: Fenced) -> None:
    """A replica, which nobody opens, and who was opened before there were tables find the policy themselves."""
    tenant, session = os.urandom(16), handle()
    writer, *readers = (PostgresBackend(fenced.url, {"pooler": "transaction"}) for _ in range(3))
    for store in (writer, *readers):
        store.bind(tenant)
    assert await writer.swap(Change(session, b"", b"head", rows=rows(1, 5))) is None
    held = Tail(b"head", newest_first(rows(1, 5)))
    assert await readers[0].tail(session, 9) == held
    assert await asyncio.gather(*(readers[1].tail(session, 9) for _ in range(20))) == [held] * 20
    for store in (writer, *readers):
        await store.aclose()


@pytest.mark.machine
async def test_a_tenant_that_knows_anothers_handle(
    fenced: Fenced, two: tuple[PostgresBackend, PostgresBackend]
) -> None:
    """A store that asks for another tenant's session reads, moves, finds due and deletes nothing of it.

    Control: without the policy it reads and deletes it.
    """
    mine, theirs = two
    session = handle()
    change = Change(session, b"", b"head", rows=rows(1, 5), due=1)
    assert await theirs.swap(change) is None
    held = Tail(b"head", newest_first(rows(1, 5)))
    calls = asyncio.gather(*(store.tail(session, 9) for _ in range(20) for store in two))
    assert await calls == [Tail(b"", []), held] * 20
    assert (await mine.due(9, 9), await theirs.due(9, 9)) == ([], [session])
    assert await mine.swap(Change(session, b"head", b"forged", rows=rows(1, 5, b"forged"))) == b""
    assert await mine.delete([session], heads=True) == 0
    assert await theirs.tail(session, 9) == held
    for table in TABLES:
        await fenced.root.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    assert await mine.tail(session, 9) == held
    assert await mine.delete([session], heads=True) == 4
    assert await theirs.tail(session, 9) == Tail(b"", [])
