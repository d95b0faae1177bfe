"""Backups go from one kind of place to another, where what had no name of its own needs none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from securemem import ConfigurationError, SecureMemory
from securemem.testing.servers import RedisServer

from .place import STORES, Place, read


def _place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    """Give a place for a deployment, where nothing has a name of its own."""
    folder.mkdir(exist_ok=True)
    settings = {
        "keystore": f"sqlite:///{folder}/{kind}.keys.db",
        "ledger": f"sqlite:///{folder}/{kind}.ledger.db",
        "kms": f"file:///{folder}/store.kek",
    }

    async def kept(_: str) -> None:
        raise NotImplementedError

    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.flush()
        return Place(server.url, settings, kept, folder)
    url = request.getfixturevalue("own_postgres_url") if kind == "postgresql" else f"sqlite:///{folder}/{kind}.db"
    return Place(url, settings, kept, folder)


async def _write(place: Place, *tables: str) -> None:
    for table in tables:
        async with place.open(table_name=table) as memory:
            await memory.session("s", user_id="alice").add("user", f"in {table}")
            if table == tables[-1]:
                await place.save(memory, *STORES)


async def _restore(saved: Place, into: Place, *stores: str, **more: str) -> None:
    into.saved = saved.saved
    assert (await into.restore(*(stores or STORES), **more)).is_open


@pytest.mark.parametrize(
    ("kind", "other"), [("sqlite", "redis"), ("postgresql", "redis"), ("redis", "sqlite"), ("redis", "postgresql")]
)
async def test_all_of_it(kind: str, other: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Sessions are found under no name, and under the name of their own that they had."""
    here = _place(kind, request, tmp_path)
    await _write(here, "messages", "agents")
    there = _place(other, request, tmp_path)
    await _restore(here, there)
    for options in ({}, {"table_name": "agents"}):
        async with there.open(create=False, **options) as memory:
            assert await read(memory, "alice") == [f"in {options.get('table_name', 'messages')}"]
            await memory.session("s", user_id="alice").add("user", "and on")
            assert len(await read(memory, "alice")) == 2


async def test_the_data_alone(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The keystore that stays learns where its sessions went, once the data can be put there; and so back again."""
    here = _place("sqlite", request, tmp_path)
    await _write(here, "messages")
    there = _place("redis", request, tmp_path)
    there.settings = here.settings
    request.getfixturevalue("redis_server").flush()
    async with SecureMemory.open(there.url, keystore="memory://", ledger="memory://", kms="memory://") as other:
        await other.session("s").add("user", "hers")
    with pytest.raises(ConfigurationError, match="there is data already"):
        await _restore(here, there, "data")
    async with here.open(create=False) as memory:
        assert await read(memory, "alice") == ["in messages"]
    request.getfixturevalue("redis_server").flush()
    await _restore(here, there, "data")
    async with there.open(create=False) as memory:
        assert await read(memory, "alice") == ["in messages"]
    back = _place("sqlite", request, tmp_path / "back")
    back.settings = here.settings
    await _restore(here, back, "data")
    async with back.open(create=False) as memory:
        assert await read(memory, "alice") == ["in messages"]


@pytest.mark.parametrize(
    ("saved", "restored"),
    [
        (("sqlite", {"table_name": "agents"}), ("sqlite", {})),
        (("sqlite", {}), ("sqlite", {"table_name": "agents"})),
        (("sqlite", {}), ("redis", {"prefix": "app:"})),
        (("redis", {"prefix": "app:"}), ("sqlite", {})),
        (("redis", {"prefix": "app:"}), ("redis", {})),
    ],
)
async def test_where_nobody_would_find_it(
    saved: tuple[str, dict[str, str]], restored: tuple[str, dict[str, str]], request: Any, tmp_path: Path
) -> None:
    """A table or prefix that is not the backup's is refused with the one that it has, and nothing is put."""
    (kind, name), (other, options) = saved, restored
    here, into = _place(kind, request, tmp_path), _place(other, request, tmp_path / "there")
    into.settings["kms"] = here.settings["kms"]
    async with here.open(**name) as memory:
        await memory.session("s", user_id="alice").add("user", "x")
        await here.save(memory, *STORES)
    lies = next(iter(name.values()), "messages")
    into.saved = here.saved
    with pytest.raises(ConfigurationError, match=f"lie under '{lies}'"):
        await into.restore(*STORES, **options)
    assert list((tmp_path / "there").iterdir()) == []
