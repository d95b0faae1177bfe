"""A Redis that goes back to an older state while a store is open: nobody reads or writes without what it has missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from securemem import NotReadyError, SecureMemory, UserRestrictedError, marks
from securemem.backends.redis import RedisBackend
from securemem.redis import durability, stamps
from securemem.testing.servers import RedisCluster, RedisServer
from securemem.testing.servers.sentinel import RedisSentinel

from .store import check_refused, open_store, texts, with_options

pytestmark = pytest.mark.servers


@pytest.fixture
def snapshots() -> Iterator[RedisServer]:
    """Give a server that has after a crash what its last snapshot has."""
    with RedisServer(settings={"appendonly": "no", "save": "3600 1000"}) as server:
        yield server


def _snapshot(server: RedisServer) -> None:
    with server.client() as client:
        client.save()


async def test_a_hold_that_a_crash_undid(snapshots: RedisServer, tmp_path: Path) -> None:
    """Those that have the store open are refused, the one that placed it and another; who opens it anew places it."""
    async with open_store(snapshots.url, tmp_path) as placed, open_store(snapshots.url, tmp_path) as other:
        await placed.session("held").add("user", "evidence")
        await texts(other, "held")
        await asyncio.to_thread(_snapshot, snapshots)
        await placed.holds.place("held", reason_code="court")
        await asyncio.to_thread(snapshots.restart)
        await check_refused(snapshots.url, tmp_path, placed, other)


async def test_where_nobody_looks_it_is_hidden(
    snapshots: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: unseen, what was held is read, and the next act of anybody makes the data count as complete."""
    monkeypatch.setattr(RedisBackend, "hold_against", lambda _, __: None)
    async with open_store(snapshots.url, tmp_path) as memory:
        await memory.session("held").add("user", "evidence")
        await memory.session("else").add("user", "word")
        await asyncio.to_thread(_snapshot, snapshots)
        await memory.holds.place("held", reason_code="court")
        await asyncio.to_thread(snapshots.restart)
        assert await texts(memory, "held") == ["evidence"]
        await memory.session("else").clear()
    async with open_store(snapshots.url, tmp_path) as memory:
        assert await texts(memory, "held") == ["evidence"]


async def test_one_that_has_missed_no_act(snapshots: RedisServer, tmp_path: Path) -> None:
    """A restart after which all acts are there is none of this, whatever messages were lost."""
    async with open_store(snapshots.url, tmp_path) as memory:
        await memory.session("gone").add("user", "word")
        await memory.session("gone").clear()
        await asyncio.to_thread(_snapshot, snapshots)
        await memory.session("kept").add("user", "lost with the crash")
        await asyncio.to_thread(snapshots.restart)
        await memory.session("new").add("user", "word")
        assert await texts(memory, "new") == ["word"]


async def test_acts_under_another_prefix(snapshots: RedisServer, tmp_path: Path) -> None:
    """The keystore's stamp follows acts of all prefixes: a store under one does not count as behind for another's."""
    async with open_store(snapshots.url, tmp_path) as one, open_store(snapshots.url, tmp_path, prefix="other:") as two:
        for memory in (one, two):
            await memory.session("s").add("user", "word")
        await two.session("s").clear()
        await asyncio.to_thread(_snapshot, snapshots)
        await asyncio.to_thread(snapshots.restart)
        assert await texts(one, "s") == ["word"]


