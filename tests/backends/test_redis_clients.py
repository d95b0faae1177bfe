"""The Redis backend by a caller's own client, blocking or not, decoding or not, and by sentinels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import asyncio as aio
from redis import sentinel as blocking
from redis.asyncio.sentinel import Sentinel

from securemem.backends.redis import RedisBackend
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.model import Change, Tail
from securemem.remote import Patience
from securemem.testing import BackendContract
from securemem.testing.backend.hooks import Connect, handle, newest_first, rows, write
from securemem.testing.servers import RedisCluster, RedisSentinel, RedisServer, Tls

ANY_BYTES = bytes(range(256))


class TestOwnClient(BackendContract):
    """The contract by a client that decodes what it reads."""

    @pytest.fixture
    async def connect(self, redis_url: str, redis_prefix: str) -> AsyncIterator[Connect]:
        """Give adapters by one client."""
        async with aio.Redis.from_url(redis_url, decode_responses=True) as client:
            yield lambda: RedisBackend(None, {}, prefix=redis_prefix, client=client)


async def _works(client: Any, prefix: str) -> None:
    """Show that a store by this client opens, and keeps all bytes."""
    backend = RedisBackend(None, {"timeout": "2", "patience": "2"}, prefix=prefix, client=client)
    await backend.open()
    session = handle()
    assert await backend.swap(Change(session, b"", ANY_BYTES, rows=[(1, ANY_BYTES)])) is None
    assert await backend.tail(session, 9) == Tail(ANY_BYTES, [(1, ANY_BYTES)])
    assert await backend.delete([session], heads=True) == 1
    await backend.aclose()


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_an_asyncio_client(redis_url: str, redis_prefix: str, protocol: int, *, decode: bool) -> None:
    """Whatever a client decodes or speaks, bytes stay bytes; it is not closed, and goes on as it was."""
    async with aio.Redis.from_url(redis_url, decode_responses=decode, protocol=protocol) as client:
        await client.set(f"{redis_prefix}mine", "value")
        await _works(client, redis_prefix)
        assert await client.get(f"{redis_prefix}mine") == ("value" if decode else b"value")
        await client.delete(f"{redis_prefix}mine")


@pytest.mark.parametrize("decode", [False, True])
def test_a_client_that_blocks(redis_url: str, redis_prefix: str, *, decode: bool) -> None:
    """Of a client that blocks the settings are taken; it is not closed."""
    with redis.Redis.from_url(redis_url, decode_responses=decode) as client:
        client.set(f"{redis_prefix}mine", "value")
        connection = client.client_id()
        asyncio.run(_works(client, redis_prefix))
        assert client.client_id() == connection
        assert client.delete(f"{redis_prefix}mine") == 1


@pytest.fixture
def guarded() -> Iterator[RedisServer]:
    """Give a server with a password, 16 databases and a socket."""
    with RedisServer(password="right") as server:
        yield server


@pytest.mark.parametrize("make", [redis.Redis, aio.Redis])
async def test_a_clients_settings(guarded: RedisServer, make: Callable[..., Any]) -> None:
    """Password, user and database of a client count."""
    client = make(host="localhost", port=guarded.port, username="default", password="right", db=3)
    await _works(client, "app:")
    backend = RedisBackend(None, {}, prefix="app:", client=client)
    await backend.open()
    await write(backend, handle(), 1, 2)
    await backend.aclose()
    with redis.Redis(port=guarded.port, password="right", db=3) as raw:
        assert raw.dbsize() == 1
    wrong = RedisBackend(None, {}, prefix="app:", client=make(port=guarded.port, password="hush"))
    with pytest.raises(ConfigurationError, match="refused the user or the password") as refused:
        await wrong.open()
    await wrong.aclose()
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("make", [redis.Redis, aio.Redis])
async def test_a_clients_socket(tmp_path: Path, make: Callable[..., Any]) -> None:
    """A client of a socket in the file system leads to the same server."""
    path = f"{tmp_path}/r"
    with RedisServer(settings={"unixsocket": path}):
        await _works(make(unix_socket_path=path), "app:")


@pytest.mark.machine
@pytest.mark.parametrize("make", [redis.Redis, aio.Redis])
async def test_a_clients_tls(tls: Tls, other_tls: Tls, make: Callable[..., Any]) -> None:
    """A client's authority is the one that the server has to be known to."""
    with RedisServer(tls=tls) as server:
        await _works(make(port=server.port, ssl=True, ssl_ca_certs=str(tls.authority)), "app:")
        foreign = make(port=server.port, ssl=True, ssl_ca_certs=str(other_tls.authority))
        with pytest.raises(ConfigurationError, match="not trusted"):
            await _works(foreign, "app:")


@pytest.mark.parametrize("decode", [False, True])
async def test_an_asyncio_client_of_a_cluster(redis_cluster: RedisCluster, redis_prefix: str, *, decode: bool) -> None:
    """A client of a cluster leads to it, whether it was used before or not, and is not closed."""
    host, port = redis_cluster.addresses[0]
    async with aio.RedisCluster(host=host, port=port, decode_responses=decode) as client:
        await client.set("mine", "value")
        await _works(client, redis_prefix)
        assert await client.delete("mine") == 1
    await _works(aio.RedisCluster(host=host, port=port), redis_prefix)


