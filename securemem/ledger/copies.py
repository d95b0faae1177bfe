"""A ledger's rows from one place to another: a backup is a SQLite file that is a ledger in its own right."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Boolean, Table

from securemem.ledger.engine import migrate_file
from securemem.ledger.home import BUSY_SECONDS
from securemem.ledger.names import in_database, in_file
from securemem.ledger.schema import tables_of
from securemem.newfile import open_new
from securemem.postgres import Connection

_ROWS = 1000
_SET_SERIAL = "SELECT setval(pg_get_serial_sequence($1, $2), $3, false)"


class _Columns(NamedTuple):
    """One table: its names in a file and in a database, its columns, which are truth values, and which counts."""

    file: str
    database: str
    names: tuple[str, ...]
    truths: tuple[bool, ...]
    serial: str | None


def _tables() -> list[_Columns]:
    """Give the tables, those that others refer to first; a stamp is made with a ledger."""
    files, databases = vars(tables_of(in_file)), vars(tables_of(in_database))
    found = []
    for name, table in files.items():
        if isinstance(table, Table) and name != "stamp":
            names = tuple(column.name for column in table.columns)
            truths = tuple(isinstance(column.type, Boolean) for column in table.columns)
            serial = next((column.name for column in table.columns if column.autoincrement is True), None)
            found.append(_Columns(table.name, databases[name].name, names, truths, serial))
    return found


def copy_file(source: str, copy: Path) -> None:
    """Copy a ledger in a file, as of one moment, without holding up whoever writes to it."""
    open_new(copy).close()
    with (
        closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)


async def copy_database(con: Connection, schema: str, deployment: bytes, copy: Path, *, seconds: float) -> None:
    """Copy a ledger in PostgreSQL, as of one moment, into a new file.

    Args:
        con: of its own, in which nothing is under way.
        schema: where the tables are.
        deployment: whose they are.
        copy: the file.
        seconds: how long each call may take.
    """
    (await asyncio.to_thread(open_new, copy)).close()
    await asyncio.to_thread(migrate_file, str(copy), BUSY_SECONDS, deployment)
    # Ended with the connection: to end it in so many words could wait for a server that is silent.
    await con.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", timeout=seconds)
    for table in _tables():
        columns = ", ".join(f'"{name}"' for name in table.names)
        query = f'SELECT {columns} FROM "{schema}"."{table.database}"'  # noqa: S608  (names of ours)
        cursor = await con.cursor(query, timeout=seconds)
        while rows := await cursor.fetch(_ROWS, timeout=seconds):
            await asyncio.to_thread(_fill, copy, table, [tuple(row) for row in rows])


async def fill_database(con: Connection, schema: str, copy: Path, *, seconds: float) -> bool:
    """Put the rows of a copy into a PostgreSQL ledger that has none, all of them or, where it fails, none.

    Args:
        con: of its own, in which nothing is under way; to be closed then.
        schema: where the tables are.
        copy: the file.
        seconds: how long each call may take.

    Returns:
        Whether it had none; if not, nothing was put.
    """
    tables = _tables()
    # Where it fails it ends with the connection: to end it in so many words could wait for a server that is silent.
    await con.execute("BEGIN ISOLATION LEVEL READ COMMITTED", timeout=seconds)
    for table in tables:
        place = f'"{schema}"."{table.database}"'
        await con.execute(f"LOCK TABLE {place} IN EXCLUSIVE MODE", timeout=seconds)
        if await con.fetchval(f"SELECT 1 FROM {place} LIMIT 1", timeout=seconds):  # noqa: S608  (names of ours)
            return False
    for table in tables:
        place = f'"{schema}"."{table.database}"'
        columns = ", ".join(f'"{name}"' for name in table.names)
        values = ", ".join(f"${number}" for number in range(1, len(table.names) + 1))
        statement = f"INSERT INTO {place} ({columns}) VALUES ({values})"  # noqa: S608  (names of ours)
        for rows in _rows(copy, table):
            await con.executemany(statement, rows, timeout=seconds)
        if table.serial is not None:
            following = f'SELECT coalesce(max("{table.serial}"), 0) + 1 FROM {place}'  # noqa: S608  (names of ours)
            upcoming = await con.fetchval(following, timeout=seconds)
            await con.execute(_SET_SERIAL, place, table.serial, upcoming, timeout=seconds)
    await con.execute("COMMIT", timeout=seconds)
    return True


def _fill(copy: Path, table: _Columns, rows: Sequence[tuple[object, ...]]) -> None:
    names = ", ".join(f'"{name}"' for name in table.names)
    values = ", ".join("?" * len(table.names))
    with closing(sqlite3.connect(copy)) as con, con:
        con.executemany(f'INSERT INTO "{table.file}" ({names}) VALUES ({values})', rows)  # noqa: S608  (names of ours)


def _rows(copy: Path, table: _Columns) -> Iterator[list[tuple[object, ...]]]:
    names = ", ".join(f'"{name}"' for name in table.names)
    with closing(sqlite3.connect(copy)) as con:
        cursor = con.execute(f'SELECT {names} FROM "{table.file}"')  # noqa: S608  (names of ours)
        while rows := cursor.fetchmany(_ROWS):
            yield [
                tuple(
                    bool(value) if truth and value is not None else value
                    for value, truth in zip(row, table.truths, strict=True)
                )
                for row in rows
            ]
