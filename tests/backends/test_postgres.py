"""The PostgreSQL data store: the contract, and what only a server's store can get wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from asyncpg import exceptions as pg

from securemem import postgres
from securemem.backends.postgres import PostgresBackend
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.model import Change, Stamp, Tail
from securemem.postgres import Connection
from securemem.testing.backend import BackendContract
from securemem.testing.backend.hooks import Connect, handle, newest_first, rows, write
from securemem.testing.servers import PostgresServer
from securemem.testing.servers.postgres import execute

WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE NOT granted AND datname = current_database()
"""


class TestPostgres(BackendContract):
    """The contract on a database of its own."""

    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        """Give adapters over one new database."""
        return lambda: PostgresBackend(postgres_url, {})


class TestOneConnection(BackendContract):
    """The contract where everything goes through one connection, in batches."""

    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        """Give adapters of one connection each, in a schema that is made for them."""
        return lambda: PostgresBackend(postgres_url, {"pool_size": "1", "schema": "apart"}, table_name="kept")


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Connection]:
    """Give a plain connection to the test's database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def backend(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    """Give an open store."""
    backend = PostgresBackend(postgres_url, {})
    await backend.open()
    yield backend
    await backend.aclose()


async def test_looking_makes_nothing(backend: PostgresBackend, admin: Connection) -> None:
    """Opening, reading, counting and deleting leave an empty database empty."""
    await backend.tail(handle(), 9)
    await backend.due(10**15, 9)
    await backend.delete([handle()], heads=True)
    assert await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_a_lost_answer_is_settled(backend: PostgresBackend) -> None:
    """A change that was made and is tried again counts as made, also where others went on; one that lost has lost."""
    session = handle()
    change = Change(session, b"", b"first", rows=rows(1, 3, b"mine"))
    assert await backend.swap(change) is None
    server = backend._server
    assert await server.call(lambda con, _: backend._change(con, change, True)) is None
    assert await server.call(lambda con, _: backend._change(con, change, False)) == b"first"
    assert await backend.swap(Change(session, b"first", b"second", rows=rows(3, 5, b"theirs"))) is None
    assert await server.call(lambda con, _: backend._change(con, change, True)) is None
    late = Change(session, b"first", b"mine too", rows=rows(3, 5, b"mine"))
    assert await server.call(lambda con, _: backend._change(con, late, True)) == b"second"
    assert await backend.tail(session, 9) == Tail(b"second", newest_first(rows(1, 3, b"mine") + rows(3, 5, b"theirs")))
    assert await backend.swap(Change(session, b"second", b"third", rows=rows(5, 6), trim=(1, 5))) is None
    with pytest.raises(BackendUnavailableError, match="cannot be told"):
        await server.call(lambda con, _: backend._change(con, change, True))


async def test_a_deletion_whose_answer_is_lost(backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that is tried again, for its answer was lost, tells of what the first try deleted."""
    session, lend, lost = handle(), backend._server._lend, list[int]()
    await write(backend, session, 1, 4)

    async def loses(work: postgres.Work[int], again: bool) -> int:  # noqa: FBT001
        deleted = await lend(work, again)
        lost.append(deleted)
        if len(lost) == 1:
            raise ConnectionResetError
        return deleted

    monkeypatch.setattr(backend._server, "_lend", loses)
    assert await backend.delete([session], heads=False) == 3
    assert lost == [3, 3], "it was made twice"


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("postgresql://{user}:wrong@{place}", {}, "user or the password"),
        ("postgresql://{user}:{password}@{host}/nowhere", {}, "no database of this name"),
        ("postgresql://{user}:{password}@{place}?sslmode=never", {}, "parameters"),
        (
            "postgresql://{user}:{password}@{place}?sslmode=verify-ca&sslrootcert=/no/file",
            {},
            "sslrootcert names a file",
        ),
        ("postgresql://{user}:{password}@{place}?no_such_setting=1", {}, "parameter"),
        ("postgresql://{user}:{password}@{place}", {"schema": "a b"}, "schema"),
        ("postgresql://{user}:{password}@{place}", {"pooler": "session"}, "pooler"),
        ("postgresql://{user}:{password}@{place}", {"pool_size": "0"}, "pool_size"),
        ("postgresql://{user}:{password}@{place}", {"timeout": "soon"}, "timeout"),
    ],
)
async def test_bad_input(postgres_url: str, url: str, options: dict[str, str], message: str) -> None:
    """What cannot work is a clear error at open, which tells neither user nor password."""
    credentials, _, place = postgres_url.removeprefix("postgresql://").partition("@")
    user, _, password = credentials.partition(":")
    wrong = url.format(user=user, password=password, place=place, host=place.partition("/")[0])
    with pytest.raises(ConfigurationError, match=message) as caught:
        await PostgresBackend(wrong, options).open()
    assert password not in str(caught.value)


