"""Recipients on this machine: servers that take a webhook well, badly, or not at all, and note what came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba98").decode()

Behaviour = Callable[["Receiver", asyncio.StreamWriter], Awaitable[None]]


class Came(NamedTuple):
    """What came in one request."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """What it says."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """A server; `behaviour` answers."""

    behaviour: Behaviour
    scheme: str = "http"
    came: list[Came] = field(default_factory=list)
    server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        assert self.server is not None
        return f"{self.scheme}://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/erase?from=us"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, and answer it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            plain = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            self.came.append(Came(head[0], {name.lower(): value for name, value in plain.items()}, body))
            await self.behaviour(self, writer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()


def answers(*statuses: int, more: str = "") -> Behaviour:
    """Answer with these statuses, one after the other, the last for ever."""
    left = list(statuses)

    async def behave(_: Receiver, writer: asyncio.StreamWriter) -> None:
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(f"HTTP/1.1 {status} Said\r\n{more}Content-Length: 2\r\n\r\nok".encode())

    return behave


async def is_silent(_: Receiver, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def never_ends(_: Receiver, writer: asyncio.StreamWriter) -> None:
    """Take it, and answer for ever, a little at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def only_promises(_: Receiver, writer: asyncio.StreamWriter) -> None:
    """Say for ever that the answer is on its way."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def floods(_: Receiver, writer: asyncio.StreamWriter) -> None:
    """Take it, and answer with 10 GB."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    for _piece in range(10_000):
        writer.write(bytes(1_000_000))
        await writer.drain()


async def one_long_line(_: Receiver, writer: asyncio.StreamWriter) -> None:
    """Answer with a status line of 10 GB."""
    for _piece in range(10_000):
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def speaks_otherwise(_: Receiver, writer: asyncio.StreamWriter) -> None:
    """Answer in another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@asynccontextmanager
async def receiver(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Give a recipient that listens until the block ends."""
    found = Receiver(behaviour, "https" if tls is not None else "http")
    connections: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.get_running_loop().create_task(found.serve(reader, writer)))

    found.server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield found
    finally:
        found.server.close()
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def is_signed(came: Came, secret: str) -> bool:
    """Check a signature as the specification says, with nothing of ours."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{came.headers['webhook-id']}.{came.headers['webhook-timestamp']}.".encode() + came.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in came.headers["webhook-signature"].split(" ")
