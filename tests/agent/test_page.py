"""The lines of the seed's page, with another import, on each kind of memory: they run, and answer as the page says."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import redis.asyncio

from securemem import Agent, InMemoryMemory, PostgresMemory, RedisMemory, SQLiteMemory
from securemem.agent import Memory
from securemem.testing.servers import PostgresServer, RedisServer

from .models import Noting, from_context

Config = dict[str, Any]


@pytest.fixture
async def agent(kind: str, config: Config) -> Any:
    """Give an agent that answers from what it remembers."""
    async with Agent(
        name="dev_agent",
        instruction="You remember our conversation",
        model=from_context,
        memory=kind,
        memory_config=config,
    ) as agent:
        yield agent


async def test_sessions_remember_and_are_apart(agent: Agent) -> None:
    """A name that was told in one session is known there, and not in another."""
    await agent.chat("My name is Alice", session_id="user_123")
    assert await agent.chat("What's my name?", session_id="user_123") == "Your name is Alice"
    assert await agent.chat("What's my name?", session_id="user_456") == "I don't know your name yet"


async def test_a_conversation_outlives_its_agent(kind: str, config: Config) -> None:
    """Another agent, made after the first was closed, goes on with the conversation; in memory it is gone."""
    async with Agent("one", "", from_context, memory=kind, memory_config=config) as first:
        await first.chat("My name is Alice", session_id="user_123")
    async with Agent("two", "", from_context, memory=kind, memory_config=config) as second:
        answer = await second.chat("What's my name?", session_id="user_123")
    assert answer == ("I don't know your name yet" if kind == "memory" else "Your name is Alice")


async def test_the_history_has_role_content_and_timestamp(agent: Agent) -> None:
    """`get_history` gives what was said, oldest first, and when."""
    await agent.chat("My name is Alice", session_id="user_123")
    history = await agent.get_history(session_id="user_123")
    assert [(each["role"], each["content"]) for each in history] == [
        ("user", "My name is Alice"),
        ("assistant", "Nice to meet you, Alice"),
    ]
    assert all(set(each) == {"role", "content", "timestamp"} for each in history)
    assert history[0]["timestamp"] <= history[1]["timestamp"]
    assert await agent.get_history(session_id="nobody") == []


async def test_memory_is_added_and_cleared(kind: str, config: Config) -> None:
    """What is added as a system message reaches the model from then on, and is gone with all else after a clear."""
    model = Noting()
    async with Agent(model=model, memory=kind, memory_config=config) as agent:
        await agent.add_to_memory(session_id="user_123", role="system", content="User prefers formal language")
        await agent.chat("Hello", session_id="user_123")
        assert model.texts == ["User prefers formal language", "Hello"]
        await agent.clear_memory(session_id="user_123")
        assert await agent.get_history(session_id="user_123") == []
        await agent.chat("Hello", session_id="user_123")
        assert model.texts == ["Hello"]


async def test_branches_by_name_are_apart(agent: Agent) -> None:
    """A session named `f"{base}:scenario_a"` shares nothing; a fork begins with all, and goes with its person."""
    base = "user_123"
    await agent.chat("My name is Alice", session_id=base)
    await agent.chat("My name is Bob", session_id=f"{base}:scenario_a")
    assert await agent.chat("What's my name?", session_id=f"{base}:scenario_a") == "Your name is Bob"
    branch = await agent.fork(base, f"{base}:scenario_b")
    assert (branch.session_id, branch.user_id) == (f"{base}:scenario_b", base)
    assert await agent.chat("What's my name?", session_id=f"{base}:scenario_b", user_id=base) == "Your name is Alice"
    await agent.clear_memory(session_id=base)
    assert await agent.chat("What's my name?", session_id=f"{base}:scenario_b", user_id=base) == "Your name is Alice"
    await agent.erase_user(base)
    assert await agent.get_history(session_id=f"{base}:scenario_b", user_id=base) == []


async def test_a_memory_is_shared_by_agents(kind: str, config: Config) -> None:
    """Two agents with one memory object know what was said to either."""
    kinds: dict[str, type[Memory]] = {
        "memory": InMemoryMemory,
        "sqlite": SQLiteMemory,
        "postgres": PostgresMemory,
        "redis": RedisMemory,
    }
    make: Any = kinds[kind]
    async with make(**config) as shared:
        one = Agent("one", "You greet", from_context, memory=shared)
        two = Agent("two", "You answer", from_context, memory=shared)
        await one.chat("My name is Alice", session_id="user_123")
        assert await two.chat("What's my name?", session_id="user_123") == "Your name is Alice"
        await one.close()
        assert await two.chat("What's my name?", session_id="user_123") == "Your name is Alice"


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("is_asyncio", [False, True])
async def test_any_redis_client_will_do(redis_url: str, redis_prefix: str, *, decode: bool, is_asyncio: bool) -> None:
    """A client is synchronous or asyncio, and decodes answers or not: its settings are taken."""
    make: Any = redis.asyncio.Redis if is_asyncio else redis.Redis
    client = make.from_url(redis_url, decode_responses=decode)
    config = {"client": client, "ttl": 3600, "prefix": redis_prefix}
    async with Agent(model=from_context, memory="redis", memory_config=config) as agent:
        await agent.chat("My name is Alice", session_id="user_123")
        assert await agent.chat("What's my name?", session_id="user_123") == "Your name is Alice"
    assert list(redis.Redis.from_url(redis_url).scan_iter(f"{redis_prefix}*"))
    await client.aclose() if is_asyncio else client.close()


async def test_a_shared_redis_memory_has_its_prefix(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RedisMemory(prefix="shared:")` takes the server of `REDIS_URL`, and is apart from other prefixes there."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    async with RedisMemory(prefix="shared:") as shared, RedisMemory(prefix="other:") as other:
        agents = [Agent(memory=each, model=from_context) for each in (shared, shared, other)]
        await agents[0].chat("My name is Alice", session_id="user_123")
        assert await agents[1].chat("What's my name?", session_id="user_123") == "Your name is Alice"
        assert await agents[2].chat("What's my name?", session_id="user_123") == "I don't know your name yet"
        await shared.store.erase_user("user_123")
        await other.store.erase_user("user_123")


@pytest.mark.servers
@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_conversation_outlives_its_server(kind: str) -> None:
    """After a restart of the server the same agent goes on, and so does one that is made after it."""
    with PostgresServer() if kind == "postgres" else RedisServer() as server:
        url = server.admin_url() if isinstance(server, PostgresServer) else server.url
        async with Agent(model=from_context, memory=url) as agent:
            await agent.chat("My name is Alice", session_id="user_123")
            server.restart()
            assert await agent.chat("What's my name?", session_id="user_123") == "Your name is Alice"
        async with Agent(model=from_context, memory=url) as agent:
            assert await agent.chat("What's my name?", session_id="user_123") == "Your name is Alice"
