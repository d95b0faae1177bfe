"""More than one server: a replica that lags, PgBouncer, a cluster and Sentinels that fail over."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import redis
from redis import asyncio as aioredis

from securemem.testing.servers import (
    ClusterNode,
    PgBouncer,
    PostgresReplica,
    PostgresServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    wait_until,
)
from securemem.testing.servers.postgres import execute, fetch_value
from securemem.testing.servers.server import HOST

pytestmark = pytest.mark.servers


@pytest.fixture
def database(postgres_replica: PostgresReplica) -> Iterator[tuple[str, str]]:
    """Give the URLs of one database on a primary and on its replica, that has a table."""
    url = postgres_replica.primary.create_database()
    name = url.rpartition("/")[2]
    yield url, postgres_replica.url(name)
    postgres_replica.primary.drop_database(url)


async def test_a_replica_follows(postgres_replica: PostgresReplica, database: tuple[str, str]) -> None:
    """What the primary commits can be read on the replica, which takes no writes."""
    primary, replica = database
    await execute(primary, "CREATE TABLE rows AS SELECT 7 AS value")
    postgres_replica.catch_up()
    assert await fetch_value(replica, "SELECT value FROM rows") == 7
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await execute(replica, "DELETE FROM rows")


async def test_a_replica_lags(postgres_replica: PostgresReplica, database: tuple[str, str]) -> None:
    """While its replay is paused the replica shows what the primary has deleted, and no longer after."""
    primary, replica = database
    await execute(primary, "CREATE TABLE rows AS SELECT 7 AS value")
    postgres_replica.catch_up()
    postgres_replica.pause_replay()
    await execute(primary, "DELETE FROM rows")
    assert await fetch_value(primary, "SELECT count(*) FROM rows") == 0
    assert await fetch_value(replica, "SELECT count(*) FROM rows") == 1
    postgres_replica.resume_replay()
    postgres_replica.catch_up()
    assert await fetch_value(replica, "SELECT count(*) FROM rows") == 0


async def test_a_replica_is_promoted() -> None:
    """After the primary's death the replica has its rows, and takes writes once it is promoted."""
    with PostgresServer() as primary, PostgresReplica(primary) as replica:
        await execute(primary.admin_url(), "CREATE TABLE rows AS SELECT 7 AS value")
        replica.catch_up()
        primary.kill()
        replica.promote()
        await execute(replica.admin_url(), "INSERT INTO rows VALUES (8)")
        assert await fetch_value(replica.admin_url(), "SELECT sum(value) FROM rows") == 15


@pytest.mark.machine
async def test_pgbouncer_pools_transactions(pgbouncer_url: str, pgbouncer: PgBouncer) -> None:
    """Many clients share few of the server's connections, as only transaction mode allows; sessions do not last."""
    clients = [await asyncpg.connect(pgbouncer_url, statement_cache_size=0) for _ in range(30)]
    backends = {await client.fetchval("SELECT pg_backend_pid()") for client in clients}
    assert len(backends) < len(clients)
    for client in clients:
        await client.close()
    assert await fetch_value(pgbouncer.url(), "SELECT 1") == 1


@pytest.mark.machine
async def test_pgbouncer_wants_the_password(pgbouncer: PgBouncer) -> None:
    """A wrong password is refused by PgBouncer too."""
    secret = pgbouncer.server.passwords["securemem"]
    with pytest.raises(asyncpg.PostgresError):
        await asyncpg.connect(pgbouncer.url().replace(secret, "wrong"))


async def test_a_cluster_spreads_keys(redis_cluster: RedisCluster) -> None:
    """Each of the three primaries holds some of a hundred keys, and each replica has what its primary has."""
    async with aioredis.RedisCluster(host="127.0.0.1", port=redis_cluster.nodes[0].port) as client:
        for number in range(100):
            await client.set(f"key-{number}", number)
    primaries = {redis_cluster.primary_of(f"key-{number}").port for number in range(100)}
    assert len(primaries) == 3
    replica = redis_cluster.replica_of("key-1")
    assert replica.port not in primaries
    wait_until(lambda: replica.ask("DBSIZE") == redis_cluster.primary_of("key-1").ask("DBSIZE"), "the replica has all")


@pytest.mark.parametrize("how", ["kill", "fail_over"])
def test_a_cluster_fails_over(redis_cluster: RedisCluster, how: str) -> None:
    """When a key's primary is killed, or told to hand over, its replica serves the key."""
    before, heir = redis_cluster.primary_of("key"), redis_cluster.replica_of("key")
    with redis.RedisCluster(host="127.0.0.1", port=redis_cluster.nodes[0].port) as client:
        client.set("key", "value")
        wait_until(lambda: bool(heir.ask("DBSIZE")), "the replica has the key")
        if how == "kill":
            before.kill()
            redis_cluster.wait_until_whole()
        else:
            redis_cluster.fail_over("key")
        assert redis_cluster.primary_of("key") is heir
    with redis.RedisCluster(host="127.0.0.1", port=heir.port) as client:
        assert client.get("key") == b"value"


@pytest.fixture
async def found(sentinel: RedisSentinel) -> AsyncIterator[aioredis.Sentinel]:
    """Give what asks the Sentinels for the primary."""
    found = aioredis.Sentinel(sentinel.addresses)  # type: ignore[no-untyped-call]
    yield found
    for each in found.sentinels:
        await each.aclose()


@pytest.mark.parametrize("how", ["kill", "fail_over"])
async def test_sentinels_fail_over(sentinel: RedisSentinel, found: aioredis.Sentinel, how: str) -> None:
    """When the primary is killed, or told to hand over, Sentinels name the other, which has the data."""
    before = sentinel.primary()
    async with found.master_for(sentinel.service) as client:
        await client.set("key", "value")
        assert await client.wait(1, 5_000) == 1
    if how == "kill":
        before.kill()
        sentinel.wait_until_replaced(before)
    else:
        sentinel.fail_over()
    async with found.master_for(sentinel.service) as client:
        assert await client.get("key") == b"value"
        assert await client.set("key", "after") is True


def test_a_replica_of_redis_is_read_only() -> None:
    """A replica has its primary's keys and takes no writes."""
    with RedisServer(password="secret") as primary:
        with primary.client() as client:
            client.set("key", "value")
        with RedisServer(password="secret", replica_of=primary) as replica:
            replica.catch_up()
            with replica.client() as client:
                assert client.get("key") == b"value"
                with pytest.raises(redis.ReadOnlyError):
                    client.set("key", "other")


def test_a_bus_port_that_was_taken() -> None:
    """A node whose second port somebody took before it started is given another, as one whose first was."""
    node = ClusterNode(settings={})
    with socket.create_server((HOST, node.bus_port)), node:
        assert node.state()["cluster_known_nodes"] == "1"
