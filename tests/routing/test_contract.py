"""A routed data store is a data store: in rest, and in the middle of a move."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from securemem.backends.routed import RoutedBackend
from securemem.backends.sqlite import SqliteBackend
from securemem.crypto.head import HeadSeal
from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError
from securemem.model import HOME, Change, Head, HeadFlag, Route, Stamp
from securemem.ports import Backend
from securemem.testing.backend import BackendContract
from securemem.testing.backend.hooks import Connect, OpenStore


class Standing:
    """A route that stays as it is."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def current(self) -> Route:
        """As `routed.Way`."""
        return self._route

    async def renewed(self) -> Route:
        """As `routed.Way`."""
        return self._route


class Fences:
    """Makes fences; no session of these tests is on its way."""

    def fence(self, session: bytes, move: int, expected: bytes) -> Change:
        """As `ports.Carrier`."""
        seal = HeadSeal(RawKey(bytes(32)), tenant=bytes(16), session=session)
        return Change(session, expected, seal.encode(Head(0, 1, epoch=move, flags=HeadFlag.MOVED)))

    async def carry(self, session: bytes, source: Backend, target: Backend) -> None:
        """As `ports.Carrier`."""
        raise AssertionError("nothing was closed")


def _connect(folder: Path, route: Route) -> RoutedBackend:
    backend = RoutedBackend(lambda server: SqliteBackend(str(folder / f"{server}.db")), Standing(route))
    backend.hand_over(Fences())
    return backend


class TestInRest(BackendContract):
    """The contract where the tenant lies on one server."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        """Give stores over one folder."""
        return lambda: _connect(tmp_path, Route(2, "second"))


class TestInMove(BackendContract):
    """The contract where the tenant is being moved, and its sessions are begun on the server that it moves to."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        """Give stores over one folder."""
        return lambda: _connect(tmp_path, Route(1, HOME, "second"))

    async def test_two_stamp_at_once(  # type: ignore[override]
        self, backend: Backend, connect: Connect, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """Two deployments that stamp two servers at once can share them; who opens them next refuses that."""
        other = await open_store()
        await asyncio.gather(backend.stamp(Stamp(b"a" * 16, 3)), other.stamp(Stamp(b"b" * 16, 9)))
        third = connect()
        theirs = set()
        for server in (HOME, "second"):
            plain = SqliteBackend(str(tmp_path / f"{server}.db"))
            theirs.add(await plain.open())
            await plain.aclose()
        if len(theirs) == 1:
            assert await third.open() in theirs
        else:
            with pytest.raises(ConfigurationError, match="belongs to deployment"):
                await third.open()
        await third.aclose()
