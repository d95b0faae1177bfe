"""Makes the ledger's engine and brings its schema up to date; imported late, with SQLAlchemy and Alembic."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from securemem import lane
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.ledger.schema import stamp


def make_engine(path: str, busy_seconds: float) -> AsyncEngine:
    """Give an engine of one connection to a SQLite file, or to a database in memory."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": busy_seconds},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


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


def migrate(connection: Connection, deployment: bytes) -> None:
    """Bring the schema up to date and belong to a deployment.

    Raises:
        ConfigurationError: the ledger is another deployment's.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    row = connection.execute(select(stamp.c.deployment)).first()
    if row is None:
        connection.execute(stamp.insert().values(one=1, deployment=deployment))
    elif row[0] != deployment:
        raise ConfigurationError(f"the ledger belongs to deployment {row[0].hex()}, not to {deployment.hex()}")
