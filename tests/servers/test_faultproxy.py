"""The proxy of faults in front of an echo server: every fault, and that without it the bytes come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from securemem.testing.faultproxy import FaultProxy

MESSAGE = b"0123456789"
PATIENCE = 0.2


class Echo:
    """Sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        """Have got nothing."""
        self.got = b""
        self.port = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while chunk := await reader.read(4096):
            self.got += chunk
            writer.write(chunk)
        writer.close()
        self.ended.set()


class Client:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection."""
        self._reader, self._writer = reader, writer

    async def ask(self, message: bytes = MESSAGE) -> bytes:
        """Send a message and read as many bytes, or up to the connection's end."""
        self._writer.write(message)
        return await self.read(len(message))

    async def read(self, count: int) -> bytes:
        """Read so many bytes, or up to the connection's end."""
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as exc:
            return exc.partial

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Give a running echo server."""
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        yield echo
        server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    """Give a proxy before it, without faults."""
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        yield proxy


async def connect(proxy: FaultProxy) -> Client:
    """Open a connection through the proxy."""
    return Client(*await asyncio.open_connection(proxy.host, proxy.port))


async def test_without_faults_bytes_come_back(proxy: FaultProxy, echo: Echo) -> None:
    """The control of all the others: a large message on each of two connections comes back whole."""
    large = MESSAGE * 50_000
    clients = [await connect(proxy), await connect(proxy)]
    assert await asyncio.gather(*(client.ask(large) for client in clients)) == [large, large]
    assert (proxy.accepted, proxy.connections) == (2, 2)
    assert proxy.requests.passed == proxy.replies.passed == len(echo.got) == 2 * len(large)
    for client in clients:
        client.close()


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_a_delay(proxy: FaultProxy, way: str) -> None:
    """A chunk waits as long as was said, in either direction, and no longer after healing."""
    client = await connect(proxy)
    getattr(proxy, way).delay = PATIENCE
    started = time.monotonic()
    assert await client.ask() == MESSAGE
    assert time.monotonic() - started >= PATIENCE
    proxy.heal()
    started = time.monotonic()
    assert await client.ask() == MESSAGE
    assert time.monotonic() - started < PATIENCE
    client.close()


@pytest.mark.parametrize("count", [1, 4, 10])
async def test_a_reply_cut_short(proxy: FaultProxy, echo: Echo, count: int) -> None:
    """The server has got all, the client gets so many bytes and the end; the next connection is whole."""
    client = await connect(proxy)
    assert await client.ask() == MESSAGE
    proxy.replies.cut_after(count)
    assert await client.ask() == MESSAGE[:count]
    assert await client.read(1) == b""
    assert echo.got == MESSAGE * 2
    client.close()
    client = await connect(proxy)
    assert await client.ask() == MESSAGE
    client.close()


async def test_a_cut_counts_over_messages(proxy: FaultProxy) -> None:
    """The bytes of several replies count together."""
    client = await connect(proxy)
    proxy.replies.cut_after(25)
    assert [await client.ask() for _ in range(3)] == [MESSAGE, MESSAGE, MESSAGE[:5]]
    client.close()


async def test_a_lost_reply(proxy: FaultProxy, echo: Echo) -> None:
    """The server has got all and the client hears nothing but the end."""
    client = await connect(proxy)
    proxy.replies.cut_after(0)
    assert await client.ask() == b""
    assert echo.got == MESSAGE
    client.close()


async def test_a_request_cut_short(proxy: FaultProxy, echo: Echo) -> None:
    """The server gets half a request."""
    client = await connect(proxy)
    proxy.requests.cut_after(4)
    await client.ask()
    await echo.ended.wait()
    assert echo.got == MESSAGE[:4]
    client.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_at_once(proxy: FaultProxy, *, reset: bool) -> None:
    """All open connections end, in good order or by a reset; new ones are taken."""
    clients = [await connect(proxy), await connect(proxy)]
    for client in clients:
        assert await client.ask() == MESSAGE
    proxy.cut(reset=reset)
    for client in clients:
        if reset:
            with pytest.raises(ConnectionResetError):
                await client.read(1)
        else:
            assert await client.read(1) == b""
        client.close()
    assert proxy.connections == 0
    client = await connect(proxy)
    assert await client.ask() == MESSAGE
    client.close()


async def test_swallowed_replies(proxy: FaultProxy, echo: Echo) -> None:
    """The server gets everything, the client nothing, and the connection stays open; they are lost for good."""
    client = await connect(proxy)
    proxy.replies.swallow()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.ask(), PATIENCE)
    assert echo.got == MESSAGE
    proxy.heal()
    assert await client.ask(b"next") == b"next"
    client.close()


async def test_what_is_held_goes_on(proxy: FaultProxy, echo: Echo) -> None:
    """While it is held the server gets nothing; after healing it gets what waited."""
    client = await connect(proxy)
    proxy.requests.hold()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.ask(), PATIENCE)
    assert echo.got == b""
    proxy.heal()
    assert await client.read(len(MESSAGE)) == MESSAGE
    client.close()


async def test_refusing(proxy: FaultProxy) -> None:
    """New connections are refused while open ones go on; then they are taken again, on the same port."""
    client = await connect(proxy)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    assert await client.ask() == MESSAGE
    port = proxy.port
    await proxy.accept()
    assert proxy.port == port
    again = await connect(proxy)
    assert await again.ask() == MESSAGE
    client.close()
    again.close()


async def test_no_server_behind_it() -> None:
    """Where no server listens the connection ends at once."""
    async with FaultProxy("127.0.0.1", 1) as proxy:
        client = await connect(proxy)
        assert await client.read(1) == b""
        client.close()


async def test_it_ends_with_connections_open(echo: Echo) -> None:
    """Leaving the context ends what is open, held messages included."""
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        client = await connect(proxy)
        proxy.requests.hold()
        asking = asyncio.ensure_future(client.ask())
        await asyncio.sleep(0.05)
    assert await asking == b""
    assert proxy.connections == 0
    client.close()
