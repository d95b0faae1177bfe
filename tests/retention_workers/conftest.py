"""Stores for crash runs, one after the other, on each backend; and the process that their workers are forked from."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from securemem.testing.servers import PostgresServer

from .children import clock_at
from .looking import watch_deaths
from .nursery import Nursery
from .scene import Place, Scene, fill


class Scenes:
    """Gives stores that were filled, each from a seed.

    Attributes:
        copies: how many times a filled SQLite store is copied, before another is filled.
    """

    def __init__(self, folder: Path, places: Iterator[Place]) -> None:
        """Take a folder, and places where no store is yet."""
        self._folder = folder
        self._places = places
        self._numbers = itertools.count()
        self._template: tuple[Path, Scene] | None = None
        self._copied = 0
        self.copies = 20

    async def next(self, seed: int) -> Scene:
        """Give the next one."""
        place = next(self._places)
        if not place.url.startswith("sqlite"):
            scene = await fill(place, clock_at(0), seed)
            await watch_deaths(place.url)
            return scene
        if self._template is None or self._copied == self.copies:
            await self._make_template(seed)
        self._copied += 1
        assert self._template is not None
        filled, scene = self._template
        there = Path(place.url.removeprefix("sqlite:///")).parent
        shutil.copytree(filled, there)
        self._remove(there.with_name(f"{int(there.name) - 2}"))
        return scene.copy(place)

    async def _make_template(self, seed: int) -> None:
        folder = self._folder / f"filled{next(self._numbers)}"
        folder.mkdir()
        place = Place(f"sqlite:///{folder}/store.db", {})
        self._template, self._copied = (folder, await fill(place, clock_at(0), seed)), 0
        await watch_deaths(place.url)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def scenes(request: pytest.FixtureRequest, tmp_path: Path) -> Scenes:
    """Give stores on each backend; with data on a server the ledger lies in a file and in PostgreSQL, by turns."""
    if request.param == "sqlite":
        return Scenes(tmp_path, (Place(f"sqlite:///{tmp_path}/{number}/store.db", {}) for number in itertools.count()))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_store_url")  # ends in the prefix
        return Scenes(tmp_path, _servers(server, tmp_path, url))
    return Scenes(tmp_path, _servers(server, tmp_path, None))


def _servers(server: PostgresServer, folder: Path, redis: str | None) -> Iterator[Place]:
    last: str | None = None
    for number in itertools.count():
        if last is not None:
            server.drop_database(last)
        database = last = server.create_database()
        ledger = f"{database}?schema=ledger" if number % 2 else f"sqlite:///{folder}/{number}.ledger.db"
        options = {"keystore": f"sqlite:///{folder}/{number}.keys.db", "kms": f"file:///{folder}/{number}.kek"}
        yield Place(f"{redis}{number}:" if redis is not None else database, options | {"ledger": ledger})


@pytest.fixture(scope="session")
def forking() -> Iterator[Nursery]:
    """Give what forks children, once for all tests."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def nursery(forking: Nursery, tmp_path: Path) -> Nursery:
    """Give what forks children, who say what they say in the test's folder."""
    return forking.use(tmp_path / "said")
