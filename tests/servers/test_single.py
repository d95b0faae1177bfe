"""One PostgreSQL and one Redis: what tests get from them, and that tests do not see each other's."""

from __future__ import annotations

import asyncpg
import pytest
import redis
from redis import asyncio as aioredis

from securemem.testing.servers import PostgresServer, RedisServer

pytestmark = pytest.mark.servers


async def _one(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("number", [1, 2])
async def test_each_test_has_an_empty_database(postgres_url: str, number: int) -> None:
    """What one test made is not there for the next."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE kept (value text)")
    await connection.close()


async def test_a_database_is_dropped_while_somebody_is_connected(postgres_server: PostgresServer) -> None:
    """A test that leaves a connection open does not keep its database."""
    url = postgres_server.create_database()
    connection = await asyncpg.connect(url)
    postgres_server.drop_database(url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    connection.terminate()


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
async def test_postgres_is_durable_as_in_production(postgres_url: str, setting: str) -> None:
    """Nothing that makes it faster and forgetful is set."""
    assert await _one(postgres_url, f"SHOW {setting}") == "on"


async def test_the_owner_is_no_superuser(own_postgres_url: str, postgres_server: PostgresServer) -> None:
    """A test's database is used with the rights of an application; the administrator's URL has all."""
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    assert await _one(own_postgres_url, query) is False
    assert await _one(postgres_server.admin_url(), query) is True


async def test_a_wrong_password_is_refused(postgres_server: PostgresServer) -> None:
    """Passwords are checked on 127.0.0.1 too."""
    url = postgres_server.url().replace(postgres_server.passwords["securemem"], "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


@pytest.mark.parametrize("number", [1, 2])
async def test_each_test_has_a_clean_redis(redis_url: str, redis_prefix: str, number: int) -> None:
    """What one test wrote is not there for the next."""
    async with aioredis.Redis.from_url(redis_url) as client:
        assert await client.set(f"{redis_prefix}key", "value", nx=True) is True


def test_flushing_leaves_nothing(redis_server: RedisServer) -> None:
    """Keys, scripts and functions are gone, as before every test."""
    redis_server.flush()
    with redis_server.client() as client:
        client.set("key", "value")
        script = client.script_load("return 1")
        client.function_load("#!lua name=left\nredis.register_function('left', function() return 1 end)")
        assert (client.dbsize(), client.script_exists(script)) == (1, [True])
        redis_server.flush()
        assert (client.dbsize(), client.script_exists(script), client.function_list()) == (0, [False], [])


def test_redis_is_durable_to_the_second(redis_server: RedisServer) -> None:
    """The append-only file is on and synced every second."""
    with redis_server.client() as client:
        found = client.config_get("append*")
        assert isinstance(found, dict)
        assert (found["appendonly"], found["appendfsync"]) == ("yes", "everysec")


def test_redis_takes_a_password_and_settings() -> None:
    """A server of one's own has the password, memory limit and eviction that it is given."""
    settings = {"maxmemory": "3mb", "maxmemory-policy": "allkeys-lru"}
    with RedisServer(password="right", settings=settings) as server:
        with server.client() as client:
            found = client.config_get("maxmemory*")
            assert isinstance(found, dict)
            assert (found["maxmemory"], found["maxmemory-policy"]) == ("3145728", "allkeys-lru")
        wrong = server.url.replace("right", "wrong")
        with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
