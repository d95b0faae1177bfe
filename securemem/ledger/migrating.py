"""Makes the ledger's tables and migrates older ones; imported with Alembic, and only where there is something to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from securemem.ledger.names import Namer
from securemem.ledger.schema import tables_of

_MIGRATIONS = Path(__file__).with_name("migrations")


def make(connection: Connection, named: Namer) -> None:
    """Make the tables where there are none, at once, as all migrations would have made them."""
    tables_of(named).metadata.create_all(connection, checkfirst=False)
    context = MigrationContext.configure(connection, opts={"version_table": named("version")})
    context.stamp(_steps(), "head")


@cache
def _steps() -> ScriptDirectory:
    """Give the migrations, read once."""
    return ScriptDirectory(str(_MIGRATIONS))


def upgrade(connection: Connection, named: Namer) -> None:
    """Run the migrations; Alembic keeps its context in a module, so a process does one at a time."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["named"] = named
    command.upgrade(config, "head")
