"""SQLite holds a writer up for a few hundred rows at most, moves its log beside it, and is as durable as ever."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from securemem import checkpoints, sqlitefile
from securemem.backends.sqlite import SqliteBackend
from securemem.errors import BackendUnavailableError, InvalidInputError
from securemem.lane import in_transaction
from securemem.model import Change, Tail
from securemem.ports import Sparing
from securemem.testing.backend.hooks import handle, newest_first, rows, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that is not there yet."""
    return tmp_path / "data.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SqliteBackend]:
    """Give an open backend."""
    made = SqliteBackend(str(path))
    await made.open()
    yield made
    await made.aclose()


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give how many rows each transaction changed that holds others up as little as can be."""
    changed: list[int] = []

    def counted(con: sqlite3.Connection, requests: list[Any]) -> list[Any]:
        before = con.total_changes
        results = in_transaction(con, requests)
        changed.append(con.total_changes - before)
        return results

    monkeypatch.setattr(sqlitefile, "in_transaction", counted)
    return changed


async def test_each_change_is_a_swap(backend: SqliteBackend) -> None:
    """Those that meet their head are made, those that do not give the one that stands and change nothing."""
    one, two, new = handle(), handle(), handle()
    first, second = await write(backend, one, 1, 5), await write(backend, two, 1, 5)
    assert isinstance(backend, Sparing)
    changes = [
        Change(one, first, b"moved", rows=rows(4, 5, b"stub"), trim=(1, 3), due=7),
        Change(two, b"stale", b"lost", rows=rows(1, 5, b"lost"), due=7),
        Change(new, b"", b"begun", rows=rows(1, 2)),
        Change(handle(), b"some head", b"lost"),
    ]
    assert await backend.swap_all(changes) == [None, second, None, b""]
    assert await backend.tail(one, 9) == Tail(b"moved", newest_first([*rows(3, 4), *rows(4, 5, b"stub")]))
    assert await backend.tail(two, 9) == Tail(second, newest_first(rows(1, 5)))
    assert await backend.tail(new, 9) == Tail(b"begun", newest_first(rows(1, 2)))
    assert await backend.due(10, 9) == [one]


async def test_a_session_that_another_process_began_anew_is_found(path: Path, backend: SqliteBackend) -> None:
    """The number that this process knows is an old one then."""
    session = handle()
    await write(backend, session, 1, 3)
    other = SqliteBackend(str(path))
    await other.open()
    await other.delete([session], heads=True)
    head = await write(other, session, 1, 2)
    await other.aclose()
    assert await backend.swap_all([Change(session, head, b"moved")]) == [None]
    assert await backend.tail(session, 9) == Tail(b"moved", newest_first(rows(1, 2)))


async def test_nothing_is_put_in_the_place_of_a_head(backend: SqliteBackend) -> None:
    """And nothing of what was asked for together with it is made."""
    session = handle()
    with pytest.raises(InvalidInputError, match="full"):
        await backend.swap_all([Change(session, b"", b"head"), Change(handle(), b"", b"x", rows=[(0xFFFFFFFF, b"x")])])
    assert await backend.tail(session, 1) == Tail(b"", [])


async def test_many_changes_are_several_transactions(backend: SqliteBackend, transactions: list[int]) -> None:
    """None of them writes much more than four hundred rows."""
    changes = [Change(handle(), b"", b"head", rows=rows(1, 41), due=1) for _ in range(50)]
    assert await backend.swap_all(changes) == [None] * 50
    assert sum(transactions) >= 50 * 41
    assert max(transactions) <= 500
    assert len(await backend.due(1, 99)) == 50


@pytest.mark.parametrize("heads", [False, True])
async def test_long_sessions_go_piece_by_piece(backend: SqliteBackend, transactions: list[int], *, heads: bool) -> None:
    """No transaction deletes more than four hundred rows, and all are gone at the end."""
    long, short, exact = handle(), handle(), handle()
    for session, size in ((long, 1501), (short, 2), (exact, 401)):
        await write(backend, session, 1, size)
    transactions.clear()
    assert await backend.delete([handle(), long, short, exact], heads=heads) == 1500 + 1 + 400
    assert max(transactions) <= 400
    for session in (long, short, exact):
        found = await backend.tail(session, 9999)
        assert (bool(found.head), found.rows) == (not heads, [])


async def test_what_returned_is_flushed(
    path: Path, backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch, transactions: list[int]
) -> None:
    """The log is flushed after the transaction has given its lock back, and before the caller goes on."""
    await write(backend, handle(), 1, 2)
    flushed: list[str] = []
    real = os.fsync

    def fsync(number: int) -> None:
        transactions.append(-1)
        flushed.append(Path(f"/proc/self/fd/{number}").readlink().name)
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as con:
            con.execute("BEGIN IMMEDIATE")  # nobody has the lock
            con.execute("ROLLBACK")
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    assert await backend.swap_all([Change(handle(), b"", b"head")]) == [None]
    assert flushed == [f"{path.name}-wal"]
    assert transactions[-1] == -1


async def test_a_disk_that_takes_nothing_is_an_error(backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is not told that it was written."""
    await write(backend, handle(), 1, 2)

    def fsync(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackendUnavailableError, match="cannot be flushed"):
        await backend.swap_all([Change(handle(), b"", b"head")])


