"""A server is killed with SIGKILL in mid-append: what it acknowledged is there, and all go on by themselves."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from securemem import ReorderedError
from securemem.testing.servers import RedisServer

from .conftest import Killable
from .store import Writer, check, open_store

pytestmark = pytest.mark.servers

WORKERS = 16
END_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'securemem'
"""


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.soak)])
async def test_killed_and_restarted(kills: int, own_server: Killable, own_url: str, tmp_path: Path) -> None:
    """Sixteen workers wait a server out that is gone for a second, and go on; nothing is lost, nothing fails."""
    async with open_store(own_url, tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(WORKERS)]
        for _ in range(kills):
            over = asyncio.Event()
            work = asyncio.gather(*(writer.add_until(over) for writer in writers))
            await asyncio.sleep(0.4)
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(1.0)
            before = [len(writer.said) for writer in writers]
            await asyncio.to_thread(own_server.start)
            await asyncio.sleep(1.0)
            over.set()
            await work
            assert all(len(writer.said) > count for writer, count in zip(writers, before, strict=True))
        assert max(writer.longest for writer in writers) >= 1.0, "nobody was held up: the server was not away"
        assert not any(writer.failed for writer in writers)
    await check(own_url, tmp_path, writers)


async def test_a_restart_while_idle_is_not_noticed(own_server: Killable, own_url: str, tmp_path: Path) -> None:
    """Connections that died while nobody used them cost the next call a moment, and no error."""
    async with open_store(own_url, tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(4)]
        await asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.gather(*(writer.read() for writer in writers))
        await asyncio.to_thread(own_server.restart)
        await asyncio.gather(*(writer.add() for writer in writers))
        assert not any(writer.failed for writer in writers)
    await check(own_url, tmp_path, writers)


async def test_connections_that_are_ended_between_calls(postgres_url: str, tmp_path: Path) -> None:
    """A server that ends our connections costs no call, at whatever point of hearing of it the next call is made."""
    admin = await asyncpg.connect(postgres_url)
    async with open_store(postgres_url, tmp_path) as memory:
        writer, ended = Writer(memory, "only"), 0
        for turns in range(30):
            await writer.add()
            ended += len(await admin.fetch(END_CONNECTIONS))
            for _ in range(turns % 6):
                await asyncio.sleep(0)
            await writer.add()
        assert ended >= 30
        assert not writer.failed
    await admin.close()
    await check(postgres_url, tmp_path, [writer])


async def test_redis_that_came_back_older(tmp_path: Path) -> None:
    """A Redis that lost its last second in a crash is an error for whoever saw more, never a silent gap."""
    with RedisServer(settings={"appendfsync": "no"}) as server:
        async with open_store(server.url, tmp_path) as memory:
            writer = Writer(memory, "only")
            await writer.add()
            kept = tmp_path / "kept"
            shutil.copytree(server.data / "appendonlydir", kept)
            await writer.add()
            server.kill()
            shutil.copytree(kept, server.data / "appendonlydir", dirs_exist_ok=True)
            server.start()
            assert writer.said.keys() == {1, 2}
            chat = memory.session("only")
            with pytest.raises(ReorderedError, match="rolled back"):
                await chat.history()
            with pytest.raises(ReorderedError, match="rolled back"):
                await chat.add("user", "on top of a gap")
