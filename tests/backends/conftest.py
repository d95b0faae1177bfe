"""A Redis store behind a proxy, for tests of what goes wrong between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from securemem.backends.redis import RedisBackend
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import RedisServer


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[FaultProxy]:
    """Give a proxy before the session's Redis server."""
    async with FaultProxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def backend(proxy: FaultProxy, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """Give an open store behind the proxy."""
    url = f"redis://{proxy.host}:{proxy.port}/0"
    backend = RedisBackend(url, {"timeout": "0.5", "patience": "3"}, prefix=redis_prefix)
    await backend.open()
    yield backend
    proxy.heal()
    await backend.aclose()
