"""The PostgreSQL keystore passes the contract, and does what only a server can get wrong."""

from __future__ import annotations

import asyncio

import pytest

from securemem.errors import ConfigurationError
from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.keys.rows import Minted
from securemem.model import Stamp
from securemem.postgres import Connection
from securemem.testing import KeystoreContract
from securemem.testing.keystore.hooks import (
    STAMP,
    Connect,
    mint,
    new_session,
    new_user,
    number_of,
    person,
    row_of,
    tenant_of,
)
from securemem.testing.keystore.rotating import open_second, rewrapped
from securemem.testing.servers.postgres import PostgresServer, execute


class TestPostgresKeystore(KeystoreContract):
    """Every connection is a new object over one database."""

    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        """Give keystores over one database."""
        return lambda: PostgresKeystore(postgres_url, {})


class TestOneConnection(KeystoreContract):
    """Everything goes through one connection, in batches, with no statement that is prepared by name."""

    @pytest.fixture
    def connect(self, postgres_url: str) -> Connect:
        """Give keystores of one connection each, in a schema that is made for them."""
        options = {"pool_size": "1", "schema": "apart", "pooler": "transaction"}
        return lambda: PostgresKeystore(postgres_url, options)


@pytest.mark.machine
class TestThroughAPooler(KeystoreContract):
    """A pooler gives every transaction another connection of the server."""

    @pytest.fixture
    def connect(self, pgbouncer_url: str) -> Connect:
        """Give keystores over one database, through the pooler."""
        return lambda: PostgresKeystore(pgbouncer_url, {"pooler": "transaction"})


async def test_opening_makes_nothing(postgres_url: str, admin: Connection) -> None:
    """Opening an empty database leaves it empty; the first write makes the tables, and then the stamp is there."""
    keystore = PostgresKeystore(postgres_url, {})
    assert await keystore.open() is None
    assert await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await keystore.stamp(STAMP)
    await keystore.aclose()
    assert await keystore.open() == STAMP
    await keystore.aclose()


async def test_two_schemas_are_apart(keystore: PostgresKeystore, postgres_url: str) -> None:
    """Keystores in two schemas of one database know nothing of each other."""
    other = PostgresKeystore(postgres_url, {"schema": "other"})
    assert await other.open() is None
    await other.stamp(Stamp(b"o" * 16, 7))
    assert await other.epochs() == []
    assert (await keystore.stamp_now(), await other.stamp_now()) == (STAMP, Stamp(b"o" * 16, 7))
    await other.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE securemem_keystore_users (theirs text)",
        "CREATE TABLE securemem_schema AS SELECT 'keystore' AS part, 99 AS version",
    ],
    ids=["foreign", "newer"],
)
async def test_what_is_not_ours_is_refused(postgres_url: str, admin: Connection, statement: str) -> None:
    """Another program's tables, and a newer version's, are refused at open."""
    await admin.execute(statement)
    keystore = PostgresKeystore(postgres_url, {})
    with pytest.raises(ConfigurationError):
        await keystore.open()
    await keystore.aclose()


@pytest.mark.parametrize(("query", "arguments"), [("find", 2), ("finds", 4), ("mint", 21), ("page_of_user", 4)])
async def test_hot_plans_go_by_index(keystore: PostgresKeystore, admin: Connection, query: str, arguments: int) -> None:
    """Among 2,000 people the plan that is kept for a hot query scans neither table, nor all of a user's sessions."""
    tenant = await tenant_of(keystore)
    people = [(new_user(tenant), new_session()) for _ in range(2000)]
    assert set(await asyncio.gather(*(mint(keystore, *each) for each in people))) == {Minted.DONE}
    await admin.execute("ANALYZE")
    await admin.execute("SET plan_cache_mode = force_generic_plan")
    await admin.execute(f"PREPARE hot AS {keystore._sql[query]}")
    nothing = ", ".join(["NULL"] * arguments)
    plan = "\n".join(row[0] for row in await admin.fetch(f"EXPLAIN EXECUTE hot ({nothing})"))
    assert "Index" in plan
    assert "Seq Scan on securemem_keystore_users" not in plan
    assert "Seq Scan on securemem_keystore_sessions" not in plan
    assert query == "page_of_user" or "(owner = " not in plan.replace("Filter: (owner", "")


async def test_a_shredded_key_is_in_no_file(
    own_keystore: PostgresKeystore, own_postgres_url: str, postgres_server: PostgresServer
) -> None:
    """After shredding, or rewrapping, and a purge the old wrapped keys are in no table, index or statistics file."""

    def found(needles: list[bytes]) -> set[bytes]:
        files = [file.read_bytes() for file in (postgres_server.data / "base").rglob("*") if file.is_file()]
        return {needle for needle in needles for file in files if needle in file}

    gone, moved = await person(own_keystore), await person(own_keystore)
    needles = [gone.user.wrapped, gone.session.wrapped, gone.session.title, gone.user.name, moved.user.wrapped]
    await execute(own_postgres_url, "ANALYZE")
    await open_second(own_keystore)
    assert await own_keystore.shred_user(await number_of(own_keystore, gone.user), known={gone.session.handle})
    [(_, row)] = await own_keystore.users_under(2, 9)
    await own_keystore.rewrap(row, rewrapped([]))
    await execute(postgres_server.admin_url(), "CHECKPOINT")
    assert found(needles) == set(needles), "the control: deleting and rewrapping leave them where they were"
    left = await own_keystore.purge(5.0)
    await execute(postgres_server.admin_url(), "CHECKPOINT")
    assert found([*needles, moved.session.wrapped]) == {moved.session.wrapped}
    assert ["write-ahead log" in entry.what for entry in left] == [True]


async def test_a_row_of_another_tenant_number(keystore: PostgresKeystore) -> None:
    """A user of a tenant that is not there is refused by the database itself, as an error of ours."""
    new = new_user(99)
    with pytest.raises(Exception, match="23503") as error:
        await mint(keystore, new)
    assert type(error.value).__module__ == "securemem.errors"
    assert await mint(keystore, row_of(new)) is Minted.USER_GONE
