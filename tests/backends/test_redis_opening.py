"""Opening a Redis store: what cannot be used is refused at once and says why; the URL and its parameters count."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
import redis

from securemem.backends.redis import OPTIONS, RedisBackend
from securemem.config import options_of
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.model import Stamp
from securemem.testing.servers import RedisCluster, RedisSentinel, RedisServer, Tls

PREFIX = "app:"
QUICK = {"timeout": "1", "patience": "1"}
RIGHTS = [
    *(
        "~app:*",
        "+info",
        "+script|load",
        "+evalsha",
        "+eval",
        "+lrange",
        "+lindex",
        "+scan",
        "+hmget",
        "+rpush",
        "+llen",
    ),
    *("+lset", "+ltrim", "+pexpireat", "+persist", "+time", "+del", "+hsetnx", "+hset", "+hget"),
]
"""What docs/servers.md asks for, without what only a purge and `caveats` want."""


def _store(url: str, options: Mapping[str, str] = QUICK, *, prefix: str = PREFIX) -> RedisBackend:
    place, more = options_of(url, OPTIONS)
    return RedisBackend(place, {**options, **more}, prefix=prefix)


async def _refused(url: str, error: type[Exception], match: str) -> str:
    """Give all that a refusal shows, its causes included."""
    store = _store(url)
    with pytest.raises(error, match=match) as refused:
        await store.open()
    await store.aclose()
    return "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hush/hush@127.0.0.1:1/0",
        "redis://user:hush?hush@127.0.0.1:1/0",
        "redis://user:hush#hush@127.0.0.1:1/0",
        "redis://user:12/hush@127.0.0.1:1/0",
        "redis://user:12?hush@127.0.0.1:1/0",
        "redis://user:hush@127.0.0.1:port/0",
        "redis://user:hush@127.0.0.1:1/table",
        "redis://user:hush@127.0.0.1:1/0?socket_connect_timeout=hush",
        "redis+ring://user:hush@127.0.0.1:1",
        "redis+cluster://user:hush@127.0.0.1:1,",
        "redis+cluster://user:hush@:1",
        "http://user:hush@127.0.0.1:1",
    ],
)
def test_a_url_that_cannot_be_read(url: str) -> None:
    """A URL that cannot be read is refused with the forms it may have, and no part of it is shown."""
    with pytest.raises(ConfigurationError, match="cannot be read: give redis://") as refused:
        _store(url)
    shown = "".join(traceback.format_exception(refused.value))
    assert not any(secret in str(refused.value) for secret in ("hush", "12"))
    assert "ValueError" not in shown


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("redis://127.0.0.1:1/0?encription=yes", "knows no parameter encription"),
        ("rediss://127.0.0.1:1/0?ssl_ca_certs=/no/such/file", "file that ssl_ca_certs names"),
        ("redis://127.0.0.1:1/0?timeout=soon", "timeout has to be a number"),
        ("redis://127.0.0.1:1/0?patience=nan", "patience has to be a number"),
        ("redis://127.0.0.1:1/0?encoding=none", "a parameter cannot be used"),
        ("redis://127.0.0.1:1/0?encoding=hex", "a parameter cannot be used"),
        ("redis://127.0.0.1:1/0?encoding_errors=none", "a parameter cannot be used"),
        ("redis://127.0.0.1:1/0?credential_provider=x", "credential_provider cannot be given in a URL"),
        ("redis://127.0.0.1:1/0?redis_connect_func=x", "redis_connect_func cannot be given in a URL"),
        ("redis+cluster://127.0.0.1:1/3", "no databases by number"),
        ("redis+sentinel://127.0.0.1:1", "names no service"),
    ],
)
def test_a_parameter_that_cannot_be(url: str, match: str) -> None:
    """A parameter that nobody knows, or that makes no sense, is refused before anything is opened."""
    with pytest.raises(ConfigurationError, match=match):
        _store(url)


async def test_nobody_listens() -> None:
    """A server that is not there is said to be so within the patience, by host, port and number."""
    shown = await _refused(
        "redis://user:hush@127.0.0.1:1/3", BackendUnavailableError, "Redis at 127.0.0.1:1/3 cannot be reached"
    )
    assert "hush" not in shown


async def test_a_server_that_hangs() -> None:
    """A server that takes connections and says nothing is given up within the patience, also where that is short."""
    with RedisServer() as server:
        server.pause()
        store, began = _store(server.url, {"patience": "1"}), time.monotonic()
        with pytest.raises(BackendUnavailableError, match=r"did not answer within|cannot be reached"):
            await store.open()
        await store.aclose()
        assert time.monotonic() - began < 2


async def test_the_number_of_a_database(redis_server: RedisServer) -> None:
    """The number in the URL's path counts; one that the server does not have is refused."""
    store = _store(redis_server.url.replace("/0", "/5"))
    await store.open()
    await store.stamp(Stamp(b"d" * 16, 1))
    await store.aclose()
    with redis.Redis(port=redis_server.port, db=5) as client:
        assert client.keys("*") == [b"app:stamp"]
        client.flushdb()
    await _refused(redis_server.url.replace("/0", "/99"), ConfigurationError, "no database of this number")


