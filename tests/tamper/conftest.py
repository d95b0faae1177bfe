"""Filled stores to attack: one in a file, made once and copied, one in memory, and one on each server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from securemem import Message, SecureMemory

from .access import Access, PostgresAccess, RedisAccess
from .store import IDS, TRIP, Loot, Store, build


async def _fill_another(tenant: SecureMemory) -> None:
    """Fill the session of another tenant that has the ids of one of ours."""
    chat = tenant.session(IDS[TRIP][0], user_id=IDS[TRIP][1])
    await chat.add_many([Message("user", f"SECRET acme {seq}") for seq in range(1, 9)])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Loot]:
    """Fill a SQLite store once, two tenants in it, and close it."""
    folder = tmp_path_factory.mktemp("template")

    async def fill() -> Loot:
        store = Store(f"sqlite:///{folder}/store.db")
        async with store.memory, store.open("acme") as acme:
            loot = await build(store.memory, store.rows)
            await _fill_another(acme)
            return loot

    return folder, asyncio.run(fill())


@pytest.fixture
def file_store(template: tuple[Path, Loot], tmp_path: Path) -> Store:
    """Give a copy of the filled SQLite store, closed."""
    folder, loot = template
    shutil.copytree(folder, tmp_path / "copy")
    return Store(f"sqlite:///{tmp_path}/copy/store.db", loot)


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, file_store: Store) -> AsyncIterator[Store]:
    """Give a filled store without a server, open."""
    async with _filled(request, file_store) as store:
        yield store


@pytest.fixture(params=["postgresql", "redis"])
async def served(request: pytest.FixtureRequest, file_store: Store) -> AsyncIterator[Store]:
    """Give a filled store on each server, open."""
    async with _filled(request, file_store) as store:
        yield store


@pytest.fixture(params=["sqlite", "memory", "postgresql", "redis"])
async def any_store(request: pytest.FixtureRequest, file_store: Store) -> AsyncIterator[Store]:
    """Give a filled store on each backend, open."""
    async with _filled(request, file_store) as store:
        yield store


@asynccontextmanager
async def _filled(request: pytest.FixtureRequest, file_store: Store) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        async with file_store.memory:
            yield file_store
        return
    store = Store("memory://") if request.param == "memory" else Store(**on_server(request))
    async with store.memory:
        store.loot = await build(store.memory, store.rows)
        if request.param != "memory":
            async with store.open("acme") as acme:
                await _fill_another(acme)
        yield store


def on_server(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give what a `Store` on the server that the parameter names takes: the data is there, all else in the folder."""
    folder: Path = request.getfixturevalue("tmp_path")
    access: Access
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        access = PostgresAccess(url, folder / "keys.db")
    else:
        url = request.getfixturevalue("redis_store_url")
        access = RedisAccess(
            request.getfixturevalue("redis_url"), request.getfixturevalue("redis_prefix"), folder / "keys.db"
        )
    return {
        "url": url,
        "access": access,
        "keystore": f"sqlite:///{folder}/keys.db",
        "ledger": f"sqlite:///{folder}/ledger.db",
        "kms": f"file:///{folder}/kek",
    }
