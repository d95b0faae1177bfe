"""How often a server is asked, counted on the wire: once an append, once a load, and far less often in a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio as aio

from securemem import Message, SecureMemory, Session
from securemem.batch import Batch
from securemem.redis.pipe import Pipe
from tests.faults.store import open_store

from .wire import Tap, tapped

POSTGRES, REDIS = "postgresql", "redis"
CROWD, CALLS, KEPT = 64, 10, 20
APPEND = {POSTGRES: ["B", "E", "S"], REDIS: ["EVALSHA"]}
LOAD = {POSTGRES: ["B", "E", "S"], REDIS: ["LRANGE"]}
TWO = [Message("user", "said"), Message("assistant", "answered")]
CROWDED: dict[str, Callable[[Session], Awaitable[object]]] = {
    "EVALSHA": lambda chat: chat.add_many(TWO),
    "LRANGE": lambda chat: chat.history(),
}

Work = Coroutine[Any, Any, Any] | Generator[Any, None, Any]


@pytest.fixture(params=[POSTGRES, REDIS])
def kind(request: pytest.FixtureRequest) -> str:
    """Give which server the data lies on."""
    found: str = request.param
    return found


@pytest.fixture
async def store(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> AsyncIterator[tuple[SecureMemory, Tap]]:
    """Give a store of short sessions with an end, whose data alone is on a server, and what counts on the way there."""
    url = request.getfixturevalue("postgres_url" if kind == POSTGRES else "redis_store_url")
    async with tapped(url) as (tap, through), open_store(through, tmp_path, max_messages=KEPT, ttl=3600) as memory:
        yield memory, tap


@contextmanager
def _gathering() -> Iterator[list[str]]:
    """Give what is done for the sake of gathering: tasks of batches, and what a connection holds back."""
    seen: list[str] = []
    loop, run, flush = asyncio.get_running_loop(), Batch._run.__qualname__, Pipe._flush

    def watched(loop: asyncio.AbstractEventLoop, work: Work, **options: Any) -> asyncio.Task[Any]:
        if getattr(work, "__qualname__", "") == run:
            seen.append(run)
        return asyncio.Task(work, loop=loop, **options)

    def flushed(pipe: Pipe) -> None:
        seen.append(flush.__qualname__)
        flush(pipe)

    with pytest.MonkeyPatch.context() as patch:
        loop.set_task_factory(watched)
        patch.setattr(Pipe, "_flush", flushed)
        yield seen
        loop.set_task_factory(None)


async def test_a_warm_append_and_a_warm_load_are_one_each(store: tuple[SecureMemory, Tap], kind: str) -> None:
    """Each append of two, with trim and expiry, is one statement or script; so is each load; all at once on the way."""
    memory, tap = store
    chat = memory.session("s", user_id="alice")
    for _ in range(KEPT):
        await chat.add_many(TWO)
        await chat.history(limit=KEPT)
    with _gathering() as seen:
        for _ in range(CALLS):
            for expected, call in ((APPEND, chat.add_many(TWO)), (LOAD, chat.history(limit=KEPT))):
                tap.begin()
                await call
                assert (tap.sent, tap.writes) == (expected[kind], 1)
    assert seen == []
    assert len(await chat.history()) == KEPT


@pytest.mark.parametrize("length", [20, 1000])
async def test_a_fork_is_one_each_way(request: pytest.FixtureRequest, kind: str, tmp_path: Path, length: int) -> None:
    """However long a session is, a fork reads it at once and writes the copy at once."""
    url = request.getfixturevalue("postgres_url" if kind == POSTGRES else "redis_store_url")
    async with tapped(url) as (tap, through), open_store(through, tmp_path, max_messages=length) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", str(number)) for number in range(length)])
        await chat.history(limit=length)
        await chat.fork("warm")
        tap.begin()
        branch = await chat.fork("branch")
        assert tap.sent == [*LOAD[kind], *APPEND[kind]]
        assert len(await branch.history(limit=length)) == length


@pytest.mark.parametrize("kind", [POSTGRES])
async def test_the_first_call_prepares(store: tuple[SecureMemory, Tap]) -> None:
    """Control: a statement that a connection has not prepared yet takes a second round trip, which is counted."""
    memory, tap = store
    await memory.session("s").add_many(TWO)
    tap.begin()
    await memory.session("s").history()
    assert (tap.statements, tap.round_trips) == (1, 2)


@pytest.mark.parametrize("kind", [REDIS])
async def test_a_forgotten_script_is_sent_again(store: tuple[SecureMemory, Tap], redis_url: str) -> None:
    """Control: a script that the server has forgotten is sent whole besides, which is counted."""
    memory, tap = store
    await memory.session("s").add_many(TWO)
    async with aio.Redis.from_url(redis_url) as client:
        await client.script_flush()
    tap.begin()
    await memory.session("s").add_many(TWO)
    assert tap.sent == ["EVALSHA", "EVAL"]


async def _crowd(memory: SecureMemory) -> list[Session]:
    """Give sessions of many people, all of them warm, and the server's connections too."""
    chats = [memory.session("s", user_id=f"user {number}") for number in range(CROWD)]
    for _ in range(4):
        for call in CROWDED.values():
            await asyncio.gather(*map(call, chats))
    return chats


@pytest.mark.parametrize("kind", [POSTGRES])
async def test_a_crowd_asks_together(store: tuple[SecureMemory, Tap]) -> None:
    """64 coroutines that append or load at once are a few statements; who comes after them goes straight through."""
    memory, tap = store
    chats = await _crowd(memory)
    for call in CROWDED.values():
        tap.begin()
        with _gathering() as seen:
            await asyncio.gather(*map(call, chats))
        assert tap.statements <= CROWD / 4
        assert seen
        await call(chats[0])
        with _gathering() as seen:
            await call(chats[0])
        assert seen == []


@pytest.mark.parametrize("kind", [REDIS])
async def test_a_crowd_writes_together(store: tuple[SecureMemory, Tap]) -> None:
    """64 coroutines that append or load at once are a command each, which leave in a few writes."""
    memory, tap = store
    chats = await _crowd(memory)
    for name, call in CROWDED.items():
        tap.begin()
        with _gathering() as seen:
            await asyncio.gather(*map(call, chats))
        assert tap.sent == [name] * CROWD
        assert tap.writes <= CROWD / 4
        assert seen


async def test_the_drivers_themselves(request: pytest.FixtureRequest, redis_store_url: str) -> None:
    """Control: asyncpg's own pool has a second round trip a call, and redis-py one write a call, which are counted."""
    async with (
        tapped(request.getfixturevalue("postgres_url")) as (tap, through),
        asyncpg.create_pool(through, min_size=1, max_size=1) as pool,
    ):
        await pool.fetchval("SELECT 1")
        tap.begin()
        await pool.fetchval("SELECT 1")
        assert (tap.statements, tap.round_trips) == (2, 2)
    async with tapped(redis_store_url) as (tap, through), aio.Redis.from_url(through.partition("?")[0]) as client:
        await client.ping()
        tap.begin()
        for _ in range(CALLS):
            await client.echo("x")
        assert (tap.sent, tap.writes) == (["ECHO"] * CALLS, CALLS)
