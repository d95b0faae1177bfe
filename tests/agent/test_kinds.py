"""How an agent is told where to remember, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from securemem import (
    Agent,
    ConfigurationError,
    InMemoryMemory,
    InvalidInputError,
    PostgresMemory,
    RedisMemory,
    SecureMemory,
    SQLiteMemory,
)

from .models import from_context

Config = dict[str, Any]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"memory": "mongo"}, "one of memory, redis, sqlite, postgres"),
        ({"memory": "mysql://localhost/db"}, "one of memory, redis, sqlite, postgres"),
        ({"memory": 7}, "a kind's name"),
        ({"memory": "sqlite", "memory_config": {"prefix": "x"}}, "SQLiteMemory takes no prefix: it takes .*db_path"),
        ({"memory": "redis", "memory_config": {"db_path": "x"}}, "RedisMemory takes no db_path: it takes .*client"),
        ({"memory": "memory", "memory_config": {"url": "x"}}, "InMemoryMemory takes no url"),
        ({"memory": "postgres"}, "DATABASE_URL"),
        ({"memory": "redis", "memory_config": {"client": object()}}, "redis-py client"),
        ({"memory": "redis", "memory_config": {"client": object(), "url": "redis://localhost"}}, "one of them"),
        ({"memory": "memory", "memory_config": {7: 1}}, "by their names"),
        ({"memory": "sqlite:///a.db", "memory_config": {"url": "sqlite:///b.db"}}, "already"),
    ],
)
def test_what_cannot_be_is_refused_when_the_agent_is_made(options: Config, says: str) -> None:
    """An unknown kind is told the kinds, an option that a kind does not take what it takes."""
    with pytest.raises(ConfigurationError, match=says):
        Agent(**options)


def test_options_of_a_memory_object_are_its_own() -> None:
    """`policy` and the like are refused beside an object; the window is the agent's."""
    shared = InMemoryMemory()
    with pytest.raises(ConfigurationError, match="policy: belongs to the memory object"):
        Agent(memory=shared, policy="plain")
    with pytest.raises(ConfigurationError, match="ttl: belongs to the memory object"):
        Agent(memory=shared, memory_config={"ttl": 5})
    Agent(memory=shared, memory_config={"context_window": 5, "max_tokens": 100})


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("name", ["a; DROP TABLE b", 'a"b', "a b", "1a", "", "sqlite_master"])
async def test_a_table_name_with_sql_in_it_is_refused(kind: str, name: str, config_of: Callable[[str], Config]) -> None:
    """Nothing is made under it; an empty one is none, and SQLite's own names are SQLite's alone."""
    agent = Agent(model=from_context, memory=kind, memory_config=config_of(kind) | {"table_name": name})
    if not name or (kind, name) == ("postgres", "sqlite_master"):
        assert await agent.chat("Hello", "s") == "Hello"
    else:
        with pytest.raises(ConfigurationError, match="table_name"):
            await agent.chat("Hello", "s")
    await agent.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "redis"])
async def test_tables_and_prefixes_are_apart(kind: str, config_of: Callable[[str], Config]) -> None:
    """Two of them on one server share no session, and erasing a person in one leaves the other."""
    config = config_of(kind)
    name = "prefix" if kind == "redis" else "table_name"
    agents = [
        Agent(model=from_context, memory=kind, memory_config=config | {name: f"{config[name]}{end}"})
        for end in ("_one", "_two")
    ]
    await agents[0].chat("My name is Alice", "s")
    assert await agents[1].chat("What's my name?", "s") == "I don't know your name yet"
    await agents[1].erase_user("s")
    assert await agents[0].chat("What's my name?", "s") == "Your name is Alice"
    for agent in agents:
        await agent.close()


async def test_a_url_and_a_dict_name_a_memory(tmp_path: Path) -> None:
    """Each with options of its kind; a relative path is in the folder."""
    for memory in ("sqlite:///one.db", "sqlite://one.db", {"type": "sqlite", "db_path": "one.db"}):
        async with Agent(model=from_context, memory=memory, policy="plain") as agent:
            await agent.chat("My name is Alice", "s")
    assert (tmp_path / "one.db").exists()
    async with SecureMemory.open("sqlite:///one.db") as store:
        assert len(await store.session("s").history()) == 6


async def test_an_open_store_is_not_closed(url: str) -> None:
    """An agent closes what was made for it alone."""
    async with SecureMemory.open(url) as store:
        async with Agent(model=from_context, memory=store) as agent:
            await agent.chat("My name is Alice", "s")
        assert len(await store.session("s").history()) == 2


