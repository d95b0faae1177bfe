"""No room is left: appends say so, nothing is half written, and all is well when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from securemem import BackendUnavailableError, Session
from securemem.testing.servers import PostgresServer, RedisServer
from securemem.testing.servers.disk import SmallDisk
from securemem.testing.servers.home import unprivileged

from .store import Writer, check, open_store, with_options

pytestmark = pytest.mark.servers

HASTE = {"timeout": 1.0, "patience": 2.0}
MEGABYTE = "x" * 1_000_000


class Room(NamedTuple):
    """A PostgreSQL whose room can be taken from it."""

    server: PostgresServer
    take: Callable[[], None]
    give: Callable[[], None]


@pytest.fixture(params=["files", pytest.param("disk", marks=pytest.mark.disk)])
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """Give a server with a limit on its files, and one on a small disk of its own."""
    with ExitStack() as stack:
        if request.param == "disk":
            disk = stack.enter_context(SmallDisk(110, unprivileged()))
            server = stack.enter_context(PostgresServer(data=disk.path))
            yield Room(server, disk.fill, disk.free)
        else:
            server = stack.enter_context(PostgresServer())
            # Above the segments of its log, which are made at their full size, and all else that is there.
            yield Room(server, partial(server.limit_files, 20 * 2**20), partial(server.limit_files, None))


async def test_a_disk_that_is_full(room: Room, tmp_path: Path) -> None:
    """A PostgreSQL without room refuses appends whole; what was there is read, and it goes on when there is room."""
    server, url = room.server, room.server.create_database()
    async with open_store(with_options(url, **HASTE), tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(4)]
        await asyncio.gather(*(writer.add() for writer in writers))
        big = memory.session("big")
        await big.add("user", MEGABYTE)
        room.take()
        with pytest.raises(BackendUnavailableError, match=rf"127\.0\.0\.1:{server.port}"):
            await _overfill(big)
        kept = [message.seq for message in await big.history(limit=100)]
        assert kept == list(range(1, len(kept) + 1))
        await _raw_driver_fails(url)
        await asyncio.gather(*(writer.read() for writer in writers))
        room.give()
        await big.add("user", "room")
        assert (await big.history(limit=1))[0].seq == len(kept) + 1
        await asyncio.gather(*(writer.add() for writer in writers))
        assert not any(writer.failed for writer in writers)
    await check(url, tmp_path, writers)


async def _overfill(session: Session) -> None:
    """Append more than there is room for.

    Raises:
        BackendUnavailableError: it is full.
    """
    for _ in range(60):
        await session.add("user", MEGABYTE)


async def _raw_driver_fails(url: str) -> None:
    """Control: the same server refuses the raw driver as well."""
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(
                "CREATE TABLE much AS SELECT gen_random_uuid() AS some FROM generate_series(1, 1000000)"
            )
    finally:
        connection.terminate()


async def test_a_redis_that_is_full(tmp_path: Path) -> None:
    """A Redis at its `maxmemory` refuses appends whole; what was there is read, and it goes on when there is room."""
    with RedisServer(settings={"maxmemory": "12mb", "maxmemory-policy": "noeviction"}) as server:
        async with open_store(with_options(server.url, **HASTE), tmp_path) as memory:
            writer = Writer(memory, "s")
            await writer.add()
            big = memory.session("big")
            with pytest.raises(BackendUnavailableError, match=rf"127\.0\.0\.1:{server.port}"):
                await _overfill(big)
            kept = [message.seq for message in await big.history(limit=100)]
            assert kept == list(range(1, len(kept) + 1))
            await writer.read()
            with server.client() as client:
                client.config_set("maxmemory", "100mb")
            await big.add("user", "room")
            await writer.add()
            assert not writer.failed
        await check(server.url, tmp_path, [writer])
