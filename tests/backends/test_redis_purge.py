"""What a purge removes from a Redis server's files, and what it says of the rest."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from securemem.backends.redis import RedisBackend
from securemem.model import Change, Residue, ResidueKind, Tail
from securemem.redis import durability
from securemem.residue import UNANSWERED
from securemem.testing import assert_absent, assert_found, make_canary
from securemem.testing.backend.hooks import handle, newest_first, rows, write
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import RedisServer, wait_until

LONG = 20.0
FREED = Residue("data", durability._MEMORY, kind=ResidueKind.MEMORY)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Give a server of the test's own, with an append-only file and the usual snapshots."""
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def _open(server: RedisServer, user: str = "") -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(f"redis://{user}127.0.0.1:{server.port}/0", {}, prefix="app:")
    await backend.open()
    try:
        yield backend
    finally:
        await backend.aclose()


async def _delete_a_canary(backend: RedisBackend) -> str:
    """Write a canary in a row, a stub in another's place, and delete the session."""
    canary, session = make_canary(), handle()
    change = Change(session, b"", b"head", rows=[(1, canary.encode() * 20), (2, b"row")])
    assert await backend.swap(change) is None
    assert await backend.swap(Change(session, b"head", b"next", rows=[(1, b"stub")])) is None
    assert await backend.delete([session], heads=True) == 2
    return canary


async def test_the_append_only_file(server: RedisServer) -> None:
    """A deleted row is in the append-only file until a purge, and in none of the server's files after it."""
    async with _open(server) as backend:
        kept = handle()
        head = await write(backend, kept, 1, 5)
        canary = await _delete_a_canary(backend)
        wait_until(lambda: _holds(server, canary), "the canary is in a file")
        assert await backend.purge(LONG) == [FREED]
        assert_absent([server.data], canary)
        server.restart()
        assert await backend.tail(kept, 9) == Tail(head, newest_first(rows(1, 5)))


def _holds(server: RedisServer, canary: str) -> bool:
    try:
        return bool(assert_found([server.data], canary))
    except AssertionError:
        return False


async def test_the_snapshot() -> None:
    """A deleted row is in the last snapshot until a purge takes the next, where snapshots are all there is."""
    with RedisServer(settings={"appendonly": "no", "save": "3600 1", "rdbcompression": "no"}) as server:
        async with _open(server) as backend:
            canary, session = make_canary(), handle()
            assert await backend.swap(Change(session, b"", b"head", rows=[(1, canary.encode())])) is None
            with server.client() as client:
                client.save()
            assert await backend.delete([session], heads=True) == 1
            assert_found([server.data], canary)
            assert await backend.purge(LONG) == [FREED]
            assert_absent([server.data], canary)


async def test_nothing_is_on_disk() -> None:
    """A server that keeps no files has nothing to be purged of, and makes none."""
    with RedisServer(settings={"appendonly": "no", "save": ""}) as server:
        async with _open(server) as backend:
            await _delete_a_canary(backend)
            assert await backend.purge(LONG) == [FREED]
        assert not list(server.data.glob("*.rdb"))


async def test_a_snapshot_that_was_loaded() -> None:
    """A snapshot from before the settings were changed is taken anew, for a restart would bring the row back."""
    with RedisServer(settings={"appendonly": "no", "save": "3600 1", "rdbcompression": "no"}) as server:
        async with _open(server) as backend:
            canary, session = make_canary(), handle()
            assert await backend.swap(Change(session, b"", b"head", rows=[(1, canary.encode())])) is None
            with server.client() as client:
                client.save()
                client.config_set("save", "")
                client.config_rewrite()
            server.restart()
            assert await backend.delete([session], heads=True) == 1
            assert_found([server.data], canary)
            assert await backend.purge(LONG) == [FREED]
            assert_absent([server.data], canary)


async def test_one_that_is_under_way_does_not_count(server: RedisServer) -> None:
    """A rewrite that began before the deletion is waited for, and another is made."""
    with server.client() as client:
        client.config_set("rdb-key-save-delay", "100000")  # microseconds a key
        async with _open(server) as backend:
            for _ in range(5):
                await write(backend, handle(), 1, 3)
            session, canary = handle(), make_canary()
            assert await backend.swap(Change(session, b"", b"head", rows=[(1, canary.encode())])) is None
            client.bgrewriteaof()
            wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 1, "it is under way")
            await backend.delete([session], heads=True)
            client.config_set("rdb-key-save-delay", "0")
            assert await backend.purge(LONG) == [FREED]
            assert_absent([server.data], canary)
            assert client.info("persistence")["aof_rewrites"] == 2


async def test_there_is_no_time(server: RedisServer) -> None:
    """Where the files take longer than the caller waits, that is said of each; a later purge finds nothing left."""
    with server.client() as client:
        client.config_set("rdb-key-save-delay", "300000")
        async with _open(server) as backend:
            for _ in range(5):
                await write(backend, handle(), 1, 3)
            canary = await _delete_a_canary(backend)
            left = await backend.purge(0.2)
            assert [residue.what for residue in left[:2]] == [durability._AOF.late, durability._RDB.late]
            assert [residue.what for residue in left if residue.until is not None] == [durability._RDB.late]
            client.config_set("rdb-key-save-delay", "0")
            assert await backend.purge(LONG) == [FREED]
            assert_absent([server.data], canary)


