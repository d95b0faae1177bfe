"""What a server refuses is said at open: who it is, what is wrong, and never a password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from securemem import BackendUnavailableError, ConfigurationError, SecureMemError
from securemem.testing.servers import PostgresServer, RedisServer
from securemem.testing.servers.postgres import execute
from securemem.testing.servers.replica import PostgresReplica

from .store import Writer, at_port, check, open_store, with_options

pytestmark = pytest.mark.servers

HASTE = {"timeout": 0.5, "patience": 1.0}
SECRET = "correct-horse-7"


async def _refused(url: str, folder: Path, *hidden: str) -> SecureMemError:
    """Open a store that cannot be opened; nothing of its error, nor of what led to it, has a password in it."""
    with pytest.raises((ConfigurationError, BackendUnavailableError)) as caught:
        await open_store(url, folder).__aenter__()
    shown = _causes(caught.value)
    for secret in hidden:
        assert secret not in shown
    return caught.value


def _causes(error: BaseException) -> str:
    """Give all that a traceback of an error says."""
    said = ""
    cause: BaseException | None = error
    while cause is not None:
        said += f"{cause!r} {cause}\n"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return said


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username or ''}:{password}@{parts.hostname}:{parts.port}").geturl()


async def test_a_wrong_password(postgres_url: str, tmp_path: Path) -> None:
    """A wrong password is an error at once, that names the server and is silent about the password."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(_with_password(postgres_url, SECRET))
    wrong = with_options(_with_password(postgres_url, SECRET), **HASTE)
    error = await _refused(wrong, tmp_path, SECRET)
    assert isinstance(error, ConfigurationError)
    assert f"127.0.0.1:{urlsplit(postgres_url).port}" in str(error)
    assert "password" in str(error)


async def test_a_wrong_password_of_redis(tmp_path: Path) -> None:
    """A wrong password, and none where one is wanted, are errors at once that are silent about it."""
    with RedisServer(password="right-battery-9") as server:
        for url in (f"redis://:{SECRET}@127.0.0.1:{server.port}/0", f"redis://127.0.0.1:{server.port}/0"):
            error = await _refused(with_options(url, **HASTE), tmp_path, SECRET, "right-battery-9")
            assert isinstance(error, ConfigurationError)
            assert f"127.0.0.1:{server.port}" in str(error)
        async with open_store(server.url, tmp_path) as memory:
            await Writer(memory, "s").add()


@pytest.mark.parametrize("mark", ["/", "?", "#", "@", ":", "[", "%"])
@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
async def test_a_password_that_breaks_the_url(scheme: str, mark: str, tmp_path: Path) -> None:
    """A password whose special characters were not escaped is an error that shows no part of it."""
    url = with_options(f"{scheme}://user:hush{mark}quiet@127.0.0.1:1/db", **HASTE)
    await _refused(url, tmp_path, "hush", "quiet")


