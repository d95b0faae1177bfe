"""A Redis as the data store calls it: one server, or whichever node of a cluster has the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, Protocol, TypeVar

from redis import exceptions as rx

from securemem.redis.address import Address, Place
from securemem.redis.cluster import Cluster
from securemem.redis.node import Greet, Node, Script
from securemem.redis.pipe import Command
from securemem.redis.refusals import DepartedError, UnsentError
from securemem.remote import Patience

T = TypeVar("T")

_MOST_REDIRECTIONS = 8
_PAUSE_SECONDS = 0.25


class Topology(Protocol):
    """Which server has which key."""

    async def open(self) -> None:
        """Find out."""

    def owner(self, key: bytes) -> Node | None:
        """Give the server that has a key, if any has."""

    def route(self, key: bytes) -> Node:
        """Give the server that has a key; where none has, one that will say so."""

    def primaries(self) -> list[Node]:
        """Give all servers that have keys."""

    async def refresh(self) -> None:
        """Find out anew."""

    def follow(self, error: rx.AskError, asked: Node) -> Node:
        """Give the server where the one that was asked says that a key is."""

    async def aclose(self) -> None:
        """Close all connections."""


class _Single:
    """One server that has all keys."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def open(self) -> None:
        self._node.reopen()

    def owner(self, key: bytes) -> Node | None:  # noqa: ARG002  (as `Topology`)
        return self._node

    def route(self, key: bytes) -> Node:  # noqa: ARG002  (as `Topology`)
        return self._node

    def primaries(self) -> list[Node]:
        return [self._node]

    async def refresh(self) -> None:
        """There is nothing to find out."""

    def follow(self, error: rx.AskError, asked: Node) -> Node:  # noqa: ARG002  (as `Topology`)
        raise error

    async def aclose(self) -> None:
        await self._node.aclose()


