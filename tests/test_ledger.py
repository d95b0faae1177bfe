"""The ledger: its migrations make its schema, it knows people by handles only, and what it was told it keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from securemem import BackendUnavailableError, ConfigurationError, SecureMemory
from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.ledger.engine import create, migrate
from securemem.ledger.schema import metadata, stamp
from securemem.ledger.store import Ledger

DEPLOYMENT, TENANT, PERSON = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Engine]:
    """Give a file that the migrations have made."""
    migrate(str(tmp_path / "migrated.db"), 1, DEPLOYMENT)
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    yield engine
    engine.dispose()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """Give an open ledger in a file."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    await ledger.create(DEPLOYMENT)
    yield ledger
    await ledger.aclose()


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def _tables(connection: Connection) -> dict[str, object]:
    """Give what compare_metadata does not look at: checks, primary and foreign keys."""
    inspector = inspect(connection)
    return {
        table: (
            inspector.get_pk_constraint(table)["constrained_columns"],
            inspector.get_check_constraints(table),
            [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)],
        )
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_the_migrations_make_the_schema(migrated: Engine) -> None:
    """After all migrations alembic finds no difference from `schema`, and the constraints are the same."""
    other = create_engine("sqlite://")
    with migrated.begin() as connection, other.begin() as fresh:
        create(fresh, DEPLOYMENT)
        assert _differences(connection) == []
        assert _tables(connection) == _tables(fresh)
        stamps = [each.execute(select(stamp)).all() for each in (connection, fresh)]
        assert stamps == [[(1, DEPLOYMENT)]] * 2
    other.dispose()


def test_a_difference_would_be_found(migrated: Engine) -> None:
    """The control: a column more in the database is a difference."""
    with migrated.begin() as connection:
        connection.execute(text("ALTER TABLE acts ADD COLUMN surplus INTEGER"))
        assert len(_differences(connection)) == 1


def test_migrating_again_changes_nothing(migrated: Engine, tmp_path: Path) -> None:
    """A second run keeps what is there, and another deployment's file is refused and stays as it was."""
    path = tmp_path / "migrated.db"
    with closing(sqlite3.connect(path)) as con:
        before = list(con.iterdump())
    migrate(str(path), 1, DEPLOYMENT)
    with pytest.raises(ConfigurationError, match=DEPLOYMENT.hex()):
        migrate(str(path), 1, bytes(16))
    with closing(sqlite3.connect(path)) as con:
        assert list(con.iterdump()) == before


async def _begin(ledger: Ledger, kind: ActKind, *sessions: bytes) -> Act:
    person = PERSON if kind is ActKind.ERASE else None
    graves = [Tombstone(session, 1) for session in sessions]
    return await ledger.begin(kind, tenant=TENANT, user=person, generation=1, sessions=graves, at=1000)


async def test_an_act_is_given_back_whole(ledger: Ledger) -> None:
    """Kind, handles and tombstones come back, counted from 1, until an act is through and past what is asked for."""
    first = await _begin(ledger, ActKind.ERASE, b"a" * 16, b"b" * 16)
    second = await _begin(ledger, ActKind.CLEAR, b"c" * 16)
    await ledger.add_tombstones(first.counter, [Tombstone(b"d" * 16, 1)])
    await ledger.finish(second.counter, at=2000)
    assert (first.counter, second.counter) == (1, 2)
    [unfinished] = await ledger.acts(unfinished=True)
    assert {grave.session[:1] for grave in unfinished.tombstones} == {b"a", b"b", b"d"}
    assert (unfinished.kind, unfinished.user, unfinished.tenant) == (ActKind.ERASE, PERSON, TENANT)
    assert await ledger.acts(after=1) == [second]
    assert await ledger.acts(after=2) == []


async def test_peeking_tells_what_opening_needs(ledger: Ledger) -> None:
    """The stamp and the unfinished acts, read without SQLAlchemy, follow what was written."""
    peek = await ledger.peek()
    assert peek is not None
    assert (peek.stamp.deployment, peek.stamp.counter, peek.unfinished) == (DEPLOYMENT, 0, 0)
    act = await _begin(ledger, ActKind.CLEAR, b"a" * 16)
    assert (await ledger.peek() or peek)[1] == 1
    await ledger.finish(act.counter, at=2000)
    after = await ledger.peek()
    assert after is not None
    assert (after.stamp.counter, after.unfinished) == (1, 0)


async def test_a_counter_is_never_used_twice(ledger: Ledger) -> None:
    """Counters go on rising, also over a row that is not there any more."""
    await _begin(ledger, ActKind.CLEAR)
    with closing(sqlite3.connect(ledger.path)) as con:
        con.execute("DELETE FROM acts")
        con.commit()
    assert (await _begin(ledger, ActKind.CLEAR)).counter == 2


async def test_there_is_nothing_but_handles_in_it(file_url: str, tmp_path: Path) -> None:
    """After acts of every kind no id, tag or text is in the ledger's bytes; the handles are, so that a search finds."""
    async with SecureMemory.open(file_url) as memory:
        for number in range(3):
            chat = memory.session(f"order-{number}-canary", user_id="alice-canary", tags=["tag-canary"])
            await chat.add("user", "text-canary", user_id="guest-canary", metadata={"key-canary": 1})
        await chat.clear()
        await memory.session("short-canary", user_id="bob-canary").add("user", "x", ttl=0.001)
        await memory.sweep()
        handle = (await memory.erase_user("alice-canary")).handle
        await memory.erase_user("guest-canary")
        raw = b"".join(path.read_bytes() for path in tmp_path.glob("store.ledger.db*"))
    assert b"canary" not in raw
    assert bytes.fromhex(handle) in raw


async def test_a_file_of_something_else(tmp_path: Path) -> None:
    """Another database, or no database, is refused and left as it was."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE theirs (x)")
    for content in (path.read_bytes(), b"Dear diary, " * 200):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError):
            await Ledger(str(path)).peek()
        assert path.read_bytes() == content


async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """A ledger that cannot be made is an error of ours."""
    with pytest.raises((BackendUnavailableError, ConfigurationError)):
        await Ledger(str(tmp_path / "no" / "ledger.db")).create(DEPLOYMENT)
