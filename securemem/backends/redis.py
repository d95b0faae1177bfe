"""The Redis data store: a list for each session, and one script call for each change.

`redis://`, `rediss://`, `redis+cluster://`, `redis+sentinel://` or a caller's own client, and a `prefix`. A list's key
is the prefix and the session's handle in hex within braces, so that a cluster keeps all of a session in one slot. It
holds the rows, oldest first, and as its last element the head:

    next u64 | due u64 | head                  (big-endian; due in milliseconds, 0 = never)

Rows are contiguous, so a row's seq follows from `next`, the seq after the newest, and from its place: one LRANGE reads
head and rows. An element of under 16 bytes, or whose `next` is above 2³² - 1, is none of ours: it is given as the head
as it lies there, for the reader to refuse.

The stamp lies beside them (`redis.stamps`). A session that ends expires as a whole `GRACE_SECONDS` after the hour in
which its last record does, by the server's own clock: a net behind the readers, who go by each record, and the worker.
Deleted lists are freed at once, not when the server finds time; freed memory is not overwritten.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from securemem import sql
from securemem.backends.settling import settle
from securemem.errors import ConfigurationError, InvalidInputError
from securemem.model import HANDLE_BYTES, NEVER, Change, Residue, Stamp, Tail
from securemem.redis import Command, Node, Pipe, RedisServer, Script, place_of_client, place_of_url
from securemem.redis.checks import examine
from securemem.redis.durability import purge
from securemem.redis.encounters import Encounters
from securemem.redis.stamps import Stamps
from securemem.redis.waiting import Probe, persist
from securemem.remote import Patience

OPTIONS = frozenset({"timeout", "patience", "sentinel_username", "sentinel_password"})
"""What of a URL's query is ours; the rest is the driver's, `ssl_ca_certs` and `client_name` among it."""
GRACE_SECONDS = 24 * 3600

_FULL = 0xFFFFFFFF
_NEXT, _HEAD = 8, 16
"""Where in the last element what comes after `next`, and after `due`, begins."""
_GRACE = 1000 * GRACE_SECONDS
_AT_ONCE = 1000
_GLOB = re.compile(rb"([*?\[\]\\])")
_KEY = re.compile(rb"[0-9a-f]{%d}\}" % (2 * HANDLE_BYTES))


class RedisBackend:
    """Rows and heads in a Redis or Valkey server, or a cluster of them.

    Attributes:
        caveats: which of the server's settings may lose what was written, once it is open.
    """

    def __init__(self, url: str | None, options: Mapping[str, str], *, prefix: str, client: Any = None) -> None:
        """Name the server and the prefix; nothing is opened yet.

        Args:
            url: one of those above, with the driver's own parameters; not looked at where there is a client.
            options: of `OPTIONS`.
            prefix: of all keys.
            client: the caller's own, of which the settings are taken; it is never closed.

        Raises:
            ConfigurationError: a URL, an option, a prefix or a client that cannot be used.
        """
        if not prefix or set(prefix) & set("{}"):
            raise ConfigurationError(
                "prefix has to be at least one character, without braces: they keep a session together"
            )
        place = place_of_client(client, options) if client is not None else place_of_url(url or "", options)
        self._scripts = _scripts()
        self._server = RedisServer(place, Patience.of(options, place.timeout), self._scripts.values(), self._greet)
        name = prefix.encode("utf-8", "surrogateescape")
        self._prefix = name + b"{"
        self._stamps = Stamps(name, self._scripts["stamp"], cluster=self._server.cluster)
        self._pattern = _GLOB.sub(rb"\\\1", self._prefix) + b"?" * (2 * HANDLE_BYTES) + b"}"
        self._encounters = Encounters()
        self.caveats: list[str] = []

    async def open(self) -> Stamp | None:
        """As `ports.Backend`."""
        self._stamps.let_go()
        await self._server.open()
        found = await self._server.survey(
            self._new_key, lambda node, key: examine(self._server, node, key, self._pattern, self._scripts)
        )
        self.caveats = list(dict.fromkeys(caveat for caveats in found for caveat in caveats))
        return await self._stamps.begin(self._server)

    def hold_against(self, least: Callable[[], Awaitable[int]]) -> None:
        """As `ports.Reconnecting`."""
        self._stamps.hold_against(least)

    @property
    def encounters(self) -> int:
        """As `ports.Reconnecting`."""
        return self._encounters.count

    async def _greet(self, node: Node, pipe: Pipe) -> None:
        await self._encounters.note(node, pipe)
        await self._stamps.greet(node, pipe)

    async def persist(self, seconds: float) -> None:
        """As `ports.Reconnecting`."""
        await self._server.primaries()
        places = self._server.keys_everywhere(self._new_key)
        script = self._scripts["rights"]
        await asyncio.gather(
            *(persist(node, Probe(script, key, self._new_key), seconds) for node, key in places.items())
        )

    async def stamp(self, stamp: Stamp) -> None:
        """As `ports.Backend`."""
        await self._stamps.move(self._server, stamp)

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Backend`."""
        key = self._key(session)
        page, _ = await self._server.call(key, self._page(key, limit, before))
        return _tail(page, before)

    def prefetch(self, session: bytes, limit: int, before: int | None = None) -> Awaitable[Tail] | None:
        """As `ports.Prefetching`."""
        key = self._key(session)
        return self._server.ask_at_once(key, self._page(key, limit, before), lambda page: _tail(page, before))

    def _page(self, key: bytes, limit: int, before: int | None) -> Command:
        """Give the command whose reply is rows, oldest first, and the head's element."""
        if before is None:
            return (b"LRANGE", key, -limit - 1, -1)
        return self._scripts["page"].on(key, limit, before)

    async def swap(self, change: Change) -> bytes | None:
        """As `ports.Backend`."""
        if change.rows and change.rows[-1][0] >= _FULL:
            raise InvalidInputError("this session is full: 4,294,967,294 messages; fork it")
        key = self._key(change.session)
        command = self._scripts["swap"].on(key, *_arguments(change))
        current, again = await self._server.call(key, command)
        return None if current is None else await settle(change, current, self._rows_at, again=again)

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """As `ports.Backend`."""
        deleted = 0
        for start in range(0, len(sessions), _AT_ONCE):
            batch = sessions[start : start + _AT_ONCE]
            deleted += sum(await asyncio.gather(*(self._delete(self._key(session), heads=heads) for session in batch)))
        return deleted

    async def _delete(self, key: bytes, *, heads: bool) -> int:
        """Delete the rows of one session; gives how many these were, also where the answer that says so was lost."""
        held, _ = await self._server.call(key, (b"LLEN", key))
        rows, lost = await self._server.call(key, self._scripts["delete"].on(key, int(heads)))
        return max(held - 1, 0) if lost and not rows else int(rows)

    async def due(self, now: int, limit: int) -> list[bytes]:
        """As `ports.Backend`; there is no index, so every head is looked at."""

        async def over(nodes: list[Node]) -> list[bytes]:
            most: list[tuple[int, bytes]] = []
            for node in nodes:
                async for keys in self._keys(node):
                    found = await self._dues(node, keys, now)
                    most = heapq.nsmallest(limit, {*most, *found})
            return [session for _, session in most]

        return await self._server.walk(over)

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """As `ports.Countable`; list by list, each counted where it lies."""
        if sessions is None:
            return await self._server.walk(self._count_all)
        found: Counter[bytes] = Counter()
        for start in range(0, len(sessions), _AT_ONCE):
            await self._count([self._key(session) for session in sessions[start : start + _AT_ONCE]], found)
        return found

    async def _count_all(self, nodes: list[Node]) -> Counter[bytes]:
        found: Counter[bytes] = Counter()
        for node in nodes:
            async for keys in self._keys(node):
                await self._count(keys, found)
        return found

    async def _count(self, keys: list[bytes], found: Counter[bytes]) -> None:
        script = self._scripts["census"]
        for counts, _ in await asyncio.gather(*(self._server.call(key, script.on(key)) for key in keys)):
            found.update(dict(zip(counts[::2], counts[1::2], strict=True)))

    async def purge(self, seconds: float) -> list[Residue]:
        """As `ports.Backend`."""
        return await purge(self._server, self._new_key, self._scripts["rights"], store="data", seconds=seconds)

    async def aclose(self) -> None:
        """As `ports.Backend`."""
        await self._server.aclose()

    def _key(self, session: bytes) -> bytes:
        return b"%b%b}" % (self._prefix, session.hex().encode())

    def _new_key(self) -> bytes:
        """Give the key of a session that nobody has."""
        return self._key(os.urandom(HANDLE_BYTES))

    async def _rows_at(self, session: bytes, seqs: list[int]) -> dict[int, bytes]:
        low, high = min(seqs), max(seqs)
        tail = await self.tail(session, high + 1 - low, high + 1)
        wanted = set(seqs)
        return {seq: body for seq, body in tail.rows if seq in wanted}

    async def _keys(self, node: Node) -> AsyncIterator[list[bytes]]:
        """Give the keys of all sessions on a server, about a thousand at a time; one may come twice."""
        cursor = b"0"
        while True:
            [[cursor, keys]] = await self._server.require(
                node, (b"SCAN", cursor, b"MATCH", self._pattern, b"COUNT", _AT_ONCE)
            )
            yield [key for key in keys if _KEY.fullmatch(key, len(self._prefix))]
            if cursor == b"0":
                return

    async def _dues(self, node: Node, keys: list[bytes], now: int) -> list[tuple[int, bytes]]:
        """Give what of some sessions is due, and which they are."""
        found = []
        for key, element in zip(
            keys, await self._server.ask(node, *((b"LINDEX", key, -1) for key in keys)), strict=True
        ):
            if isinstance(element, Exception):
                element, _ = await self._server.call(key, (b"LINDEX", key, -1))  # noqa: PLW2901  (moved meanwhile)
            if element is None or _following(element) is None:
                continue
            due = int.from_bytes(element[_NEXT:_HEAD])
            if NEVER < due <= now:
                found.append((due, bytes.fromhex(key[len(self._prefix) : -1].decode())))
        return found