@pytest.mark.parametrize("rights", ["-bgrewriteaof", "-bgsave", "-bgrewriteaof -bgsave"])
async def test_without_the_rights(server: RedisServer, rights: str) -> None:
    """What a user may not have written anew is named, with who can; the deletion itself is synced nevertheless."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", *rights.split())
    async with _open(server, "app:secret@") as backend:
        await _delete_a_canary(backend)
        *left, freed = await backend.purge(LONG)
    expected = [(durability._AOF.refused, False)] if "aof" in rights else []
    expected += [(durability._RDB.refused, True)] if "bgsave" in rights else []
    assert [(residue.what, residue.until is not None) for residue in left] == expected
    assert freed == FREED


@pytest.mark.parametrize(("appendfsync", "seconds", "synced"), [("always", 0.1, True), ("no", 0.3, False)])
async def test_a_deletion_that_is_not_synced(appendfsync: str, seconds: float, *, synced: bool) -> None:
    """Where no file is written anew and the server does not sync, a crash could undo the deletion: that is said."""
    with RedisServer(settings={"appendfsync": appendfsync, "save": ""}) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-bgrewriteaof")
        async with _open(server, "app:secret@") as backend:
            await _delete_a_canary(backend)
            left = [residue.what for residue in await backend.purge(seconds)]
        assert left == [durability._AOF.refused, *([] if synced else [durability._UNSYNCED]), FREED.what]


async def test_without_the_right_to_ask(server: RedisServer) -> None:
    """A server that does not tell its settings is purged as if it kept everything."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config")
    async with _open(server, "app:secret@") as backend:
        assert backend.caveats == ["the server does not say how it syncs its append-only file (CONFIG GET)"]
        canary = await _delete_a_canary(backend)
        assert await backend.purge(LONG) == [FREED]
        assert_absent([server.data], canary)


def _memory(server: RedisServer) -> bytes:
    """Give what a server holds in memory that it can write to."""
    with server.client() as client:
        process = Path(f"/proc/{client.info('server')['process_id']}")
    found = []
    with (process / "mem").open("rb", buffering=0) as memory:
        for line in (process / "maps").read_text().splitlines():
            place, rights, *_ = line.split()
            start, end = (int(address, 16) for address in place.split("-"))
            if rights.startswith("rw") and "[v" not in line:
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)


async def test_memory_is_named(server: RedisServer) -> None:
    """What was deleted can stay in the server's memory, where a search finds what is there; it is named as left."""
    async with _open(server) as backend:
        canary, session = make_canary(), handle()
        seen = sys.platform == "linux"  # elsewhere another process's memory is not shown
        assert not seen or canary.encode() not in _memory(server)
        change = Change(session, b"", b"head", rows=[(1, canary.encode() * 20)])
        assert await backend.swap(change) is None
        assert not seen or canary.encode() in _memory(server)
        assert await backend.delete([session], heads=True) == 1
        left = await backend.purge(LONG)
        assert FREED in left


async def test_replicas_are_named(server: RedisServer) -> None:
    """Replicas keep files of their own, which are named, without an address."""
    with RedisServer(replica_of=server) as replica:
        await asyncio.to_thread(replica.catch_up)
        async with _open(server) as backend:
            await _delete_a_canary(backend)
            [left, freed] = await backend.purge(LONG)
    assert freed == FREED
    assert left == Residue("data", durability._REPLICAS, kind=ResidueKind.COPY)
    assert not any(character.isdigit() for character in left.what)


async def test_two_purges_at_once(server: RedisServer) -> None:
    """Purges that meet wait for each other, and both get through."""
    async with _open(server) as backend, _open(server) as other:
        canary = await _delete_a_canary(backend)
        for left in await asyncio.gather(backend.purge(LONG), other.purge(LONG)):
            assert left == [FREED]
        assert_absent([server.data], canary)


async def test_the_line_is_cut(server: RedisServer) -> None:
    """A connection that ends while the files are written costs the purge no more than another beginning."""
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        backend = RedisBackend(f"redis://{proxy.host}:{proxy.port}/0", {}, prefix="app:")
        await backend.open()
        canary = await _delete_a_canary(backend)
        with server.client() as client:
            client.config_set("rdb-key-save-delay", "300000")
            await write(backend, handle(), 1, 3)
            purge = asyncio.create_task(backend.purge(LONG))
            await asyncio.sleep(0.15)
            proxy.cut(reset=True)
            client.config_set("rdb-key-save-delay", "0")
        assert await purge == [FREED]
        assert_absent([server.data], canary)
        await backend.aclose()


@pytest.mark.parametrize("strike", [RedisServer.stop, RedisServer.pause])
async def test_the_server_does_not_answer(server: RedisServer, strike: Callable[[RedisServer], None]) -> None:
    """Of a server that does not answer all is named that may be left: on its disk, at its replicas, in its memory."""
    backend = RedisBackend(server.url, {"timeout": "1"}, prefix="app:")
    await backend.open()
    await asyncio.to_thread(strike, server)
    began = time.monotonic()
    left = await backend.purge(1.0)
    assert 1.0 <= time.monotonic() - began < 1.0 + durability._GRACE_SECONDS
    assert left == [
        Residue("data", UNANSWERED),
        Residue("data", durability._REPLICAS_IF_ANY, kind=ResidueKind.COPY),
        FREED,
    ]
    await backend.aclose()
