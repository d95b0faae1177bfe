"""The raw drivers of the servers as one must use them: asyncpg's pool of 8, and redis-py's asyncio client.

Each does its work in the fewest round trips that it can be done in. With `keep` an append deletes what is beyond it in
the same step, and with `ttl` what it writes carries its end: on PostgreSQL a column that reads go by, on Redis the
key's own.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import msgspec
from redis.asyncio import Redis

from benchmarks.server_places import CONNECTIONS, POSTGRESQL, Place
from benchmarks.stores import Store, session_name
from benchmarks.texts import Said

_WINDOW = 20

_SCHEMA = """
create table m (
    sid text not null, id bigint generated always as identity, role text not null, content text not null,
    ts double precision not null, expires_at double precision not null, primary key (sid, id)
)
"""
_INSERT = "insert into m (sid, role, content, ts, expires_at) values ($1, $2, $3, $6, $7), ($1, $4, $5, $6, $7)"
_INSERT_AND_TRIM = f"""
with gone as (
    delete from m where sid = $1 and id <= (select id from m where sid = $1 order by id desc limit 1 offset $8)
)
{_INSERT}
"""
"""The deletion does not see the rows that are inserted beside it: `offset` is by two less than what is kept."""
_NEWEST = f"""
select role, content, ts from m where sid = $1 and expires_at > $2 order by id desc limit {_WINDOW}
"""

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Row(msgspec.Struct, array_like=True):
    """A message as it lies on Redis."""

    role: str
    content: str
    ts: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class RawPostgres:
    """Rows in a table, one statement an append."""

    def __init__(self, pool: Pool, *, keep: int | None, ttl: float) -> None:
        """Made by `open_raw`."""
        self._pool = pool
        self._keep = keep
        self._ttl = ttl

    async def append(self, number: int, said: list[Said]) -> None:
        """Insert two rows, and delete what is beyond `keep` where there is one."""
        (role, content), (answering, answer) = said
        now = time.time()
        row = (session_name(number), role, content, answering, answer, now, now + self._ttl)
        if self._keep is None:
            await self._pool.execute(_INSERT, *row)
        else:
            await self._pool.execute(_INSERT_AND_TRIM, *row, self._keep - 2)

    async def load(self, number: int) -> list[dict[str, Any]]:
        """Select the newest twenty as dicts."""
        rows = await self._pool.fetch(_NEWEST, session_name(number), time.time())
        return [dict(row) for row in reversed(rows)]


class RawRedis:
    """A list a session: a command where that is enough, a pipeline without MULTI where it is not."""

    def __init__(self, client: Redis, prefix: str, *, keep: int | None, ttl: float) -> None:
        """Made by `open_raw`."""
        self._client = client
        self._prefix = prefix
        self._keep = keep
        self._milliseconds = int(ttl * 1000) if math.isfinite(ttl) else None

    async def append(self, number: int, said: list[Said]) -> None:
        """Push messages, trim the list, and set its end."""
        key = self._key(number)
        if self._keep is None and self._milliseconds is None:
            await self._client.rpush(key, *_encoded(said))
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.rpush(key, *_encoded(said))
            if self._keep is not None:
                pipeline.ltrim(key, -self._keep, -1)
            if self._milliseconds is not None:
                pipeline.pexpire(key, self._milliseconds)
            await pipeline.execute()

    async def load(self, number: int) -> list[Row]:
        """Read the newest twenty."""
        rows: list[Any] = await self._client.lrange(self._key(number), -_WINDOW, -1)
        return [_decode(row) for row in rows]

    def _key(self, number: int) -> str:
        return f"{self._prefix}{session_name(number)}"


def _encoded(said: list[Said]) -> list[bytes]:
    now = time.time()
    return [_encode(Row(role, content, now)) for role, content in said]


@contextlib.asynccontextmanager
async def open_raw(place: Place, *, keep: int | None = None, ttl: float = math.inf) -> AsyncIterator[Store]:
    """Open the raw driver in an empty place.

    Args:
        place: where.
        keep: how many messages a session keeps; all of them if None.
        ttl: seconds that they live.
    """
    if place.backend == POSTGRESQL:
        async with asyncpg.create_pool(place.url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
            await pool.execute(_SCHEMA)
            yield RawPostgres(pool, keep=keep, ttl=ttl)
        return
    async with Redis.from_url(place.url) as client:
        yield RawRedis(client, place.prefix, keep=keep, ttl=ttl)
