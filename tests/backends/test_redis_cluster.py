"""The Redis backend on a cluster of six: the contract, and keys that are elsewhere by now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis import ResponseError

from securemem.backends.redis import RedisBackend
from securemem.errors import BackendUnavailableError, ConfigurationError, NotReadyError
from securemem.model import Change, Stamp, Tail
from securemem.redis import Node, RedisServer, cluster, durability, place_of_url
from securemem.redis.cluster import Cluster
from securemem.remote import Patience
from securemem.residue import UNANSWERED
from securemem.testing import BackendContract
from securemem.testing.backend.hooks import Connect, handle, newest_first, rows, write
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import ClusterNode, RedisCluster

MANY = 64


class TestRedisCluster(BackendContract):
    """The contract on six nodes, of which one is named."""

    @pytest.fixture
    def connect(self, redis_cluster: RedisCluster, redis_prefix: str) -> Connect:
        """Give adapters over one new prefix."""
        return lambda: RedisBackend(redis_cluster.url, {}, prefix=redis_prefix)


@pytest.fixture
async def backend(redis_cluster: RedisCluster, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """Give an open store."""
    backend = RedisBackend(redis_cluster.url, {}, prefix=redis_prefix)
    await backend.open()
    yield backend
    await backend.aclose()


async def _fill(backend: RedisBackend) -> dict[bytes, bytes]:
    """Give sessions with two rows each, and their heads."""
    sessions = [handle() for _ in range(MANY)]
    for number, session in enumerate(sessions):
        change = Change(session, b"", b"head %d" % number, rows=rows(1, 3), due=number + 1)
        assert await backend.swap(change) is None
    return {session: b"head %d" % number for number, session in enumerate(sessions)}


def _node_of(cluster: RedisCluster, backend: RedisBackend, session: bytes) -> ClusterNode:
    return cluster.primary_of(backend._key(session).decode())


async def test_sessions_lie_on_all_nodes(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """Sessions are spread over the primaries; due ones are found on all of them, and deletions reach all."""
    heads = await _fill(backend)
    used = {_node_of(redis_cluster, backend, session).port for session in heads}
    assert len(used) == 3
    assert await backend.due(10, 99) == list(heads)[:10]
    assert await backend.due(10**9, 5) == list(heads)[:5]
    assert await backend.delete(list(heads), heads=True) == 2 * MANY
    assert await backend.due(10**9, 99) == []


async def test_any_node_may_be_named(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """A replica, or several nodes of which the first are gone, lead to the cluster as well."""
    ports = [redis_cluster.nodes[5].port, redis_cluster.nodes[1].port]
    for hosts in (f"127.0.0.1:{ports[0]}", f"127.0.0.1:1,localhost:2,127.0.0.1:{ports[1]}"):
        backend = RedisBackend(f"redis+cluster://{hosts}", {}, prefix=redis_prefix)
        await backend.open()
        await backend.stamp(Stamp(b"d" * 16, 7))
        assert await backend.open() == Stamp(b"d" * 16, 7)
        await backend.aclose()


async def test_after_a_failover(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """Once a replica has taken over, reads and writes find it, alone and in crowds, and nothing is lost."""
    heads = await _fill(backend)
    first = next(iter(heads))
    await asyncio.to_thread(redis_cluster.fail_over, backend._key(first).decode())
    assert await backend.tail(first, 9) == Tail(heads[first], newest_first(rows(1, 3)))
    tails = await asyncio.gather(*(backend.tail(session, 9) for session in heads))
    assert tails == [Tail(head, newest_first(rows(1, 3))) for head in heads.values()]
    made = await asyncio.gather(
        *(backend.swap(Change(session, head, b"next", rows=rows(3, 4))) for session, head in heads.items())
    )
    assert made == [None] * MANY
    assert await backend.due(10**9, 99) == list(heads)


async def test_a_node_that_another_one_names(
    backend: RedisBackend, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new primary that was met where the old one sent us, before any map has it, is held against its stamps too."""
    await backend.stamp(Stamp(b"d" * 16, 7))
    await write(backend, session := handle(), 1, 3)

    async def least() -> int:
        return 7

    backend.hold_against(least)
    await asyncio.to_thread(redis_cluster.fail_over, backend._key(session).decode())
    replaced = _node_of(redis_cluster, backend, session)
    for key in backend._stamps._keys:
        with contextlib.suppress(ResponseError):  # it lies on another node
            replaced.ask("HSET", key.decode(), "counter", "6")
    monkeypatch.setattr(cluster, "_OLD_SECONDS", 1000)
    with pytest.raises(NotReadyError, match="older state"):
        await backend.tail(session, 9)