async def test_missing_rights(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """A role that may not make tables, or may only read them, is refused at open, before anything is written."""
    url = postgres_server.create_database()
    database, admin = urlsplit(url).path[1:], postgres_server.admin_url(urlsplit(url).path[1:])
    role = f"guest_{database[-6:]}"
    await execute(
        admin,
        f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'",
        "REVOKE CREATE ON SCHEMA public FROM public",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
    )
    try:
        guest = with_options(f"postgresql://{role}:{SECRET}@127.0.0.1:{postgres_server.port}/{database}", **HASTE)
        assert "rights" in str(await _refused(guest, tmp_path, SECRET))
        async with open_store(url, tmp_path) as memory:
            await Writer(memory, "s").add()
        await execute(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        assert "rights" in str(await _refused(guest, tmp_path, SECRET))
        await execute(url, f"GRANT INSERT, UPDATE, DELETE ON messages, messages_sessions TO {role}")
        assert "rights" in str(await _refused(guest, tmp_path, SECRET))  # an erasure counts in the stamp
        await execute(url, f"GRANT INSERT, UPDATE ON securemem_stamp TO {role}")
        async with open_store(guest, tmp_path) as memory:
            await Writer(memory, "s").add()
            await memory.erase_user("s")
    finally:
        await execute(admin, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        postgres_server.drop_database(url)


async def test_a_standby_named_as_the_data(postgres_replica: PostgresReplica, tmp_path: Path) -> None:
    """A standby is refused as the data store at open, and named."""
    url = postgres_replica.primary.create_database()
    async with open_store(url, tmp_path) as memory:
        await Writer(memory, "s").add()
    postgres_replica.catch_up()
    there = with_options(at_port(url, postgres_replica.port), **HASTE)
    error = await _refused(there, tmp_path, postgres_replica.passwords["securemem"])
    assert isinstance(error, BackendUnavailableError)
    assert f"127.0.0.1:{postgres_replica.port}" in str(error)
    assert "standby" in str(error)


@pytest.mark.soak
async def test_a_standby_that_was_promoted(tmp_path: Path) -> None:
    """A standby that was refused is taken when it has become the primary, with all that it had received."""
    with PostgresServer() as primary, PostgresReplica(primary) as standby:
        url = primary.create_database()
        async with open_store(url, tmp_path) as memory:
            writer = Writer(memory, "s")
            for _ in range(5):
                await writer.add()
        standby.catch_up()
        there = with_options(at_port(url, standby.port), **HASTE)
        assert "standby" in str(await _refused(there, tmp_path))
        primary.kill()
        standby.promote()
        await check(there, tmp_path, [writer])
        async with open_store(there, tmp_path) as memory:
            assert (await memory.session("s").add("user", "on the new primary")).seq == 6


async def test_a_server_that_becomes_read_only(postgres_url: str, tmp_path: Path) -> None:
    """Where writes are refused of a sudden, reads go on, appends say why, and all is well when that ends."""
    async with open_store(with_options(postgres_url, **HASTE), tmp_path) as memory:
        writer = Writer(memory, "s")
        await writer.add()
        await _make_read_only(postgres_url, "on")
        await writer.add()
        assert "read-only" in str(writer.errors[0])
        await writer.read()
        await _make_read_only(postgres_url, "off")
        await writer.add()
        assert [len(writer.said), len(writer.failed)] == [2, 1]
    await check(postgres_url, tmp_path, [writer])


async def test_a_connection_to_what_became_read_only(postgres_url: str, tmp_path: Path) -> None:
    """Where the name leads to the new primary by then, no connection to the old one, which only reads, is kept."""
    async with open_store(with_options(postgres_url, **HASTE), tmp_path) as memory:
        writer = Writer(memory, "s")
        await writer.add()
        await _make_read_only(postgres_url, "on")
        await writer.read()  # by a connection that stays
        await _make_read_only(postgres_url, "off", end=False)
        await writer.add()
        assert [len(writer.said), len(writer.failed)] == [2, 0]


async def _make_read_only(url: str, setting: str, *, end: bool = True) -> None:
    """Make a database read-only or not, for connections that are made from now on, and end those that are there."""
    database = urlsplit(url).path[1:]
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = {setting}")
    if end:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await connection.close()


async def test_a_redis_replica_named_as_the_data(tmp_path: Path) -> None:
    """A replica of a Redis, which only reads, is refused as the data store at open."""
    with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
        replica.catch_up()
        error = await _refused(with_options(replica.url, **HASTE), tmp_path)
        assert f"127.0.0.1:{replica.port}" in str(error)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_redis_that_evicts(policy: str, tmp_path: Path) -> None:
    """A Redis that drops what it likes when it is full is refused at open; one that says no is taken."""
    with RedisServer(settings={"maxmemory": "50mb", "maxmemory-policy": policy}) as server:
        error = await _refused(with_options(server.url, **HASTE), tmp_path)
        assert isinstance(error, ConfigurationError)
        assert "maxmemory-policy" in str(error)
    with RedisServer(settings={"maxmemory": "50mb", "maxmemory-policy": "noeviction"}) as server:
        async with open_store(server.url, tmp_path) as memory:
            await Writer(memory, "s").add()
