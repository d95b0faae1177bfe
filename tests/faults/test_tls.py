"""TLS by the URL's own parameters: the server has to be who it says it is, or nothing is sent to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from securemem import BackendUnavailableError, ConfigurationError
from securemem.testing.servers import PostgresServer, RedisCluster, RedisServer, Tls

from .store import Writer, check, faulty, open_store, with_options

pytestmark = [pytest.mark.machine, pytest.mark.servers]

HASTE = {"timeout": 1.0, "patience": 1.5}


async def test_postgres(tls: Tls, other_tls: Tls, tmp_path: Path) -> None:
    """`sslmode=verify-full` with `sslrootcert` works, and refuses a server whose certificate another one signed."""
    with PostgresServer(tls=tls) as server:
        url = server.create_database()
        async with open_store(url, tmp_path) as memory:
            writer = Writer(memory, "s")
            await writer.add()
            connection = await asyncpg.connect(url)
            seen = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = "
            assert await connection.fetchval(f"{seen}'securemem'") is True
            await connection.close()
        foreign = with_options(url.replace(str(tls.authority), str(other_tls.authority)), **HASTE)
        assert "certificate that is not trusted" in await _refused(foreign, tmp_path, server.port)
        clear = with_options(url.partition("?")[0], sslmode="disable", **HASTE)
        assert "pg_hba.conf" in await _refused(clear, tmp_path, server.port)
        await check(url, tmp_path, [writer])


async def test_redis(tls: Tls, other_tls: Tls, tmp_path: Path) -> None:
    """`rediss://` with `ssl_ca_certs` works, and refuses a server whose certificate another one signed."""
    with RedisServer(tls=tls, password="hush-hush") as server:
        async with open_store(server.url, tmp_path) as memory:
            writer = Writer(memory, "s")
            await writer.add()
        foreign = with_options(server.url.replace(str(tls.authority), str(other_tls.authority)), **HASTE)
        await _refused(foreign, tmp_path, server.port)
        clear = server.url.partition("?")[0].replace("rediss", "redis")
        await _refused(with_options(clear, **HASTE), tmp_path, server.port)
        await check(server.url, tmp_path, [writer])


async def test_a_cluster(tls: Tls, other_tls: Tls, tmp_path: Path) -> None:
    """`rediss+cluster://` reaches every node by TLS, also after one of them was killed."""
    with RedisCluster(tls=tls) as cluster:
        async with open_store(cluster.url, tmp_path) as memory:
            writers = [Writer(memory, f"w{number}") for number in range(12)]
            await asyncio.gather(*(writer.add() for writer in writers))
            await asyncio.to_thread(cluster.nodes[0].kill)
            await asyncio.gather(*(writer.add() for writer in writers))
            assert [str(error) for writer in writers for error in writer.errors] == []
        there = cluster.url.replace(str(cluster.nodes[0].port), str(cluster.running[0].port))
        foreign = with_options(there.replace(str(tls.authority), str(other_tls.authority)), **HASTE)
        with pytest.raises((ConfigurationError, BackendUnavailableError)):
            await open_store(foreign, tmp_path).__aenter__()
        await check(there, tmp_path, writers)


async def _refused(url: str, folder: Path, port: int) -> str:
    with pytest.raises((ConfigurationError, BackendUnavailableError), match=rf"127\.0\.0\.1:{port}") as caught:
        await open_store(url, folder).__aenter__()
    password = urlsplit(url).password
    assert password is not None
    assert password not in str(caught.value)
    return str(caught.value)


async def test_replies_lost_on_tls(tls: Tls, tmp_path: Path) -> None:
    """Where a line that speaks TLS is cut, appends are settled as on any other."""
    with PostgresServer(tls=tls) as server:
        url = server.create_database()
        async with faulty(url) as (proxy, through), open_store(through, tmp_path) as memory:
            writer = Writer(memory, "s")
            for number in range(12):
                await writer.add()
                if number % 3 == 1:
                    proxy.replies.cut_after(0)
            assert not writer.failed
            assert proxy.accepted >= 4
        await check(url, tmp_path, [writer])
