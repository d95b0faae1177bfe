"""No room is left: appends say so, nothing is half written, and all is well when there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import asyncpg
import pytest
import redis

from securemem import BackendUnavailableError, Session
from securemem.testing.servers import PostgresServer, RedisServer, wait_until
from securemem.testing.servers.disk import SmallDisk
from securemem.testing.servers.home import unprivileged

from .store import Writer, check, open_store, with_options

pytestmark = pytest.mark.servers

HASTE = {"timeout": 1.0, "patience": 2.0}
MEGABYTE = "x" * 1_000_000
ROOMS = ["files", pytest.param("disk", marks=pytest.mark.disk)]
S = TypeVar("S", PostgresServer, RedisServer)


class Room(NamedTuple, Generic[S]):
    """A server whose room can be taken from it."""

    server: S
    take: Callable[[], None]
    give: Callable[[], None]


@pytest.fixture(params=ROOMS)
def room(request: pytest.FixtureRequest) -> Iterator[Room[PostgresServer]]:
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


@contextmanager
def _redis(kind: str, **settings: str) -> Iterator[Room[RedisServer]]:
    """Give a Redis with a limit on its files, or one on a small disk of its own."""
    with ExitStack() as stack:
        if kind == "disk":
            disk = stack.enter_context(SmallDisk(16))
            server = stack.enter_context(RedisServer(settings=settings, data=disk.path))
            yield Room(server, disk.fill, disk.free)
        else:
            server = stack.enter_context(RedisServer(settings=settings))
            yield Room(server, partial(server.limit_files, 2**16), partial(server.limit_files, None))


async def test_a_disk_that_is_full(room: Room[PostgresServer], tmp_path: Path) -> None:
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


def _snapshot(server: RedisServer, outcome: str) -> None:
    """Have a snapshot taken, and wait until that has ended as it should."""
    with server.client() as client:
        client.bgsave()
        wait_until(lambda: server.info("persistence")["rdb_bgsave_in_progress"] == 0, "the snapshot has ended")
    assert server.info("persistence")["rdb_last_bgsave_status"] == outcome


def _refuses(server: RedisServer) -> None:
    """Control: the same server refuses the raw driver as well, and its reason is the disk."""
    with server.client() as client, pytest.raises(redis.ResponseError, match="MISCONF"):
        client.set("another's", "x")


@pytest.mark.parametrize("kind", ROOMS)
async def test_a_log_that_redis_cannot_write(kind: str, tmp_path: Path) -> None:
    """A Redis that cannot write its append-only file refuses appends whole, is read, and goes on; a crash shows it."""
    with _redis(kind, appendfsync="everysec") as (server, take, give):
        async with open_store(with_options(server.url, **HASTE), tmp_path) as memory:
            writers = [Writer(memory, f"w{number}") for number in range(4)]
            await asyncio.gather(*(writer.add() for writer in writers))
            take()
            with pytest.raises(
                BackendUnavailableError, match=rf"127\.0\.0\.1:{server.port}/0 cannot write to its disk"
            ):
                await _overfill(memory.session("big"))
            _refuses(server)
            await asyncio.gather(*(writer.add() for writer in writers), *(writer.read() for writer in writers))
            assert {str(*writer.errors) for writer in writers} == {
                f"Redis at 127.0.0.1:{server.port}/0 cannot write to its disk, and takes no writes"
            }
            give()
            await asyncio.to_thread(
                wait_until, lambda: server.info("persistence")["aof_last_write_status"] == "ok", "Redis has tried again"
            )
            await asyncio.gather(*(writer.add() for writer in writers))
            assert [list(writer.said) for writer in writers] == [[1, 2]] * len(writers)
        server.restart()
        await check(server.url, tmp_path, writers)


@pytest.mark.parametrize("kind", ROOMS)
async def test_a_snapshot_that_redis_cannot_write(kind: str, tmp_path: Path) -> None:
    """A Redis whose snapshot failed refuses appends whole, is read, and goes on after one that succeeded."""
    with _redis(kind, appendonly="no", save="3600 1") as (server, take, give):
        async with open_store(with_options(server.url, **HASTE), tmp_path) as memory:
            writer = Writer(memory, "s")
            await writer.add()
            await memory.session("big").add("user", MEGABYTE)
            take()
            await asyncio.to_thread(_snapshot, server, "err")
            await writer.add()
            assert [str(error) for error in writer.errors] == [
                f"Redis at 127.0.0.1:{server.port}/0 cannot write to its disk, and takes no writes"
            ]
            _refuses(server)
            await writer.read()
            give()
            await asyncio.to_thread(_snapshot, server, "ok")
            await writer.add()
            assert list(writer.said) == [1, 2]
        await check(server.url, tmp_path, [writer])


@pytest.mark.parametrize("kind", ROOMS)
async def test_a_redis_that_ends_for_want_of_room(kind: str, tmp_path: Path) -> None:
    """Where each append is synced a full disk ends Redis; appends wait for it, and each is made once, or not at all."""
    with _redis(kind, appendfsync="always") as (server, take, give):
        async with open_store(server.url, tmp_path) as memory:
            writers = [Writer(memory, f"w{number}") for number in range(4)]
            await asyncio.gather(*(writer.add() for writer in writers))
            take()
            big = asyncio.create_task(memory.session("big").add("user", MEGABYTE))
            work = asyncio.gather(*(writer.add() for writer in writers))
            await asyncio.to_thread(wait_until, lambda: not server.running, "Redis has ended")
            assert not big.done()
            server.kill()  # what is left of it
            give()
            await asyncio.to_thread(server.start)
            await work
            assert (await big).seq == 1
            assert [list(writer.said) for writer in writers] == [[1, 2]] * len(writers)
        await check(server.url, tmp_path, writers)
