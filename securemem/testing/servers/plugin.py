"""A pytest plugin: servers that start when a test first asks, once a session (and worker), and clean stores on them.

    pytest_plugins = ["securemem.testing.servers.plugin"]        # in conftest.py

`SECUREMEM_TEST_POSTGRES_URL` and `SECUREMEM_TEST_REDIS_URL` name servers to be used instead of own ones by whoever asks
for `postgres_url` and `redis_url`; the former's role has to be allowed to create databases, and of the latter only keys
under `redis_prefix` are touched. A test that looks at a server's files or needs an administrator asks for
`own_postgres_url`. The terminal summary says which servers the tests ran against.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
import redis

from securemem.testing.servers import postgres as databases
from securemem.testing.servers.cluster import RedisCluster
from securemem.testing.servers.pgbouncer import PgBouncer
from securemem.testing.servers.postgres import PostgresServer, run_blocking
from securemem.testing.servers.redis import RedisServer
from securemem.testing.servers.replica import PostgresReplica
from securemem.testing.servers.sentinel import RedisSentinel

POSTGRES_VARIABLE = "SECUREMEM_TEST_POSTGRES_URL"
REDIS_VARIABLE = "SECUREMEM_TEST_REDIS_URL"
_GIVEN = {name: os.environ[name] for name in (POSTGRES_VARIABLE, REDIS_VARIABLE) if os.environ.get(name)}
"""Taken when the plugin is loaded: a test may have changed the environment by the time a server is asked for."""
_USED = pytest.StashKey[set[str]]()
_FROM_WORKER = "servers"
_FIXTURES = {
    "own_postgres_url",
    "pgbouncer",
    "pgbouncer_url",
    "postgres_replica",
    "postgres_server",
    "postgres_url",
    "redis_cluster",
    "redis_server",
    "redis_url",
    "sentinel",
}
_STORES = {"postgres", "postgresql", "redis", "redis-cluster", "redis-sentinel"}
"""As a parameter that says which store a test uses is called."""


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the servers' names, and know the mark that `pytest_collection_modifyitems` gives."""
    config.addinivalue_line("markers", "servers: needs a PostgreSQL or Redis server")
    used: set[str] = set()
    config.stash[_USED] = used


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by `servers` that ask for a fixture of this plugin, or that are run for each of several stores."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        callspec = getattr(item, "callspec", None)
        stores = () if callspec is None else callspec.params.values()
        if asked & _FIXTURES or any(store in _STORES for store in stores if isinstance(store, str)):
            item.add_marker("servers")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the names to the process that prints them, when this is a worker."""
    output = getattr(session.config, "workeroutput", None)
    used = session.config.stash[_USED]
    if output is not None:
        output[_FROM_WORKER] = list(used)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take the names from a worker."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    config.stash[_USED].update(getattr(node, "workeroutput", {}).get(_FROM_WORKER, ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran against."""
    used = config.stash[_USED]
    if used:
        terminalreporter.write_line(f"servers: {', '.join(sorted(used))}")


def record_server(request: pytest.FixtureRequest, server: object) -> None:
    """Name a server in the terminal summary."""
    request.config.stash[_USED].add(str(server))


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Give the session's own PostgreSQL; tests leave it as it is but for their databases."""
    with PostgresServer() as server:
        record_server(request, server.program)
        yield server


@pytest.fixture
def own_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database on `postgres_server`, whatever was named; it is dropped after the test."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of an empty database, as its owner; it is dropped after the test."""
    given = _GIVEN.get(POSTGRES_VARIABLE)
    if given is None:
        yield request.getfixturevalue("own_postgres_url")
        return
    version = run_blocking(databases.fetch_value(given, "SHOW server_version")).split()[0]
    record_server(request, f"PostgreSQL {version} ({POSTGRES_VARIABLE})")
    name = run_blocking(databases.create_database(given))
    yield databases.with_database(given, name)
    run_blocking(databases.drop_database(given, name))


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Give the session's own Redis; tests leave its settings as they are."""
    with RedisServer() as server:
        record_server(request, server.program)
        yield server


@pytest.fixture
def redis_prefix() -> str:
    """Give a prefix for keys that no other test has."""
    return f"securemem-test-{secrets.token_hex(6)}:"


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, redis_prefix: str) -> Iterator[str]:
    """Give the URL of a Redis: an own one without keys, or the one that was named, to be used by `redis_prefix`."""
    given = _GIVEN.get(REDIS_VARIABLE)
    if given is None:
        server: RedisServer = request.getfixturevalue("redis_server")
        server.flush()
        yield server.url
        return
    with redis.Redis.from_url(given) as client:
        record_server(request, f"{_redis_version(client)} ({REDIS_VARIABLE})")
        yield given
        for key in client.scan_iter(match=f"{redis_prefix}*", count=1000):
            client.unlink(key)


@pytest.fixture(scope="session")
def postgres_replica(request: pytest.FixtureRequest) -> Iterator[PostgresReplica]:
    """Give a replica of a primary of its own, `.primary`; a test that pauses the replay resumes it."""
    with PostgresServer() as primary, PostgresReplica(primary) as replica:
        record_server(request, primary.program)
        yield replica


@pytest.fixture(scope="session")
def pgbouncer(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """Give PgBouncer in transaction mode before the session's PostgreSQL."""
    with PgBouncer(postgres_server) as bouncer:
        record_server(request, bouncer.program)
        yield bouncer


@pytest.fixture
def pgbouncer_url(pgbouncer: PgBouncer) -> Iterator[str]:
    """Give the URL of an empty database through PgBouncer."""
    url = pgbouncer.server.create_database()
    yield pgbouncer.through(url)
    pgbouncer.server.drop_database(url)


@pytest.fixture(scope="session")
def running_cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    """Give the session's own Redis Cluster, as it was left."""
    with RedisCluster() as cluster:
        record_server(request, cluster.program)
        yield cluster


@pytest.fixture
def redis_cluster(running_cluster: RedisCluster) -> RedisCluster:
    """Give a whole Redis Cluster of six nodes without keys; a test may kill and fail over what it likes."""
    try:
        running_cluster.restore()
    except TimeoutError:
        running_cluster.begin_anew()  # whatever was done to it is another test's to say
    running_cluster.flush()
    return running_cluster


@pytest.fixture(scope="session")
def running_sentinel(request: pytest.FixtureRequest) -> Iterator[RedisSentinel]:
    """Give the session's own pair of servers with Sentinels, as they were left."""
    with RedisSentinel() as sentinel:
        record_server(request, sentinel.program)
        yield sentinel


@pytest.fixture
def sentinel(running_sentinel: RedisSentinel) -> RedisSentinel:
    """Give a primary and a replica without keys under three Sentinels; a test may kill and fail over what it likes."""
    running_sentinel.restore()
    running_sentinel.flush()
    return running_sentinel


def _redis_version(client: redis.Redis) -> str:
    info = client.info("server")
    if not isinstance(info, dict):
        raise TypeError("a client that blocks was expected")
    valkey = info.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
