"""The SQLite data store: one file, a writer with group commit, rows clustered by session with the head at the end.

`sqlite:///file.db` and `table_name`. Several processes may write to one file: every change begins its transaction
IMMEDIATE and compares the head in it. Numbers of sessions are never used twice, so a number that was looked up once
stays right until the session is deleted with its head and comes back: where nothing is found it is asked for anew.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from securemem import sql
from securemem.backends.sqlitecensus import census
from securemem.errors import ConfigurationError, InvalidInputError
from securemem.model import Change, Residue, Stamp, Tail
from securemem.sqlitefile import SqliteFile, placeholders

APPLICATION_ID = 0x534D4441
DEFAULT_TABLE = "messages"

_HEAD_SEQ = 0xFFFFFFFF
_ROWS_A_STATEMENT = 64
_NUMBERS_KEPT = 100_000
_MOST_ROWS = 400
"""How many rows a transaction writes or deletes that is made for many sessions."""
_MOST_PAGES = 64
"""How many pages these lie on, more or less."""
_ROWS_NEAR = 128
_TAKEN = re.compile(r"^sqlite$|^(sqlite|securemem)_|_(sessions|due)$", re.IGNORECASE)
_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")


class _TailRequest(NamedTuple):
    session: bytes
    limit: int
    before: int | None


class SqliteBackend:
    """Rows and heads in a SQLite file."""

    def __init__(self, path: str, *, table_name: str = DEFAULT_TABLE) -> None:
        """Name the file and the table; nothing is opened yet.

        Raises:
            ConfigurationError: the table name is not a plain identifier.
        """
        if not _TABLE_NAME.match(table_name) or _TAKEN.search(table_name):
            raise ConfigurationError(
                "table_name has to be letters, digits and underscores, at most 63, and none that SQLite or SecureMem "
                "uses itself (sqlite_…, securemem_…, …_sessions, …_due)"
            )
        # The statement that puts rows is made for 64, 32, 16 … rows, so that a batch of any size is a few cached ones.
        self._sql = sql.load(Path(__file__).with_suffix(".sql"), table=table_name)
        self._put = {
            count: self._sql["put"].replace("{rows}", ",".join(["(?,?)"] * count))
            for count in (2**power for power in range(_ROWS_A_STATEMENT.bit_length()))
        }
        self._file = SqliteFile(path, application_id=APPLICATION_ID, schema=self._sql["schema"])
        self._numbers: dict[bytes, int] = {}

    async def open(self) -> Stamp | None:
        """As `ports.Backend`."""
        stamp: Stamp | None = await self._file.read(self._read_stamp, None) if await self._file.open() else None
        return stamp

    async def stamp(self, stamp: Stamp) -> None:
        """As `ports.Backend`."""
        await self._file.write_all(self._set_stamps, [stamp], pages=1)

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Backend`."""
        request = _TailRequest(session, limit, before)
        tail: Tail | None = None
        if before is None and limit <= _ROWS_NEAR and session in self._numbers:
            # Read before by this process, so most likely in memory: no hop into the thread and back.
            tail = self._file.read_here(self._tails, request)
        if tail is None:
            tail = await self._file.read(self._tails, request)
        if not tail.head and not tail.rows and self._numbers.pop(session, None) is not None:
            tail = await self._file.read(self._tails, request)
        return tail

    async def swap(self, change: Change) -> bytes | None:
        """As `ports.Backend`."""
        _check(change)
        current, number = await self._file.write(self._swaps, change)
        if current == b"" and self._numbers.pop(change.session, None) is not None:
            current, number = await self._file.write(self._swaps, change)
        if current is None:
            self._keep_number(change.session, number)
        answer: bytes | None = current
        return answer

    async def swap_all(self, changes: Sequence[Change]) -> list[bytes | None]:
        """As `ports.Sparing`; a few to a transaction."""
        answers: list[bytes | None] = []
        for change in changes:
            _check(change)
        for some in _parted(changes):
            found = await self._file.write_all(self._swaps, some, pages=_MOST_PAGES)
            for change, (current, number) in zip(some, found, strict=True):
                if current == b"":
                    answers.append(await self.swap(change))  # its number was perhaps an old one
                    continue
                answers.append(current)
                if current is None:
                    self._keep_number(change.session, number)
        return answers

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """As `ports.Backend`; so many rows to a transaction, and the heads last."""
        deleted, left = 0, list(sessions)
        while left:
            [(rows, left)] = await self._file.write_all(self._deletions, [left], pages=_MOST_PAGES)
            deleted += rows
        if heads and sessions:
            await self._file.write(self._forget, sessions)
        return deleted

    async def due(self, now: int, limit: int) -> list[bytes]:
        """As `ports.Backend`."""
        sessions: list[bytes] = await self._file.read(self._find_due, (now, limit))
        return sessions

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """As `ports.Countable`; over a connection of its own, for it takes long and holds up nobody."""
        return await asyncio.to_thread(census, self._file.path, self._sql, sessions)

    async def purge(self, seconds: float) -> list[Residue]:
        """Overwrite what deletions left, as `SqliteFile.scrub` does."""
        return [Residue("data", left) for left in await self._file.scrub(seconds)]

    async def aclose(self) -> None:
        """As `ports.Backend`."""
        await self._file.aclose()

    # What follows runs in the connections' threads, a batch at a time.

    def _read_stamp(self, con: sqlite3.Connection, asked: list[None]) -> list[Stamp | None]:
        row = con.execute(self._sql["stamp"]).fetchone()
        return [Stamp(*row) if row else None for _ in asked]

    def _set_stamps(self, con: sqlite3.Connection, stamps: list[Stamp]) -> list[None]:
        for stamp in stamps:
            con.execute(self._sql["set_stamp"], stamp)
        return [None] * len(stamps)

    def _lookup(self, con: sqlite3.Connection, sessions: list[bytes]) -> dict[bytes, int]:
        """Give the numbers of those sessions that the file knows.

        Only what is committed is kept: what a writer sees may still be rolled back, and its number be given anew.
        """
        known = self._numbers
        numbers = {session: known[session] for session in sessions if session in known}
        missing = [session for session in sessions if session not in numbers]
        if missing:
            found = con.execute(f"{self._sql['numbers']} ({placeholders(len(missing))})", missing).fetchall()
            numbers.update(found)
            if not con.in_transaction:
                for session, number in found:
                    self._keep_number(session, number)
        return numbers

    def _keep_number(self, session: bytes, number: int) -> None:
        if len(self._numbers) > _NUMBERS_KEPT:
            self._numbers.clear()
        self._numbers[session] = number

    def _tails(self, con: sqlite3.Connection, requests: list[_TailRequest]) -> list[Tail]:
        numbers = self._lookup(con, [request.session for request in requests])
        return [self._tail(con, numbers.get(session), limit, before) for session, limit, before in requests]

    def _tail(self, con: sqlite3.Connection, number: int | None, limit: int, before: int | None) -> Tail:
        if number is None:
            return Tail(b"", [])
        low = number << 32
        top = low | _HEAD_SEQ
        query = self._sql["tail"]
        if before is None:
            found = con.execute(query, (low, top, limit + 1)).fetchall()
        else:
            con.execute("BEGIN")
            try:
                found = con.execute(query, (top, top, 1)).fetchall()
                found += con.execute(query, (low, low | min(before - 1, _HEAD_SEQ - 1), limit)).fetchall()
            finally:
                con.execute("ROLLBACK")
        head = b""
        if found and found[0][0] == _HEAD_SEQ:
            head = found.pop(0)[1]
        return Tail(head, found if len(found) <= limit else found[:limit])

    def _swap(self, con: sqlite3.Connection, number: int, change: Change) -> tuple[bytes | None, int | None]:
        """Make the one change of a batch, with the comparison in the statement that moves the head."""
        top = number << 32 | _HEAD_SEQ
        if not con.execute(self._sql["swap_head"], (change.head, top, change.expected)).rowcount:
            found = con.execute(f"{self._sql['head']} (?)", (top,)).fetchone()
            return (found[1] if found else b""), number
        put = {number << 32 | seq: body for seq, body in change.rows}
        self._follow(con, number, change, put)
        self._put_rows(con, [value for row in put.items() for value in row])
        return None, number

    def _known_to_writer(self, con: sqlite3.Connection, changes: list[Change]) -> dict[bytes, int]:
        """Give the sessions' numbers; those of sessions that are begun are asked for anew, not taken from memory."""
        for change in changes:
            if not change.expected:
                self._numbers.pop(change.session, None)
        return self._lookup(con, [change.session for change in changes])

    def _swaps(self, con: sqlite3.Connection, changes: list[Change]) -> list[tuple[bytes | None, int | None]]:
        numbers = self._known_to_writer(con, changes)
        if len(changes) == 1 and changes[0].expected and changes[0].session in numbers:
            return [self._swap(con, numbers[changes[0].session], changes[0])]
        tops = [numbers[change.session] << 32 | _HEAD_SEQ for change in changes if change.session in numbers]
        heads = dict(con.execute(f"{self._sql['head']} ({placeholders(len(tops))})", tops).fetchall()) if tops else {}
        answers: list[tuple[bytes | None, int | None]] = []
        put: dict[int, bytes] = {}
        for change in changes:
            number = numbers.get(change.session)
            current = b"" if number is None else heads.get(number << 32 | _HEAD_SEQ, b"")
            if current != change.expected:
                answers.append((current, number))
                continue
            if number is None:
                number = numbers[change.session] = con.execute(self._sql["new_number"], (change.session,)).fetchone()[0]
            low = number << 32
            heads[low | _HEAD_SEQ] = put[low | _HEAD_SEQ] = change.head
            for seq, body in change.rows:
                put[low | seq] = body
            self._follow(con, number, change, put)
            answers.append((None, number))
        self._put_rows(con, [value for row in put.items() for value in row])
        return answers

    def _follow(self, con: sqlite3.Connection, number: int, change: Change, put: dict[int, bytes]) -> None:
        """Do what goes with a head that was moved: trim, and set when the worker should look."""
        low = number << 32
        first, end = change.trim
        if first < end:
            for row in range(low | first, low | end):
                put.pop(row, None)
            con.execute(self._sql["delete_range"], (low | first, low | (end - 1)))
        if change.due is not None:
            con.execute(self._sql["set_due"], (change.due, number))

    def _put_rows(self, con: sqlite3.Connection, values: list[Any]) -> None:
        start, rows = 0, len(values) // 2
        while rows:
            count = min(_ROWS_A_STATEMENT, 1 << (rows.bit_length() - 1))
            con.execute(self._put[count], values[start : start + 2 * count])
            start += 2 * count
            rows -= count

    def _deletions(self, con: sqlite3.Connection, requests: list[list[bytes]]) -> list[tuple[int, list[bytes]]]:
        return [self._delete(con, sessions) for sessions in requests]

    def _delete(self, con: sqlite3.Connection, sessions: list[bytes]) -> tuple[int, list[bytes]]:
        """Delete rows, as many as one transaction may; gives their number, and the sessions that are not done."""
        deleted = 0
        numbers = self._looked_up_anew(con, sessions)
        for place, session in enumerate(sessions):
            if session not in numbers:
                continue
            low = numbers[session] << 32
            top = low | (_HEAD_SEQ - 1)
            beyond = con.execute(self._sql["row_beyond"], (low, top, _MOST_ROWS - deleted)).fetchone()
            end = beyond[0] - 1 if beyond else top
            deleted += con.execute(self._sql["delete_range"], (low, end)).rowcount
            if beyond:
                return deleted, sessions[place:]
        return deleted, []

    def _forget(self, con: sqlite3.Connection, requests: list[Sequence[bytes]]) -> list[None]:
        """Delete what is left of sessions, rows that came meanwhile included, and their heads."""
        for sessions in requests:
            for number in self._looked_up_anew(con, list(sessions)).values():
                con.execute(self._sql["delete_range"], (number << 32, number << 32 | _HEAD_SEQ))
                con.execute(self._sql["forget_number"], (number,))
        return [None] * len(requests)

    def _looked_up_anew(self, con: sqlite3.Connection, sessions: list[bytes]) -> dict[bytes, int]:
        for session in sessions:
            self._numbers.pop(session, None)
        return self._lookup(con, sessions)

    def _find_due(self, con: sqlite3.Connection, requests: list[tuple[int, int]]) -> list[list[bytes]]:
        return [[handle for (handle,) in con.execute(self._sql["due"], request)] for request in requests]


def _check(change: Change) -> None:
    """Refuse what would lie where the head does."""
    if change.rows and change.rows[-1][0] >= _HEAD_SEQ:
        raise InvalidInputError("this session is full: 4,294,967,294 messages; fork it")


def _parted(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Part changes into such as go into one transaction."""
    some: list[Change] = []
    rows = 0
    for change in changes:
        size = 1 + len(change.rows) + change.trim[1] - change.trim[0]
        if some and rows + size > _MOST_ROWS:
            yield some
            some, rows = [], 0
        some.append(change)
        rows += size
    if some:
        yield some
