"""What the chapters of the backend contract stand on: the hook that a subclass gives, and short ways to write rows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from securemem.model import HANDLE_BYTES, Change
from securemem.ports import Backend

Connect = Callable[[], Backend]
"""Gives an adapter over the test's own data, not open yet."""

OpenStore = Callable[[], Awaitable[Backend]]
"""Gives an open adapter over the test's own data; it is closed when the test ends."""


def handle() -> bytes:
    """Give a session handle that nobody has."""
    return os.urandom(HANDLE_BYTES)


def rows(first: int, end: int, mark: bytes = b"row") -> list[tuple[int, bytes]]:
    """Give rows of the seqs from `first` up to but without `end`, each with a body that says which it is."""
    return [(seq, b"%s %d" % (mark, seq)) for seq in range(first, end)]


def newest_first(some: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Give rows in the order in which a tail gives them."""
    return sorted(some, reverse=True)


async def write(backend: Backend, session: bytes, first: int, end: int, *, expected: bytes = b"") -> bytes:
    """Put rows into a session and give its new head."""
    head = b"head up to %d" % end
    assert await backend.swap(Change(session, expected, head, rows=rows(first, end))) is None
    return head


class Hooks:
    """The fixtures of the contract; a subclass of the contract gives `connect`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def connect(self) -> Connect:
        """Give what makes adapters; see `BackendContract`."""
        raise NotImplementedError("a subclass of BackendContract gives the fixture `connect`")

    @pytest_asyncio.fixture
    async def open_store(self, connect: Connect) -> AsyncIterator[OpenStore]:
        """Give what opens adapters, and close them when the test ends."""
        opened: list[Backend] = []

        async def open_store() -> Backend:
            backend = connect()
            opened.append(backend)
            await backend.open()
            return backend

        yield open_store
        for backend in opened:
            await backend.aclose()

    @pytest_asyncio.fixture
    async def backend(self, open_store: OpenStore) -> Backend:
        """Give one open adapter over a data store that nobody has used yet."""
        return await open_store()