@pytest.mark.parametrize("count", [1, stamps.COUNT])
async def test_a_hold_that_a_failover_undid(
    redis_cluster: RedisCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Of a node that fails over to a replica without the hold its own stamp tells; that of another node does not."""
    monkeypatch.setattr(marks, "PERSIST_SECONDS", 0.1)
    monkeypatch.setattr(stamps, "COUNT", count)
    url = with_options(redis_cluster.url, timeout=2, patience=30)
    async with open_store(url, tmp_path) as memory:
        session, key = await _apart_from(memory, redis_cluster, b"securemem:messages:{stamp:0}")
        node, replica = redis_cluster.primary_of(key), redis_cluster.replica_of(key)
        survivor = next(each for each in redis_cluster.running if each not in (node, replica))
        replica.pause()
        with node.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        await memory.holds.place(session, reason_code="court")
        await asyncio.to_thread(node.kill)
        replica.resume()
        if count == 1:
            assert await texts(memory, session) == ["evidence"]
            return
        with pytest.raises(NotReadyError, match="older state"):
            await texts(memory, session)
    there = with_options(f"redis+cluster://127.0.0.1:{survivor.port}", timeout=2, patience=30)
    async with open_store(there, tmp_path) as memory:
        with pytest.raises(UserRestrictedError):
            await texts(memory, session)


@pytest.fixture(scope="module")
def cluster_of_snapshots() -> Iterator[RedisCluster]:
    """Give a cluster each node of which has after a crash what its last snapshot has."""
    with RedisCluster(settings={"appendonly": "no", "save": "3600 1000"}) as cluster:
        yield cluster


@pytest.mark.parametrize("looks", [True, False])
async def test_a_hold_that_a_node_lost(
    cluster_of_snapshots: RedisCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, looks: bool
) -> None:
    """A node that is started anew serves nothing for two seconds: it is held against the stamp when it does.

    Where nobody looks, the control, what was held is read then.
    """
    monkeypatch.setattr(marks, "PERSIST_SECONDS", 0.1)
    if not looks:
        monkeypatch.setattr(RedisBackend, "hold_against", lambda _, __: None)
    session = "lost" if looks else "read"
    async with open_store(with_options(cluster_of_snapshots.url, timeout=2, patience=30), tmp_path) as memory:
        await memory.session(session).add("user", "evidence")
        keys = await (await memory.host.ready()).keyring.find(session, session)
        assert keys is not None
        node = cluster_of_snapshots.primary_of(f"{{{keys.handle.hex()}}}")
        replica = cluster_of_snapshots.replica_of(f"{{{keys.handle.hex()}}}")
        await asyncio.to_thread(_snapshot, node)
        replica.pause()  # or it would take over
        try:
            await memory.holds.place(session, reason_code="court")
            await asyncio.to_thread(node.restart)
            if not looks:
                assert await texts(memory, session) == ["evidence"]
                return
            with pytest.raises(NotReadyError, match="older state"):
                await texts(memory, session)
        finally:
            replica.resume()
            await asyncio.to_thread(cluster_of_snapshots.wait_until_whole)
            await asyncio.to_thread(cluster_of_snapshots.flush)


def _crashes_after(
    server: RedisServer,
    name: str,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    crash: Callable[[RedisServer], None] = RedisServer.restart,
) -> None:
    """Have a server crash so many times, each when a method of the store has returned."""
    method, left = getattr(RedisBackend, name), iter(range(times))

    async def crashes(backend: RedisBackend, *arguments: Any, **options: Any) -> Any:
        answer = await method(backend, *arguments, **options)
        if next(left, None) is not None:
            await asyncio.to_thread(crash, server)
        return answer

    monkeypatch.setattr(RedisBackend, name, crashes)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_crash_while_a_hold_is_placed(
    snapshots: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Marks that a crash undid before the stamp was set are set once more; after another, when the store is opened."""
    async with open_store(snapshots.url, tmp_path) as memory:
        for session in ("one", "two"):
            await memory.session(session, user_id="alice").add("user", "evidence")
        await asyncio.to_thread(_snapshot, snapshots)
        _crashes_after(snapshots, "persist", times, monkeypatch)
        with pytest.raises(NotReadyError, match="older state") if times > 1 else contextlib.nullcontext():
            await memory.holds.place(user_id="alice", reason_code="court")
    async with open_store(snapshots.url, tmp_path) as memory:
        for session in ("one", "two"):
            with pytest.raises(UserRestrictedError):
                await memory.session(session, user_id="alice").history()


async def test_crashes_without_end(snapshots: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that loses nothing and is yet another one each time is not gone on with for good."""
    async with open_store(snapshots.url, tmp_path) as memory:
        await memory.session("held").add("user", "evidence")

        def restart(server: RedisServer) -> None:
            _snapshot(server)
            server.restart()

        _crashes_after(snapshots, "persist", 3, monkeypatch, crash=restart)
        with pytest.raises(NotReadyError, match="again and again"):
            await memory.holds.place("held", reason_code="court")
    async with open_store(snapshots.url, tmp_path) as memory:
        with pytest.raises(UserRestrictedError):
            await texts(memory, "held")


@pytest.mark.parametrize("times", [1, 2])
async def test_a_crash_while_somebody_is_erased(
    snapshots: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Rows that a crash brought back before the stamp was set are deleted once more, and count once."""
    async with open_store(snapshots.url, tmp_path) as memory:
        for session in ("one", "two"):
            await memory.session(session, user_id="alice").add("user", "word")
        await asyncio.to_thread(_snapshot, snapshots)
        _crashes_after(snapshots, "delete", times, monkeypatch)
        if times > 1:
            with pytest.raises(NotReadyError, match="older state"):
                await memory.erase_user("alice")
        else:
            receipt = await memory.erase_user("alice")
            assert receipt.stores["data"]["records"] == 2
    async with open_store(snapshots.url, tmp_path):
        with snapshots.client() as client:
            assert [client.llen(key) - 1 for key in client.keys("*{*")] == [0, 0]


async def test_a_crash_after_an_erasure(
    snapshots: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that a crash brought back after the stamp are in the receipt; who opens the store next deletes them."""
    async with open_store(snapshots.url, tmp_path) as memory:
        await memory.session("s", user_id="alice").add("user", "word")
        await asyncio.to_thread(_snapshot, snapshots)
        _crashes_after(snapshots, "stamp", 1, monkeypatch)
        receipt = await memory.erase_user("alice")
        assert durability._OLDER in {each.what for each in receipt.residue}
    async with open_store(snapshots.url, tmp_path):
        with snapshots.client() as client:
            assert [client.llen(key) - 1 for key in client.keys("*{*")] == [0]


async def test_an_erasure_on_a_primary_of_yesterday(sentinel: RedisSentinel, tmp_path: Path) -> None:
    """What was deleted from a primary that was replaced is not said to be gone: it is, once it is gone there."""
    places = ",".join(f"{host}:{port}" for host, port in sentinel.addresses)
    url = with_options(f"redis+sentinel://{places}/{sentinel.service}/0", timeout=2, patience=30)
    async with open_store(url, tmp_path) as memory:
        await memory.session("s", user_id="alice").add("user", "word")
        await asyncio.to_thread(sentinel.fail_over)
        try:
            receipt = await memory.erase_user("alice")
        except NotReadyError:
            receipt = None  # the one that was deleted from took writes still
    async with open_store(url, tmp_path) as memory:
        assert [item async for item in memory.export_user("alice") if item["kind"] == "message"] == []
        with sentinel.primary().client() as client:
            rows = [client.llen(key) - 1 for key in client.keys("*{*")]
        assert not any(rows)
        assert receipt is None or receipt.stores["data"]["records"] == 1


async def _apart_from(memory: SecureMemory, cluster: RedisCluster, other: bytes) -> tuple[str, str]:
    """Begin sessions until one lies on another node than a key; gives its id and the part of its key that says so."""
    for number in range(99):
        await memory.session(str(number)).add("user", "evidence")
        keys = await (await memory.host.ready()).keyring.find(str(number), str(number))
        assert keys is not None
        key = f"{{{keys.handle.hex()}}}"
        if cluster.primary_of(key) is not cluster.primary_of(other.decode()):
            return str(number), key
    raise AssertionError("all of them lie on one node")