class RedisServer:
    """The servers behind one URL or client."""

    def __init__(self, place: Place, patience: Patience, scripts: Iterable[Script], greet: Greet | None = None) -> None:
        """Say where it is; nothing is opened yet.

        Args:
            place: the server, or some of a cluster's nodes.
            patience: how long each server is waited for.
            scripts: that commands may run.
            greet: looks at a server on every new connection that calls share.
        """
        every = tuple(scripts)

        def make(address: Address) -> Node:
            return Node(address, patience, every, cluster=place.cluster, greet=greet)

        self.cluster = place.cluster
        self.name = place.addresses[0].name
        self._patience = patience
        self._place = place
        self._topology: Topology = Cluster(place, make) if place.cluster else _Single(make(place.addresses[0]))

    async def open(self) -> None:
        """Get ready.

        Raises:
            BackendUnavailableError, ConfigurationError: a cluster cannot be reached, or is none.
        """
        await self._topology.open()

    async def call(self, key: bytes, command: Command) -> tuple[Any, bool]:
        """Send a command to the server that has a key; again where the connection failed, or the key has moved.

        Returns:
            The reply, and whether the command may have been carried out before, in a try whose answer was lost.

        Raises:
            BackendUnavailableError, ConfigurationError: as `Remote.call`.
            InvalidInputError: our own script refused it.
        """
        node, began = self._topology.route(key), time.monotonic()
        if not node.well:
            return await self._insist(node, key, command, since=began, lost=False)
        try:
            return await node.send(command), False
        except (UnsentError, rx.RedisError, OSError) as exc:
            failure = node.translated(exc)
            if failure is not None and not failure.passing:
                raise failure.error from exc
            return await self._insist(node, key, command, since=began, lost=_is_lost(exc))

    def ask_at_once(self, key: bytes, command: Command, read: Callable[[Any], T]) -> Awaitable[T] | None:
        """Send a command that may be repeated to the server that has a key, now and without waiting.

        Args:
            key: of the command.
            command: to send.
            read: makes something of the reply.

        Returns:
            What gives that, with all tries that `call` makes, and need not be awaited; None where nothing can be sent
            just now, or the server was not well.
        """
        node, began = self._topology.route(key), time.monotonic()
        reply = node.ask_at_once(command) if node.well else None
        if reply is None:
            return None

        async def anew(error: Exception) -> Any:
            if isinstance(error, rx.ResponseError):
                return (await self.call(key, command))[0]
            return (await self._insist(node, key, command, since=began, lost=False))[0]

        return _Asked(reply, read, anew)

    async def _insist(self, node: Node, key: bytes, command: Command, *, since: float, lost: bool) -> tuple[Any, bool]:
        """Send a command as often as it takes, while the server is not well."""

        async def attempt(_: bool) -> Any:  # noqa: FBT001  (as `Remote.call` has it)
            nonlocal lost
            await self._topology.refresh()
            try:
                return await self._send(key, command)
            except BaseException as exc:
                lost = lost or _is_lost(exc)
                raise

        node.well = False
        reply = await node.remote.call(attempt, since=since)
        node.well = True
        return reply, lost

    async def ask(self, node: Node, *commands: Command) -> list[Any]:
        """Exchange commands that may be repeated with one server; again where the connection failed.

        Returns:
            The replies; refusals are among them, as errors.

        Raises:
            DepartedError: meanwhile it has no keys of its cluster any more.
            BackendUnavailableError, ConfigurationError: as `Remote.call`.
        """
        return await self._exchange(node, commands, lambda _: None)

    async def require(self, node: Node, *commands: Command) -> list[Any]:
        """As `ask`, with every command answered; again also where a refusal may pass.

        Raises:
            DepartedError: also where another node of the cluster has one of the keys.
            BackendUnavailableError, ConfigurationError: as `ask`, or one was refused.
        """

        def check(reply: Any) -> None:
            if isinstance(reply, rx.AskError) and self.cluster:
                raise DepartedError(f"{node.name} has handed keys to another node") from reply
            if isinstance(reply, Exception):
                raise reply

        return await self._exchange(node, commands, check)

    async def _exchange(self, node: Node, commands: Iterable[Command], check: Callable[[Any], None]) -> list[Any]:
        every = tuple(commands)

        async def attempt(again: bool) -> list[Any]:  # noqa: FBT001  (as `Remote.call` has it)
            if again:
                await self._topology.refresh()
                if node not in self._topology.primaries():
                    raise DepartedError(f"{node.name} has no keys of its cluster any more")
            replies = await node.exchange(every)
            for reply in replies:
                check(reply)
            return replies

        return await node.remote.call(attempt)

    async def survey(self, make_key: Callable[[], bytes], look: Callable[[Node, bytes], Awaitable[T]]) -> list[T]:
        """Look at every server that has keys; where a cluster changes meanwhile, at those that have them then.

        Args:
            make_key: gives keys that nobody has.
            look: at a server, by a key that lies on it.

        Raises:
            DepartedError: the cluster did not come to rest.
            BackendUnavailableError, ConfigurationError: what `look` raises.
        """
        seen = dict[Node, T]()

        async def walk(_: list[Node]) -> list[T]:
            places = self.keys_everywhere(make_key)
            for node in places.keys() - seen.keys():
                seen[node] = await look(node, places[node])
            return list(seen.values())

        return await self.walk(walk)

    async def walk(self, over: Callable[[list[Node]], Awaitable[T]]) -> T:
        """Go over the servers that have keys; from the beginning where a cluster changes meanwhile.

        Args:
            over: goes over them once.

        Raises:
            DepartedError: the cluster did not come to rest.
            BackendUnavailableError, ConfigurationError: nobody can say which they are, or what `over` raises.
        """
        until = None
        while True:
            try:
                return await over(await self.primaries())
            except DepartedError:
                now = time.monotonic()
                until = until or now + self._patience.whole
                if now > until:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def primaries(self) -> list[Node]:
        """Give the servers that have keys, as things are now.

        Raises:
            BackendUnavailableError, ConfigurationError: nobody can say.
        """
        await self._topology.route(b"").remote.call(lambda _: self._topology.refresh())
        return self._topology.primaries()

    def keys_everywhere(self, make: Callable[[], bytes]) -> dict[Node, bytes]:
        """Give a key for every server, of those that are made."""
        nodes, found = self._topology.primaries(), dict[Node, bytes]()
        while len(found) < len(nodes):
            key = make()
            owner = self._topology.owner(key)
            if owner is not None:
                found.setdefault(owner, key)
        return found

    async def aclose(self) -> None:
        """Finish what is under way and close the connections."""
        await self._topology.aclose()
        await self._place.aclose()

    async def _send(self, key: bytes, command: Command) -> Any:
        """Send a command to the server that has a key, and on to where that says that it is."""
        node, asking, tries = self._topology.route(key), False, 0
        while True:
            try:
                return await (node.send_asking(command) if asking else node.send(command))
            except rx.AskError as exc:
                tries += 1
                if tries > _MOST_REDIRECTIONS:
                    raise
                node, asking = self._topology.follow(exc, node), not isinstance(exc, rx.MovedError)


class _Asked(Generic[T]):
    """What was asked for; without a reply, or with one that is an error, it is asked for anew."""

    __slots__ = ("_anew", "_read", "_reply")

    def __init__(
        self,
        reply: asyncio.Future[Any],
        read: Callable[[Any], T],
        anew: Callable[[Exception], Coroutine[Any, Any, Any]],
    ) -> None:
        self._reply = reply
        self._read = read
        self._anew = anew

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            reply = yield from self._reply
        except (rx.RedisError, OSError) as exc:
            reply = exc
        if isinstance(reply, Exception):
            reply = yield from self._anew(reply).__await__()
        return self._read(reply)


def _is_lost(exc: BaseException) -> bool:
    """Tell whether a command that failed so may have been carried out."""
    return not isinstance(exc, UnsentError | rx.ResponseError)