async def test_walks_in_mid_failover(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """What is due, and how many records there are, is found on all nodes also where a primary was killed just now."""
    heads, clear = await _fill(backend), bytes(range(16))
    for session, head in heads.items():
        row = b"SM\1\1" + bytes(25) + clear
        assert await backend.swap(Change(session, head, b"next", rows=[(3, row)])) is None
    killed = redis_cluster.primary_of("any")
    for node in redis_cluster.nodes:
        assert not _has_slots(node) or node.ask("WAIT", "1", "10000") == 1
    await asyncio.to_thread(killed.kill)
    due, census = await asyncio.gather(backend.due(10**9, 99), backend.census(None))
    assert due == list(heads)
    assert census == {clear: MANY}
    assert killed.port not in {node.address.key[1] for node in await backend._server.primaries()}


async def test_opening_in_mid_failover(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """A store that is opened just after a primary was killed waits for who takes over; the map names the dead yet."""
    killed = redis_cluster.primary_of("any")
    await asyncio.to_thread(killed.kill)
    there = redis_cluster.running[0]
    assert killed.port in {ports[0] for _, _, ports in there.ranges()}
    backend = RedisBackend(f"redis+cluster://127.0.0.1:{there.port}", {}, prefix=redis_prefix)
    await backend.open()
    assert killed.port not in {node.address.key[1] for node in await backend._server.primaries()}
    assert killed.port not in {ports[0] for _, _, ports in there.ranges()}
    await backend.aclose()


async def test_opening_by_a_map_of_yesterday(
    redis_cluster: RedisCluster, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the node that is asked has not yet heard of a failover in good order, its map is not the last word."""
    before = redis_cluster.primary_of("any")
    await asyncio.to_thread(redis_cluster.fail_over, "any")
    draw, drawn = Cluster._draw, 0

    def late(cluster: Cluster, asked: Node, ranges: list[Any]) -> None:
        nonlocal drawn
        drawn += 1
        if drawn == 1:
            ranges = [[*each[:2], *sorted(each[2:], key=lambda node: node[1] != before.port)] for each in ranges]
        draw(cluster, asked, ranges)

    monkeypatch.setattr(Cluster, "_draw", late)
    backend = RedisBackend(redis_cluster.url, {}, prefix=redis_prefix)
    await backend.open()
    assert drawn >= 2
    assert before.port not in {node.address.key[1] for node in backend._server._topology.primaries()}
    await backend.aclose()


async def test_after_all_nodes_have_moved(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """When every node that is known has another address, the one in the URL is asked again, which no map ever named."""
    async with FaultProxy("127.0.0.1", redis_cluster.nodes[0].port) as proxy:
        backend = RedisBackend(f"redis+cluster://127.0.0.1:{proxy.port}", {}, prefix=redis_prefix)
        await backend.open()
        head = await write(backend, session := handle(), 1, 3)
        topology = backend._server._topology
        assert isinstance(topology, Cluster)
        while ("127.0.0.1", proxy.port) in topology._known:
            topology._looked = 0.0
            await topology.refresh()
        await asyncio.to_thread(_move, redis_cluster)
        proxy._server = ("127.0.0.1", redis_cluster.nodes[0].port)
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))
        assert {port for _, port in topology._known} <= {proxy.port, *(node.port for node in redis_cluster.nodes)}
        await backend.aclose()


def _move(cluster: RedisCluster) -> None:
    """Give every node another port; they find each other by their buses, which stay."""
    for node in cluster.nodes:
        node.stop()
        node.port = 0
    for node in cluster.nodes:
        node.start()
    cluster.wait_until_whole()


async def test_a_slot_on_its_way(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """While a slot goes from one node to another, and after it has, its sessions are where the nodes say."""
    session, kept, new = handle(), b"head", handle()
    assert await backend.swap(Change(session, b"", kept, rows=rows(1, 3))) is None
    source = _node_of(redis_cluster, backend, session)
    target = next(node for node in redis_cluster.nodes if node.port != source.port and _has_slots(node))
    key = backend._key(session).decode()
    slot = str(source.ask("CLUSTER", "KEYSLOT", key))
    ids = {node: node.ask("CLUSTER", "MYID").decode() for node in (source, target)}
    target.ask("SCRIPT", "FLUSH")  # as a node that was just added
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    try:
        assert await backend.tail(session, 9) == Tail(kept, newest_first(rows(1, 3)))
        source.ask("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000")
        assert await backend.tail(session, 9) == Tail(kept, newest_first(rows(1, 3)))
        assert await backend.tail(session, 9, 2) == Tail(kept, rows(1, 2))
        made, _ = await asyncio.gather(
            backend.swap(Change(session, kept, b"next", rows=rows(3, 4))), write(backend, new, 1, 3)
        )
        assert made is None
    finally:
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(1, 4)))
    assert await backend.delete([session, new], heads=True) == 5
    _give_back(source, target, slot, ids)


@pytest.fixture
def limited(redis_cluster: RedisCluster) -> Iterator[Callable[[str], str]]:
    """Give a function that makes a user with all rights but one on every node, and gives the URL with that user."""

    def limit(right: str) -> str:
        for node in redis_cluster.nodes:
            node.ask("ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "+@all", right)
        return redis_cluster.url.replace("://", "://app:secret@")

    yield limit
    for node in redis_cluster.nodes:
        node.ask("ACL", "DELUSER", "app")


async def test_the_right_to_a_slot_on_its_way(
    limited: Callable[[str], str], redis_cluster: RedisCluster, redis_prefix: str
) -> None:
    """Who may not send ASKING is told so at open, and not when a slot is on its way; who may gets in."""
    backend = RedisBackend(limited("-asking"), {}, prefix=redis_prefix)
    with pytest.raises(ConfigurationError, match="does not let this user do that"):
        await backend.open()
    limited("+asking")
    await backend.open()
    session = handle()
    source = _node_of(redis_cluster, backend, session)
    target = next(node for node in redis_cluster.nodes if node.port != source.port and _has_slots(node))
    slot = str(source.ask("CLUSTER", "KEYSLOT", backend._key(session).decode()))
    ids = {node: node.ask("CLUSTER", "MYID").decode() for node in (source, target)}
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    try:
        head = await write(backend, session, 1, 3)
        limited("-asking")
        with pytest.raises(ConfigurationError, match="does not let this user do that"):
            await backend.tail(session, 9)
        limited("+asking")
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))
        assert await backend.delete([session], heads=True) == 2
    finally:
        for node in (source, target):
            node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
    await backend.aclose()


def _has_slots(node: ClusterNode) -> bool:
    return any(node.port == ports[0] for _, _, ports in node.ranges())


def _give_back(source: ClusterNode, target: ClusterNode, slot: str, ids: dict[ClusterNode, str]) -> None:
    """Let a slot without keys be where it was."""
    for node in (source, target):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[source])


async def test_a_slot_on_its_way_to_a_node_without_a_name(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """Where nodes do not say which host the other is (`unknown-endpoint`), it is the one that was asked."""
    session = handle()
    source = _node_of(redis_cluster, backend, session)
    target = next(node for node in redis_cluster.nodes if node.port != source.port and _has_slots(node))
    slot = str(source.ask("CLUSTER", "KEYSLOT", backend._key(session).decode()))
    ids = {node: node.ask("CLUSTER", "MYID").decode() for node in (source, target)}
    for node in redis_cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    try:
        head = await write(backend, session, 1, 3)
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))
        assert await backend.delete([session], heads=True) == 2
    finally:
        for node in redis_cluster.nodes:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
        _give_back(source, target, slot, ids)


async def test_closing_while_nodes_are_found(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """A cluster that is closed takes up no further node, and leaves no connection."""
    store = RedisBackend(redis_cluster.url, {}, prefix=redis_prefix)
    await store.open()
    topology = store._server._topology
    assert isinstance(topology, Cluster)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    with pytest.raises(BackendUnavailableError, match="closed"):
        topology._node("127.0.0.1", 1)
    await closing
    assert not any(node._pipes for node in topology._known.values())


def test_keys_for_every_node_that_has_slots() -> None:
    """Where some slots are nobody's, every primary still gets a key of its own, and no replica gets one."""
    server = RedisServer(place_of_url("redis+cluster://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", {}), Patience(), ())
    topology = server._topology
    assert isinstance(topology, Cluster)
    _replica, *primaries = topology._known.values()
    topology._slots = [None] * 8000 + [primaries[0]] * 8000 + [primaries[1]] * 384
    keys = iter(range(100_000))
    found = server.keys_everywhere(lambda: b"%d" % next(keys))
    assert set(found) == set(primaries)
    assert all(topology.owner(key) is node for node, key in found.items())


async def test_a_map_is_not_drawn_for_everybody(backend: RedisBackend) -> None:
    """Of many that want a new map at once only the first asks for it."""
    topology = backend._server._topology
    assert isinstance(topology, Cluster)
    await asyncio.sleep(0.3)
    before = topology._looked
    await asyncio.gather(*(topology.refresh() for _ in range(MANY)))
    after = topology._looked
    assert after > before
    await topology.refresh()
    assert topology._looked == after


async def test_purge_reaches_all_primaries(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """A purge has every primary write its file anew, and names the replicas, once, without an address."""
    primaries = [node for node in redis_cluster.nodes if _has_slots(node)]
    before = [node.info("persistence")["aof_rewrites"] for node in primaries]
    await backend.delete(list(await _fill(backend)), heads=True)
    left = await backend.purge(20.0)
    assert [node.info("persistence")["aof_rewrites"] for node in primaries] == [count + 1 for count in before]
    [replicas] = [residue for residue in left if "the server's replicas" in residue.what]
    assert replicas.store == "data"
    assert not any(character.isdigit() for residue in left for character in residue.what)


async def test_a_purge_while_slots_are_moved(
    backend: RedisBackend, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that has not the key any more by which it was to be asked is purged once all the same, and waited for."""
    found = RedisServer.keys_everywhere

    def outdated(server: RedisServer, make: Callable[[], bytes]) -> dict[Node, bytes]:
        places = found(server, make)
        first, *others = places.values()
        return dict(zip(places, [*others, first], strict=True))

    primaries = [node for node in redis_cluster.nodes if _has_slots(node)]
    before = [node.info("persistence")["aof_rewrites"] for node in primaries]
    await backend.delete(list(await _fill(backend)), heads=True)
    monkeypatch.setattr(RedisServer, "keys_everywhere", outdated)
    left = await backend.purge(10.0)
    await backend.persist(2.0)
    assert [node.info("persistence")["aof_rewrites"] for node in primaries] == [count + 1 for count in before]
    assert {residue.what for residue in left} == {durability._REPLICAS, durability._MEMORY}


async def test_a_purge_that_misses_one_primary(backend: RedisBackend, redis_cluster: RedisCluster) -> None:
    """Where one primary is gone the others are purged and say what is left; of that one all that may be is named."""
    await backend.delete(list(await _fill(backend)), heads=True)
    killed = redis_cluster.primary_of("any")
    others = [node for node in redis_cluster.nodes if _has_slots(node) and node is not killed]
    before = [node.info("persistence")["aof_rewrites"] for node in others]
    await asyncio.to_thread(killed.kill)
    left = await backend.purge(3.0)
    assert [node.info("persistence")["aof_rewrites"] for node in others] == [count + 1 for count in before]
    assert {residue.what for residue in left} == {
        UNANSWERED,
        durability._REPLICAS_IF_ANY,
        durability._REPLICAS,
        durability._MEMORY,
    }
