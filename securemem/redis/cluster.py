"""A Redis Cluster: which node has which of the 16,384 slots, and where a node sends us that has one no more.

redis-py's cluster client is not used: on a failed connection it sends again by itself, so that nobody would learn that
an answer was lost; it sends ASKING on a connection of its own; and on the way to a new map it cuts other callers off.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis import exceptions as rx
from redis.crc import key_slot

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.redis.address import Address, Place
from securemem.redis.node import Node
from securemem.redis.refusals import UnsentError

SLOTS = 16384

_OLD_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_SOME, _ROUNDS = 5, 3


class Cluster:
    """The map of a cluster's slots."""

    def __init__(self, place: Place, make: Callable[[Address], Node]) -> None:
        """Name nodes that are known; the others are found at `open`.

        Args:
            place: where they are.
            make: gives what speaks to a node.
        """
        self._place = place
        self._make = make
        self._known = {address.key: make(address) for address in place.addresses}
        self._slots: list[Node | None] = [None] * SLOTS
        self._lock = asyncio.Lock()
        self._looked = 0.0
        self._retired: list[Node] = []
        self._closed = False

    async def open(self) -> None:
        """Find the nodes.

        Raises:
            ConfigurationError: what answers is no cluster.
            BackendUnavailableError: no node answers.
        """
        self._closed = False
        for node in self._known.values():
            node.reopen()
        first = next(iter(self._known.values()))
        await first.remote.call(lambda _: self._look())

    def owner(self, key: bytes) -> Node | None:
        """Give the node that has a key, if any has."""
        return self._slots[key_slot(key)]

    def route(self, key: bytes) -> Node:
        """Give the node that has a key; where nobody has, one that will say so."""
        return self._slots[key_slot(key)] or next(iter(self._known.values()))

    def primaries(self) -> list[Node]:
        """Give the nodes that have slots."""
        return list(dict.fromkeys(node for node in self._slots if node is not None))

    async def refresh(self) -> None:
        """Draw the map anew, if it was not just now."""
        async with self._lock:
            if time.monotonic() - self._looked > _OLD_SECONDS:
                await self._look()

    def follow(self, error: rx.AskError, asked: Node) -> Node:
        """Give the node where another one says that a slot is, for good or for this once."""
        node = self._node(_host(error.host.encode(), asked), error.port)
        if isinstance(error, rx.MovedError):
            if node not in self._slots:
                node.renew()
            self._slots[error.slot_id] = node
        return node

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        self._closed = True
        nodes, self._retired = [*self._known.values(), *self._retired], []
        await asyncio.gather(*(node.aclose() for node in nodes))

    def _node(self, host: str, port: int) -> Node:
        key = self._place.remap(host, port)
        return self._known.get(key) or self._take(self._place.addresses[0].at(*key))

    def _take(self, address: Address) -> Node:
        """Give the node at an address, known from now on."""
        if address.key not in self._known:
            if self._closed:
                raise BackendUnavailableError(f"{address.name}: the connections to this cluster were closed")
            self._known[address.key] = self._make(address)
        return self._known[address.key]

    async def _look(self) -> None:
        """Ask for the map, until one node has it.

        Raises:
            ConfigurationError: it is no cluster.
            UnsentError, redis.exceptions.RedisError, OSError: none could be asked.
        """
        failed: Exception = rx.ClusterDownError("no node is known")
        for nodes in self._rounds():
            found = await asyncio.gather(*(self._map_of(node) for node in nodes))
            for node, ranges in zip(nodes, found, strict=True):
                if isinstance(ranges, Exception):
                    failed = ranges
                elif ranges:
                    self._draw(node, ranges)
                    return
        raise failed

    def _rounds(self) -> Iterator[list[Node]]:
        """Give who is asked at once: one node, then some, then those that were named: all may have moved meanwhile."""
        known = list(self._known.values())
        random.shuffle(known)
        yield known[:1]
        yield known[1:_SOME]
        named = [self._take(address) for address in self._place.addresses]
        yield [node for node in named if node not in known[:_SOME]]

    async def _map_of(self, node: Node) -> list[Any] | Exception:
        """Give a node's map, or why there is none, in time for all rounds within one try."""
        try:
            async with asyncio.timeout(min(_LOOK_SECONDS, node.seconds / _ROUNDS)):
                [ranges] = await node.exchange([(b"CLUSTER", b"SLOTS")])
        except (UnsentError, rx.RedisError, OSError) as exc:
            return exc
        if isinstance(ranges, rx.ResponseError):
            return self._refused(node, ranges)
        found: list[Any] = ranges
        return found

    def _refused(self, node: Node, error: rx.ResponseError) -> Exception:
        if "cluster support disabled" in str(error):
            return ConfigurationError(f"{node.name} is no cluster: name it as redis:// or rediss://")
        return error

    def _draw(self, asked: Node, ranges: list[Any]) -> None:
        """Take over a map, and part with the nodes that are not in it any more."""
        slots: list[Node | None] = [None] * SLOTS
        present = set()
        for first, last, *nodes in ranges:
            members = [self._node(_host(host, asked), port) for host, port, *_ in nodes]
            present.update(members)
            slots[first : last + 1] = [members[0]] * (last + 1 - first)
        before, self._slots = self.primaries(), slots
        if before:
            for node in set(self.primaries()).difference(before):
                node.renew()
        self._looked = time.monotonic()
        for key, node in list(self._known.items()):
            if node not in present and node is not asked:
                del self._known[key]
                node.retire()
                self._retired.append(node)


def _host(host: bytes | None, asked: Node) -> str:
    """Give a node's host; one that does not know its own is reached as the one that was asked."""
    name = (host or b"").decode()
    return name if name not in ("", "?") else asked.address.key[0]
