"""Reads off the wire what a client sends: PostgreSQL's messages, Redis's commands, and in how many writes they came.

    async with tapped(url) as (tap, through):
        ...                      # a client of `through`, warmed up
        tap.begin()
        await work()
        assert tap.sent == [...]

A message of PostgreSQL is named by its type byte (`B` bind, `Q` simple query, `S` sync, ...), what comes before a
connection is set up by nothing; a command of Redis by its first word.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import hiredis

from securemem.testing.faultproxy import Direction, FaultProxy

_SSL_REQUEST = 80877103
_ROUND_TRIPS = frozenset("SHQ")
"""Messages of PostgreSQL after which a client waits: sync, flush, simple query."""
_STATEMENTS = frozenset("BQ")
"""Messages of PostgreSQL that run something."""

Parse = Callable[[bytes], Iterator[str]]


class Tap(Direction):
    """The way from clients to a server, which keeps what passes.

    Attributes:
        sent: the names of messages or commands since `begin`, in order.
        writes: in how many chunks they came.
    """

    def __init__(self, parser: Callable[[], Parse]) -> None:
        """Take what makes a parser, for each connection one."""
        super().__init__()
        self._parser = parser
        self._parsers: dict[asyncio.StreamWriter, Parse] = {}
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self.sent: list[str] = []
        self.writes = 0

    @property
    def statements(self) -> int:
        """How many statements PostgreSQL was to run."""
        return sum(name in _STATEMENTS for name in self.sent)

    @property
    def round_trips(self) -> int:
        """How often a client of PostgreSQL waited for it."""
        return sum(name in _ROUND_TRIPS for name in self.sent)

    async def _forward(self, chunk: bytes, target: asyncio.StreamWriter) -> None:
        parse = self._parsers.setdefault(target, self._parser())
        self.sent += parse(chunk)
        self.writes += 1
        await super()._forward(chunk, target)


def _postgres() -> Parse:
    """Give what reads one connection's messages to PostgreSQL."""
    rest, started = b"", False

    def parse(chunk: bytes) -> Iterator[str]:
        nonlocal rest, started
        rest += chunk
        while len(rest) >= 5 + 3 * (not started):
            skip = int(started)
            size = skip + int.from_bytes(rest[skip : skip + 4])
            if len(rest) < size:
                return
            if started:
                yield chr(rest[0])
            else:
                started = int.from_bytes(rest[4:8]) != _SSL_REQUEST
            rest = rest[size:]

    return parse


def _redis() -> Parse:
    """Give what reads one connection's commands to Redis."""
    reader = hiredis.Reader()

    def parse(chunk: bytes) -> Iterator[str]:
        reader.feed(chunk)
        while (command := reader.gets()) is not False:
            yield command[0].decode().upper()

    return parse


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[tuple[Tap, str]]:
    """Stand before a server that speaks without TLS; gives what counts, and the URL through it."""
    parts = urlsplit(url)
    proxy = FaultProxy(parts.hostname or "", parts.port or 0)
    proxy.requests = tap = Tap(_redis if parts.scheme == "redis" else _postgres)
    async with proxy:
        place = f"{parts.netloc.rpartition('@')[0]}@{proxy.host}:{proxy.port}".lstrip("@")
        yield tap, parts._replace(netloc=place).geturl()
