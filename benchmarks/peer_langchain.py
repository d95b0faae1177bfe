"""LangChain's chat histories, which read a session whole whatever is wanted of it, and encrypt nothing."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from langchain_community.chat_message_histories import RedisChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory
from psycopg_pool import AsyncConnectionPool

from benchmarks.peer import WINDOW
from benchmarks.server_places import CONNECTIONS, Place
from benchmarks.stores import session_name
from benchmarks.texts import Said

_AT_ONCE = 500
_TABLE = "chat_history"


class LangChainHistories:
    """Histories, each asked for by its number for one operation."""

    def __init__(self, history: Callable[[int], AbstractAsyncContextManager[Any]]) -> None:
        """Take what gives a history for as long as an operation lasts."""
        self._history = history

    async def fill(self, number: int, said: list[Said]) -> None:
        """Add some hundreds at a time."""
        for start in range(0, len(said), _AT_ONCE):
            await self.append(number, said[start : start + _AT_ONCE])

    async def append(self, number: int, said: list[Said]) -> None:
        """Add messages."""
        messages = [
            HumanMessage(content=content) if role == "user" else AIMessage(content=content) for role, content in said
        ]
        async with self._history(number) as history:
            await history.aadd_messages(messages)

    async def load(self, number: int) -> object:
        """Get all messages, and give the newest twenty."""
        async with self._history(number) as history:
            return (await history.aget_messages())[-WINDOW:]

    async def turn(self, number: int, said: list[Said]) -> None:
        """Load twenty and append two."""
        await self.load(number)
        await self.append(number, said)

    def texts(self, loaded: Any) -> list[str]:
        """Give the contents."""
        return [message.content for message in loaded]


@contextlib.asynccontextmanager
async def open_postgres(place: Place) -> AsyncIterator[LangChainHistories]:
    """Open histories on PostgreSQL, each operation on a connection of a pool; the class knows no pool itself."""
    async with AsyncConnectionPool(
        place.url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs={"autocommit": True}, open=False
    ) as pool:
        async with pool.connection() as connection:
            await PostgresChatMessageHistory.acreate_tables(connection, _TABLE)

        @contextlib.asynccontextmanager
        async def history(number: int) -> AsyncIterator[Any]:
            name = str(uuid.uuid5(uuid.NAMESPACE_OID, session_name(number)))
            async with pool.connection() as connection:
                yield PostgresChatMessageHistory(_TABLE, name, async_connection=connection)

        yield LangChainHistories(history)


@contextlib.asynccontextmanager
async def open_redis(place: Place) -> AsyncIterator[LangChainHistories]:
    """Open histories on Redis, which are kept: each has a client of its own."""

    @functools.cache
    def history(number: int) -> Any:
        return RedisChatMessageHistory(session_name(number), url=place.url, key_prefix=f"{place.prefix}chat:")

    yield LangChainHistories(lambda number: contextlib.nullcontext(history(number)))
    history.cache_clear()