async def test_passwords() -> None:
    """The password in the URL is sent; a wrong one, and none at all, are refused at open, and not shown."""
    with RedisServer(password="right/one") as server:
        place = f"127.0.0.1:{server.port}/0"
        store = _store(f"redis://:right%2Fone@{place}")
        assert await store.open() is None
        await store.aclose()
        for url in (f"redis://:hush@{place}", f"redis://user:hush@{place}"):
            assert "hush" not in await _refused(url, ConfigurationError, "refused the user or the password")
        await _refused(f"redis://{place}", ConfigurationError, "refused the user or the password")


@pytest.mark.parametrize(
    "missing", ["", "+ltrim", "+evalsha", "+eval", "+script|load", "+info", "+scan", "+hset", "+time", "~app:*"]
)
async def test_rights(missing: str) -> None:
    """With the rights that we ask for a user gets in; without any of them it is refused at open; nothing is left."""
    with RedisServer() as server:
        with server.client() as client:
            client.execute_command(
                *("ACL", "SETUSER", "app", "on", ">secret", *(right for right in RIGHTS if right != missing))
            )
        url = f"redis://app:secret@127.0.0.1:{server.port}/0"
        if missing:
            await _refused(url, ConfigurationError, "does not let this user do that: grant it the rights")
        else:
            store = _store(url)
            assert await store.open() is None
            await store.stamp(Stamp(b"d" * 16, 1))
            await store.delete([bytes(16)], heads=True)
            await store.aclose()
        with server.client() as client:
            assert client.keys("*") == ([] if missing else [b"app:stamp"])


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "noeviction"])
async def test_a_server_that_throws_keys_away(policy: str) -> None:
    """With a memory limit any policy but noeviction is refused, by name."""
    with RedisServer(settings={"maxmemory": "50mb", "maxmemory-policy": policy}) as server:
        if policy == "noeviction":
            store = _store(server.url)
            await store.open()
            await store.aclose()
        else:
            await _refused(server.url, ConfigurationError, f"{policy}.*set maxmemory-policy noeviction")


async def test_a_server_whose_memory_is_full() -> None:
    """A full server can be opened and read; a write is refused at once, and nothing of it is there."""
    with RedisServer(settings={"maxmemory-policy": "noeviction"}) as server, server.client() as client:
        client.config_set("maxmemory", "1")
        store = _store(server.url)
        assert await store.open() is None
        with pytest.raises(BackendUnavailableError, match="no memory left: nothing was written"):
            await store.stamp(Stamp(b"d" * 16, 1))
        await store.aclose()
        assert client.dbsize() == 0


async def test_a_replica() -> None:
    """A replica, which only reads, is refused, with the primary asked for."""
    with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
        await _refused(replica.url, BackendUnavailableError, "replica, which only reads: name the primary")


async def test_a_primary_that_became_a_replica() -> None:
    """A write to what is a replica by now says so, nothing of it is made, and it gets through once that is over."""
    with RedisServer() as server, RedisServer() as other, server.client() as client:
        store = _store(server.url)
        await store.open()
        client.replicaof("127.0.0.1", other.port)
        with pytest.raises(BackendUnavailableError, match="read-only, a replica perhaps: nothing was written"):
            await store.stamp(Stamp(b"d" * 16, 1))
        client.replicaof("NO", "ONE")
        await store.stamp(Stamp(b"e" * 16, 2))
        assert await store.open() == Stamp(b"e" * 16, 2)
        await store.aclose()


async def test_a_cluster_and_no_cluster(redis_server: RedisServer, redis_cluster: RedisCluster) -> None:
    """A cluster named as one server, and the other way round, are refused with the scheme that fits."""
    node = redis_cluster.url.replace("redis+cluster", "redis")
    await _refused(node, ConfigurationError, r"node of a cluster: name it as redis\+cluster://")
    alone = redis_server.url.replace("redis://", "redis+cluster://")
    await _refused(alone, ConfigurationError, "no cluster: name it as redis://")


async def test_a_sentinel(sentinel: RedisSentinel) -> None:
    """A sentinel named as a server is refused with the scheme that fits."""
    host, port = sentinel.addresses[0]
    await _refused(f"redis://{host}:{port}", ConfigurationError, r"a sentinel: name it as redis\+sentinel://")