async def test_appends_wait_for_the_disk_in_their_transaction(path: Path) -> None:
    """After a transaction that did not, the writer is as it was."""
    file = sqlitefile.SqliteFile(str(path), application_id=1, schema="CREATE TABLE IF NOT EXISTS t (a INTEGER)")

    def synchronous(con: sqlite3.Connection, asked: list[None]) -> list[int]:
        return [con.execute("PRAGMA synchronous").fetchone()[0] for _ in asked]

    def fail(_: sqlite3.Connection, __: list[None]) -> list[int]:
        raise InvalidInputError("no")

    assert await file.write(synchronous, None) == 2
    assert await file.write_all(synchronous, [None], pages=1) == [1]
    with pytest.raises(InvalidInputError):
        await file.write_all(fail, [None], pages=1)
    assert await file.write(synchronous, None) == 2
    await file.aclose()


async def test_the_log_is_moved_beside_the_writer(path: Path, backend: SqliteBackend) -> None:
    """After a thousand pages or so there is nothing left in it that the file does not have."""
    for _ in range(20):
        await backend.swap_all([Change(handle(), b"", b"head", rows=rows(1, 41)) for _ in range(10)])
    await asyncio.sleep(0.2)
    assert path.stat().st_size > 100_000
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(("rounds", "begun_anew"), [(8, True), (1, False)], ids=["as_it_is", "control"])
async def test_what_comes_while_the_log_is_moved_is_moved_too(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, rounds: int, begun_anew: bool
) -> None:
    """A writer begins the log anew only where all of it is moved; else it grows until a writer has to move it."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as con:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("CREATE TABLE t (body BLOB)")
        for _ in range(100):
            con.execute("INSERT INTO t VALUES (zeroblob(4000))")

        class Busy(sqlite3.Connection):
            begun = False

            def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
                if "wal_checkpoint" in statement and not Busy.begun:
                    Busy.begun = True
                    found = super().execute(statement, *arguments).fetchall()
                    con.execute(f"INSERT INTO t VALUES {','.join(['(zeroblob(4000))'] * 30)}")
                    return super().execute("VALUES (?, ?, ?)", found[0])
                return super().execute(statement, *arguments)

        monkeypatch.setattr(checkpoints, "_ROUNDS", rounds)
        monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Busy))
        moving = checkpoints.Checkpoints(str(path))
        moving.note(1000)
        await moving.settle()
        con.execute("INSERT INTO t VALUES (zeroblob(4000))")
        pages = con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        assert (pages < 10) is begun_anew
