"""What a leaked file is: it is looked into as whoever found it would, with no key, and nothing of it is trusted."""

from __future__ import annotations

import enum
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from securemem.crypto.stream import HEADER_BYTES, parse_header, wrapped_length
from securemem.errors import ConfigurationError, InvalidInputError
from securemem.model import HANDLE_BYTES

_MOST_KEK_BYTES = 1024 * 1024
_BACKUP = b"SB"
_SQLITE = b"SQLite format 3\0"


class Leak(enum.StrEnum):
    """What leaked."""

    DATA = "data"
    """The data store: sealed messages, and their times and lengths."""
    KEYSTORE = "keystore"
    """The keystore or a backup of it: wrapped keys, sealed ids."""
    LEDGER = "ledger"
    """The ledger: who was erased, held and restricted, by handles."""
    KEK = "kek"
    """A KEK as it is, or a file of them."""
    SEALED_KEK = "sealed-kek"
    """A file of KEKs that are sealed under a passphrase."""
    BACKUP = "backup"
    """A sealed backup of one store."""


@dataclass(frozen=True, slots=True)
class Leaked:
    """One thing that leaked.

    Attributes:
        what: which.
        deployment: whose, as it says itself.
        people: the person's handle and the epoch that the key is wrapped under, for each key in it; the ledger has 0.
        sessions: handles of the sessions that have messages in it.
        owners: whose each session is, by a keystore.
        epochs: of the KEKs in it.
        store: which one a sealed backup is of.
        sealed_under: the epoch whose KEK opens a sealed backup of a keystore; 0 for all else.
    """

    what: Leak
    deployment: bytes
    people: frozenset[tuple[bytes, int]] = frozenset()
    sessions: frozenset[bytes] = frozenset()
    owners: frozenset[tuple[bytes, bytes]] = frozenset()
    epochs: frozenset[int] = frozenset()
    store: str = ""
    sealed_under: int = 0


def look_into(path: Path) -> Leaked:
    """Say what a file is.

    Raises:
        InvalidInputError: it cannot be read, or is none of ours.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_MOST_KEK_BYTES)
    except OSError as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc.strerror}") from exc
    try:
        if start.startswith(_SQLITE):
            return _database(path)
        return _backup(start) if start.startswith(_BACKUP) else _keks(start)
    except (ConfigurationError, sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise InvalidInputError(f"{path} is damaged, or no file of SecureMem's") from exc


def _backup(start: bytes) -> Leaked:
    header = parse_header(start[: HEADER_BYTES + wrapped_length(start)])
    return Leaked(Leak.BACKUP, header.deployment, store=header.store, sealed_under=header.epoch)


def _keks(start: bytes) -> Leaked:
    document = json.loads(start)
    what = Leak.KEK if document["kdf"] is None else Leak.SEALED_KEK
    epochs = frozenset(int(epoch) for epoch in document["epochs"])
    return Leaked(what, bytes.fromhex(document["deployment"]), epochs=epochs)


def _database(path: Path) -> Leaked:
    # A file on its own is read without a lock or a file beside it; what stands in a log beside it counts.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as con:
        tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        deployment = bytes(con.execute("SELECT deployment FROM securemem_stamp").fetchone()[0])
        if {"users", "epochs", "tenant_keys"} <= tables:
            return _keystore(con, deployment)
        if {"acts", "audit", "tombstones"} <= tables:
            return _ledger(con, deployment)
        spaces = [name for name in tables if f"{name}_sessions" in tables]
        if not spaces:
            raise ValueError
        sessions = set()
        for name in spaces:
            quoted = f"{name}_sessions".replace('"', '""')
            sessions |= {_handle(row[0]) for row in con.execute(f'SELECT handle FROM "{quoted}"')}  # noqa: S608  (quoted)
        return Leaked(Leak.DATA, deployment, sessions=frozenset(sessions))


def _keystore(con: sqlite3.Connection, deployment: bytes) -> Leaked:
    people = frozenset((_handle(row[0]), int(row[1])) for row in con.execute("SELECT handle, epoch FROM users"))
    own = con.execute("SELECT s.handle, u.handle FROM sessions s JOIN users u USING (user)")
    guests = con.execute("SELECT g.session, u.handle FROM guests g JOIN users u USING (user)")
    return Leaked(
        Leak.KEYSTORE,
        deployment,
        people,
        owners=frozenset((_handle(session), _handle(person)) for session, person in [*own, *guests]),
    )


def _ledger(con: sqlite3.Connection, deployment: bytes) -> Leaked:
    named = "SELECT person FROM acts UNION SELECT person FROM audit UNION SELECT person FROM holds"
    people = frozenset((_handle(person), 0) for (person,) in con.execute(named) if person is not None)
    return Leaked(Leak.LEDGER, deployment, people)


def _handle(found: object) -> bytes:
    """Give a handle that stands in somebody's file, if it is one."""
    if not isinstance(found, bytes) or len(found) != HANDLE_BYTES:
        raise ValueError
    return found
