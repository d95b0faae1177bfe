"""The memory of aa-kit 0.3.0: its methods and configurations, alike on every kind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from securemem import Agent, ConfigurationError
from securemem.integrations.aakit import (
    InMemoryBackend,
    MemoryBackend,
    MemoryFactory,
    MemoryRecord,
    PostgresBackend,
    RedisBackend,
    SQLiteBackend,
    create_memory,
)

from .models import from_context

Config = dict[str, Any]


@pytest.fixture
async def backend(kind: str, config: Config) -> AsyncIterator[MemoryBackend]:
    """Give a backend of each kind, made of a dict."""
    backend = await create_memory({"type": kind, **config})
    yield backend
    await backend.close()


async def test_the_newest_are_given_in_order(backend: MemoryBackend) -> None:
    """`limit=2` gives the newest two, oldest first, on every kind; `offset` passes over the newest."""
    for number in range(5):
        await backend.store("s", "user", str(number))

    async def texts(**given: int) -> list[str]:
        return [record.content for record in await backend.retrieve("s", **given)]

    assert await texts() == ["0", "1", "2", "3", "4"]
    assert await texts(limit=2) == ["3", "4"]
    assert await texts(limit=2, offset=1) == ["2", "3"]
    assert await texts(offset=4) == ["0"]
    assert await texts(limit=0) == await texts(offset=5) == await texts(limit=3, offset=7) == []


async def test_records_are_aakits(backend: MemoryBackend) -> None:
    """A record has session, time in seconds, role, content and metadata, and goes through a dict and back."""
    before = time.time()
    await backend.store("s", "user", "Hello", {"channel": "web"})
    await backend.store("s", "assistant", "Hi")
    first, second = await backend.retrieve("s")
    assert (first.session_id, first.role, first.content, first.metadata) == ("s", "user", "Hello", {"channel": "web"})
    assert before - 0.01 <= first.timestamp <= second.timestamp <= time.time() + 0.01
    assert second.metadata == {}
    assert MemoryRecord.from_dict(first.to_dict()) == first


async def test_sessions_are_listed_and_cleared(backend: MemoryBackend) -> None:
    """All of them by their ids; one that was cleared is gone, and the others are there."""
    for session in ("one", "two", "three"):
        await backend.store(session, "user", "Hello")
    await backend.memory.store.session("alices", user_id="alice").add("user", "Hello")
    assert sorted(await backend.get_sessions()) == ["one", "three", "two"]
    await backend.clear("two")
    assert sorted(await backend.get_sessions()) == ["one", "three"]
    assert await backend.retrieve("two") == []
    assert len(await backend.retrieve("one")) == 1


async def test_nothing_is_trimmed_unless_told() -> None:
    """More than a hundred messages are all there; `max_messages` trims."""
    backend, small = InMemoryBackend(), InMemoryBackend(max_messages=10)
    for number in range(120):
        await backend.store("s", "user", str(number))
        await small.store("s", "user", str(number))
    assert len(await backend.retrieve("s")) == 120
    assert len(await small.retrieve("s")) == 10


async def test_an_agent_takes_a_backends_memory(backend: MemoryBackend) -> None:
    """What was stored through one face is there through the other."""
    await backend.store("s", "user", "My name is Alice")
    agent = Agent(model=from_context, memory=backend.memory)
    assert await agent.chat("What's my name?", "s") == "Your name is Alice"
    assert [record.role for record in await backend.retrieve("s")] == ["user", "user", "assistant"]


async def test_urls_name_backends(postgres_url: str, redis_store_url: str) -> None:
    """aa-kit's URLs, its short one of SQLite among them, and PostgreSQL's."""
    for url in ("memory://", "sqlite:///one.db", "sqlite://two.db", postgres_url, redis_store_url):
        backend = await create_memory(url, session_id="ignored")
        await backend.store("s", "user", "Hello")
        assert [record.content for record in await backend.retrieve("s")] == ["Hello"]
        await backend.close()


async def test_classes_name_backends(postgres_url: str, redis_url: str, redis_prefix: str) -> None:
    """Each kind's class takes what aa-kit's takes."""
    for backend in (
        InMemoryBackend(),
        SQLiteBackend("three.db"),
        PostgresBackend(postgres_url),
        RedisBackend(redis_url, key_prefix=redis_prefix, ttl=60),
        RedisBackend(redis_url=redis_url, key_prefix=f"{redis_prefix}2:"),
    ):
        await backend.store("s", "user", "Hello")
        assert [record.content for record in await backend.retrieve("s")] == ["Hello"]
        await backend.close()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("mysql://localhost", "memory, redis, sqlite, postgres"),
        ({"type": "mongo"}, "memory, redis, sqlite, postgres"),
        ({"type": "sqlite", "host": "localhost"}, "SQLiteMemory takes no host"),
        ({"type": "redis", "port": "6379"}, "whole numbers"),
        ({"type": "redis", "url": "redis://a", "host": "b"}, "one of them"),
        ({"type": "sqlite", "db_path": "a?b"}, "db_path"),
        ({"type": "sqlite", "db_path": ":memory:"}, "db_path"),
        ("memory://x", "nothing behind"),
        (7, "memory is"),
    ],
)
def test_a_wrong_configuration_is_refused(config: Any, says: str) -> None:
    """With the kinds that there are, or the options that a kind takes."""
    with pytest.raises(ConfigurationError, match=says):
        MemoryFactory.validate_config(config)


def test_right_configurations_are_said_to_be_so() -> None:
    """Nothing is opened; the kinds are listed with what they are."""
    config = {"type": "redis", "host": "localhost", "port": 6379, "password": "p/w", "ttl": 3600}
    assert MemoryFactory.validate_config(config)
    assert set(MemoryFactory.get_supported_backends()) == {"memory", "redis", "sqlite", "postgres"}
