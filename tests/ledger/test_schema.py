"""The ledger's migrations make the schema that a new ledger is made with, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from securemem.errors import ConfigurationError
from securemem.ledger.engine import (
    create,
    make_database_engine,
    make_file_engine,
    migrate_database,
    migrate_file,
)
from securemem.ledger.home import revisions
from securemem.ledger.migrating import upgrade
from securemem.ledger.names import in_database, in_file
from securemem.ledger.schema import Tables, tables_of
from securemem.postgres import PostgresServer

from .acts import DEPLOYMENT

T = TypeVar("T")
SCHEMA = "apart"


@pytest.fixture(params=["file", "postgres"])
async def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[AsyncEngine, Tables]]:
    """Give what all migrations have made one after the other, and the tables as they should be."""
    if request.param == "file":
        named, engine = in_file, make_file_engine(str(tmp_path / "migrated.db"), 1)
    else:
        named = in_database
        engine = make_database_engine(PostgresServer(request.getfixturevalue("postgres_url"), {}).connect, "public")
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, named)
    yield engine, tables_of(named)
    await engine.dispose()


async def _run(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    async with engine.begin() as connection:
        return await connection.run_sync(work)


def _differences(connection: Connection, tables: Tables, version: str) -> list[object]:
    """Compare columns, types and defaults."""
    options = {"compare_type": True, "compare_server_default": True, "version_table": version}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, tables.metadata))


def _constraints(connection: Connection, tables: Tables) -> dict[str, object]:
    """Give what compare_metadata does not look at: checks, primary and foreign keys."""
    inspector = inspect(connection)
    return {
        table: (
            inspector.get_pk_constraint(table)["constrained_columns"],
            inspector.get_check_constraints(table),
            [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)],
        )
        for table in tables.metadata.tables
    }


def _version(engine: AsyncEngine) -> str:
    return (in_file if engine.dialect.name == "sqlite" else in_database)("version")


async def test_the_migrations_make_the_schema(migrated: tuple[AsyncEngine, Tables]) -> None:
    """After all migrations alembic finds no difference from `schema`, and the constraints are the same."""
    engine, tables = migrated
    assert await _run(engine, lambda connection: _differences(connection, tables, _version(engine))) == []
    before = await _run(engine, lambda connection: _constraints(connection, tables))

    def anew(connection: Connection) -> dict[str, object]:
        tables.metadata.drop_all(connection)
        create(connection, tables, DEPLOYMENT)
        return _constraints(connection, tables)

    assert await _run(engine, anew) == before


async def test_a_difference_would_be_found(migrated: tuple[AsyncEngine, Tables]) -> None:
    """The control: a column more in the database is a difference."""
    engine, tables = migrated

    def differ(connection: Connection) -> list[object]:
        connection.execute(text(f"ALTER TABLE {tables.acts.name} ADD COLUMN surplus INTEGER"))
        return _differences(connection, tables, _version(engine))

    assert len(await _run(engine, differ)) == 1


async def test_a_new_one_is_of_the_newest_version(postgres_url: str, tmp_path: Path) -> None:
    """It is made at once and says of itself what the migrations would say; it is made once, and its deployment's."""
    path, connect = str(tmp_path / "new.db"), PostgresServer(postgres_url, {}).connect
    migrate_file(path, 1, DEPLOYMENT)
    for _ in range(2):
        await asyncio.to_thread(migrate_database, connect, SCHEMA, DEPLOYMENT, seconds=5)
    engines = {in_file: make_file_engine(path, 1), in_database: make_database_engine(connect, SCHEMA)}
    for named, engine in engines.items():
        async with engine.begin() as connection:
            version = await connection.scalar(text(f"SELECT version_num FROM {named('version')}"))
            stamps = (await connection.execute(select(tables_of(named).stamp))).all()
        await engine.dispose()
        assert (version, stamps) == (max(revisions()), [(1, DEPLOYMENT)])


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    """A second run keeps what is there, and another deployment's file is refused and stays as it was."""
    path = str(tmp_path / "migrated.db")
    migrate_file(path, 1, DEPLOYMENT)
    with closing(sqlite3.connect(path)) as con:
        before = list(con.iterdump())
    migrate_file(path, 1, DEPLOYMENT)
    with pytest.raises(ConfigurationError, match=DEPLOYMENT.hex()):
        migrate_file(path, 1, bytes(16))
    with closing(sqlite3.connect(path)) as con:
        assert list(con.iterdump()) == before
