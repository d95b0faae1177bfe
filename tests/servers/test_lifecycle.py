"""What a test may do to a server of its own, and that nothing of it is left, however the test's process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from securemem.testing.servers import (
    PostgresServer,
    RedisServer,
    ServerFailedError,
    SmallDisk,
    unprivileged,
    wait_until,
)
from securemem.testing.servers.postgres import execute, fetch_value, run_blocking

pytestmark = pytest.mark.servers

STARTER = """
import os, signal, sys
from securemem.testing.servers import PostgresServer, RedisServer

servers = [PostgresServer(), RedisServer(), RedisServer()]
for server in servers:
    server.start()
servers[2].pause()
print(servers[0].folder.parent, *(server.pid for server in servers), flush=True)
sys.stdin.readline()
os.kill(os.getpid(), int(sys.argv[1])) if int(sys.argv[1]) else sys.exit()
"""

HOME = """
import os, sys
from securemem.testing.servers.home import home

print(home(), flush=True)
if sys.argv[1:]:
    os._exit(1)
sys.stdin.readline()
"""


@pytest.fixture
def redis_of_its_own() -> Iterator[RedisServer]:
    """Give a Redis that syncs every write, which nobody else uses."""
    with RedisServer(settings={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def postgres_of_its_own() -> Iterator[PostgresServer]:
    """Give a PostgreSQL that nobody else uses."""
    with PostgresServer() as server:
        yield server


def _gone(pid: int) -> bool:
    """Tell whether a process has ended; one that waits for its parent to notice has."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_redis_has_its_data_after_a_restart(redis_of_its_own: RedisServer, end: str) -> None:
    """After SIGKILL or a stop it starts on the same port with what was acknowledged; between, it refuses."""
    server = redis_of_its_own
    url = server.url
    with server.client() as client:
        client.set("key", "value")
    getattr(server, end)()
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.get("key")
    server.start()
    assert server.url == url
    with server.client() as client:
        assert client.get("key") == b"value"


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_postgres_has_its_data_after_a_restart(postgres_of_its_own: PostgresServer, end: str) -> None:
    """After SIGKILL of all its processes or a stop it starts on the same port with what was committed."""
    server = postgres_of_its_own
    url = server.create_database()
    await execute(url, "CREATE TABLE kept AS SELECT 1 AS value")
    connection = await asyncpg.connect(url)
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    getattr(server, end)()
    assert _gone(backend)
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(url)
    connection.terminate()
    server.start()
    assert await fetch_value(url, "SELECT value FROM kept") == 1


async def test_a_paused_postgres_answers_nothing(postgres_of_its_own: PostgresServer) -> None:
    """While it is paused an open connection gets no answer; then it gets the one it waited for."""
    server = postgres_of_its_own
    connection = await asyncpg.connect(server.admin_url())
    assert await connection.fetchval("SELECT 1") == 1
    server.pause()
    asking = asyncio.ensure_future(connection.fetchval("SELECT 2"))
    assert await asyncio.wait([asking], timeout=0.3) == (set(), {asking})
    server.resume()
    assert await asking == 2
    await connection.close()


def test_a_paused_redis_answers_nothing(redis_of_its_own: RedisServer) -> None:
    """While it is paused a client gets no answer."""
    server = redis_of_its_own
    server.pause()
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host=server.host, port=server.port, socket_timeout=0.2, retry=once) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping() is True


def test_two_servers_share_no_port() -> None:
    """Servers started together listen on ports of their own, and stay out of those of outgoing connections."""
    with RedisServer() as one, RedisServer() as two:
        assert one.port != two.port
        assert all(20_000 <= server.port < 32_000 for server in (one, two))


