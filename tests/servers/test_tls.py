"""Servers that speak TLS: a client that knows the authority gets in, and no other."""

from __future__ import annotations

import ssl

import asyncpg
import pytest
import redis
from redis import asyncio as aioredis

from securemem.testing.servers import PostgresServer, RedisServer, Tls

pytestmark = [pytest.mark.machine, pytest.mark.servers]


async def test_postgres_by_tls(tls: Tls, other_tls: Tls) -> None:
    """The URL verifies the server's certificate; another authority and a connection in clear are refused."""
    with PostgresServer(tls=tls) as server:
        url = server.create_database()
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
        await connection.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(url.replace(str(tls.authority), str(other_tls.authority)))
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(url.partition("?")[0], ssl="disable")


async def test_redis_by_tls(tls: Tls, other_tls: Tls) -> None:
    """The URL verifies the server's certificate; another authority and a connection in clear are refused."""
    with RedisServer(tls=tls, password="secret") as server:
        async with aioredis.Redis.from_url(server.url) as client:
            assert await client.set("key", "value") is True
        foreign = server.url.replace(str(tls.authority), str(other_tls.authority))
        for url in (foreign, server.url.partition("?")[0].replace("rediss", "redis")):
            async with aioredis.Redis.from_url(url) as client:
                with pytest.raises(redis.ConnectionError):
                    await client.set("key", "value")
