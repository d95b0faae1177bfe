"""One connection to a Redis that all coroutines share: replies come in the order in which commands were sent.

redis-py opens the connection, with TLS, AUTH, SELECT and whatever a sentinel says, and hands its transport over; from
then on bytes go straight to hiredis and from there to whoever waits. What is asked for while a reply is under way
gathers until the end of the loop's tick, or until so much has that the server can begin; where nothing is under way a
command goes out at once. A caller that is cancelled leaves its place, and its reply is dropped when it comes. Who waits
alone goes on when the reply is read, a tick of the loop sooner than asyncio would have it.

A connection that fails fails all that wait: each of their commands may have been carried out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Self, TypeAlias

import hiredis
from redis import exceptions as rx
from redis.asyncio.connection import AbstractConnection, DefaultParser

from securemem.redis.refusals import redirected

Command: TypeAlias = tuple[bytes | str | int, ...]

_MOST_GATHERED = 16
"""So many commands go out before the tick is over, so that server and client work at the same time."""
_READ_BYTES = 64 * 1024
_CLOSING_SECONDS = 1.0
_LATE_SECONDS, _LATEST_SECONDS = 0.02, 1.0
"""How often, and how long past its time, a reply is waited for while something comes: this process may have been held
up, and what is there already be read only now."""
_INCOMPLETE = object()


class Reply(asyncio.Future[Any]):
    """A reply to come, to what nothing else was under way beside; a task that waits for it can be let go on at once."""

    _wake: Callable[[Any], object] | None = None
    _context: Context | None = None
    _is_shared = False

    def add_done_callback(self, fn: Callable[[Self], object], /, *, context: Context | None = None) -> None:
        """As asyncio's; this is how a task that awaits it says what wakes it."""
        self._is_shared = self._wake is not None
        self._wake, self._context = fn, context
        super().add_done_callback(fn, context=context)

    def give(self, reply: Any) -> None:
        """Set the result; what waits for it runs before this returns, if that is one alone and no task is running."""
        wake, context = self._wake, self._context
        if wake is None or context is None or self._is_shared or asyncio.current_task() is not None:
            self.set_result(reply)
            return
        waits = self.remove_done_callback(wake)
        self.set_result(reply)
        if waits:
            context.run(wake, self)


class Pipe(asyncio.BufferedProtocol):
    """An open connection, and who waits for which reply.

    Attributes:
        ended: is done when the connection has ended.
    """

    def __init__(self, connection: AbstractConnection, seconds: float) -> None:
        """Take over a connection that nothing is under way on.

        Args:
            connection: open; it is not to be used otherwise from now on.
            seconds: how long a reply is waited for.
        """
        self._writer = _taken_from(connection)
        self._transport = self._writer.transport
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._replies = hiredis.Reader(
            protocolError=rx.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._gathered: list[bytes] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._leaving = self._heard = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether a command can be sent, as far as is known."""
        return not (self._leaving or self._transport.is_closing())

    def send(self, command: Command) -> asyncio.Future[Any]:
        """Send a command; the connection has to be usable.

        Returns:
            What gives its reply; a refusal is given too, as an exception. It raises redis.exceptions.RedisError or
            OSError where there was no reply: then the command may have been carried out.
        """
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]
        gathered = self._gathered
        reply: asyncio.Future[Any] = self._loop.create_future() if self._waiting else Reply(loop=self._loop)
        if gathered:
            gathered.append(packed)
            if len(gathered) >= _MOST_GATHERED:
                self._flush()
        elif self._waiting:
            gathered.append(packed)
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(packed)
        self._waiting.append((reply, self._loop.time() + self._seconds))
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._seconds, self._look)
            self._heard = False
        return reply

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands one right after the other and give their replies; refusals are among them, as errors.

        Raises:
            redis.exceptions.RedisError, OSError: there was no reply to one of them.
        """
        if not self.usable:
            raise rx.ConnectionError("the connection ended")
        replies = await asyncio.gather(*map(self.send, commands), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, rx.ResponseError):
                raise reply
        return replies

    def leave(self) -> None:
        """Take no more commands, and close when what is under way has its replies."""
        self._leaving = True
        if not self._waiting:
            self._close()

    async def aclose(self) -> None:
        """Close; whoever waits gets an error."""
        self._leaving = True
        if self._waiting:
            self._transport.abort()
        else:
            self._close()
        await asyncio.wait([self.ended], timeout=_CLOSING_SECONDS)
        self._transport.abort()

    # As asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (as `BufferedProtocol` has it)
        """Give where what comes is to be put."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Hand replies to those who wait for them."""
        self._heard = True
        self._replies.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]
        waiting, gets = self._waiting, self._replies.gets
        alone = None
        try:
            while (found := gets()) is not _INCOMPLETE:
                if isinstance(found, rx.ResponseError):
                    found = redirected(found)
                reply, _ = waiting.popleft()
                if reply.done():
                    continue
                if isinstance(reply, Reply) and not waiting:
                    alone = reply, found
                else:
                    reply.set_result(found)
        except (rx.InvalidResponse, ValueError) as exc:
            self._fail(exc)
        except IndexError:
            self._fail(rx.InvalidResponse("the server sent what nobody asked for"))
        if self._leaving and not waiting:
            self._close()
        if alone is not None:  # last, for it goes on to use this connection
            reply, found = alone
            reply.give(found)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that no reply will come."""
        self._fail(exc)
        if not self.ended.done():
            self.ended.set_result(None)

    def _close(self) -> None:
        if not self._transport.is_closing():  # one that speaks TLS could not be aborted after a second time
            self._transport.close()

    def _flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._transport.write(b"".join(gathered))

    def _look(self) -> None:
        """Give up on a server that has not answered in time."""
        self._alarm = None
        if not self._waiting:
            return
        _, deadline = self._waiting[0]
        late = self._loop.time() - deadline
        if late < 0:
            self._alarm = self._loop.call_at(deadline, self._look)
        elif self._heard and late < _LATEST_SECONDS:
            self._heard = False
            self._alarm = self._loop.call_later(_LATE_SECONDS, self._look)
        else:
            self._fail(TimeoutError())

    def _fail(self, cause: Exception | None) -> None:
        self._transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._gathered.clear()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(_unanswered(cause))
                future.exception()  # whoever waits gets it, and it may be that nobody does any more


def _unanswered(cause: Exception | None) -> Exception:
    """Give an error of their own to each of those whom one failed."""
    error = TimeoutError() if isinstance(cause, TimeoutError) else rx.ConnectionError("the connection ended")
    error.__cause__ = cause
    return error


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """Take the stream from a connection of redis-py, which has no public name for it; its version is bounded."""
    writer: asyncio.StreamWriter | None = connection._writer  # noqa: SLF001
    if writer is None:
        raise rx.ConnectionError("the connection is not open")
    connection._reader = connection._writer = None  # noqa: SLF001  (or it would close it when it is freed)
    return writer