def test_postgres_takes_its_url_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DATABASE_URL` names it where nothing else does."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@localhost/none")
    PostgresMemory(table_name="agent_memory")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(
            (InMemoryMemory, {name: 5})
            for name in ("policy", "kms", "keystore", "ledger", "tenant", "tokenizer", "clock")
        ),
        *((InMemoryMemory, {name: "x"}) for name in ("max_messages", "ttl", "context_window", "backup_days")),
        *((SQLiteMemory, {"db_path": db_path}) for db_path in (5, b"a.db", ["a.db"], "")),
        *((SQLiteMemory, {"table_name": name}) for name in (5, 0)),
        *((PostgresMemory, {"url": "postgresql://a/b", name: 5}) for name in ("table_name", "replica")),
        *((RedisMemory, {"host": "a", name: 5}) for name in ("prefix", "key_prefix", "username", "password")),
        *((RedisMemory, {"host": "a", name: "5"}) for name in ("port", "db")),
        (RedisMemory, {"host": 5}),
        (RedisMemory, {"client": 5}),
    ],
)
def test_an_option_of_another_type_is_refused(kind: Any, options: Config) -> None:
    """When the memory is made, by an error that names the option."""
    with pytest.raises((ConfigurationError, InvalidInputError), match=list(options)[-1].removeprefix("key_")):
        kind(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (InMemoryMemory, {"policy": Path("default"), "kms": "memory://", "tenant": "a", "max_messages": 5, "ttl": 5}),
        (SQLiteMemory, {"db_path": Path("a.db"), "table_name": "a"}),
        (SQLiteMemory, {"db_path": "a.db", "table_name": ""}),
        (PostgresMemory, {"url": "postgresql://a/b", "table_name": "a", "replica": "postgresql://c/b"}),
        (RedisMemory, {"host": "a", "port": 1, "db": 1, "username": "b", "password": "c", "prefix": "d"}),
    ],
)
def test_options_of_their_types_are_taken(kind: Any, options: Config) -> None:
    """The control: each of them as it should be."""
    kind(**options)


POSTGRES, REDIS = ("postgresql", "postgres"), ("redis", "rediss")
CLUSTERS = [f"{scheme}+{kind}" for scheme in REDIS for kind in ("cluster", "sentinel")]


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        *((PostgresMemory, url) for url in ("redis://:secret@a/0", "sqlite:///a.db", "memory://", "a/b", 5)),
        *((RedisMemory, url) for url in ("postgresql://:secret@a/b", "sqlite:///a.db", "memory://", "a:6379", "", 5)),
        *((SQLiteMemory, url) for url in ("redis://:secret@a/0", "postgresql://a/b", "memory://", "a.db", 5)),
    ],
)
def test_a_url_of_another_kind_is_refused(kind: Any, url: Any) -> None:
    """The error says what is expected, and nothing of the URL, in which a password may be."""
    scheme = {PostgresMemory: "postgresql://", RedisMemory: "redis://", SQLiteMemory: "sqlite://"}[kind]
    with pytest.raises(ConfigurationError, match=f"{kind.__name__}: it begins with {scheme}") as raised:
        kind(url=url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        *((PostgresMemory, f"{scheme}://nobody@localhost/none") for scheme in POSTGRES),
        *((RedisMemory, f"{scheme}://localhost:6379/0") for scheme in REDIS),
        *((RedisMemory, f"{scheme}://localhost:6379/none") for scheme in CLUSTERS),
        (SQLiteMemory, "sqlite:///a.db"),
    ],
)
def test_a_url_of_its_own_kind_is_taken(kind: Any, url: str) -> None:
    """The control: by whichever of its schemes, and where it is an agent's `memory` too."""
    kind(url=url)
    Agent(memory=url)


@pytest.mark.parametrize(("kind", "name"), [(PostgresMemory, "DATABASE_URL"), (RedisMemory, "REDIS_URL")])
def test_a_url_of_another_kind_in_the_environment_is_refused(
    kind: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the MySQL of another application."""
    monkeypatch.setenv(name, "mysql://nobody@localhost/none")
    with pytest.raises(ConfigurationError, match="it begins with"):
        kind()


UNCLOSED = """
import asyncio, sys
from securemem import Agent
async def model(messages):
    return "Hello"
async def main(url):
    agent = Agent(model=model, memory=url)
    await agent.chat("Hi", "s")
    stream = agent.stream("Hi", "s")
    await anext(stream)
    return agent
agent = asyncio.run(main(sys.argv[1]))
print("done")
"""


def test_an_agent_never_closed_does_not_keep_the_process(url: str) -> None:
    """The process ends by itself and says nothing on standard error; what was remembered is there."""
    done = subprocess.run([sys.executable, "-c", UNCLOSED, url], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "done\n"
    assert "Traceback" not in done.stderr
    assert "destroyed" not in done.stderr
