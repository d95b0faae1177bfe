"""What a purge removes from a PostgreSQL server's files, and that it says what it could not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from asyncpg.exceptions import QueryCanceledError

from securemem import postgrespurge
from securemem.errors import BackendUnavailableError
from securemem.model import Residue, ResidueKind
from securemem.postgres import Connection, PostgresServer
from securemem.postgrespurge import purge
from securemem.testing.servers.postgres import PostgresServer as OwnServer
from securemem.testing.servers.postgres import execute
from securemem.testing.servers.replica import PostgresReplica

TABLE = "secrets"
RIGHTS = (
    "GRANT pg_monitor, pg_checkpoint TO securemem",
    "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO securemem",
)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def _database(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.fixture
async def owner(postgres_url: str) -> AsyncIterator[Connection]:
    """Give a connection to an empty database, as its owner."""
    async with _connected(postgres_url) as connection:
        yield connection


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[PostgresServer]:
    """Give the same database, as purge takes it."""
    server = PostgresServer(postgres_url, {})
    yield server
    await server.aclose()


def _found(data: Path, canary: bytes) -> set[str]:
    """Give the folders of a server's data in which a canary is found, such as `base` or `pg_wal`."""
    return {
        file.relative_to(data).parts[0] for file in data.rglob("*") if file.is_file() and canary in file.read_bytes()
    }


async def _delete_one(connection: Connection) -> bytes:
    """Fill a table with secrets, all of it on disk, and delete one of them; gives that one."""
    canary = os.urandom(24)
    bodies = [os.urandom(24) for _ in range(499)] + [canary]
    await connection.execute(f"CREATE TABLE {TABLE} (number bigint PRIMARY KEY, body bytea NOT NULL)")
    await connection.executemany(f"INSERT INTO {TABLE} VALUES ($1, $2)", list(enumerate(bodies)))
    await connection.execute(f"DELETE FROM {TABLE} WHERE number = 499")
    return canary


async def _flush(server: OwnServer) -> None:
    """Have the server write all that it holds in memory."""
    await execute(server.admin_url(), "CHECKPOINT")


async def _purge(server: PostgresServer, seconds: float = 5.0) -> list[Residue]:
    return await purge(server, [TABLE], store="data", seconds=seconds)


def _tables(left: list[Residue]) -> list[str]:
    return [entry.what for entry in left if "tables" in entry.what]


async def test_a_deleted_row_is_in_no_table_any_more(postgres_server: OwnServer, own_postgres_url: str) -> None:
    """A deleted row is in the table's file until a purge, and not after it; the others are there."""
    data = postgres_server.data
    async with _connected(own_postgres_url) as owner:
        canary = await _delete_one(owner)
        await _flush(postgres_server)
        assert "base" in _found(data, canary), "the control: a DELETE leaves the row where it was"
        left = await _purge(PostgresServer(own_postgres_url, {}))
        await _flush(postgres_server)
        assert "base" not in _found(data, canary)
        assert await owner.fetchval(f"SELECT count(*) FROM {TABLE}") == 499
    [log] = left
    assert (log.store, log.until) == ("data", None)
    assert "write-ahead log" in log.what


async def test_with_the_rights_the_log_is_clean_too() -> None:
    """Whoever may move the log on leaves nothing of a deleted row in any file of the server, and says so."""
    with OwnServer() as own:
        url = own.create_database()
        await execute(own.admin_url(_database(url)), *RIGHTS)  # functions are each database's own
        async with _connected(url) as owner:
            for _ in range(40):  # so that many segments wait for reuse
                await owner.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
            await _flush(own)
            for _ in range(3):
                canary = await _delete_one(owner)
                await _flush(own)
                assert _found(own.data, canary) == {"base", "pg_wal"}, "the control"
                assert await _purge(PostgresServer(url, {})) == []
                await _flush(own)
                assert _found(own.data, canary) == set()
                await owner.execute(f"DROP TABLE {TABLE}")


