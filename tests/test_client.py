"""A store by a caller's own Redis client, from `SecureMemory.open(client=…)` on: the client stays the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import asyncio as aio

from securemem import SecureMemory

TEXTS = ["Hello", "€ and \0 and 🦊"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let keys and ledger lie in the test's folder: no URL says where they are to be."""
    monkeypatch.setenv("SECUREMEM_HOME", str(tmp_path))


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """Give a plain client that looks at what lies there."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def _texts(client: Any, prefix: str) -> list[Any]:
    """Give what a store that is opened anew by a client has of the session."""
    async with SecureMemory.open(client=client, prefix=prefix) as memory:
        return [message.content for message in await memory.session("s", user_id="alice").history()]


async def _works(client: Any, prefix: str, raw: redis.Redis) -> None:
    """Show that a store by this client writes under the prefix, is read when it is opened anew, and forgets people."""
    async with SecureMemory.open(client=client, prefix=prefix) as memory:
        for text in TEXTS:
            await memory.session("s", user_id="alice").add("user", text)
    [session] = raw.scan_iter(match=f"{prefix}{{*")
    assert raw.llen(session) == len(TEXTS) + 1
    assert await _texts(client, prefix) == TEXTS
    assert await _texts(client, f"{prefix}other:") == []
    async with SecureMemory.open(client=client, prefix=prefix) as memory:
        assert (await memory.erase_user("alice")).stores["data"]["records"] == len(TEXTS)
    assert raw.llen(session) == 1, "what is left is the closed head"


@pytest.mark.parametrize("decode", [False, True])
async def test_an_asyncio_client(redis_url: str, redis_prefix: str, raw: redis.Redis, *, decode: bool) -> None:
    """A store works by an asyncio client, whether that decodes or not, and leaves its connection as it was."""
    async with aio.Redis.from_url(redis_url, decode_responses=decode) as client:
        connection = await client.client_id()
        await _works(client, redis_prefix, raw)
        assert await client.set(f"{redis_prefix}mine", "value")
        assert await client.get(f"{redis_prefix}mine") == ("value" if decode else b"value")
        assert await client.client_id() == connection
        await client.aclose()
        assert await client.client_id() != connection, "the control: a client that was closed has another connection"


@pytest.mark.parametrize("decode", [False, True])
async def test_a_client_that_blocks(redis_url: str, redis_prefix: str, raw: redis.Redis, *, decode: bool) -> None:
    """A store works by a synchronous client, whether that decodes or not, and leaves its connection as it was."""
    with redis.Redis.from_url(redis_url, decode_responses=decode) as client:
        connection = client.client_id()
        await _works(client, redis_prefix, raw)
        assert client.set(f"{redis_prefix}mine", "value")
        assert client.get(f"{redis_prefix}mine") == ("value" if decode else b"value")
        assert client.client_id() == connection
        client.close()
        assert client.client_id() != connection, "the control: a client that was closed has another connection"
