"""Where a benchmark's servers are, and a place of its own on them for every store."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
from redis.asyncio import Redis

from benchmarks.stores import PLENTY, Ours
from securemem import SecureMemory
from securemem.policy import Pii, Policy
from securemem.testing.servers import PostgresServer, RedisServer
from securemem.testing.servers.postgres import create_database, drop_database, with_database

POSTGRESQL, REDIS = "postgresql", "redis"
BACKENDS = (POSTGRESQL, REDIS)
CONNECTIONS = 8
"""In every pool, ours and others'."""

_VARIABLES = {POSTGRESQL: "BENCHMARKS_POSTGRES_URL", REDIS: "BENCHMARKS_REDIS_URL"}
"""How the processes of a run hear of its servers: a command line shows the passwords in it to everybody."""

_TABLES_SIZE = """
select sum(pg_total_relation_size(oid))::bigint from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace
"""


class Place(NamedTuple):
    """An empty place on a server: a database, or on Redis a prefix that no key has.

    Attributes:
        backend: of what kind it is.
        url: of the database.
        prefix: empty but on Redis.
    """

    backend: str
    url: str
    prefix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose and name servers."""
    parser.add_argument("--backend", choices=BACKENDS, help="measure this one only")
    add_servers(parser)


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name servers."""
    parser.add_argument("--postgres", metavar="URL", help="a server to use, whose user is a superuser")
    parser.add_argument("--redis", metavar="URL", help="a server to use; only keys of the run's own are touched")


def chosen(arguments: argparse.Namespace) -> list[str]:
    """Give the backends that are to be measured."""
    return [arguments.backend] if arguments.backend else list(BACKENDS)


def passed_on(arguments: argparse.Namespace) -> list[str]:
    """Give the options that the processes of a run are told."""
    return ["--backend", arguments.backend] if arguments.backend else []


@contextlib.contextmanager
def running(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Start the servers that no option names, tell all processes of the run, and give their versions by name."""
    with contextlib.ExitStack() as stack:
        postgres = arguments.postgres or stack.enter_context(PostgresServer()).admin_url()
        redis = arguments.redis or stack.enter_context(RedisServer()).url
        os.environ.update({_VARIABLES[POSTGRESQL]: postgres, _VARIABLES[REDIS]: redis})
        yield asyncio.run(_versions())


def url_of(backend: str) -> str:
    """Give the URL of the run's server."""
    return os.environ[_VARIABLES[backend]]


async def _versions() -> dict[str, str]:
    connection = await asyncpg.connect(url_of(POSTGRESQL))
    try:
        version = await connection.fetchval("show server_version")
    finally:
        await connection.close()
    async with Redis.from_url(url_of(REDIS)) as client:
        info = await client.info("server")
    name = info.get("server_name", "redis")
    return {
        "PostgreSQL server": str(version).split()[0],
        f"{str(name).capitalize()} server": str(info.get(f"{name}_version", info["redis_version"])),
    }


@contextlib.asynccontextmanager
async def new_place(backend: str) -> AsyncIterator[Place]:
    """Make an empty place, and remove it with everything in it."""
    url = url_of(backend)
    if backend == POSTGRESQL:
        name = await create_database(url)
        try:
            yield Place(backend, with_database(url, name))
        finally:
            await drop_database(url, name)
        return
    prefix = f"securemem-benchmark-{secrets.token_hex(6)}:"
    try:
        yield Place(backend, url, prefix)
    finally:
        async with Redis.from_url(url) as client:
            async for key in client.scan_iter(match=f"{prefix}*", count=1000):
                await client.unlink(key)


async def size_of(place: Place) -> int:
    """Give the bytes that a place takes: of tables and indexes on disk, or of keys in memory."""
    if place.backend == POSTGRESQL:
        connection = await asyncpg.connect(place.url)
        try:
            size: int = await connection.fetchval(_TABLES_SIZE)
        finally:
            await connection.close()
        return size
    async with Redis.from_url(place.url) as client:
        keys = [key async for key in client.scan_iter(match=f"{place.prefix}*", count=1000)]
        return sum([int(await client.memory_usage(key, samples=0) or 0) for key in keys])


TREATED = Policy(
    "treated",
    "00" * 32,
    Pii(
        entities=dict.fromkeys(
            ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "SECRET", "URL", "US_SSN"),
            "redact",
        )
    ),
)
"""A policy whose engine is `patterns`, which looks for all that it usually looks for."""


@contextlib.asynccontextmanager
async def open_ours(
    place: Place,
    folder: Path,
    *,
    max_messages: int = PLENTY,
    ttl: float | None = None,
    keystore: str | None = None,
    options: str = "",
    policy: str | Policy = "plain",
) -> AsyncIterator[Ours]:
    """Open our store in an empty place.

    Args:
        place: of the data.
        folder: gets ledger and KEK, and the keystore where none is named; has to be there.
        max_messages: as `SecureMemory.open`.
        ttl: likewise.
        keystore: likewise.
        options: what the URL says besides, such as `?name=value`.
        policy: as `SecureMemory.open`.
    """
    async with SecureMemory.open(
        place.url + options,
        prefix=place.prefix or None,
        keystore=keystore or f"sqlite:///{folder}/keys.db",
        ledger=f"sqlite:///{folder}/ledger.db",
        kms=f"file:///{folder}/kek",
        max_messages=max_messages,
        ttl=ttl,
        policy=policy,
    ) as memory:
        yield Ours(memory)