async def test_limits_of_the_role_are_none_of_a_purge(own_postgres_url: str) -> None:
    """A purge takes as long as it may, whatever the database or the role lets a statement take."""
    async with _connected(own_postgres_url) as owner:
        await _delete_one(owner)
        for limit in ("statement_timeout", "lock_timeout"):
            await owner.execute(f"ALTER DATABASE {_database(own_postgres_url)} SET {limit} = 1")
        [log] = await _purge(PostgresServer(own_postgres_url, {}))
        assert "write-ahead log" in log.what


async def test_what_was_found_stays(owner: Connection, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a purge fails half-way, what it has found is named, and that the rest of it is not known."""

    async def _fails(*_: object) -> list[object]:
        raise QueryCanceledError

    monkeypatch.setattr(postgrespurge, "_purge_log", _fails)
    await _delete_one(owner)
    with pytest.raises(BackendUnavailableError):
        await _purge(server)
    async with owner.transaction():
        await owner.execute(f"LOCK TABLE {TABLE} IN ACCESS SHARE MODE")
        table, rest = await _purge(server, 0.1)
    assert "locked" in table.what
    assert "the rest" in rest.what


async def test_a_slot_keeps_the_log() -> None:
    """A log that a replication slot keeps is residue, even for whoever may move it on; without the slot it is clean."""
    with OwnServer() as own:
        url = own.admin_url(_database(own.create_database()))
        await execute(url, "SELECT pg_create_physical_replication_slot('one', true)")
        async with _connected(url) as owner:
            canary = await _delete_one(owner)
        kept, replica = await _purge(PostgresServer(url, {}))
        assert "slot" in kept.what
        assert "replicas" in replica.what
        assert _found(own.data, canary) == {"pg_wal"}
        await execute(url, "SELECT pg_drop_replication_slot('one')")
        assert await _purge(PostgresServer(url, {})) == []
        assert _found(own.data, canary) == set()


async def test_a_log_that_is_not_used_again_ends_on_a_date() -> None:
    """Where the server removes its old log, it is gone two checkpoints later, which the residue's date says."""
    with OwnServer(settings={"wal_recycle": "off", "checkpoint_timeout": "30s", "wal_keep_size": "0"}) as own:
        url = own.create_database()
        async with _connected(url) as owner:
            canary = await _delete_one(owner)
        [log] = await _purge(PostgresServer(url, {}))
        assert log.until is not None
        assert abs(log.until - datetime.now(UTC) - timedelta(seconds=60)) < timedelta(seconds=5)
        assert "pg_wal" in _found(own.data, canary)
        for _ in range(2):
            await _flush(own)
        assert _found(own.data, canary) == set()


async def test_there_is_no_time_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that there was no time to move on ends by the server's own date, where it has one."""
    monkeypatch.setattr(postgrespurge, "_until_taken", _endless)
    for recycled, dated in (("off", True), ("on", False)):
        with OwnServer(settings={"wal_recycle": recycled, "wal_keep_size": "0"}) as own:
            url = own.admin_url(_database(own.create_database()))
            async with _connected(url) as owner:
                await _delete_one(owner)
            [log] = await _purge(PostgresServer(url, {}), 1.0)
            assert (log.what, log.until is not None) == (
                postgrespurge._LOG if dated else postgrespurge._LOG_SLOW,
                dated,
            )


async def _endless(*_: object) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("command", ["/bin/true", "/bin/false"])
async def test_an_archive_is_named(command: str) -> None:
    """A server that archives its log has copies of it elsewhere; once the archiver has it, its own is clean."""
    with OwnServer(settings={"archive_mode": "on", "archive_command": command}) as own:
        url = own.admin_url(_database(own.create_database()))
        async with _connected(url) as owner:
            canary = await _delete_one(owner)
        archive = Residue("data", postgrespurge._ARCHIVE, kind=ResidueKind.COPY)
        kept = Residue("data", postgrespurge._LOG_KEPT, kind=ResidueKind.COPY)
        stuck = command == "/bin/false"
        assert await _purge(PostgresServer(url, {})) == ([kept, archive] if stuck else [archive])
        assert _found(own.data, canary) == ({"pg_wal"} if stuck else set())


async def test_a_standby_that_follows_is_waited_for() -> None:
    """A log that a slot keeps for a standby that is there is clean once the standby has it, who is named."""
    with OwnServer() as own, PostgresReplica(own):
        url = own.admin_url(_database(own.create_database()))
        async with _connected(url) as owner:
            canary = await _delete_one(owner)
        assert await _purge(PostgresServer(url, {})) == [Residue("data", postgrespurge._REPLICA, kind=ResidueKind.COPY)]
        assert _found(own.data, canary) == set()


async def test_a_snapshot_that_still_sees_it(owner: Connection, server: PostgresServer, postgres_url: str) -> None:
    """A row that an older transaction may still see is residue; purging waits for it as long as it may, then works."""
    reader = await asyncpg.connect(postgres_url)
    async with reader.transaction(isolation="repeatable_read"):
        await reader.fetchval("SELECT 1")
        await _delete_one(owner)
        began = time.monotonic()
        [kept] = _tables(await _purge(server, 0.3))
        assert 0.3 <= time.monotonic() - began < 3
        assert "still see" in kept
        waiting = asyncio.create_task(_purge(server, 20))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert _tables(await waiting) == []
    await reader.close()


async def test_whose_transactions_one_is_not_told_of(postgres_server: OwnServer, own_postgres_url: str) -> None:
    """Another role's older snapshot is found out by what the rewrite had to keep."""
    server, admin_url = PostgresServer(own_postgres_url, {}), postgres_server.admin_url(_database(own_postgres_url))
    async with _connected(own_postgres_url) as owner, _connected(admin_url) as reader:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.fetchval("SELECT 1")
            await _delete_one(owner)
            [kept] = _tables(await _purge(server, 0.3))
            assert "still see" in kept
        assert _tables(await _purge(server)) == []


async def test_a_lock_in_the_way(owner: Connection, server: PostgresServer, postgres_url: str) -> None:
    """A locked table is residue; while purge waits for it, readers that come later are let through."""
    await _delete_one(owner)
    other = await asyncpg.connect(postgres_url)
    async with owner.transaction():
        await owner.execute(f"LOCK TABLE {TABLE} IN ACCESS SHARE MODE")
        waiting = asyncio.create_task(_purge(server, 2))
        await asyncio.sleep(0.1)
        slowest = 0.0
        while not waiting.done():
            began = time.monotonic()
            await other.fetchval(f"SELECT count(*) FROM {TABLE}")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        [kept] = _tables(await waiting)
        assert "locked" in kept
        assert slowest < 1
    assert _tables(await _purge(server)) == []
    await other.close()


async def test_a_table_of_somebody_else(postgres_server: OwnServer, own_postgres_url: str) -> None:
    """Who may delete in a table and does not own it is told that its owner has to rewrite it."""
    server, database = PostgresServer(own_postgres_url, {}), _database(own_postgres_url)
    async with _connected(own_postgres_url) as owner:
        await _delete_one(owner)
    await execute(
        postgres_server.admin_url(database),
        f"ALTER TABLE {TABLE} OWNER TO postgres",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO securemem",
        f"ALTER DATABASE {database} OWNER TO postgres",
    )
    [kept] = _tables(await _purge(server))
    assert "own" in kept
    await execute(postgres_server.admin_url(database), f"REVOKE ALL ON {TABLE} FROM securemem")
    assert _tables(await _purge(server)) == [kept]


async def test_a_large_table_is_vacuumed_only(
    owner: Connection, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table over the limit keeps its file and loses its dead rows, and what is left in its pages is residue."""
    await _delete_one(owner)
    before = await owner.fetchval(f"SELECT pg_relation_filenode('{TABLE}')")
    monkeypatch.setattr(postgrespurge, "REWRITTEN_BYTES", 1000)
    [kept] = _tables(await _purge(server))
    assert "too large" in kept
    assert await owner.fetchval(f"SELECT pg_relation_filenode('{TABLE}')") == before
    assert await owner.fetchval(f"SELECT reltuples FROM pg_class WHERE oid = '{TABLE}'::regclass") == 499


async def test_a_table_that_is_not_there(server: PostgresServer) -> None:
    """A table that nobody has made yet holds nothing."""
    assert _tables(await _purge(server)) == []
