"""What faults strike: a server's URL for each backend, and a server of the test's own that may be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from securemem.testing.servers import PostgresServer, RedisServer

Killable = PostgresServer | RedisServer

BACKENDS = ["postgresql", "redis"]


@pytest.fixture(params=BACKENDS)
def data_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty place on the session's server, once on each backend."""
    if request.param == "postgresql":
        postgres: str = request.getfixturevalue("postgres_url")
        return postgres
    redis: str = request.getfixturevalue("redis_store_url")
    return redis


@pytest.fixture(params=BACKENDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Killable]:
    """Give a server that is the test's alone, durable at every answer, once of each kind."""
    server: Killable
    server = PostgresServer() if request.param == "postgresql" else RedisServer(settings={"appendfsync": "always"})
    with server:
        yield server


@pytest.fixture
def own_url(own_server: Killable) -> str:
    """Give the URL of an empty place on the test's own server."""
    return own_server.create_database() if isinstance(own_server, PostgresServer) else own_server.url


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Give a list that gets, for every lost answer that is settled, whether the change turned out to be made."""
    from securemem.backends import postgres, redis, settling  # noqa: PLC0415  (only where it is watched)

    found: list[bool] = []
    real: Callable[..., object] = settling.settle

    async def watched(*arguments: object, again: bool) -> bytes | None:
        answer: bytes | None = await real(*arguments, again=again)  # type: ignore[misc]
        if again:
            found.append(answer is None)
        return answer

    for module in (postgres, redis):
        monkeypatch.setattr(module, "settle", watched)
    return found
