"""LangGraph's savers, plain and with EncryptedSerializer: alone, at their best, and below a graph, as they are used.

The messages of a thread are one channel of its checkpoint, whole in each. Alone, a saver reads the newest checkpoint
and writes one more for a turn; a graph writes several, and its nodes' writes besides. A session is filled in one go:
turn by turn, 10,000 messages would be written 5,000 times over. (DeltaChannel, which does not do that, is in beta and
not what a graph of messages has unless it asks.)
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_checkpoint_plainredis import AsyncRedisSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from benchmarks.peer import WINDOW
from benchmarks.server_places import CONNECTIONS, Place
from benchmarks.stores import session_name
from benchmarks.texts import Said

_CHANNEL = "messages"
_ON_REDIS = 512
"""Connections: 64 graphs at once, several writes of each at a time, are more than the 100 that redis-py allows."""


class LangGraphThreads:
    """Threads of one saver."""

    def __init__(self, saver: Any) -> None:
        """Take a saver that was set up."""
        self._saver = saver

    async def fill(self, number: int, said: list[Said]) -> None:
        """Write a thread's first checkpoint, with everything."""
        version = self._saver.get_next_version(None, None)
        await self._put(_thread(number), [_message(*each) for each in said], version, 0)

    async def append(self, number: int, said: list[Said]) -> None:
        """Read the newest checkpoint and write one with two messages more."""
        newest = await self._saver.aget_tuple(_thread(number))
        before = newest.checkpoint
        version = self._saver.get_next_version(before["channel_versions"][_CHANNEL], None)
        messages = before["channel_values"][_CHANNEL] + [_message(*each) for each in said]
        await self._put(newest.config, messages, version, newest.metadata["step"] + 1)

    async def load(self, number: int) -> object:
        """Read the newest checkpoint, and give twenty of its messages."""
        newest = await self._saver.aget_tuple(_thread(number))
        return newest.checkpoint["channel_values"][_CHANNEL][-WINDOW:]

    async def turn(self, number: int, said: list[Said]) -> None:
        """Append two, which has to read anyway."""
        await self.append(number, said)

    def texts(self, loaded: Any) -> list[str]:
        """Give the contents."""
        return [message.content for message in loaded]

    async def _put(self, config: Any, messages: list[Any], version: Any, step: int) -> None:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {_CHANNEL: messages}
        checkpoint["channel_versions"] = {_CHANNEL: version}
        metadata = {"source": "loop", "step": step, "parents": {}}
        await self._saver.aput(config, checkpoint, metadata, {_CHANNEL: version})


class LangGraphGraph(LangGraphThreads):
    """Threads of a graph of one node, which answers what it is told to."""

    def __init__(self, saver: Any) -> None:
        """Compile the graph over a saver that was set up."""
        super().__init__(saver)
        self._answer: ContextVar[Any] = ContextVar("answer")
        graph = StateGraph(MessagesState)
        graph.add_node("answer", lambda _: {"messages": [self._answer.get()]})
        graph.add_edge(START, "answer")
        self._graph = graph.compile(checkpointer=saver)

    async def fill(self, number: int, said: list[Said]) -> None:
        """Say all but the last, which is the answer."""
        *before, answer = (_message(*each) for each in said)
        self._answer.set(answer)
        await self._graph.ainvoke({"messages": before}, {"configurable": {"thread_id": session_name(number)}})

    async def append(self, number: int, said: list[Said]) -> None:
        """Say one message and be answered with the other."""
        await self.fill(number, said)


def _thread(number: int) -> dict[str, Any]:
    return {"configurable": {"thread_id": session_name(number), "checkpoint_ns": ""}}


def _message(role: str, content: str) -> Any:
    """Make a message with the id that a graph would give it."""
    return (HumanMessage if role == "user" else AIMessage)(content=content, id=str(uuid.uuid4()))


def _cipher() -> Any:
    return EncryptedSerializer.from_pycryptodome_aes(key=os.urandom(32))


@contextlib.asynccontextmanager
async def _postgres_saver(place: Place, serde: Any) -> AsyncIterator[Any]:
    """Open a saver on a pool whose connections are set up as the saver's own `from_conn_string` does."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(
        place.url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
    ) as pool:
        saver = AsyncPostgresSaver(pool, serde=serde)
        await saver.setup()
        yield saver


@contextlib.asynccontextmanager
async def _redis_saver(place: Place, serde: Any) -> AsyncIterator[Any]:
    async with Redis.from_url(place.url, max_connections=_ON_REDIS) as client:
        yield AsyncRedisSaver(client, prefix=f"{place.prefix}lg", serde=serde)


@contextlib.asynccontextmanager
async def open_postgres(place: Place) -> AsyncIterator[LangGraphThreads]:
    """Open threads on PostgreSQL."""
    async with _postgres_saver(place, None) as saver:
        yield LangGraphThreads(saver)


@contextlib.asynccontextmanager
async def open_postgres_encrypted(place: Place) -> AsyncIterator[LangGraphThreads]:
    """Open encrypted threads on PostgreSQL."""
    async with _postgres_saver(place, _cipher()) as saver:
        yield LangGraphThreads(saver)


@contextlib.asynccontextmanager
async def open_postgres_graph(place: Place) -> AsyncIterator[LangGraphGraph]:
    """Open a graph with encrypted threads on PostgreSQL."""
    async with _postgres_saver(place, _cipher()) as saver:
        yield LangGraphGraph(saver)


@contextlib.asynccontextmanager
async def open_redis(place: Place) -> AsyncIterator[LangGraphThreads]:
    """Open threads on Redis."""
    async with _redis_saver(place, None) as saver:
        yield LangGraphThreads(saver)


@contextlib.asynccontextmanager
async def open_redis_encrypted(place: Place) -> AsyncIterator[LangGraphThreads]:
    """Open encrypted threads on Redis."""
    async with _redis_saver(place, _cipher()) as saver:
        yield LangGraphThreads(saver)


@contextlib.asynccontextmanager
async def open_redis_graph(place: Place) -> AsyncIterator[LangGraphGraph]:
    """Open a graph with encrypted threads on Redis."""
    async with _redis_saver(place, _cipher()) as saver:
        yield LangGraphGraph(saver)
