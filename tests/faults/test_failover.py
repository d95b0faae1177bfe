"""A primary is killed and its replica takes over: all go on by themselves, and what was replicated is there.

Redis replicates after it has answered. What was acknowledged and had not reached the replica is gone with its primary;
whoever saw it is told by a `ReorderedError`, and never given a history with a silent gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from securemem import ReorderedError, SecureMemory, UserRestrictedError, marks
from securemem.testing.servers.cluster import ClusterNode, RedisCluster
from securemem.testing.servers.redis import RedisServer
from securemem.testing.servers.sentinel import RedisSentinel

from .store import Writer, check, open_store, with_options

pytestmark = pytest.mark.servers

WORKERS = 12
PATIENCE = {"timeout": 2, "patience": 30}


@pytest.fixture
def sentinel_url(sentinel: RedisSentinel) -> str:
    """Give the URL that names the Sentinels."""
    places = ",".join(f"{host}:{port}" for host, port in sentinel.addresses)
    return with_options(f"redis+sentinel://{places}/{sentinel.service}/0", **PATIENCE)


async def _key(memory: SecureMemory, writer: Writer) -> str:
    """Give the part of a session's key that says which node it lies on."""
    keys = await (await memory.host.ready()).keyring.find(writer.session_id, writer.session_id)
    assert keys is not None
    return f"{{{keys.handle.hex()}}}"


async def _begun(memory: SecureMemory) -> AsyncIterator[Writer]:
    for number in range(WORKERS):
        writer = Writer(memory, f"w{number}")
        await writer.add()
        yield writer


async def _until(over: asyncio.Event, writer: Writer, rolled_back: list[Writer]) -> None:
    """Append until it is over; whoever is told that something was lost says so and stops."""
    try:
        await writer.add_until(over)
    except ReorderedError:
        rolled_back.append(writer)


def _kill_once_replicated(primary: RedisServer) -> None:
    """Kill a primary when all that it has acknowledged is on its replica."""
    with primary.client() as client:
        assert client.wait(1, 5_000) == 1
    primary.kill()


async def _through_a_failover(memory: SecureMemory, url: str, folder: Path, kill: asyncio.Event) -> list[Writer]:
    """Append while `kill` makes somebody kill a primary; give the writers that lost nothing."""
    writers = [writer async for writer in _begun(memory)]
    rolled_back: list[Writer] = []
    over = asyncio.Event()
    work = asyncio.gather(*(_until(over, writer, rolled_back) for writer in writers))
    await asyncio.sleep(0.3)
    kill.set()
    await asyncio.sleep(0.2)
    over.set()
    await work
    left = [writer for writer in writers if writer not in rolled_back]
    for _ in range(3):
        await asyncio.gather(*(writer.add() for writer in left))
    assert [str(error) for writer in writers for error in writer.errors] == []
    assert len(left) > WORKERS // 2, "most of what was acknowledged had not been replicated"
    await check(url, folder, left)
    return left


