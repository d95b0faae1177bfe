"""One Redis server: the connection that all share, and the scripts that it is to know.

A script that the server has forgotten is sent whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

from redis import exceptions as rx

from securemem.errors import BackendUnavailableError
from securemem.redis.address import Address
from securemem.redis.pipe import Command, Pipe
from securemem.redis.refusals import UnsentError, translator
from securemem.remote import Patience, Remote

Ask: TypeAlias = Callable[..., Awaitable[Any]]


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


Greet: TypeAlias = "Callable[[Node, Pipe], Awaitable[None]]"
"""Looks at a server by a new connection; what it raises is given to whoever asked for that."""


class Node:
    """One server.

    Attributes:
        address: where it is.
        translated: gives a driver's error as one of ours.
        remote: how calls to it are made again while it is not well.
        seconds: how long an answer is waited for.
        well: whether the last call got its answer.
    """

    def __init__(
        self,
        address: Address,
        patience: Patience,
        scripts: Iterable[Script],
        *,
        cluster: bool,
        greet: Greet | None = None,
    ) -> None:
        """Say where it is; nothing is opened yet.

        Args:
            address: of the server.
            patience: how long it is waited for.
            scripts: that commands may run.
            cluster: whether it is a node of one.
            greet: looks at the server on every new connection that calls share, before any of them uses it; if given.
        """
        self._greet = greet
        self.address = address
        self.translated = translator(address.name, cluster=cluster)
        self.well = True
        self.remote = Remote(address.name, self.translated, patience)
        self.seconds = patience.attempt
        self._scripts = {script.digest: script.text for script in scripts}
        self._pipe: Pipe | None = None
        self._pipes: set[Pipe] = set()
        self._opening: asyncio.Task[Pipe] | None = None
        self._closed = self._leaving = False

    @property
    def name(self) -> str:
        """The server, for errors."""
        return self.address.name

    async def send(self, command: Command) -> Any:
        """Send one command and give its reply.

        Raises:
            redis.exceptions.ResponseError: the server refused it.
            UnsentError: no connection could be opened.
            redis.exceptions.RedisError, OSError: there was no reply; it may have been carried out.
        """
        pipe = self._pipe
        if pipe is None or not pipe.usable:
            pipe = await self._open()
        reply = await pipe.send(command)
        if isinstance(reply, Exception) or self._leaving:
            [reply] = await self._insist(pipe, [command], [reply])
            if isinstance(reply, Exception):
                raise reply
        return reply

    def ask_at_once(self, command: Command) -> asyncio.Future[Any] | None:
        """Send a command on the connection that is open; None where none is.

        Returns:
            What gives the reply, as `Pipe.send`; nobody has to wait for it.
        """
        pipe = self._pipe
        if pipe is None or self._leaving or not pipe.usable:
            return None
        return pipe.send(command)

    async def send_asking(self, command: Command) -> Any:
        """Send a command for a slot that is on its way here, as `send`."""
        # ASKING holds for one command only, so there is no second try for a script that the node does not know.
        replies = await self.exchange([(b"ASKING",), self.whole(command)])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies[1]

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands one right after the other, and give their replies; refusals are among them, as errors.

        Raises:
            UnsentError, redis.exceptions.RedisError, OSError: as `send`.
        """
        pipe = self._pipe
        if pipe is None or not pipe.usable:
            pipe = await self._open()
        return await self._insist(pipe, commands, await pipe.exchange(commands))

    async def _insist(self, pipe: Pipe, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
        """Send scripts that the server has forgotten whole, and leave a server that only reads."""
        forgotten = [place for place, reply in enumerate(replies) if type(reply) is rx.NoScriptError]
        if forgotten:
            whole = await pipe.exchange([self.whole(commands[place]) for place in forgotten])
            for place, reply in zip(forgotten, whole, strict=True):
                replies[place] = reply
        if self._leaving or any(type(reply) is rx.ReadOnlyError for reply in replies):
            pipe.leave()  # the name may lead to another server by now
        return replies

    def whole(self, command: Command) -> Command:
        """Give a command with its script's text instead of its digest, where it runs one."""
        digest = command[1] if command[0] == b"EVALSHA" else b""
        return (b"EVAL", self._scripts[digest], *command[2:]) if isinstance(digest, bytes) and digest else command

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
                pipe = await self._connect(seconds)
                try:
                    yield lambda *command: _ask(pipe, command)
                finally:
                    await pipe.aclose()
        except (UnsentError, rx.RedisError, OSError) as exc:
            failure = self.translated(exc)
            raise (failure.error if failure is not None else BackendUnavailableError(self.name)) from exc

    def reopen(self) -> None:
        """Be usable again after `aclose`."""
        self._closed = self._leaving = False

    def renew(self) -> None:
        """Let the next call open a connection, as to a server that was not known: it may have become a primary."""
        if self._pipe is not None:
            self._pipe.leave()

    def retire(self) -> None:
        """Keep no connection any longer than a call; what is asked of it still goes on."""
        self._leaving = True
        if self._pipe is not None:
            self._pipe.leave()

    async def aclose(self) -> None:
        """Close the connections; whoever still waits gets an error."""
        self._closed = self._leaving = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._pipe = None
        await asyncio.gather(*(pipe.aclose() for pipe in list(self._pipes)))

    async def _open(self) -> Pipe:
        """Give a connection that can be used, opened by whoever asks first.

        Raises:
            UnsentError: it could not be opened.
            BackendUnavailableError: this object was closed.
        """
        if self._closed:
            raise self._was_closed()
        opening = self._opening
        if opening is None:
            opening = self._opening = asyncio.create_task(self._begin())
            opening.add_done_callback(self._opened)
        await asyncio.wait([opening])  # whoever is cancelled here does not take it from the others
        if opening.cancelled():
            raise self._was_closed()
        pipe = opening.result()
        if not pipe.usable:
            raise UnsentError from rx.ConnectionError("the connection ended at once")
        return pipe

    def _was_closed(self) -> BackendUnavailableError:
        return BackendUnavailableError(f"{self.name}: this connection was closed")

    def _opened(self, opening: asyncio.Task[Pipe]) -> None:
        self._opening = None
        if opening.cancelled() or opening.exception() is not None:
            return
        pipe = self._pipe = opening.result()
        self._pipes.add(pipe)
        pipe.ended.add_done_callback(lambda _: self._pipes.discard(pipe))
        if self._leaving:  # those who waited for it are yet to send; it may be that none is left
            asyncio.get_running_loop().call_later(self.seconds, pipe.leave)

    async def _begin(self) -> Pipe:
        """Open a connection and look whom it leads to, in the time of one try.

        Raises:
            UnsentError: it could not be opened, or it could not be told whom it leads to.
        """
        pipe: Pipe | None = None
        try:
            async with asyncio.timeout(self.seconds):
                pipe = await self._connect(self.seconds)
                if self._greet is not None:
                    await self._greet(self, pipe)
        except BaseException as exc:
            if pipe is not None:
                await pipe.aclose()
            if isinstance(exc, BackendUnavailableError | rx.RedisError | OSError):
                raise UnsentError from exc
            raise
        return pipe

    async def _connect(self, seconds: float) -> Pipe:
        connection = self.address.connection()
        try:
            async with asyncio.timeout(self.seconds):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as exc:
            await connection.disconnect(nowait=True)
            if isinstance(exc, rx.RedisError | OSError):
                raise UnsentError from exc
            raise
        return Pipe(connection, seconds)


async def _ask(pipe: Pipe, command: Command) -> Any:
    [reply] = await pipe.exchange((command,))
    if isinstance(reply, Exception):
        raise reply
    return reply
