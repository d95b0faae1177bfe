"""The one connection to a Redis that all calls share: what it does when the server, the loop or its owner leaves it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest
from redis import exceptions as rx

from securemem.errors import BackendUnavailableError
from securemem.redis import Node, place_of_url
from securemem.redis.pipe import Pipe, Reply
from securemem.redis.refusals import UnsentError
from securemem.remote import Patience
from securemem.testing.servers import RedisServer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HANDSHAKE = b"+OK\r\n+OK\r\n"


def _node(url: str, seconds: float = 5.0) -> Node:
    return Node(place_of_url(url, {}).addresses[0], Patience(seconds, 15.0), (), cluster=False)


@asynccontextmanager
async def _server(after: Serve) -> AsyncIterator[str]:
    """Give the URL of a server that greets as Redis does, and then does something else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = b""
        while greeting.count(b"SETINFO") < 2:
            greeting += await reader.read(65536)
        writer.write(HANDSHAKE)
        await after(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.fixture
async def node(redis_server: RedisServer) -> AsyncIterator[Node]:
    """Give the session's server."""
    node = _node(redis_server.url)
    yield node
    await node.aclose()


async def test_replies_come_to_those_who_asked(node: Node) -> None:
    """Of hundreds of calls at once, some of them cancelled, each gets its own reply, over one connection."""
    before = await node.send((b"CLIENT", b"ID"))
    calls = [asyncio.create_task(node.send((b"ECHO", b"%d" % number))) for number in range(500)]
    for call in calls[::7]:
        asyncio.get_running_loop().call_soon(call.cancel)
    found = await asyncio.gather(*calls, return_exceptions=True)
    kept = {number: reply for number, reply in enumerate(found) if not isinstance(reply, BaseException)}
    assert kept == {number: b"%d" % number for number in kept}
    assert len(kept) >= 500 - len(calls[::7])
    assert await node.send((b"CLIENT", b"ID")) == before


@pytest.mark.parametrize("shared", [False, True])
async def test_who_waits_alone_goes_on_at_once(node: Node, monkeypatch: pytest.MonkeyPatch, *, shared: bool) -> None:
    """A task that waits alone goes on while its reply is read, in its own context; the control is one of two."""
    seen: list[str] = []
    whose = ContextVar("whose", default="nobody's")
    updated = Pipe.buffer_updated

    def watched(pipe: Pipe, count: int) -> None:
        whose.set("the loop's")
        updated(pipe, count)
        seen.append("read")

    async def wait(pipe: Pipe) -> None:
        whose.set("mine")
        reply = pipe.send((b"ECHO", b"here"))
        if shared:
            reply.add_done_callback(lambda _: seen.append("heard"))
        assert await reply == b"here"
        seen.append(whose.get())

    await node.send((b"PING",))
    assert node._pipe is not None
    monkeypatch.setattr(Pipe, "buffer_updated", watched)
    await asyncio.create_task(wait(node._pipe))
    assert seen == (["read", "heard", "mine"] if shared else ["mine", "read"])


async def test_a_running_task_is_not_broken_into() -> None:
    """A reply that is given by a task lets who waits for it go on after that task; nor is who has left woken."""
    reply, left = Reply(), Reply()
    waiting = asyncio.create_task(asyncio.wait({reply}))
    leaving = asyncio.create_task(asyncio.wait({left}, timeout=0.01))
    await leaving
    left.give(b"late")
    reply.give(b"here")
    assert not waiting.done()
    assert await waiting == ({reply}, set())
    assert (await reply, await left) == (b"here", b"late")


async def test_a_connection_that_ends_at_once() -> None:
    """Where a server greets and hangs up, those who wait learn at once that nothing was sent."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with _server(hang_up) as url:
        node, began = _node(url), time.monotonic()
        found = await asyncio.gather(*(node.send((b"PING",)) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(each, UnsentError | rx.ConnectionError) for each in found)
        assert any(isinstance(each, UnsentError) for each in found)
        assert time.monotonic() - began < 1
        await node.aclose()


async def test_what_nobody_asked_for() -> None:
    """A server that says something unasked, or nonsense, loses the connection, and every waiter hears of it."""
    for nonsense in (b"+one\r\n+two\r\n+three\r\n", b"?\r\n", b"-MOVED 1234\r\n"):

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = nonsense) -> None:
            await reader.read(65536)
            writer.write(said)
            await reader.read(65536)

        async with _server(answer) as url:
            node = _node(url)
            calls = asyncio.gather(*(node.send((b"PING",)) for _ in range(2)), return_exceptions=True)
            found = await asyncio.wait_for(calls, 2)
            assert isinstance(found[-1], rx.RedisError) or nonsense.startswith(b"+")
            await asyncio.sleep(0.05)
            assert node._pipe is None or not node._pipe.usable
            await node.aclose()


async def test_replies_that_are_there_already(redis_server: RedisServer) -> None:
    """Replies that came while something held the loop up for longer than a reply is waited for are not thrown away."""
    node = _node(redis_server.url, seconds=0.3)
    await node.send((b"SET", b"large", b"x" * 20_000))
    calls = [asyncio.create_task(node.send((b"GET", b"large"))) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.5)
    assert await asyncio.gather(*calls) == [b"x" * 20_000] * 20
    await node.aclose()


async def test_a_server_that_says_nothing() -> None:
    """A reply that does not come is given up after the time that it may take."""

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    async with _server(listen) as url:
        node, began = _node(url, seconds=0.3), time.monotonic()
        with pytest.raises(TimeoutError):
            await node.send((b"PING",))
        assert 0.25 < time.monotonic() - began < 1
        await node.aclose()


async def test_a_node_that_is_parted_with(redis_server: RedisServer) -> None:
    """What is asked of a node that was retired is answered, and no connection to it is kept."""
    node = _node(redis_server.url)
    first = asyncio.create_task(node.send((b"ECHO", b"1")))
    await asyncio.sleep(0)
    node.retire()
    assert await first == b"1"
    assert await node.send((b"ECHO", b"2")) == b"2"
    await asyncio.sleep(0.05)
    assert not node._pipes


async def test_closing_ends_every_connection() -> None:
    """Whoever still waits when a node is closed gets an error, on a connection that was left too."""

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    async with _server(listen) as url:
        node = _node(url)
        pipe = await node._open()
        call = asyncio.create_task(node.send((b"PING",)))
        await asyncio.sleep(0)
        pipe.leave()
        began = time.monotonic()
        await node.aclose()
        with pytest.raises(rx.ConnectionError):
            await call
        assert time.monotonic() - began < 1
        assert not node._pipes


@pytest.mark.parametrize("hangs", [False, True])
async def test_closing_while_a_connection_is_opened(*, hangs: bool) -> None:
    """A connection that is being opened when its node is closed does not stay, and is not waited for."""
    with RedisServer() as server:
        node = _node(server.url)
        if hangs:
            server.pause()
        call = asyncio.create_task(node.send((b"PING",)))
        await asyncio.sleep(0.1 if hangs else 0)
        assert node._opening is not None
        began = time.monotonic()
        await node.aclose()
        assert time.monotonic() - began < 1
        assert not node._pipes
        with pytest.raises(BackendUnavailableError, match="was closed"):
            await call


async def test_leaving_and_closing_by_tls(tmp_path: Path) -> None:
    """A connection by TLS that was left, and whose other side does not say goodbye, is closed all the same."""
    from tests.fixtures_tls import make_tls  # noqa: PLC0415  (a plugin: it is loaded by pytest first)

    tls = make_tls(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    stop = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = b""
        while greeting.count(b"SETINFO") < 2:
            greeting += await reader.read(65536)
        writer.write(HANDSHAKE)
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        await stop.wait()
        transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        connection = _node(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tls.authority}").address.connection()
        await connection.connect()  # type: ignore[no-untyped-call]
        pipe = Pipe(connection, 5.0)
        pipe.leave()
        await pipe.aclose()
        await asyncio.wait([pipe.ended], timeout=1)
        assert pipe.ended.done()
        stop.set()
