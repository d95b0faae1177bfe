"""Too few connections: the server's are taken, the pool has one, or a pooler gives another with each transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from securemem import BackendUnavailableError, ConfigurationError, SecureMemory
from securemem.postgres import PostgresServer as Database
from securemem.testing.servers import PostgresServer
from securemem.testing.servers.pgbouncer import PgBouncer

from .store import Writer, check, faulty, few_connections, open_store, with_options

pytestmark = pytest.mark.servers

PATIENCE = 1.0


async def test_no_connection_is_left(tmp_path: Path) -> None:
    """Where others have taken every connection, opening is an error within `patience`, and works when one is free."""
    settings = {"max_connections": "6", "superuser_reserved_connections": "2", "max_wal_senders": "0"}
    with PostgresServer(settings=settings) as server:
        url = server.create_database()
        taken = [await asyncpg.connect(url) for _ in range(4)]
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(url)
        asked = with_options(url, timeout=0.5, patience=PATIENCE)
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match=rf"127\.0\.0\.1:{server.port}.*TooManyConnections"):
            await open_store(asked, tmp_path).__aenter__()
        assert PATIENCE / 3 < time.monotonic() - began < PATIENCE * 1.5
        for connection in taken[:2]:
            await connection.close()
        async with open_store(asked, tmp_path) as memory:  # eight connections are wanted, two are there
            writers = [Writer(memory, f"w{number}") for number in range(8)]
            for _ in range(3):
                await asyncio.gather(*(writer.add() for writer in writers))
            assert not any(writer.failed for writer in writers)
        for connection in taken[2:]:
            await connection.close()
        await check(url, tmp_path, writers)


async def test_one_connection_for_two_hundred(data_url: str, tmp_path: Path) -> None:
    """Two hundred calls at once get through a pool of one connection, appends and loads."""
    async with open_store(few_connections(data_url, 1), tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(100)]
        await asyncio.gather(*(writer.add() for writer in writers))
        calls = [call() for writer in writers for call in (writer.add, writer.read)]
        assert len(calls) == 200
        await asyncio.gather(*calls)
        assert not any(writer.failed for writer in writers)
    await check(data_url, tmp_path, writers)


async def test_connections_to_a_host_that_died_silently(postgres_url: str) -> None:
    """After one of them was silent the others are not waited for: the next call goes to the host that answers."""
    async with faulty(postgres_url) as (dying, first), faulty(postgres_url) as (standby, _):
        url = first.replace(f":{dying.port}/", f":{dying.port},{standby.host}:{standby.port}/")
        database = Database(url, {"timeout": "0.8", "patience": "2.4"})
        await asyncio.gather(*(database.call(lambda con, _: con.fetch("SELECT pg_sleep(0.2)")) for _ in range(6)))
        assert dying.connections >= 4, "they are too few to use up all tries"
        dying.replies.swallow()
        dying.refuse()
        assert await database.call(lambda con, _: con.fetchval("SELECT 7")) == 7
        assert standby.accepted
        await database.aclose()


@pytest.fixture
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """Give a pooler by transaction, with fewer connections than two stores have to it."""
    with PgBouncer(postgres_server, settings={"default_pool_size": "4"}) as pgbouncer:
        yield pgbouncer


async def _turns(memory: SecureMemory, count: int) -> list[Writer]:
    writers = [Writer(memory, f"w{number}") for number in range(64)]
    for _ in range(count):
        await asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.gather(*(writer.read() for writer in writers))
    return writers


@pytest.mark.machine
async def test_through_a_pooler(pgbouncer: PgBouncer, tmp_path: Path) -> None:
    """With `pooler=transaction` 64 sessions at once, a clear, an erasure and a sweep work through PgBouncer."""
    plain = pgbouncer.server.create_database()
    url = with_options(pgbouncer.through(plain), pooler="transaction")
    async with open_store(url, tmp_path) as memory, open_store(url, tmp_path) as other:
        writers = await _turns(memory, 3)
        assert not any(writer.failed for writer in writers)
        await _turns(other, 1)
        await memory.session("w0").clear()
        receipt = await memory.erase_user("w1")
        await memory.session("due").add("user", "short", ttl=0.05)
        await asyncio.sleep(0.06)
        await memory.sweep()
        assert await memory.session("w0").history() == await memory.session("w1").history() == []
        done = {"sessions": 1, "records": 4, "preserved": 0, "held": 0}
        assert receipt.stores["data"] == {"state": "LOGICAL"} | done
    async with open_store(plain, tmp_path) as memory:
        assert len(await memory.session("w2").history()) == 4


@pytest.mark.machine
async def test_a_pooler_that_nobody_spoke_of(pgbouncer: PgBouncer, tmp_path: Path) -> None:
    """Control: without the option statements are prepared by name, which such a pooler mixes up."""
    url = with_options(pgbouncer.through(pgbouncer.server.create_database()), timeout=0.5, patience=PATIENCE)
    with pytest.raises((ConfigurationError, BackendUnavailableError)):
        await _many_turns(url, tmp_path)


async def _many_turns(url: str, folder: Path) -> None:
    """Work until something fails.

    Raises:
        BackendUnavailableError: it has.
    """
    async with open_store(url, folder) as memory, open_store(url, folder) as other:
        for _ in range(20):
            for error in [
                error for store in (memory, other) for writer in await _turns(store, 1) for error in writer.errors
            ]:
                raise error