async def test_a_server_without_tls(own_postgres_url: str) -> None:
    """A URL that wants TLS of a server that has none is refused at once."""
    with pytest.raises(ConfigurationError, match="does not speak TLS"):
        await PostgresBackend(f"{own_postgres_url}?sslmode=require", {}).open()


async def test_a_role_that_may_not_log_in(postgres_server: PostgresServer, own_postgres_url: str) -> None:
    """A user that is refused for another reason than its password is not told to correct that."""
    role, place = f"barred_{os.urandom(4).hex()}", own_postgres_url.rpartition("@")[2]
    await execute(postgres_server.admin_url(), f"CREATE ROLE {role} NOLOGIN PASSWORD 'hush'")
    with pytest.raises(ConfigurationError, match=r"pg_hba\.conf"):
        await PostgresBackend(f"postgresql://{role}:hush@{place}", {}).open()
    await execute(postgres_server.admin_url(), f"DROP ROLE {role}")


@pytest.mark.machine
async def test_a_pooler_that_is_not_named(pgbouncer_url: str) -> None:
    """Behind a pooler by transaction a URL that does not say so is refused at once, with what it has to say."""
    with pytest.raises(ConfigurationError, match="name pooler=transaction"):
        await PostgresBackend(pgbouncer_url, {}).open()


@pytest.mark.parametrize("kind", [pg.DuplicatePreparedStatementError, pg.InvalidSQLStatementNameError])
def test_statements_that_are_another_s(kind: type[Exception]) -> None:
    """A pooler that takes our settings and mixes up what was prepared is known by that."""
    failure = postgres.PostgresServer("postgresql://pooler/data", {}).translated(kind("it is there"))
    assert failure is not None
    assert "name pooler=transaction" in str(failure.error)
    assert not failure.passing


async def test_nobody_there(postgres_url: str) -> None:
    """A server that does not answer is an error that names it, within the patience that was asked for."""
    backend = PostgresBackend("postgresql://securemem@127.0.0.1:1/none", {"timeout": "0.2", "patience": "0.5"})
    with pytest.raises(BackendUnavailableError, match=r"127\.0\.0\.1:1/none"):
        await backend.open()


async def test_tables_of_another_program(postgres_url: str, admin: Connection) -> None:
    """Tables of our names that we did not make are refused, and left alone; another schema is free."""
    await admin.execute("CREATE TABLE messages (id integer); INSERT INTO messages VALUES (7)")
    with pytest.raises(ConfigurationError, match="not SecureMem's"):
        await PostgresBackend(postgres_url, {}).open()
    assert await admin.fetchval("SELECT id FROM messages") == 7
    other = PostgresBackend(postgres_url, {"schema": "apart"})
    assert await other.open() is None
    await other.aclose()


