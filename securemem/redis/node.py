"""One Redis server: a few of redis-py's connections, and what is asked at the same time sent in one write.

A command is sent packed and its reply read, with nothing of redis-py's clients in between, which cost more than the
server. Replies come in the order of the commands: a call that was cancelled or failed in mid-air costs its connection,
so that no reply is ever taken for another's. A script that the server has forgotten is sent whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import hiredis
from redis import exceptions as rx
from redis.asyncio.connection import AbstractConnection

from securemem.batch import Batch, Crowd
from securemem.errors import BackendUnavailableError
from securemem.redis.address import Address
from securemem.redis.limits import Limits
from securemem.redis.refusals import UnsentError, redirected, translator
from securemem.remote import Remote

Command: TypeAlias = tuple[bytes | str | int, ...]
Ask: TypeAlias = Callable[..., Awaitable[Any]]

_LANES = 2
_MOST_TOGETHER = 16


class Script(NamedTuple):
    """A Lua script on one key."""

    text: str
    digest: bytes

    @classmethod
    def of(cls, text: str) -> Script:
        """Give a script by its text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())

    def on(self, key: bytes, *arguments: bytes | int) -> Command:
        """Give the command that runs it."""
        return (b"EVALSHA", self.digest, 1, key, *arguments)


class Node:
    """One server's connections.

    Attributes:
        address: where it is.
        translated: gives a driver's error as one of ours.
        remote: how calls to it are made again while it is not well.
        seconds: how long an answer is waited for.
        well: whether the last call got its answer.
    """

    def __init__(self, address: Address, limits: Limits, scripts: Iterable[Script], *, cluster: bool) -> None:
        """Say where it is; nothing is opened yet.

        Args:
            address: of the server.
            limits: of connections and time.
            scripts: that commands may run.
            cluster: whether it is a node of one.
        """
        self.address = address
        self.translated = translator(address.name, cluster=cluster)
        self.well = True
        self.remote = Remote(address.name, self.translated, limits.patience)
        self._scripts = {script.digest: script.text for script in scripts}
        self.seconds = limits.patience.attempt
        self._room = asyncio.Semaphore(limits.size)
        self._free: list[AbstractConnection] = []
        self._closed = self._leaving = False
        self._batch: Batch[Command, Any] = Batch(
            self._alone, self.exchange, lanes=min(_LANES, limits.size), crowd=Crowd(), most=_MOST_TOGETHER
        )

    @property
    def name(self) -> str:
        """The server, for errors."""
        return self.address.name

    async def send(self, command: Command) -> Any:
        """Send one command, with others that are asked for at the same time, and give its reply.

        Raises:
            redis.exceptions.ResponseError: the server refused it.
            UnsentError: no connection could be opened.
            redis.exceptions.RedisError, OSError: there was no reply; it may have been carried out.
        """
        return await self._batch.call(command)

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one write on one connection, and give their replies; refusals are among them, as errors.

        Raises:
            UnsentError, redis.exceptions.RedisError, OSError: as `send`.
        """
        async with asyncio.timeout(self.seconds), self._room:
            connection = self._free.pop() if self._free else await self._connect()
            try:
                replies = await converse(connection, commands)
                forgotten = [place for place, reply in enumerate(replies) if type(reply) is rx.NoScriptError]
                if forgotten:
                    whole = [self.whole(commands[place]) for place in forgotten]
                    for place, reply in zip(forgotten, await converse(connection, whole), strict=True):
                        replies[place] = reply
            except BaseException as exc:
                await connection.disconnect(nowait=True)
                if isinstance(exc, rx.RedisError | OSError):
                    await self._drop_free()  # most likely dead as well
                raise
            self._free.append(connection)
            if self._leaving or any(type(reply) is rx.ReadOnlyError for reply in replies):
                await self._drop_free()  # the name may lead to another server by now
            return replies

    def whole(self, command: Command) -> Command:
        """Give a command with its script's text instead of its digest, where it runs one."""
        digest = command[1] if command[0] == b"EVALSHA" else b""
        return (b"EVAL", self._scripts[digest], *command[2:]) if isinstance(digest, bytes) and digest else command

    async def ask(self, *commands: Command) -> list[Any]:
        """Exchange commands that may be repeated; again where the connection failed.

        Raises:
            BackendUnavailableError, ConfigurationError: as `Remote.call`.
        """
        return await self.remote.call(lambda _: self.exchange(commands))

    @asynccontextmanager
    async def connection(self, seconds: float) -> AsyncIterator[Ask]:
        """Open a connection for something long, for so many seconds at most, and close it.

        Yields:
            What sends one command on it and gives the reply, or raises what the server refused it with.

        Raises:
            BackendUnavailableError, ConfigurationError: the connection failed.
        """
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect()
                try:
                    yield lambda *command: _ask(connection, command)
                finally:
                    await connection.disconnect(nowait=True)
        except (UnsentError, rx.RedisError, OSError) as exc:
            failure = self.translated(exc)
            raise (failure.error if failure is not None else BackendUnavailableError(self.name)) from exc

    def reopen(self) -> None:
        """Be usable again after `aclose`."""
        self._closed = self._leaving = False

    async def retire(self) -> None:
        """Keep no connection any longer than a call; what is asked of it still goes on."""
        self._leaving = True
        await self._drop_free()

    async def aclose(self) -> None:
        """Finish what is under way and close the connections."""
        await self._batch.aclose()
        self._closed = self._leaving = True
        while self._free:
            connection = self._free.pop()
            try:
                await connection.disconnect()
            except (rx.RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _alone(self, command: Command) -> Any:
        [reply] = await self.exchange((command,))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _connect(self) -> AbstractConnection:
        if self._closed:
            raise BackendUnavailableError(f"{self.name}: this connection was closed")
        connection = self.address.connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as exc:
            await connection.disconnect(nowait=True)
            if isinstance(exc, rx.RedisError | OSError):
                raise UnsentError from exc
            raise
        return connection

    async def _drop_free(self) -> None:
        while self._free:
            await self._free.pop().disconnect(nowait=True)


async def converse(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Send commands and read as many replies; refusals are among them, as errors."""
    packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
    await connection.send_packed_command(packed, check_health=False)
    replies = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except rx.ResponseError as exc:
            replies.append(redirected(exc))
    return replies


async def _ask(connection: AbstractConnection, command: Command) -> Any:
    [reply] = await converse(connection, (command,))
    if isinstance(reply, Exception):
        raise reply
    return reply
