"""A backup covers tenants wherever they lie, and a restore puts each where its route says."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from securemem import SecureMemory
from securemem.model import HOME

from .conftest import MOST, SECOND, Stage, everything


async def _empty(stage: Stage) -> None:
    """Take the data of both servers away, as if their disks had died."""
    for url in stage.urls.values():
        if url.startswith("sqlite"):
            path = Path(url.removeprefix("sqlite:///"))
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
            continue
        connection = await asyncpg.connect(url)
        for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            await connection.execute(f'DROP TABLE "{table[0]}" CASCADE')
        await connection.close()


async def test_tenants_on_two_servers_are_restored(stage: Stage, tmp_path: Path) -> None:
    """Each lies where it did; who was forgotten since stays gone, on either server."""
    path = tmp_path / "data.backup"
    for tenant in ("here", "there"):
        async with stage.open(tenant, max_messages=MOST) as memory:
            for user in ("alice", "bob"):
                await memory.session("s", user_id=user).add("user", f"{user} of {tenant}")
            if tenant == "there":
                await memory.tenants.move(SECOND)
    async with stage.open("here") as memory:
        report = await memory.backup(path)
        assert report.sessions == 4
    for tenant in ("here", "there"):
        async with stage.open(tenant) as memory:
            await memory.erase_user("alice")
    await _empty(stage)
    restored = await SecureMemory.restore(path, stage.urls[HOME], tenant="here", **stage.options)
    assert (restored.sessions, restored.is_open) == (2, True)
    for tenant, server in (("here", HOME), ("there", SECOND)):
        async with stage.open(tenant, max_messages=MOST) as memory:
            assert await everything(memory) == {("bob", "s"): [f"bob of {tenant}"]}
            await memory.session("s", user_id="bob").add("user", "and on")
        assert len(await stage.copy(server)) == 1
