"""Stores on a server under faults: opened so that the data alone can fail, written to, and compared with what was said.

Keystore, ledger and KEK lie in the test's folder. A writer keeps what was acknowledged and what failed; `check` holds
that against the whole history, which a store that knows nothing yet reads and verifies record by record.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from securemem import BackendUnavailableError, NotReadyError, SecureMemory, UserRestrictedError
from securemem.testing.faultproxy import FaultProxy

ALL = 1_000_000


def open_store(url: str, folder: Path, **options: Any) -> SecureMemory:
    """Name a store whose data is on a server and all else in a folder; options are those of `SecureMemory.open`."""
    places: dict[str, Any] = {
        "keystore": f"sqlite:///{folder}/keys.db",
        "ledger": f"sqlite:///{folder}/ledger.db",
        "kms": f"file:///{folder}/kek",
        "max_messages": ALL,
    }
    return SecureMemory.open(url, **(places | options))


def with_options(url: str, **options: float | str) -> str:
    """Give a URL with more in its query."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"


def few_connections(url: str, count: int) -> str:
    """Give a URL of so many connections; a Redis has but one, which all calls share."""
    return url if url.startswith("redis") else with_options(url, pool_size=count)


def at_port(url: str, port: int) -> str:
    """Give the URL of the same database at another port of this machine."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}".lstrip("@")).geturl()


@asynccontextmanager
async def faulty(url: str) -> AsyncIterator[tuple[FaultProxy, str]]:
    """Stand a proxy before a server; gives it and the URL through it."""
    parts = urlsplit(url)
    async with FaultProxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy, at_port(url, proxy.port)


class Writer:
    """Appends to one session, one message after the other, and keeps what came of each."""

    def __init__(self, memory: SecureMemory, name: str, session: str | None = None) -> None:
        """Take an open store, a name that no other writer has, and the session: one of its own if not given."""
        self.session_id = session or name
        self.said: dict[int, str] = {}
        self.failed: list[str] = []
        self.errors: list[BackendUnavailableError] = []
        self.longest = 0.0
        self._chat = memory.session(self.session_id)
        self._name = name
        self._number = 0

    async def add(self, seconds: float | None = None) -> None:
        """Append the next message, and give up after so many seconds where a number is given."""
        self._number += 1
        text, began = f"{self._name}:{self._number}", time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                message = await self._chat.add("user", text)
        except (BackendUnavailableError, TimeoutError) as exc:
            self.failed.append(text)
            if isinstance(exc, BackendUnavailableError):
                self.errors.append(exc)
        else:
            assert message.content == text
            assert message.seq is not None
            self.said[message.seq] = text
        self.longest = max(self.longest, time.monotonic() - began)

    async def add_until(self, over: asyncio.Event) -> None:
        """Append until something has happened."""
        while not over.is_set():
            await self.add()

    async def read(self) -> None:
        """Load the newest messages: they are this session's, in order."""
        messages = await self._chat.history(limit=20)
        own = [(message.seq, int(str(message.content).split(":")[1])) for message in messages]
        assert own == sorted(own)
        assert {str(message.content).split(":")[0] for message in messages} <= {self._name}


async def check(url: str, folder: Path, writers: Iterable[Writer]) -> None:
    """What was acknowledged is there once, at its seq and in order; what failed is there once at most; nothing else."""
    together: dict[str, list[Writer]] = {}
    for writer in writers:
        together.setdefault(writer.session_id, []).append(writer)
    async with open_store(url, folder) as memory:
        for session_id, own in together.items():
            stored = {message.seq: message.content for message in await memory.session(session_id).history(limit=ALL)}
            assert list(stored) == list(range(1, len(stored) + 1))
            texts = Counter(stored.values())
            assert set(texts.values()) <= {1}, "a message is there twice"
            said = {seq: text for writer in own for seq, text in writer.said.items()}
            assert len(said) == sum(len(writer.said) for writer in own), "one seq was acknowledged twice"
            assert said.items() <= stored.items()
            assert set(texts) <= set(said.values()).union(*(writer.failed for writer in own))
            for writer in own:
                assert list(writer.said) == sorted(writer.said)


async def texts(memory: SecureMemory, session: str) -> list[object]:
    """Give what was said in a session that is its own subject."""
    return [message.content for message in await memory.session(session).history()]


async def check_refused(url: str, folder: Path, *opened: SecureMemory) -> None:
    """Hold that stores which were open when a server lost the hold on `held` are refused until it is opened anew."""
    for memory in opened:
        with pytest.raises(NotReadyError, match="older state"):
            await texts(memory, "held")
        with pytest.raises(NotReadyError, match="older state"):
            await memory.session("new").add("user", "word")
    async with open_store(url, folder) as again:
        with pytest.raises(UserRestrictedError):
            await texts(again, "held")
    for memory in opened:
        with pytest.raises(UserRestrictedError):
            await texts(memory, "held")
        await memory.session("new").add("user", "word")
