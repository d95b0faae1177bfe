"""Filled stores to attack: one in a file, made once and copied, and one in memory."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from securemem import Message

from .store import IDS, TRIP, Loot, Store, build


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Loot]:
    """Fill a SQLite store once, two tenants in it, and close it."""
    folder = tmp_path_factory.mktemp("template")

    async def fill() -> Loot:
        store = Store(f"sqlite:///{folder}/store.db")
        async with store.memory, store.open("acme") as acme:
            loot = await build(store.memory, store.rows)
            foreign = acme.session(IDS[TRIP][0], user_id=IDS[TRIP][1])
            await foreign.add_many([Message("user", f"SECRET acme {seq}") for seq in range(1, 9)])
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
    """Give a filled store on each backend, open."""
    if request.param == "sqlite":
        async with file_store.memory:
            yield file_store
        return
    store = Store("memory://")
    async with store.memory:
        store.loot = await build(store.memory, store.rows)
        yield store
