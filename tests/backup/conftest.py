"""Deployments on each backend, with keystore and ledger in files and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio

from .place import Place

Empty = Callable[[str], Awaitable[None]]


def _files(folder: Path) -> Empty:
    async def empty(store: str) -> None:
        ending = {"data": ".db", "keystore": ".keys.db", "ledger": ".ledger.db"}[store]
        for path in folder.glob(f"store{ending}*"):
            path.unlink()

    return empty


def _with_schema(url: str, schema: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


async def _drop(url: str, schema: str) -> None:
    con = await asyncpg.connect(url)
    await con.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await con.close()


@pytest.fixture(params=["sqlite", "postgresql", "redis", "all on postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a deployment on each backend."""
    folder = tmp_path / "stores"
    folder.mkdir()
    backups = tmp_path / "backups"
    backups.mkdir()
    files = _files(folder)
    settings = {
        name: f"sqlite:///{folder}/store{ending}"
        for name, ending in (("keystore", ".keys.db"), ("ledger", ".ledger.db"))
    }
    settings["kms"] = f"file:///{folder}/store.kek"
    if request.param == "sqlite":
        return Place(f"sqlite:///{folder}/store.db", settings, files, backups)
    if request.param in ("redis", "redis cluster"):
        prefix = request.getfixturevalue("redis_prefix")
        of_cluster = request.param == "redis cluster"
        cluster = request.getfixturevalue("redis_cluster") if of_cluster else None
        url = cluster.url if cluster else request.getfixturevalue("redis_url")

        async def empty_redis(store: str) -> None:
            if store != "data":
                await files(store)
                return
            client: Any = (
                redis.asyncio.RedisCluster.from_url(url.replace("redis+cluster:", "redis:"))
                if of_cluster
                else redis.asyncio.Redis.from_url(url)
            )
            async for key in client.scan_iter(match=f"{prefix}*"):
                await client.delete(key)
            await client.aclose()

        return Place(f"{url}{'&' if '?' in url else '?'}prefix={prefix}", settings, empty_redis, backups)
    url = request.getfixturevalue("postgres_url")
    if request.param == "all on postgresql":
        settings |= {name: _with_schema(url, f"of_{name}") for name in ("keystore", "ledger")}

    async def empty_postgres(store: str) -> None:
        if store == "data" or request.param == "all on postgresql":
            await _drop(url, f"of_{store}")
        else:
            await files(store)

    return Place(_with_schema(url, "of_data"), settings, empty_postgres, backups)
