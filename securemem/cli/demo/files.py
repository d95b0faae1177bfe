"""The demo's hands: it reads and changes the files themselves, past SecureMem."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

_HEAD = 0xFFFFFFFF


def found(folder: Path, needles: Iterable[bytes]) -> dict[bytes, list[str]]:
    """Search the raw bytes of every file in a folder, without regard to case; give what was found, and in which."""
    contents = {path.name: path.read_bytes().lower() for path in sorted(folder.iterdir()) if path.is_file()}
    hits = {needle: [name for name, content in contents.items() if needle.lower() in content] for needle in needles}
    return {needle: names for needle, names in hits.items() if names}


def sessions(data: Path) -> dict[bytes, int]:
    """Give the numbers of the sessions in the data, by handle."""
    with closing(sqlite3.connect(data)) as con:
        return dict(con.execute("SELECT handle, number FROM messages_sessions"))


def records(data: Path, number: int) -> dict[int, bytes]:
    """Give the sealed records of a session as they lie in the file, by seq."""
    low = number << 32
    with closing(sqlite3.connect(data)) as con:
        query = "SELECT id, body FROM messages WHERE id >= ? AND id < ? ORDER BY id"
        return {row - low: body for row, body in con.execute(query, (low, low | _HEAD))}


def overwrite(data: Path, number: int, seq: int, body: bytes) -> None:
    """Put other bytes in the place of one record."""
    with closing(sqlite3.connect(data)) as con, con:
        con.execute("UPDATE messages SET body = ? WHERE id = ?", (body, number << 32 | seq))


def flip(data: Path, record: bytes) -> int:
    """Flip one bit in the middle of a record in the file; give the place of the byte.

    Raises:
        ValueError: the record does not lie in the file in one piece, once.
    """
    with closing(sqlite3.connect(data)) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = data.read_bytes()
    if content.count(record) != 1:
        raise ValueError("the record does not lie in the file in one piece")
    place = content.index(record) + len(record) // 2
    flip_at(data, place)
    return place


def flip_at(data: Path, place: int) -> None:
    """Flip the lowest bit of one byte of a file."""
    with data.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def back_up(data: Path, to: Path) -> None:
    """Copy the data as SQLite's own backup does, what lies in the write-ahead log included."""
    with closing(sqlite3.connect(data)) as con, closing(sqlite3.connect(to)) as copy:
        con.backup(copy)


def restore(backup: Path, data: Path) -> None:
    """Put a backup in the place of the data."""
    for ending in ("", "-wal", "-shm"):
        data.with_name(data.name + ending).unlink(missing_ok=True)
    shutil.copyfile(backup, data)


def keys_of(keystore: Path, session: bytes) -> int:
    """Count the wrapped keys that the keystore holds for a session."""
    with closing(sqlite3.connect(keystore)) as con:
        row: tuple[int] = con.execute("SELECT count(*) FROM sessions WHERE handle = ?", (session,)).fetchone()
        return row[0]


def people(keystore: Path) -> int:
    """Count the people whose keys the keystore holds."""
    with closing(sqlite3.connect(keystore)) as con:
        row: tuple[int] = con.execute("SELECT count(*) FROM users").fetchone()
        return row[0]


def tombstones(ledger: Path, session: bytes) -> int:
    """Count the tombstones that the ledger holds for a session."""
    with closing(sqlite3.connect(ledger)) as con:
        row: tuple[int] = con.execute("SELECT count(*) FROM tombstones WHERE session = ?", (session,)).fetchone()
        return row[0]


def plain_table(path: Path, texts: Iterable[str]) -> None:
    """Keep texts as an ordinary SQLite table does, for the search to be tried on."""
    with closing(sqlite3.connect(path)) as con, con:
        con.execute("CREATE TABLE chat (content TEXT)")
        con.executemany("INSERT INTO chat VALUES (?)", [(text,) for text in texts])