async def test_a_cluster_in_mid_append(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """When a primary of a cluster is killed in mid-append, all writers wait the failover out and go on."""
    url = with_options(redis_cluster.url, **PATIENCE)
    async with open_store(url, tmp_path) as memory:
        first = Writer(memory, "w0")
        await first.add()
        node = await asyncio.to_thread(redis_cluster.primary_of, await _key(memory, first))
        await memory.session("w0").clear()
        kill = asyncio.Event()

        async def killer() -> None:
            await kill.wait()
            await asyncio.to_thread(node.kill)

        killing = asyncio.create_task(killer())
        survivor = next(other for other in redis_cluster.running if other is not node)
        there = with_options(f"redis+cluster://127.0.0.1:{survivor.port}", **PATIENCE)
        left = await _through_a_failover(memory, there, tmp_path, kill)
        await killing
        assert max(writer.longest for writer in left) > 1, "nobody was held up: no failover was needed"
        assert not node.running


async def test_a_sentinel_in_mid_append(sentinel: RedisSentinel, sentinel_url: str, tmp_path: Path) -> None:
    """When the primary that Sentinels watch is killed in mid-append, all writers go on with the one they choose."""
    async with open_store(sentinel_url, tmp_path) as memory:
        primary, kill = sentinel.primary(), asyncio.Event()

        async def killer() -> None:
            await kill.wait()
            await asyncio.to_thread(primary.kill)

        killing = asyncio.create_task(killer())
        left = await _through_a_failover(memory, sentinel_url, tmp_path, kill)
        await killing
        assert max(writer.longest for writer in left) > 1
        assert sentinel.primary() is not primary


async def test_what_was_replicated_is_there(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """What a primary had replicated before it was killed is all there after the failover, and appended to."""
    async with open_store(with_options(redis_cluster.url, **PATIENCE), tmp_path) as memory:
        writers = [writer async for writer in _begun(memory)]
        for _ in range(5):
            await asyncio.gather(*(writer.add() for writer in writers))
        node = await asyncio.to_thread(redis_cluster.primary_of, await _key(memory, writers[0]))
        await asyncio.to_thread(_kill_once_replicated, node)
        await asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.gather(*(writer.read() for writer in writers))
        assert [len(writer.said) for writer in writers] == [7] * WORKERS
        survivor = next(other for other in redis_cluster.running if other is not node)
        await check(f"redis+cluster://127.0.0.1:{survivor.port}", tmp_path, writers)


async def test_what_was_not_replicated_is_not_hidden(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """Who saw an append that its primary had not replicated is told after the failover; no gap is served."""
    async with open_store(with_options(redis_cluster.url, **PATIENCE), tmp_path) as memory:
        writer = Writer(memory, "only")
        await writer.add()
        key = await _key(memory, writer)
        node: ClusterNode = await asyncio.to_thread(redis_cluster.primary_of, key)
        replica: ClusterNode = await asyncio.to_thread(redis_cluster.replica_of, key)
        replica.pause()
        with node.client() as client:  # what is on its way to a replica reaches it also after the primary's end
            assert client.execute_command("CLIENT", "KILL", "TYPE", "replica") == 1
        await writer.add()
        node.kill()
        replica.resume()
        with pytest.raises(ReorderedError, match="rolled back"):
            await memory.session("only").history()
        with pytest.raises(ReorderedError, match="rolled back"):
            await writer.add()


async def test_a_failover_in_good_order(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """A failover in good order in mid-append costs nobody anything: nothing fails, nothing is lost."""
    url = with_options(redis_cluster.url, **PATIENCE)
    async with open_store(url, tmp_path) as memory:
        writers = [writer async for writer in _begun(memory)]
        key, over = await _key(memory, writers[0]), asyncio.Event()
        before = await asyncio.to_thread(redis_cluster.primary_of, key)
        work = asyncio.gather(*(writer.add_until(over) for writer in writers))
        await asyncio.to_thread(redis_cluster.fail_over, key)
        over.set()
        await work
        assert await asyncio.to_thread(redis_cluster.primary_of, key) is not before
        assert not any(writer.failed for writer in writers)
    await check(url, tmp_path, writers)


async def test_a_hold_waits_for_a_replica(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """A hold is placed when a replica has it: what a failover right after it would have kept."""
    async with open_store(with_options(redis_cluster.url, **PATIENCE), tmp_path) as memory:
        writer = Writer(memory, "held")
        await writer.add()
        replica = await asyncio.to_thread(redis_cluster.replica_of, await _key(memory, writer))
        replica.pause()
        placing = asyncio.create_task(memory.holds.place("held", reason_code="court"))
        await asyncio.wait([placing], timeout=0.7)
        waited = not placing.done()
        replica.resume()
        await placing
        assert waited


async def test_without_a_replica_that_answers_it_goes_on(
    redis_cluster: RedisCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none answers, the hold is placed all the same, after a while."""
    monkeypatch.setattr(marks, "PERSIST_SECONDS", 0.2)
    async with open_store(with_options(redis_cluster.url, **PATIENCE), tmp_path) as memory:
        writer = Writer(memory, "held")
        await writer.add()
        replica = await asyncio.to_thread(redis_cluster.replica_of, await _key(memory, writer))
        replica.pause()
        try:
            await memory.holds.place("held", reason_code="court")
            with pytest.raises(UserRestrictedError):
                await writer.read()
        finally:
            replica.resume()
