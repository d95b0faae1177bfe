"""What a Redis store finds out on a new connection before calls use it: whom it leads to, and what its stamp says."""

from __future__ import annotations

import asyncio

import pytest

from securemem.backends.redis import RedisBackend
from securemem.errors import BackendUnavailableError
from securemem.testing.backend.hooks import handle, write
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import RedisServer


async def test_the_same_server(backend: RedisBackend, proxy: FaultProxy) -> None:
    """A connection that was cut, and another to the same server, is none with another server."""
    before = backend.encounters
    proxy.cut(reset=True)
    await write(backend, handle(), 1, 3)
    assert backend.encounters == before


async def test_one_that_was_started_anew() -> None:
    """A server that was started anew may lack something, whether or not it does."""
    with RedisServer(settings={"appendfsync": "always"}) as server:
        backend = RedisBackend(server.url, {}, prefix="app:")
        await backend.open()
        before = backend.encounters
        await asyncio.to_thread(server.restart)
        await write(backend, handle(), 1, 3)
        assert backend.encounters == before + 1
        await backend.aclose()


async def test_a_keystore_that_does_not_answer(backend: RedisBackend, proxy: FaultProxy) -> None:
    """What is asked about a new connection takes none of the calls longer than they may, and is asked again."""
    asked = 0

    async def least() -> int:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return 0

    backend.hold_against(least)
    proxy.cut(reset=True)
    async with asyncio.timeout(20):
        with pytest.raises(BackendUnavailableError):
            await backend.tail(handle(), 9)
    assert asked > 1


async def test_a_keystore_that_is_away_for_a_moment(backend: RedisBackend, proxy: FaultProxy) -> None:
    """Where it cannot be asked at once a call waits for it, as for the server; the error is its own."""
    times = 2

    async def least() -> int:
        nonlocal times
        times -= 1
        if times >= 0:
            raise BackendUnavailableError("PostgreSQL at keys is away")
        return 0

    backend.hold_against(least)
    proxy.cut(reset=True)
    await write(backend, handle(), 1, 3)
    assert times < 0
    times = 999
    proxy.cut(reset=True)
    with pytest.raises(BackendUnavailableError, match="PostgreSQL at keys is away"):
        await backend.tail(handle(), 9)


async def test_another_server_is_waited_for(backend: RedisBackend, proxy: FaultProxy) -> None:
    """Where the name leads to another server than was written to, that one is waited for no more: calls go there."""
    before = backend.encounters
    with RedisServer() as other:
        proxy._server = ("127.0.0.1", other.port)
        await backend.persist(1.0)
        assert backend.encounters == before + 1
        await write(backend, handle(), 1, 3)
        with other.client() as client:
            assert client.dbsize() == 1
        await backend.aclose()
