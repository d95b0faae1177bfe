"""Makes the ledger's engine and brings its schema up to date; imported late, with SQLAlchemy and Alembic."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from securemem import lane
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.ledger.schema import metadata, stamp

_ON, _FULL = 1, 2  # as `secure_delete` and `synchronous` answer
_one_at_a_time = threading.Lock()


def make_engine(path: str, busy_seconds: float) -> AsyncEngine:
    """Give an engine of one connection to a SQLite file, or to a database in memory."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": busy_seconds},
    )
    _set_up(engine.sync_engine)
    return engine


def _set_up(engine: Engine) -> None:
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


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise what SQLAlchemy raises as an error of ours.

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


def migrate(path: str, busy_seconds: float, deployment: bytes) -> None:
    """Bring a file's schema up to date and belong to a deployment; in one transaction, in the caller's thread.

    Alembic keeps its context in a module, so this process does one at a time.

    Raises:
        ConfigurationError: the ledger is another deployment's.
    """
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": busy_seconds})
    _set_up(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _one_at_a_time, translated(path), engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        belong(connection, deployment)


def create(connection: Connection, deployment: bytes) -> None:
    """Make the tables in a database in memory, which has no history."""
    metadata.create_all(connection)
    belong(connection, deployment)


def belong(connection: Connection, deployment: bytes) -> None:
    """Write down whose ledger it is, or refuse another's."""
    row = connection.execute(select(stamp.c.deployment)).first()
    if row is None:
        connection.execute(stamp.insert().values(one=1, deployment=deployment))
    elif row[0] != deployment:
        raise ConfigurationError(f"the ledger belongs to deployment {row[0].hex()}, not to {deployment.hex()}")
