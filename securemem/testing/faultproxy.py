"""A TCP proxy that breaks what goes through it: delays, cuts, half-written messages, lost replies, silence.

    async with FaultProxy("127.0.0.1", 5432) as proxy:
        client = await connect(proxy.host, proxy.port)
        proxy.replies.cut_after(0)       # the server does what it was asked, and nobody hears of it
        proxy.heal()                     # from here on it is a plain proxy again

It runs on the test's own loop: what blocks that loop stops the proxy too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST and drops what waits


class _EndedError(Exception):
    """A connection has come to its end, or is to be cut here."""


class Direction:
    """What happens to the bytes of all connections on their way to one side.

    Attributes:
        delay: seconds that every chunk waits before it goes on.
        passed: how many bytes have gone on since the proxy was made.
        swallowed: how many bytes have been taken and not passed on.
    """

    def __init__(self) -> None:
        """Let everything through."""
        self.delay = 0.0
        self.passed = 0
        self.swallowed = 0
        self._until_cut: int | None = None
        self._swallows = False
        self._gate = asyncio.Event()
        self._gate.set()

    def heal(self) -> None:
        """Let everything through from now on; what was held goes on, what was swallowed is lost."""
        self.delay = 0.0
        self._until_cut = None
        self._swallows = False
        self._gate.set()

    def cut_after(self, count: int) -> None:
        """Let so many bytes through, then cut the connection that the last of them came on, once.

        With 0 the next message is lost as a whole: it arrives at the proxy and goes no further.
        """
        self._until_cut = count

    def swallow(self) -> None:
        """Take all bytes and let none through, with the connections open."""
        self._swallows = True

    def hold(self) -> None:
        """Let nothing through until `heal`; what comes meanwhile waits."""
        self._gate.clear()

    async def _forward(self, chunk: bytes, target: asyncio.StreamWriter) -> None:
        """Do with a chunk what is to be done.

        Raises:
            _EndedError: the connection is to be cut now.
        """
        await asyncio.sleep(self.delay)
        await self._gate.wait()
        if self._swallows:
            self.swallowed += len(chunk)
            return
        cut = self._until_cut is not None and len(chunk) >= self._until_cut
        if cut:
            chunk = chunk[: self._until_cut]
            self._until_cut = None
        elif self._until_cut is not None:
            self._until_cut -= len(chunk)
        target.write(chunk)
        self.passed += len(chunk)
        if cut:
            raise _EndedError
        await target.drain()


class FaultProxy:
    """Stands between clients and one server.

    Attributes:
        host: where clients connect.
        port: the same, also after `refuse` and `accept`.
        requests: the way from clients to the server.
        replies: the way from the server to clients.
        accepted: how many connections there have been.
    """

    def __init__(self, server_host: str, server_port: int) -> None:
        """Say which server is behind it."""
        self.host = "127.0.0.1"
        self.port = 0
        self.requests = Direction()
        self.replies = Direction()
        self.accepted = 0
        self._server = (server_host, server_port)
        self._listener: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cut every connection and stop listening."""
        self.refuse()
        links = list(self._links)
        self.cut()
        await asyncio.gather(*links, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    async def accept(self) -> None:
        """Take new connections, as it does from the beginning."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cut(self, *, reset: bool = False) -> None:
        """Cut all connections now, on both sides.

        Args:
            reset: by a TCP reset, as when a machine is gone, instead of an end in good order.
        """
        for task, writers in self._links.items():
            for writer in writers if reset else ():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            task.cancel()

    def heal(self) -> None:
        """End all faults of both directions."""
        self.requests.heal()
        self.replies.heal()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self.accepted += 1
        writers = self._links[task] = [writer]
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # no server is there; `cut`
                await self._carry(reader, writer, writers)
        finally:
            del self._links[task]
            for each in writers:
                each.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, writers: list[asyncio.StreamWriter]
    ) -> None:
        """Connect to the server and carry both ways until one ends, in good order or not: that ends both."""
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        writers.append(server_writer)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pump(reader, server_writer, self.requests))
                ways.create_task(_pump(server_reader, writer, self.replies))
        except* (OSError, _EndedError):
            pass


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: Direction) -> None:
    """Carry one way of a connection to its end.

    Raises:
        _EndedError: that end has come.
    """
    while chunk := await source.read(_CHUNK_BYTES):
        await direction._forward(chunk, target)  # noqa: SLF001  (one room)
    raise _EndedError
