"""The ledger in PostgreSQL: beside others, through a pooler, and over a line that fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from securemem import postgres
from securemem.backends.postgres import PostgresBackend
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.ledger.acts import ActKind, Tombstone
from securemem.ledger.engine import _LOCK
from securemem.ledger.schema import Tables
from securemem.ledger.store import Ledger
from securemem.model import Stamp
from securemem.postgres import Connection, PostgresServer
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers.postgres import execute

from .acts import DEPLOYMENT, begin

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

CUTS = 12
VERSION = "securemem_ledger_version"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"

PROBE = """
import asyncio, sys
from securemem.ledger.store import Ledger

async def main() -> None:
    ledger = Ledger(sys.argv[1])
    assert await ledger.peek() is None
    await ledger.aclose()

asyncio.run(main())
print(*(name for name in ("sqlalchemy", "alembic") if name in sys.modules))
"""


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Connection]:
    """Give a plain connection to the ledger's database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[FaultProxy]:
    """Give a proxy before the test's database."""
    server = urlsplit(postgres_url)
    async with FaultProxy(server.hostname or "", server.port or 0) as proxy:
        yield proxy


def _through(proxy: FaultProxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@{proxy.host}:{proxy.port}").geturl()


_TABLES = (
    *("version", "stamp", "acts", "tombstones", "moves", "audit"),
    *("classes", "holds", "leases", "policies", "passes", "requests"),
    *("outbox", "outbox_keys", "outbox_floor"),
)


async def test_three_stores_in_one_schema(postgres_url: str, admin: Connection) -> None:
    """Data, keystore and ledger with the names they have by default do not get into each other's way."""
    stores: list[PostgresBackend | PostgresKeystore] = [
        PostgresBackend(postgres_url, {}),
        PostgresKeystore(postgres_url, {}),
    ]
    ledger = Ledger(postgres_url)
    await ledger.create(DEPLOYMENT)
    act = await begin(ledger, ActKind.CLEAR, b"a" * 16)
    for number, store in enumerate(stores):
        assert await store.open() is None
        await store.stamp(Stamp(DEPLOYMENT, number))
    assert [await store.open() for store in stores] == [Stamp(DEPLOYMENT, 0), Stamp(DEPLOYMENT, 1)]
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 1), 1)
    assert await ledger.acts() == [act]
    names = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {name for (name,) in names if "ledger" in name} == {f"securemem_ledger_{table}" for table in _TABLES}
    for store in stores:
        await store.aclose()
    await ledger.aclose()


async def test_a_schema_of_its_own(postgres_url: str, admin: Connection) -> None:
    """Ledgers in two schemas of one database are apart, and a schema that is named is made."""
    ledgers = [Ledger(f"{postgres_url}?schema={name}") for name in ("one", "Two")]
    for ledger, deployment in zip(ledgers, (DEPLOYMENT, bytes(16)), strict=True):
        assert await ledger.peek() is None
        await ledger.create(deployment)
    await begin(ledgers[0], ActKind.CLEAR)
    assert await ledgers[0].peek() == (Stamp(DEPLOYMENT, 1), 1)
    assert await ledgers[1].peek() == (Stamp(bytes(16), 0), 0)
    assert await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    for ledger in ledgers:
        await ledger.aclose()


async def test_looking_makes_nothing(postgres_url: str, admin: Connection) -> None:
    """Peeking leaves an empty database empty, and loads neither SQLAlchemy nor Alembic."""
    command = [sys.executable, "-c", PROBE, postgres_url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE securemem_ledger_acts (theirs text)", "not SecureMem's"),
        (f"CREATE TABLE {VERSION} AS SELECT '9999' AS version_num", "newer"),
        (f"CREATE TABLE {VERSION} (version_num text); REVOKE ALL ON {VERSION} FROM securemem", "rights"),
    ],
    ids=["foreign", "newer", "rights"],
)
async def test_what_is_not_ours_is_refused(own_postgres_url: str, statement: str, message: str) -> None:
    """Another program's tables, a newer version's, and ones that may not be used are refused by peeking."""
    await execute(own_postgres_url, statement)
    ledger = Ledger(own_postgres_url)
    with pytest.raises(ConfigurationError, match=message):
        await ledger.peek()
    await ledger.aclose()


async def test_an_act_waits_for_the_one_before(postgres_url: str, admin: Connection) -> None:
    """While an act with a lower number is being written none with a higher one is seen, and reading goes on."""
    ledger = Ledger(postgres_url)
    await ledger.create(DEPLOYMENT)
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("INSERT INTO securemem_ledger_acts (kind, tenant, generation, at) VALUES ('clear', '', 1, 1)")
    beginning = asyncio.create_task(begin(ledger, ActKind.CLEAR))
    await asyncio.sleep(0.3)
    assert not beginning.done()
    assert await ledger.acts() == []
    await transaction.commit()
    assert (await beginning).counter == 2
    assert await ledger.settled(2) == 0
    await ledger.aclose()


