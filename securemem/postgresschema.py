"""Migrations of a part of a PostgreSQL schema: numbered SQL files, applied in order under an advisory lock.

Each part (a table of records, the keystore) keeps its version in `securemem_schema`. Nothing is made before it is
needed: looking at an empty schema leaves it empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from securemem.errors import ConfigurationError
from securemem.postgres import Connection

_LOCK = 0x536563757265  # one for all parts and schemas of a database: migrations are short
_ENSURE = """
CREATE SCHEMA IF NOT EXISTS "{schema}";
CREATE TABLE IF NOT EXISTS "{schema}".securemem_schema (part text PRIMARY KEY, version integer NOT NULL);
"""
_VERSION = 'SELECT version FROM "{schema}".securemem_schema WHERE part = $1'
_SET_VERSION = """
INSERT INTO "{schema}".securemem_schema VALUES ($1, $2) ON CONFLICT (part) DO UPDATE SET version = excluded.version
"""
_LOOK = """
SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = 'securemem_schema') AS kept,
       EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = ANY ($2)) AS tables,
       coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),
                has_database_privilege(current_database(), 'CREATE')) AS may_create,
       coalesce((SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                                 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relname = ANY ($2)), true)
       AND coalesce((SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                                     AND has_table_privilege(c.oid, 'UPDATE'))
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = $1 AND c.relname = ANY ($3)), true) AS may_use
"""


class Part(NamedTuple):
    """Tables that are migrated together.

    Attributes:
        schema: where they lie; an identifier that was checked.
        name: of the part.
        tables: their names.
        folder: its migrations, `0001_what.sql` and on.
        names: what is put for `{placeholders}` in these: identifiers that were checked.
        shared: names of further tables, which it has together with other parts and never deletes from.
    """

    schema: str
    name: str
    tables: tuple[str, ...]
    folder: Path
    names: dict[str, str]
    shared: tuple[str, ...] = ()

    @property
    def steps(self) -> list[Path]:
        """The migrations, in order."""
        return sorted(self.folder.glob("[0-9]*.sql"))


async def look(connection: Connection, part: Part, server: str) -> int:
    """Give the version of a part, 0 where it is not there yet; nothing is changed.

    Raises:
        ConfigurationError: another program's tables, a newer version, or rights that are missing.
    """
    [row] = await connection.fetch(_LOOK, part.schema, list(part.tables), list(part.shared))
    version = 0
    if row["kept"]:
        version = await connection.fetchval(_VERSION.replace("{schema}", part.schema), part.name) or 0
    if version > len(part.steps):
        raise ConfigurationError(f"{server}: {part.name} was written by a newer SecureMem: upgrade this one")
    if not version and row["tables"]:
        raise ConfigurationError(
            f"{server}: schema {part.schema} has tables of these names that are not SecureMem's: name another schema "
            f"or table_name"
        )
    if not row["may_use"] or (not version and not row["may_create"]):
        raise ConfigurationError(
            f"{server}: this user lacks rights in schema {part.schema}: grant it those that docs/servers.md names"
        )
    return version


async def migrate(connection: Connection, part: Part, server: str) -> None:
    """Bring a part up to date, in one transaction."""
    async with connection.transaction(isolation="read_committed"):  # who waited for the lock sees what was made
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        version = await look(connection, part, server)
        if version == len(part.steps):
            return
        await connection.execute(_ENSURE.replace("{schema}", part.schema))
        for step in part.steps[version:]:
            text = step.read_text(encoding="utf-8")
            for placeholder, value in part.names.items():
                text = text.replace("{" + placeholder + "}", value)
            await connection.execute(text)
        await connection.execute(_SET_VERSION.replace("{schema}", part.schema), part.name, len(part.steps))
