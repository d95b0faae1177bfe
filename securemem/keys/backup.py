"""A backup of a keystore: a SQLite file that is a keystore in its own right, compared with what it was taken from."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path

from securemem.errors import ConfigurationError, NotReadyError

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


def check_place(path: Path) -> None:
    """Refuse a place where a backup cannot be written, before anything is done.

    Raises:
        ConfigurationError: the file exists already, or its folder does not.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already: name a new file for the backup")
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder of {path} does not exist: create it first")


async def take(path: Path, fill: Fill) -> str:
    """Make a backup's file, for its owner alone, have it filled, and read it back; one that failed is removed.

    Returns:
        The digest of the keystore, which the copy's equals.

    Raises:
        ConfigurationError: as `check_place`, or the file cannot be written.
        NotReadyError: what was read back is not what the keystore holds.
    """
    check_place(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from exc
    try:
        here = await fill(path)
        there = await asyncio.to_thread(_read_back, path)
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    if here != there:
        raise NotReadyError(f"the backup {path} does not hold what the keystore does: take it anew")
    return there


def _read_back(path: Path) -> str:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as con:
        return digest_of(con)