async def test_data_of_a_newer_version(redis_server: RedisServer, redis_prefix: str) -> None:
    """Data that a newer version has written is refused, and nothing of it is changed."""
    with redis_server.client() as client:
        client.hset(
            f"{redis_prefix}stamp", mapping={"format": "2", "deployment": "d" * 16, "counter": "1", "more": "x"}
        )
        store = _store(redis_server.url, prefix=redis_prefix)
        with pytest.raises(ConfigurationError, match="newer version of SecureMem"):
            await store.open()
        await store.aclose()
        assert client.hlen(f"{redis_prefix}stamp") == 4
        client.delete(f"{redis_prefix}stamp")


@pytest.mark.parametrize("theirs", ["a string", {"deployment": "d" * 16}, {"format": "1", "counter": "many"}])
async def test_a_stamp_that_is_none(redis_server: RedisServer, redis_prefix: str, theirs: str | dict[str, str]) -> None:
    """Something else where the stamp lies is refused, and stays."""
    with redis_server.client() as client:
        name = f"{redis_prefix}stamp"
        kept = client.set(name, theirs) if isinstance(theirs, str) else client.hset(name, mapping=theirs)
        assert kept
        store = _store(redis_server.url, prefix=redis_prefix)
        with pytest.raises(ConfigurationError, match="another prefix"):
            await store.open()
        await store.aclose()
        assert client.exists(name)
        client.delete(name)


@asynccontextmanager
async def _old_server(version: str) -> AsyncIterator[str]:
    """Give the URL of what answers INFO as a server of another version would, and every other command with OK."""
    facts = f"# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n"
    replies: Callable[[bytes], bytes] = lambda asked: (  # noqa: E731
        f"${len(facts)}\r\n{facts}\r\n".encode() if b"INFO\r\n" in asked and b"SETINFO" not in asked else b"+OK\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65_536):
            writer.write(replies(asked) * max(asked.count(b"SETINFO"), 1))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize("version", ["6.2.14", "5.0.7", "6.999"])
async def test_a_server_that_is_too_old(version: str) -> None:
    """Before Redis 7 a server is refused, with its version and the one that is needed."""
    async with _old_server(version) as url:
        await _refused(url, ConfigurationError, rf"version {version}: Redis 7.0 or later, or Valkey, is needed")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"appendfsync": "always"}, []),
        ({"appendfsync": "everysec"}, ["appendfsync is everysec"]),
        ({"appendfsync": "no"}, ["appendfsync is no"]),
        ({"appendonly": "no", "save": ""}, ["neither append-only file nor snapshots"]),
        ({"appendonly": "no", "save": "60 1"}, ["appendonly is no"]),
    ],
)
async def test_caveats(settings: dict[str, str], said: list[str]) -> None:
    """An open store says which of the server's settings may lose what was written."""
    with RedisServer(settings=settings) as server:
        store = _store(server.url)
        await store.open()
        await store.aclose()
        assert len(store.caveats) == len(said)
        assert all(caveat.startswith(beginning) for caveat, beginning in zip(store.caveats, said, strict=True))


async def test_what_cannot_be_told() -> None:
    """Of a server without an append-only file, whose settings its user may not see, no snapshots are spoken of."""
    with RedisServer(settings={"appendonly": "no", "save": ""}) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config")
        store = _store(server.url.replace("redis://", "redis://app:secret@"))
        await store.open()
        await store.aclose()
        [said] = store.caveats
        assert "cannot be told: this user may not CONFIG GET" in said


@pytest.mark.machine
async def test_tls(tls: Tls, other_tls: Tls) -> None:
    """By TLS a server is verified: with its authority a store opens, with another and in clear it is refused."""
    with RedisServer(tls=tls) as server:
        store = _store(server.url)
        await store.open()
        await store.stamp(Stamp(b"d" * 16, 1))
        await store.aclose()
        foreign = server.url.replace(str(tls.authority), str(other_tls.authority))
        await _refused(foreign, ConfigurationError, "certificate that is not trusted")
        await _refused(f"redis://127.0.0.1:{server.port}/0", BackendUnavailableError, "cannot be reached")


async def test_open_again(redis_url: str, redis_prefix: str) -> None:
    """What was closed refuses calls, and may be opened again."""
    store = _store(redis_url, prefix=redis_prefix)
    await store.open()
    await store.stamp(Stamp(b"d" * 16, 1))
    await store.aclose()
    with pytest.raises(BackendUnavailableError, match="closed"):
        await store.tail(bytes(16), 9)
    assert await store.open() == Stamp(b"d" * 16, 1)
    await store.aclose()
