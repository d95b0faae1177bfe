"""Whom we are held against: every peer behind one small face, found by name, and checked before it is timed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.server_places import POSTGRESQL, REDIS, Place, open_ours
from benchmarks.stores import Ours, Store
from benchmarks.texts import Corpus, Said
from securemem import Message

WINDOW = 20
_AT_ONCE = 500


class Peer(Store, Protocol):
    """A store, and what a benchmark has to know of how it is used."""

    async def fill(self, number: int, said: list[Said]) -> None:
        """Give a new session all its messages, by the shortest way."""

    async def turn(self, number: int, said: list[Said]) -> None:
        """Load twenty and append two."""

    def texts(self, loaded: Any) -> list[str]:
        """Give the texts in what `load` gave."""


class WrongAnswerError(Exception):
    """A store does not give back what was stored in it."""


class Contender(NamedTuple):
    """A peer that may be there.

    Attributes:
        key: its name in what the processes print.
        name: in words.
        opening: module and function that open it in a place; the module imports the peer.
    """

    key: str
    name: str
    opening: str

    def open(self, place: Place) -> AbstractAsyncContextManager[Peer]:
        """Open it in an empty place.

        Raises:
            ImportError: it is not installed.
        """
        module, _, function = self.opening.partition(":")
        opening: Callable[[Place], AbstractAsyncContextManager[Peer]]
        opening = getattr(importlib.import_module(module), function)
        return opening(place)


CONTENDERS = {
    POSTGRESQL: (
        Contender("openai", "OpenAI Agents SQLAlchemySession", "benchmarks.peer_openai:open_sqlalchemy"),
        Contender(
            "openai_encrypted", "OpenAI Agents EncryptedSession", "benchmarks.peer_openai:open_sqlalchemy_encrypted"
        ),
        Contender("langgraph", "LangGraph AsyncPostgresSaver", "benchmarks.peer_langgraph:open_postgres"),
        Contender(
            "langgraph_encrypted",
            "LangGraph + EncryptedSerializer",
            "benchmarks.peer_langgraph:open_postgres_encrypted",
        ),
        Contender("langgraph_graph", "LangGraph graph, encrypted", "benchmarks.peer_langgraph:open_postgres_graph"),
        Contender("langchain", "LangChain PostgresChatMessageHistory", "benchmarks.peer_langchain:open_postgres"),
    ),
    REDIS: (
        Contender("openai", "OpenAI Agents RedisSession", "benchmarks.peer_openai:open_redis"),
        Contender("openai_encrypted", "OpenAI Agents EncryptedSession", "benchmarks.peer_openai:open_redis_encrypted"),
        Contender("langgraph", "LangGraph plainredis saver", "benchmarks.peer_langgraph:open_redis"),
        Contender(
            "langgraph_encrypted", "LangGraph + EncryptedSerializer", "benchmarks.peer_langgraph:open_redis_encrypted"
        ),
        Contender("langgraph_graph", "LangGraph graph, encrypted", "benchmarks.peer_langgraph:open_redis_graph"),
        Contender("langchain", "LangChain RedisChatMessageHistory", "benchmarks.peer_langchain:open_redis"),
    ),
}

LEFT_OUT = {
    "langgraph-checkpoint-redis": "wants the modules RedisJSON and RediSearch, which plain Redis 7 and Valkey lack",
    "langchain-redis": "likewise; langchain-community's history, which needs none, is run instead",
}
"""Peers on Redis that cannot run on every server that we run on, and why."""


class OurPeer(Ours):
    """Our store with a peer's face."""

    async def fill(self, number: int, said: list[Said]) -> None:
        """Append some hundreds at a time."""
        for start in range(0, len(said), _AT_ONCE):
            await self.append(number, said[start : start + _AT_ONCE])

    async def turn(self, number: int, said: list[Said]) -> None:
        """Load twenty and append two, with one handle, as a request would."""
        session = self._session(number)
        await session.context()
        await session.add_many([Message(role, content) for role, content in said])

    def texts(self, loaded: Any) -> list[str]:
        """Give the contents."""
        return [message.content for message in loaded]


@contextlib.asynccontextmanager
async def open_our_peer(place: Place, folder: Path) -> AsyncIterator[OurPeer]:
    """Open our store in an empty place, its keys in SQLite."""
    async with open_ours(place, folder) as ours:
        yield OurPeer(ours.memory)


async def check(peer: Peer, corpus: Corpus, number: int) -> None:
    """Make sure that a peer keeps what it is given, in order.

    Raises:
        WrongAnswerError: it does not.
    """
    said = corpus.run(0, 2 * WINDOW)
    await peer.fill(number, said[:-2])
    await peer.append(number, said[-2:])
    if peer.texts(await peer.load(number)) != [content for _, content in said[-WINDOW:]]:
        raise WrongAnswerError("the newest twenty messages are not those that were stored last")