async def test_tables_of_a_schema_share_a_stamp(postgres_url: str, backend: PostgresBackend, admin: Connection) -> None:
    """A table that is not there yet opens with the stamp of those that are, and is not made by that."""
    await backend.stamp(Stamp(b"a" * 16, 3))
    other = PostgresBackend(postgres_url, {}, table_name="other")
    assert await other.open() == Stamp(b"a" * 16, 3)
    assert await admin.fetchval("SELECT to_regclass('public.other')") is None
    await write(other, handle(), 1, 3)
    await other.aclose()


async def test_a_newer_schema(postgres_url: str, backend: PostgresBackend, admin: Connection) -> None:
    """Tables of a newer version are refused at open."""
    await backend.stamp(Stamp(b"d" * 16, 0))
    await admin.execute("UPDATE securemem_schema SET version = version + 1")
    with pytest.raises(ConfigurationError, match="newer SecureMem"):
        await PostgresBackend(postgres_url, {}).open()


async def test_rights_that_are_missing(postgres_server: PostgresServer, own_postgres_url: str) -> None:
    """A role that may not write is refused at open, not at the hundredth call."""
    backend = PostgresBackend(own_postgres_url, {})
    await backend.open()
    await backend.stamp(Stamp(b"d" * 16, 0))
    await backend.aclose()
    database, place = own_postgres_url.rpartition("/")[2], own_postgres_url.rpartition("@")[2]
    root = await asyncpg.connect(postgres_server.admin_url(database))
    role = f"reader_{os.urandom(4).hex()}"
    await root.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reading'")
    await root.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    with pytest.raises(ConfigurationError, match="lacks rights"):
        await PostgresBackend(f"postgresql://{role}:reading@{place}", {}).open()
    await root.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await root.close()