async def test_a_connection_to_what_became_read_only(own_postgres_url: str) -> None:
    """Where the name leads to the new primary by then, no connection to the old one, which only reads, is kept."""
    name = urlsplit(own_postgres_url).path[1:]
    ledger = Ledger(f"{own_postgres_url}?timeout=2&patience=2")
    await ledger.create(DEPLOYMENT)
    await ledger.aclose()
    await execute(own_postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert await ledger.acts() == []  # by a connection that stays
    admin = await asyncpg.connect(own_postgres_url, server_settings={"default_transaction_read_only": "off"})
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    await admin.close()
    act = await begin(ledger, ActKind.CLEAR)
    assert await ledger.acts() == [act]
    await ledger.aclose()


@pytest.mark.parametrize("options", ["", "?pooler=transaction"])
async def test_another_isolation_by_default(own_postgres_url: str, options: str) -> None:
    """A transaction that waited for another sees what that wrote, whatever the database has by default."""
    name = urlsplit(own_postgres_url).path[1:]
    await execute(own_postgres_url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    ledger = Ledger(f"{own_postgres_url}{options}")
    await ledger.create(DEPLOYMENT)
    assert await ledger.transact(_isolation) == "read committed"
    await ledger.aclose()


async def _isolation(connection: AsyncConnection, _: Tables) -> object:
    return await connection.scalar(text("SHOW transaction_isolation"))


async def test_a_process_that_is_frozen(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that stands still is ended by the server, so that others go on; a backup's may take its time."""
    monkeypatch.setattr(postgres, "ABANDONED_SECONDS", 0.2)
    ledger, server = Ledger(postgres_url), PostgresServer(postgres_url, {"timeout": "0.1"})
    await ledger.create(DEPLOYMENT)
    async with server.connection(None) as long:
        await long.execute("BEGIN; SELECT 1 FROM securemem_ledger_acts")
        frozen = await server.connect()
        await frozen.execute("BEGIN; LOCK TABLE securemem_ledger_acts IN SHARE ROW EXCLUSIVE MODE")
        async with asyncio.timeout(3):
            await begin(ledger, ActKind.CLEAR)
        await long.execute("COMMIT")
    frozen.terminate()
    await ledger.aclose()


async def test_a_password_is_never_told(postgres_url: str) -> None:
    """Neither the place nor an error has the password of the URL in it."""
    parts = urlsplit(postgres_url)
    wrong = parts._replace(netloc=f"{parts.username}:wrong-hush@{parts.hostname}:{parts.port}").geturl()
    ledger = Ledger(wrong)
    with pytest.raises(ConfigurationError) as error:
        await begin(ledger, ActKind.CLEAR)
    assert "hush" not in f"{ledger.place} {error.value!r}"
    await ledger.aclose()


async def test_an_act_whose_reply_is_lost(postgres_url: str, proxy: FaultProxy) -> None:
    """Wherever a reply is cut an act is written once, with its tombstones, and what comes after it too."""
    ledger, shaky = Ledger(postgres_url), Ledger(_through(proxy, postgres_url))
    for each in (shaky, ledger):
        await each.create(DEPLOYMENT)
    lengths = []
    for _ in range(2):
        before = proxy.replies.passed
        await begin(shaky, ActKind.CLEAR, b"a" * 16)
        lengths.append(proxy.replies.passed - before)
    for count in range(CUTS + 1):
        proxy.replies.cut_after(min(count * lengths[1] // CUTS, lengths[1] - 1))
        act = await begin(shaky, ActKind.CLEAR, bytes([count]) * 16)
        proxy.heal()
        assert (await ledger.acts())[2:][-1] == act
        assert len(await ledger.acts()) == count + 3
        proxy.replies.cut_after(count * lengths[1] // CUTS // 2)
        await shaky.add_tombstones(act.counter, [Tombstone(b"late" * 4, 1)])
        proxy.heal()
        proxy.replies.cut_after(count * lengths[1] // CUTS // 2)
        await shaky.finish(act.counter, at=2000)
        proxy.heal()
        assert len((await ledger.acts(after=act.counter - 1))[0].tombstones) == 2
        assert [each.counter for each in await ledger.acts(unfinished=True)] == [1, 2]
    for each in (ledger, shaky):
        await each.aclose()


async def test_a_line_that_is_cut_while_idle(postgres_url: str, proxy: FaultProxy) -> None:
    """Connections that were cut while nobody used them cost nothing but new ones."""
    shaky = Ledger(_through(proxy, postgres_url))
    await shaky.create(DEPLOYMENT)
    for number in range(1, 4):
        assert (await begin(shaky, ActKind.CLEAR)).counter == number
        proxy.cut(reset=number % 2 == 0)
        await asyncio.sleep(0.05)
    assert await shaky.peek() == (Stamp(DEPLOYMENT, 3), 3)
    await shaky.aclose()


async def test_a_server_that_does_not_answer(postgres_url: str, proxy: FaultProxy) -> None:
    """A ledger that does not answer is an error in time, and closing it does not wait; when it is back it goes on."""
    made = Ledger(postgres_url)  # with all the time that this takes
    await made.create(DEPLOYMENT)
    await made.aclose()
    shaky = Ledger(f"{_through(proxy, postgres_url)}?timeout=0.3&patience=1")
    await shaky.create(DEPLOYMENT)
    await begin(shaky, ActKind.CLEAR)
    proxy.replies.swallow()
    async with asyncio.timeout(2):
        with pytest.raises(BackendUnavailableError, match="did not answer"):
            await begin(shaky, ActKind.CLEAR)
    proxy.heal()
    counter = (await begin(shaky, ActKind.CLEAR)).counter
    assert [act.counter for act in await shaky.acts()] in ([1, counter], [1, counter - 1, counter])
    proxy.replies.swallow()
    async with asyncio.timeout(2):
        await shaky.aclose()


async def test_a_restore_into_a_server_that_says_nothing(
    proxy: FaultProxy, postgres_url: str, admin: Connection, tmp_path: Path
) -> None:
    """A restore does not wait for ever, wherever the server falls silent, and the backup stays."""
    ledger = Ledger(postgres_url)
    await ledger.create(DEPLOYMENT)
    await ledger.backup(tmp_path / "copy.db")
    await ledger.aclose()
    silent = Ledger(f"{_through(proxy, postgres_url)}?timeout=1&patience=1&schema=copied")
    await silent.create(DEPLOYMENT)
    async with admin.transaction(), asyncio.timeout(10):
        await admin.execute("LOCK TABLE copied.securemem_ledger_acts IN EXCLUSIVE MODE")
        adopting = asyncio.create_task(silent.adopt(DEPLOYMENT, tmp_path / "copy.db"))
        while not await admin.fetchval(WAITING):  # noqa: ASYNC110  (the server has no event for it that would reach us)
            await asyncio.sleep(0.01)
        proxy.replies.swallow()
        with pytest.raises(BackendUnavailableError):
            await adopting
    assert (tmp_path / "copy.db").exists()
    await silent.aclose()


async def test_a_migration_that_the_server_leaves_without_an_answer(
    proxy: FaultProxy, postgres_url: str, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself, though nobody waits for it any more, and another ledger of the process can be opened."""
    monkeypatch.setattr("securemem.ledger.engine._MIGRATION_SECONDS", 1.0)
    silent = Ledger(f"{_through(proxy, postgres_url)}?timeout=1&patience=1")
    await admin.execute(f"SELECT pg_advisory_lock({_LOCK})")
    creating = asyncio.create_task(silent.create(DEPLOYMENT))
    async with asyncio.timeout(5):
        while not await admin.fetchval(WAITING):  # noqa: ASYNC110  (the server has no event for it that would reach us)
            await asyncio.sleep(0.01)
    proxy.replies.swallow()
    with pytest.raises(BackendUnavailableError):
        await creating
    await admin.execute(f"SELECT pg_advisory_unlock({_LOCK})")
    ledger = Ledger(f"{postgres_url}?schema=another&patience=5")  # before the server ends the other's connection
    await ledger.create(DEPLOYMENT)
    for each in (silent, ledger):
        await each.aclose()


async def test_many_calls_at_once(postgres_url: str) -> None:
    """Whoever waits for a connection while others use it may wait for longer than for an answer of the server's."""
    ledger = Ledger(f"{postgres_url}?timeout=1&patience=1")
    await ledger.create(DEPLOYMENT)

    async def slowly(_: AsyncConnection, __: Tables) -> bool:
        await asyncio.sleep(0.15)
        return True

    assert all(await asyncio.gather(*(ledger.transact(slowly) for _ in range(16))))
    await ledger.aclose()


@pytest.mark.parametrize(("pooler", "kept"), [("none", True), ("transaction", False)])
async def test_statements_are_prepared_once(postgres_url: str, pooler: str, *, kept: bool) -> None:
    """What was asked before is prepared already; behind a pooler by transaction nothing ever is."""
    ledger = Ledger(f"{postgres_url}?pooler={pooler}")
    await ledger.create(DEPLOYMENT)
    for _ in range(2):
        await begin(ledger, ActKind.CLEAR)

    async def prepared(connection: AsyncConnection, _: Tables) -> list[str]:
        from sqlalchemy import text  # noqa: PLC0415

        return list((await connection.execute(text("SELECT statement FROM pg_prepared_statements"))).scalars())

    statements = await ledger.transact(prepared)
    assert any(each.startswith("INSERT INTO securemem_ledger_acts ") for each in statements) == kept
    await ledger.aclose()


@pytest.mark.machine
async def test_through_a_pooler_by_transaction(pgbouncer_url: str) -> None:
    """Two ledgers through a pooler that gives every transaction another connection work at once."""
    ledgers = [Ledger(f"{pgbouncer_url}?pooler=transaction") for _ in range(2)]
    for ledger in ledgers:
        await ledger.create(DEPLOYMENT)
    acts = await asyncio.gather(*(begin(ledgers[number % 2], ActKind.CLEAR, b"a" * 16) for number in range(20)))
    assert sorted(act.counter for act in acts) == list(range(1, 21))
    for act in acts:
        await ledgers[0].finish(act.counter, at=2000)
    assert await ledgers[1].peek() == (Stamp(DEPLOYMENT, 20), 0)
    for ledger in ledgers:
        await ledger.aclose()
