"""The stamp of the data in a Redis: a hash at the prefix and `stamp`; in a cluster several, so that each node has one.

A node of a cluster fails over by itself, and what it lost shows in a stamp that lies on it and nowhere else. Which
slots a node has may change; so there are `COUNT` of them, `{stamp:0}` and so on, all of which every act moves: a node
has one of them as good as surely as long as there are no more than about twenty nodes. What they say together is what
the lowest of them says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions as rx

from securemem.errors import ConfigurationError
from securemem.model import Stamp
from securemem.redis.node import Node, Script
from securemem.redis.pipe import Command, Pipe
from securemem.redis.refusals import UnsentError
from securemem.redis.server import RedisServer
from securemem.remote import went_back

COUNT = 128
_FORMAT = 1


class Stamps:
    """Reads and moves them, and holds each server that is connected to against them."""

    def __init__(self, prefix: bytes, script: Script, *, cluster: bool) -> None:
        """Name the keys.

        Args:
            prefix: of all keys.
            script: moves one of them, and gives the deployment that it is of.
            cluster: whether they lie in one.
        """
        self._keys = [b"%b{stamp:%d}" % (prefix, each) for each in range(COUNT)] if cluster else [prefix + b"stamp"]
        self._script = script
        self._stood = 0
        self._least: Callable[[], Awaitable[int]] | None = None

    def let_go(self) -> None:
        """Hold no server against them until `hold_against`."""
        self._stood, self._least = 0, None

    async def begin(self, server: RedisServer) -> Stamp | None:
        """Give what they say; None where there is none at all.

        Raises:
            ConfigurationError: something else is there, or of a newer version.
        """
        replies = await asyncio.gather(*(server.call(key, _query(key)) for key in self._keys))
        found = [_read(server.name, *fields) for fields, _ in replies]
        there = [stamp for stamp in found if stamp is not None]
        if not there:
            return None
        self._stood = min(stamp.counter if stamp is not None else 0 for stamp in found)
        return Stamp(there[0].deployment, self._stood)

    async def move(self, server: RedisServer, stamp: Stamp) -> None:
        """Raise them; the first one says whose deployment it is."""
        first, *others = self._keys
        deployment, _ = await server.call(first, self._script.on(first, stamp.deployment, stamp.counter, _FORMAT))
        moves = [server.call(key, self._script.on(key, deployment, stamp.counter, _FORMAT)) for key in others]
        await asyncio.gather(*moves)
        self._stood = max(self._stood, stamp.counter)

    def hold_against(self, least: Callable[[], Awaitable[int]]) -> None:
        """As `ports.Reconnecting`."""
        self._least = least

    async def greet(self, node: Node, pipe: Pipe) -> None:
        """Refuse a server that has gone back to an older state since the store was opened.

        A node of a cluster is asked for all of them, and answers for those that it has: what is known here of its slots
        may be of yesterday, or nothing yet.

        Raises:
            NotReadyError: it has missed acts, which nobody may read or write without.
            UnsentError: it does not say, as while it is loading or cannot serve its part of a cluster.
        """
        if self._least is None:
            return
        least = max(self._stood, await self._least())
        for fields in await pipe.exchange([_query(key) for key in self._keys]):
            if _is_elsewhere(fields):
                continue
            if isinstance(fields, Exception):
                raise UnsentError from fields  # it may serve in a moment what it cannot show now
            stamp = _read(node.name, *fields)
            if (stamp.counter if stamp is not None else 0) < least:
                raise went_back(node.name)


def _is_elsewhere(reply: Any) -> bool:
    """Tell whether a node says of a key that another node has it, or none."""
    nobodys = isinstance(reply, rx.ClusterDownError) and "not served" in str(reply)
    return nobodys or isinstance(reply, rx.AskError)


def _query(key: bytes) -> Command:
    return (b"HMGET", key, b"format", b"deployment", b"counter")


def _read(name: str, version: bytes | None, deployment: bytes | None, counter: bytes | None) -> Stamp | None:
    """Read a stamp.

    Args:
        name: the server's, for errors.
        version: of the format, and
        deployment: whose it is, and
        counter: up to which act all is done; None where these are not there.
    """
    if version is None and deployment is None and counter is None:
        return None
    if version is None or not version.isdigit() or deployment is None or counter is None or not counter.isdigit():
        raise ConfigurationError(f"{name} has something else under our names: give another prefix")
    if int(version) > _FORMAT:
        raise ConfigurationError(f"{name}: this data is of a newer version of SecureMem: install that")
    return Stamp(deployment, int(counter))
