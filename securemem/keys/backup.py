"""A backup of a keystore: a SQLite file that is a keystore in its own right, compared with what it was taken from."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path

from securemem.errors import ConfigurationError, NotReadyError
from securemem.newfile import check_place, open_new

TABLES = {
    "securemem_stamp": ("one", "deployment", "counter"),
    "epochs": ("epoch", "state", "since"),
    "tenants": ("tenant", "handle", "name", "route", "place", "moving_to"),
    "tenant_keys": ("tenant", "kind", "epoch", "wrapped"),
    "users": ("user", "tenant", "handle", "tag", "epoch", "generation", "wrapped", "name"),
    "sessions": ("session", "user", "handle", "tag", "generation", "floor", "floor_ends", "wrapped", "title"),
    "guests": ("session", "user", "generation", "wrapped"),
}
"""The columns of each table, in the order in which they are counted; rows are in the order of the first three."""

Fill = Callable[[Path], Awaitable[str]]
"""Fills an empty file with a keystore's rows; gives the digest of what it read."""


class Digest:
    """The SHA-256 of a keystore's rows: those of each table of `TABLES`, in their order."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def update(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Count rows of a table in."""
        for row in rows:
            self._sum.update(repr((table, *row)).encode())

    def hex(self) -> str:
        """Give the sum."""
        return self._sum.hexdigest()


def digest_of(con: sqlite3.Connection) -> str:
    """Give the digest of a SQLite keystore."""
    digest = Digest()
    for table, columns in TABLES.items():
        rows = con.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2, 3")  # noqa: S608  (constants)
        digest.update(table, rows)
    return digest.hex()


async def take(path: Path, fill: Fill) -> str:
    """Make a backup's file, for its owner alone, have it filled, and read it back; one that failed is removed.

    Returns:
        The digest of the keystore, which the copy's equals.

    Raises:
        ConfigurationError: as `newfile.check_place`, or the file cannot be written.
        NotReadyError: what was read back is not what the keystore holds.
    """
    check_place(path)
    try:
        open_new(path).close()
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from exc
    try:
        return await _filled(path, fill)
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise


async def _filled(path: Path, fill: Fill) -> str:
    here = await fill(path)
    there = await asyncio.to_thread(_read_back, path)
    if here != there:
        raise NotReadyError(f"the backup {path} does not hold what the keystore does: take it anew")
    return there


async def rows_of(
    path: Path, table: str, columns: tuple[str, ...], *, at_once: int
) -> AsyncIterator[list[tuple[object, ...]]]:
    """Give the rows of one table of a backup, so many at a time."""
    query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2, 3"  # noqa: S608  (constants)
    with closing(sqlite3.connect(path, check_same_thread=False)) as con:
        cursor = con.execute(query)
        while rows := await asyncio.to_thread(cursor.fetchmany, at_once):
            yield rows


def _read_back(path: Path) -> str:
    # Nobody else has the file: read as one that does not change, it leaves no other files beside it.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as con:
        return digest_of(con)