async def test_a_client_of_a_cluster_that_blocks(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """A client of a cluster that blocks leads to it too."""
    host, port = redis_cluster.addresses[0]
    with closing(redis.RedisCluster(host=host, port=port)) as client:
        await _works(client, redis_prefix)


class _OwnConnection(redis.Connection):
    """A caller's own kind of connection, which blocks."""


@pytest.mark.parametrize(
    ("client", "match"),
    [
        ("redis://127.0.0.1", "client has to be"),
        (object(), "client has to be"),
        (redis.Redis(connection_pool=redis.ConnectionPool(connection_class=_OwnConnection)), "give an asyncio client"),
        (redis.Redis(ssl=True, ssl_validate_ocsp=True), "ssl_validate_ocsp"),
    ],
)
def test_a_client_that_cannot_be_taken(client: Any, match: str) -> None:
    """What is no client, and one whose settings asyncio connections cannot keep, is refused."""
    with pytest.raises(ConfigurationError, match=match):
        RedisBackend(None, {}, prefix="app:", client=client)


def test_neither_a_url_nor_a_client() -> None:
    """A store has to be named."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RedisBackend(None, {}, prefix="app:")


@asynccontextmanager
async def _by_url(sentinel: RedisSentinel, prefix: str) -> AsyncIterator[RedisBackend]:
    hosts = ",".join(f"{host}:{port}" for host, port in sentinel.addresses)
    yield RedisBackend(f"redis+sentinel://127.0.0.1:1,{hosts}/{sentinel.service}", {}, prefix=prefix)


@asynccontextmanager
async def _by_client(sentinel: RedisSentinel, prefix: str) -> AsyncIterator[RedisBackend]:
    async with AsyncExitStack() as stack:
        asked = Sentinel(sentinel.addresses)  # type: ignore[no-untyped-call]
        for client in asked.sentinels:
            stack.push_async_callback(client.aclose)
        yield RedisBackend(None, {}, prefix=prefix, client=asked.master_for(sentinel.service))


@asynccontextmanager
async def _by_client_that_blocks(sentinel: RedisSentinel, prefix: str) -> AsyncIterator[RedisBackend]:
    asked = blocking.Sentinel(sentinel.addresses)  # type: ignore[no-untyped-call]
    client = asked.master_for(sentinel.service, decode_responses=True)  # type: ignore[no-untyped-call]
    yield RedisBackend(None, {}, prefix=prefix, client=client)
    for each in (client, *asked.sentinels):
        each.close()


@pytest.mark.parametrize("way", [_by_url, _by_client, _by_client_that_blocks])
async def test_sentinels_say_who_is_the_primary(
    sentinel: RedisSentinel, redis_prefix: str, way: Callable[..., Any]
) -> None:
    """By URL or client the primary is found, and the new one after a failover, with all that was written before."""
    async with way(sentinel, redis_prefix) as backend:
        await backend.open()
        session = handle()
        head = await write(backend, session, 1, 3)
        await asyncio.to_thread(_replicate, sentinel.primary())
        await asyncio.to_thread(sentinel.fail_over)
        assert await backend.swap(Change(session, head, b"next", rows=rows(3, 5))) is None
        assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(1, 5)))
        await backend.aclose()


def _replicate(primary: RedisServer) -> None:
    """Wait until a replica has what was written."""
    with primary.client() as client:
        client.set("mark", "x")
        assert client.wait(1, 10_000) == 1


def _first_hangs(sentinel: RedisSentinel) -> None:
    sentinel.sentinels[0].pause()


def _two_are_dead(sentinel: RedisSentinel) -> None:
    for each in sentinel.sentinels[:2]:
        each.kill()


@pytest.mark.parametrize("strike", [_first_hangs, _two_are_dead])
@pytest.mark.parametrize("way", [_by_url, _by_client, _by_client_that_blocks])
async def test_sentinels_that_do_not_answer(
    sentinel: RedisSentinel, redis_prefix: str, way: Callable[..., Any], strike: Callable[[RedisSentinel], None]
) -> None:
    """While those that are named first hang or are dead, a store opens by the next, within the time of one try."""
    await asyncio.to_thread(strike, sentinel)
    try:
        async with way(sentinel, redis_prefix) as backend:
            async with asyncio.timeout(Patience.attempt):
                await backend.open()
            await write(backend, handle(), 1, 3)
            await backend.aclose()
    finally:
        sentinel.sentinels[0].resume()


async def test_a_clients_sentinels_stay_its_own(sentinel: RedisSentinel, redis_prefix: str) -> None:
    """Of a client the settings are taken: its sentinels, their time limits and their order are as they were."""
    asked = Sentinel([("127.0.0.1", 1), *sentinel.addresses], socket_timeout=7)  # type: ignore[no-untyped-call]
    client, before = asked.master_for(sentinel.service), list(asked.sentinels)
    backend = RedisBackend(None, {}, prefix=redis_prefix, client=client)
    await backend.open()
    await backend.aclose()
    assert asked.sentinels == before
    assert {each.connection_pool.connection_kwargs["socket_timeout"] for each in before} == {7}
    assert client.connection_pool.master_address is None
    ours = backend._server._place.sentinel
    assert ours is not None
    assert ours.sentinels[0].connection_pool.connection_kwargs["port"] != 1


def _nobody_by_url(host: str, port: int) -> RedisBackend:
    return RedisBackend(f"redis+sentinel://{host}:{port}/nobody", {"patience": "1"}, prefix="app:")


def _nobody_by_client(host: str, port: int) -> RedisBackend:
    client = Sentinel([(host, port)]).master_for("nobody")  # type: ignore[no-untyped-call]
    return RedisBackend(None, {"patience": "1"}, prefix="app:", client=client)


@pytest.mark.parametrize("name", [_nobody_by_url, _nobody_by_client])
async def test_a_service_that_no_sentinel_knows(
    sentinel: RedisSentinel, name: Callable[[str, int], RedisBackend]
) -> None:
    """A wrong service is said to be none, by its name."""
    backend = name(*sentinel.addresses[0])
    with pytest.raises(BackendUnavailableError, match="Redis service nobody cannot be reached"):
        await backend.open()
    await backend.aclose()
