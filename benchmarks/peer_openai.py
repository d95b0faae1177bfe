"""The sessions of the OpenAI Agents SDK: rows by SQLAlchemy, or a list on Redis, each plain and in EncryptedSession.

Session objects are kept, as are engine and client, which spares this peer the making of them in every request.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from agents.extensions.memory import EncryptedSession, RedisSession, SQLAlchemySession
from redis.asyncio import Redis
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peer import WINDOW
from benchmarks.server_places import CONNECTIONS, Place
from benchmarks.stores import session_name
from benchmarks.texts import Said

_AT_ONCE = 500
_DAY_SECONDS = 86_400


class OpenAiSessions:
    """Sessions, each made when it is first used."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        """Take what makes a session of an id."""
        self._make = make
        self._made: dict[int, Any] = {}

    async def fill(self, number: int, said: list[Said]) -> None:
        """Add some hundreds at a time."""
        for start in range(0, len(said), _AT_ONCE):
            await self.append(number, said[start : start + _AT_ONCE])

    async def append(self, number: int, said: list[Said]) -> None:
        """Add items in the form that a model's input has."""
        await self._session(number).add_items([{"role": role, "content": content} for role, content in said])

    async def load(self, number: int) -> object:
        """Get the newest twenty items."""
        return await self._session(number).get_items(WINDOW)

    async def turn(self, number: int, said: list[Said]) -> None:
        """Load twenty and append two."""
        await self.load(number)
        await self.append(number, said)

    def texts(self, loaded: Any) -> list[str]:
        """Give the contents."""
        return [item["content"] for item in loaded]

    def _session(self, number: int) -> Any:
        session = self._made.get(number)
        if session is None:
            session = self._made[number] = self._make(session_name(number))
        return session


def _encrypted(make: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap every session that is made; nothing in it ends during a run."""
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    return lambda name: EncryptedSession(name, make(name), key, ttl=_DAY_SECONDS)


@contextlib.asynccontextmanager
async def _sqlalchemy(place: Place) -> AsyncIterator[Callable[[str], Any]]:
    engine = create_async_engine(
        make_url(place.url).set(drivername="postgresql+asyncpg"), pool_size=CONNECTIONS, max_overflow=0
    )
    try:
        await SQLAlchemySession("first", engine=engine, create_tables=True).get_items()
        yield lambda name: SQLAlchemySession(name, engine=engine)
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def _redis(place: Place) -> AsyncIterator[Callable[[str], Any]]:
    async with Redis.from_url(place.url) as client:
        yield lambda name: RedisSession(name, redis_client=client, key_prefix=f"{place.prefix}agents")


@contextlib.asynccontextmanager
async def open_sqlalchemy(place: Place) -> AsyncIterator[OpenAiSessions]:
    """Open sessions on PostgreSQL."""
    async with _sqlalchemy(place) as make:
        yield OpenAiSessions(make)


@contextlib.asynccontextmanager
async def open_sqlalchemy_encrypted(place: Place) -> AsyncIterator[OpenAiSessions]:
    """Open encrypted sessions on PostgreSQL."""
    async with _sqlalchemy(place) as make:
        yield OpenAiSessions(_encrypted(make))


@contextlib.asynccontextmanager
async def open_redis(place: Place) -> AsyncIterator[OpenAiSessions]:
    """Open sessions on Redis."""
    async with _redis(place) as make:
        yield OpenAiSessions(make)


@contextlib.asynccontextmanager
async def open_redis_encrypted(place: Place) -> AsyncIterator[OpenAiSessions]:
    """Open encrypted sessions on Redis."""
    async with _redis(place) as make:
        yield OpenAiSessions(_encrypted(make))