def test_a_port_that_is_taken_is_left_to_its_owner(
    redis_of_its_own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else was quicker another port is tried."""
    ports = iter([redis_of_its_own.port, 31_999, 31_998])
    monkeypatch.setattr("securemem.testing.servers.server.free_port", lambda: next(ports))
    with RedisServer() as server:
        assert server.port in (31_999, 31_998)


@pytest.mark.parametrize("server", [PostgresServer, RedisServer])
def test_a_server_that_does_not_start_says_why(server: type[PostgresServer | RedisServer]) -> None:
    """The error ends in what the server printed."""
    with pytest.raises(ServerFailedError, match="no-such-setting"), server(settings={"no-such-setting": "1"}):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, 0])
def test_nothing_outlives_the_process_that_started_it(number: int) -> None:
    """Whether it is killed, terminated or ends without closing them: servers, paused ones too, and files go."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(int(number))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        home, *pids = process.stdout.readline().split()
        assert Path(home).exists()
        assert not any(_gone(int(pid)) for pid in pids), "the control: while it lives they run"
        process.communicate("go\n")
    wait_until(lambda: all(_gone(int(pid)) for pid in pids), "all servers are gone")
    wait_until(lambda: not Path(home).exists(), "the folder is gone")


def test_no_server_outlives_its_guard() -> None:
    """Even when the guard is killed, which is what ends servers otherwise."""
    with RedisServer() as server:
        pid = server.pid
        guard = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: _gone(pid), "the server is gone")


def _start_home(base: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOME, *arguments],
        env={**os.environ, "TMPDIR": base},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _leave_home(base: str) -> Path:
    """Give the folder of a process that ended without removing it."""
    with _start_home(base, "leave") as process:
        return Path(process.communicate()[0].strip())


def test_what_others_left_behind_is_removed() -> None:
    """A folder whose owner is gone is removed by the next that starts servers; one whose owner lives is not."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        with _start_home(base) as living:
            assert living.stdout is not None
            kept = Path(living.stdout.readline().strip())
            left = _leave_home(base)
            assert left.exists()
            _leave_home(base)
            assert kept.exists()
            assert not left.exists()
            living.communicate("\n")
        assert not kept.exists()


@pytest.mark.disk
async def test_a_full_disk_under_postgres() -> None:
    """On a full disk a write fails with `disk_full`; with room again it goes through."""
    with SmallDisk(160, unprivileged()) as disk, PostgresServer(data=disk.path) as server:
        url = server.create_database()
        await execute(url, "CREATE TABLE rows (value text)")
        disk.fill()
        insert = "INSERT INTO rows SELECT repeat('x', 1000) FROM generate_series(1, 5000)"
        with pytest.raises(asyncpg.DiskFullError):
            await execute(url, insert)
        disk.free()
        await execute(url, insert)
        assert await fetch_value(url, "SELECT count(*) FROM rows") == 5000


@pytest.mark.disk
def test_a_full_disk_under_redis() -> None:
    """On a full disk writes are refused once the append-only file could not be written; with room they go on."""
    with SmallDisk(8) as disk, RedisServer(data=disk.path) as server, server.client() as client:
        client.set("key", "value")
        disk.fill()
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            _write_until_refused(client)
        disk.free()
        wait_until(lambda: _accepts(client), "it takes writes again")


def test_a_limit_on_files_under_redis() -> None:
    """Where no disk can be mounted, a limit on the size of files makes writes fail, and lifting it ends that."""
    with RedisServer() as server, server.client() as client:
        client.set("key", "value")
        server.limit_files(1)
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            _write_until_refused(client)
        server.limit_files(None)
        wait_until(lambda: _accepts(client), "it takes writes again")


def test_a_limit_on_files_outlasts_a_restart(postgres_of_its_own: PostgresServer) -> None:
    """A table cannot grow past the limit, before a restart and after it."""
    server = postgres_of_its_own
    url = server.create_database()
    server.limit_files(20 * 1024 * 1024)  # more than a segment of the log
    insert = "CREATE TABLE rows AS SELECT repeat('x', 1000) FROM generate_series(1, 40000)"
    for _ in range(2):
        with pytest.raises(asyncpg.PostgresError, match="too large"):
            run_blocking(execute(url, insert))
        server.restart()
    server.limit_files(None)
    run_blocking(execute(url, insert))


def _write_until_refused(client: redis.Redis) -> None:
    for number in range(10_000):
        client.set(f"key-{number % 100}", b"x" * 20_000)


def _accepts(client: redis.Redis) -> bool:
    try:
        return client.set("key", "value") is True
    except redis.ResponseError:
        return False


def test_a_server_is_a_context() -> None:
    """Leaving the context removes the folder; what has not been started has no process."""
    server = RedisServer()
    with pytest.raises(RuntimeError, match="does not run"):
        assert server.pid
    states = []
    with server:
        states.append((server.running, server.folder.exists()))
    states.append((server.running, server.folder.exists()))
    assert states == [(True, True), (False, False)]
