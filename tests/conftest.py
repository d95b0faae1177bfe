"""What tests share: a store's URL on each backend, an open store, a clock moved by hand, a look at all bytes."""

from __future__ import annotations

import copy
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory
from securemem.keys.keyring import Keyring

pytest_plugins = ["securemem.testing.servers.plugin", "fixtures_models", "fixtures_tls"]

Stored = Callable[[SecureMemory], Awaitable[object]]


class FakeClock:
    """A moment that stays where it is until it is moved."""

    def __init__(self) -> None:
        """Begin on a whole second of a plain day."""
        self.now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """As `ports.Clock`."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += timedelta(seconds=seconds)


def pytest_collection_finish() -> None:
    """Keep what was collected, which stays to the end, out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of whoever runs the tests out of them: `SECUREMEM_*` and a `securemem.toml` in the folder.

    `SECUREMEM_TEST_*` stays: it says which servers are to be used, and only tests read it.
    """
    for name in [name for name in os.environ if name.startswith("SECUREMEM_")]:
        if not name.startswith("SECUREMEM_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that is moved by hand."""
    return FakeClock()


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Give the URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def redis_store_url(redis_url: str, redis_prefix: str) -> str:
    """Give the URL of a new store on a Redis, whose keys are all under `redis_prefix`."""
    return f"{redis_url}{'&' if '?' in redis_url else '?'}prefix={redis_prefix}"


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, file_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of a new store, once on each backend; what goes with data on a server lies in the test's folder."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return file_url
    monkeypatch.setenv("SECUREMEM_HOME", str(tmp_path))
    found: str = request.getfixturevalue({"postgresql": "postgres_url", "redis": "redis_store_url"}[request.param])
    return found


@pytest.fixture
async def memory(url: str, clock: FakeClock) -> AsyncIterator[SecureMemory]:
    """Give an open store on each backend, that goes by `clock`."""
    async with SecureMemory.open(url, clock=clock) as memory:
        yield memory


@pytest.fixture
def keyrings(monkeypatch: pytest.MonkeyPatch) -> list[Keyring]:
    """Give a list that every keyring is put in which is made from now on."""
    made: list[Keyring] = []
    begin = Keyring.__init__

    def noted(keyring: Keyring, *arguments: Any, **options: Any) -> None:
        begin(keyring, *arguments, **options)
        made.append(keyring)

    monkeypatch.setattr(Keyring, "__init__", noted)
    return made


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Give a function that takes in all that a store holds, to be compared before and after."""

    def files() -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")
        }

    async def look(memory: SecureMemory) -> object:
        deployment = await memory.host.ready()
        backend, keyring = deployment.backend, deployment.keyring
        rows = copy.deepcopy(getattr(backend, "_sessions", None))
        kept = {keys.handle: await backend.tail(keys.handle, 10**6) async for keys in keyring.sessions(None)}
        return files(), rows, kept, await keyring.keystore.counts()

    return look
