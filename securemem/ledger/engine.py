"""Makes the ledger's engines and sees that its schema is of this version; imported late, with SQLAlchemy."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from asyncpg import exceptions as pg
from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from securemem import lane
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.ledger.home import revisions
from securemem.ledger.names import Namer, in_database, in_file
from securemem.ledger.schema import Tables, tables_of

Connect = Callable[..., Awaitable[Any]]
"""Opens a connection of asyncpg."""


_ON, _FULL = 1, 2  # as `secure_delete` and `synchronous` answer
_LOCK = 0x536D4C6564676572  # one for all ledgers of a database: migrations are short
_one_at_a_time = threading.Lock()  # as Alembic can
_MIGRATION_SECONDS = 60.0
"""How long a migration in a database goes on whose caller has given up, at least: the next one finds it done then."""


def insert_new(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Give an insertion that leaves alone what is there."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


async def count_from(connection: AsyncConnection, table: Table, column: str, upcoming: int) -> None:
    """Let a table's numbers go on at one; SQLite goes on behind the highest by itself."""
    if connection.dialect.name == "postgresql":
        query = text("SELECT setval(pg_get_serial_sequence(:place, :column), :upcoming, false)")
        await connection.execute(query, {"place": table.name, "column": column, "upcoming": upcoming})


def make_file_engine(path: str, busy_seconds: float) -> AsyncEngine:
    """Give an engine of one connection to a SQLite file, or to a database in memory."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=path),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": busy_seconds, "check_same_thread": False, "async_creator_fn": lane.near},
    )
    _set_up_file(engine.sync_engine)
    return engine


def make_database_engine(connect: Connect, schema: str, *, size: int = 1, statements: int = 0) -> AsyncEngine:
    """Give an engine to PostgreSQL, in which unqualified names lie in one schema.

    Args:
        connect: opens a connection.
        schema: where the tables lie.
        size: how many connections it has at most; who asks for more waits.
        statements: how many a connection keeps prepared by name; with none it works through a pooler too.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        isolation_level="READ COMMITTED",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        connect_args={"async_creator_fn": connect, "prepared_statement_cache_size": statements},
    )
    _set_up_database(engine.sync_engine, schema)
    return engine


def _set_up_file(engine: Engine) -> None:
    """Let transactions take the write lock at once, and DDL be part of them; set what durability rests on."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        for pragma, wanted in (("synchronous", _FULL), ("secure_delete", _ON)):
            cursor.execute(f"PRAGMA {pragma}")
            if cursor.fetchone()[0] != wanted:
                raise ConfigurationError(f"this build of SQLite refuses {pragma} for the ledger: use another")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_database(engine: Engine, schema: str) -> None:
    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(f'SET LOCAL search_path TO "{schema}"')

    # No connection is used again that leads to a server which only reads: the name may lead to another by now.
    @event.listens_for(engine, "handle_error")
    def _failed(context: ExceptionContext) -> None:
        if isinstance(context.original_exception.__cause__, pg.ReadOnlySQLTransactionError):
            context.is_disconnect = True

    # SQLAlchemy would take leave of a server that does not answer, and wait for that.
    @event.listens_for(engine, "close")
    def _closed(connection: Any, _: object) -> None:
        connection.driver_connection.terminate()

    @event.listens_for(engine, "invalidate")
    def _invalidated(connection: Any, _: object, __: object) -> None:
        connection.driver_connection.terminate()


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise what SQLAlchemy raises on a file as an error of ours.

    Raises:
        BackendUnavailableError: the ledger cannot be reached, read or written just now.
    """
    try:
        yield
    except DBAPIError as exc:
        if isinstance(exc.orig, sqlite3.Error):
            raise lane.translated(exc.orig, path) from exc
        raise BackendUnavailableError(f"the ledger {path} cannot be used just now") from exc
    except SQLAlchemyError as exc:
        raise BackendUnavailableError(f"the ledger {path} cannot be used just now") from exc


@contextlib.contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the driver's own errors instead of SQLAlchemy's around them, for those who know what they mean."""
    try:
        yield
    except DBAPIError as exc:
        driver = exc.orig.__cause__ if exc.orig is not None else None
        raise (driver or BackendUnavailableError("the ledger cannot be used just now")) from exc
    except SQLAlchemyError as exc:
        raise BackendUnavailableError("the ledger cannot be used just now") from exc


def migrate_file(path: str, busy_seconds: float, deployment: bytes) -> None:
    """Bring a file's schema up to date and belong to a deployment; in one transaction, in the caller's thread.

    Raises:
        ConfigurationError: the ledger is another deployment's.
    """
    engine = create_engine(
        URL.create("sqlite", database=path), poolclass=NullPool, connect_args={"timeout": busy_seconds}
    )
    _set_up_file(engine)
    with _one_at_a_time, translated(path), engine.begin() as connection:
        bring_up(connection, in_file)
        belong(connection, tables_of(in_file), deployment)


def migrate_database(connect: Connect, schema: str, deployment: bytes, *, seconds: float) -> None:
    """Do the same in a PostgreSQL schema, in the caller's thread, on an event loop of its own.

    Args:
        connect: opens a connection.
        schema: where the tables lie.
        deployment: whose they are.
        seconds: how long to wait for another migration.

    Raises:
        ConfigurationError: the ledger is another deployment's.
        TimeoutError: another migration is under way, or the server is silent.
    """
    if not _one_at_a_time.acquire(timeout=seconds):
        raise TimeoutError
    try:
        with unwrapped():
            asyncio.run(asyncio.wait_for(_migrate(connect, schema, deployment), max(seconds, _MIGRATION_SECONDS)))
    finally:
        _one_at_a_time.release()


async def _migrate(connect: Connect, schema: str, deployment: bytes) -> None:
    engine = make_database_engine(connect, schema)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if await connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": f'"{schema}"'}) is None:
                await connection.execute(text(f'CREATE SCHEMA "{schema}"'))
            await connection.run_sync(bring_up, in_database)
            await connection.run_sync(belong, tables_of(in_database), deployment)
    finally:
        await engine.dispose()


def bring_up(connection: Connection, named: Namer) -> None:
    """Make the tables of this version where there are none, and bring those up to it that are older."""
    version = named("version")
    there = inspect(connection).has_table(version)
    if there and connection.scalar(text(f"SELECT version_num FROM {version}")) == max(revisions()):  # noqa: S608
        return
    from securemem.ledger import migrating  # noqa: PLC0415  (a tenth of a second of importing)

    (migrating.upgrade if there else migrating.make)(connection, named)


def create(connection: Connection, tables: Tables, deployment: bytes) -> None:
    """Make the tables in a database in memory, which has no history."""
    tables.metadata.create_all(connection)
    belong(connection, tables, deployment)


def belong(connection: Connection, tables: Tables, deployment: bytes) -> None:
    """Write down whose ledger it is, or refuse another's."""
    row = connection.execute(select(tables.stamp.c.deployment)).first()
    if row is None:
        connection.execute(tables.stamp.insert().values(one=1, deployment=deployment))
    elif row[0] != deployment:
        raise ConfigurationError(f"the ledger belongs to deployment {row[0].hex()}, not to {deployment.hex()}")