def _tail(page: list[bytes], before: int | None) -> Tail:
    """Give head and rows, newest first, of what a page's command gave."""
    if not page:
        return Tail(b"", [])
    element = page.pop()
    following = _following(element)
    if following is None:
        return Tail(element, [])
    newest = (following if before is None else min(following, before)) - 1
    page.reverse()
    return Tail(element[_HEAD:], list(zip(range(newest, newest - len(page), -1), page, strict=True)))


def _scripts() -> dict[str, Script]:
    """Read the scripts; what they share stands before each."""
    texts = sql.load(Path(__file__).with_suffix(".lua"))
    shared = texts.pop("element")
    return {name: Script.of(f"{shared}\n{text}") for name, text in texts.items()}


def _following(element: bytes) -> int | None:
    """Give the seq of the next row, if this is a head of ours."""
    if len(element) < _HEAD:
        return None
    following = int.from_bytes(element[:_NEXT])
    return following if following <= _FULL else None


def _arguments(change: Change) -> list[bytes | int]:
    """Give what the script wants to know of a change.

    The newest rows, as far down as they are without a gap, go as one run; those before it each with its seq.
    """
    due = b"" if change.due is None else change.due.to_bytes(_NEXT)
    until: bytes | int = b""
    if change.until is not None:
        until = change.until + _GRACE if change.until != NEVER else 0
    arguments = [change.expected, change.head, due, until, *change.trim]
    rows = change.rows
    if change.is_append:
        return [*arguments, rows[0][0] if rows else 0, len(rows), *[body for _, body in rows]]
    run, before = _parted(change)
    return [
        *arguments,
        run[0][0] if run else 0,
        len(run),
        *(body for _, body in run),
        *(part for row in before for part in row),
    ]


def _parted(change: Change) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Part the rows of a change into the newest ones without a gap, and those before them.

    Of two rows at one seq the later one counts, and what the change itself trims is not put.
    """
    first, end = change.trim
    rows = sorted((seq, body) for seq, body in dict(change.rows).items() if not first <= seq < end)
    cut = len(rows) - 1
    while cut > 0 and rows[cut - 1][0] == rows[cut][0] - 1:
        cut -= 1
    return rows[cut:], rows[:cut]