async def test_a_server_that_is_too_old(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server older than the least version that will do is refused at open, by an error that says both versions."""
    backend = PostgresBackend(postgres_url, {})
    monkeypatch.setattr(postgres, "LEAST_VERSION", 990000)
    with pytest.raises(ConfigurationError, match=r"is of version \d\d: PostgreSQL \d+ or later is needed"):
        await backend.open()
    await backend.aclose()


@pytest.mark.parametrize(("encoding", "is_taken"), [("LATIN1", False), ("SQL_ASCII", True)])
async def test_another_encoding(postgres_server: PostgresServer, encoding: str, is_taken: bool) -> None:  # noqa: FBT001
    """A database that cannot keep every name is refused at open, not when somebody has such a name."""
    name, root = f"other_{os.urandom(4).hex()}", postgres_server.admin_url()
    how = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' OWNER securemem"
    await execute(root, f"CREATE DATABASE {name} {how}")
    backend = PostgresBackend(postgres_server.url(name), {})
    if is_taken:
        assert await backend.open() is None
    else:
        with pytest.raises(ConfigurationError, match="in LATIN1: make a database with ENCODING 'UTF8'"):
            await backend.open()
    await backend.aclose()
    await execute(root, f"DROP DATABASE {name}")


async def test_two_make_the_tables(postgres_url: str) -> None:
    """Stores that find an empty database at once all get their tables, and none an error."""
    await _make_the_tables(postgres_url, {})


async def _make_the_tables(url: str, options: dict[str, str]) -> None:
    stores = [PostgresBackend(url, options) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(write(store, handle(), 1, 3) for store in stores))
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("refused", [False, True])
async def test_a_connection_that_is_lent_while_all_are_closed(postgres_url: str, refused: bool) -> None:  # noqa: FBT001
    """It is closed when it comes back, whether the server did what was asked or refused it; before that, it is kept."""
    server = postgres.PostgresServer(postgres_url, {})
    lent, go_on = asyncio.Event(), asyncio.Event()

    async def work(connection: Connection, _: bool) -> Connection:  # noqa: FBT001
        seen.append(connection)
        lent.set()
        await go_on.wait()
        await connection.execute("SELECT nothing" if refused else "SELECT 1")
        return connection

    seen: list[Connection] = []
    go_on.set()
    for is_over in (False, True):
        call = asyncio.create_task(server.call(work))
        await lent.wait()
        if is_over:
            await server.aclose()
        go_on.set()
        [outcome] = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, BackendUnavailableError) is refused
        assert seen[-1].is_closed() is is_over
        lent.clear()
        go_on.clear()
    assert seen[0] is seen[1], "the control: a connection that comes back is lent again"


@pytest.mark.parametrize("form", ["before the query", "in the query", "in the query with ports of their own"])
async def test_the_first_host_is_silent(postgres_url: str, form: str) -> None:
    """Of several hosts each has a part of the time, and the one that worked last is asked first."""
    accepted = []
    async with await asyncio.start_server(lambda *streams: accepted.append(streams), "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        parts = urlsplit(postgres_url)
        places = [f"127.0.0.1:{port}", parts.netloc.rpartition("@")[2]]
        query, before = "target_session_attrs=read-write", ""
        if form == "before the query":
            before = ",".join(places)
        elif form == "in the query":
            query += f"&host=127.0.0.1,{parts.hostname}&port={port},{parts.port}"
        else:
            query += f"&host={','.join(places)}"
        url = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{before}", query=query).geturl()
        server = postgres.PostgresServer(url, {"timeout": "1", "patience": "1"})
        for _ in range(2):
            assert await server.call(lambda con, _: con.fetchval("SELECT 7")) == 7
            server.bind(b"another")  # by new connections
        await server.aclose()
        assert len(accepted) == 1
        for _, writer in accepted:
            writer.close()


async def test_what_another_keeps_locked(postgres_url: str, admin: Connection) -> None:
    """Who waits for a lock in vain hears of that, and not that the server was silent, and then waits no more there."""
    server = postgres.PostgresServer(postgres_url, {"timeout": "1", "patience": "1"})
    await admin.execute("CREATE TABLE theirs ()")
    await server.call(lambda con, _: con.execute("SELECT FROM theirs"))
    async with admin.transaction():
        await admin.execute("LOCK TABLE theirs")
        with pytest.raises(BackendUnavailableError, match="another process keeps it locked"):
            await server.call(lambda con, _: con.execute("SELECT FROM theirs"))
        async with asyncio.timeout(5):
            while await admin.fetchval(WAITING):  # noqa: ASYNC110  (the server has no event for it that would reach us)
                await asyncio.sleep(0.02)
    await server.aclose()


async def test_limits_of_the_role_are_none_of_what_is_long(own_postgres_url: str) -> None:
    """A long transaction takes as long as it may, whatever the database or the role lets one take."""
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    server, slowly = postgres.PostgresServer(own_postgres_url, {}), "BEGIN; SELECT pg_sleep(0.3)"
    owner = await asyncpg.connect(own_postgres_url)
    if owner.get_server_version().major >= 17:
        limits.append("transaction_timeout")
    for limit in limits:
        await owner.execute(f"ALTER DATABASE {urlsplit(own_postgres_url).path[1:]} SET {limit} = '100ms'")
    await owner.close()
    async with server.connection(None) as connection:
        assert {await connection.fetchval(f"SHOW {limit}") for limit in limits} == {"0"}
        await connection.execute(slowly)
    other = await asyncpg.connect(own_postgres_url)
    with pytest.raises((pg.QueryCanceledError, pg.ConnectionDoesNotExistError)):  # the control
        await other.execute(slowly)
    await other.close()


@pytest.mark.parametrize("options", [{}, {"pooler": "transaction"}], ids=["straight", "pooler"])
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_another_isolation_by_default(own_postgres_url: str, isolation: str, options: dict[str, str]) -> None:
    """Stores that make the tables at once do so whatever isolation the database has by default."""
    name = own_postgres_url.rpartition("/")[2]
    await execute(own_postgres_url, f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    await _make_the_tables(own_postgres_url, options)
