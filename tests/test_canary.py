"""What was cleared, has expired or was erased is in no byte of any file; nor is anything in clear, at any time."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from securemem import SecureMemory
from securemem.sqlitefile import SqliteFile
from securemem.testing import assert_absent, assert_found, make_canary, pieces

_HEAD = 0xFFFFFFFF
_HEADER_BYTES, _TAGS_BYTES = 49, 32


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Give the moment it stands at."""
        return self.now


class Evidence:
    """Raw sealed bytes of one person's sessions, collected from the files while they were there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.records: set[bytes] = set()
        self.keys: set[bytes] = set()

    def sessions(self, user: str) -> set[bytes]:
        """Give the handles of a person's sessions; the newest user row is theirs."""
        with closing(sqlite3.connect(self._folder / "store.keys.db")) as con:
            query = "SELECT s.handle FROM sessions s JOIN users u ON u.user = s.user WHERE u.handle = ?"
            return {handle for (handle,) in con.execute(query, (bytes.fromhex(user),))}

    def collect(self, sessions: set[bytes]) -> None:
        """Take the records of sessions, and their and their owners' wrapped keys and lookup tags, as they lie now."""
        with closing(sqlite3.connect(self._folder / "store.db")) as con:
            numbers = {number for number, handle in con.execute("SELECT number, handle FROM messages_sessions") if handle in sessions}
            for row, body in con.execute("SELECT id, body FROM messages"):
                if row >> 32 in numbers and row & _HEAD != _HEAD:
                    # Neither the header, which says what the head says, nor the tags, which the neighbours know.
                    self.records.update(pieces(body[_HEADER_BYTES:-_TAGS_BYTES]))
        with closing(sqlite3.connect(self._folder / "store.keys.db")) as con:
            for handle, *blobs in con.execute(
                "SELECT s.handle, s.wrapped, s.title, s.tag, u.wrapped, u.name, u.tag FROM sessions s JOIN users u ON u.user = s.user"
            ):
                if handle in sessions:
                    self.keys.update(piece for blob in blobs for piece in pieces(blob[3:]))
