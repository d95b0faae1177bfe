"""The SQLite backend passes the contract, and does what only SQLite can get wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from securemem.backends.sqlite import APPLICATION_ID, SqliteBackend
from securemem.errors import BackendUnavailableError, ConfigurationError, InvalidInputError
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import Change, Stamp, Tail
from securemem.testing import BackendContract, assert_absent, assert_found, make_canary
from securemem.testing.backend.hooks import Connect, handle, newest_first, rows, write


class TestSqliteBackend(BackendContract):
    """Every connection is a new object over one file."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        """Give backends over one file."""
        return lambda: SqliteBackend(str(tmp_path / "data.db"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file that is not there yet."""
    return tmp_path / "data.db"


def _run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as con:
        for statement in statements:
            con.execute(statement)
        con.commit()


async def _make(path: Path) -> None:
    """Make a file with a stamp in it."""
    backend = SqliteBackend(str(path))
    assert await backend.open() is None
    await backend.stamp(Stamp(b"d" * 16, 1))
    await backend.aclose()


@pytest.mark.parametrize("make", [SqliteBackend, SqliteKeystore])
async def test_opening_makes_no_file(path: Path, make: Callable[[str], SqliteBackend | SqliteKeystore]) -> None:
    """A missing file is not made by `open`; the first write makes it, and then `open` gives what was written."""
    for _ in range(2):
        store = make(str(path))
        assert await store.open() is None
        assert list(path.parent.iterdir()) == []
        await store.aclose()
        assert list(path.parent.iterdir()) == []
    stamp = Stamp(b"d" * 16, 1)
    await store.open()
    await store.stamp(stamp)
    assert path.exists()
    assert await make(str(path)).open() == stamp
    await store.aclose()
    assert await store.open() == stamp
    await store.aclose()


@pytest.mark.parametrize("first", ["tail", "due", "delete", "swap"])
async def test_the_first_use_makes_the_file(path: Path, first: str) -> None:
    """Whatever is asked of a missing file first, reads too and several at once, finds it made, once and ours."""
    backend, session = SqliteBackend(str(path)), handle()
    await backend.open()
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "tail": lambda: backend.tail(session, 9),
        "due": lambda: backend.due(9, 9),
        "delete": lambda: backend.delete([session], heads=True),
        "swap": lambda: backend.swap(Change(session, b"", b"head", rows=rows(1, 3))),
    }
    answers = await asyncio.gather(*(uses[first]() for _ in range(8)))
    empty = {"tail": Tail(b"", []), "due": [], "delete": 0}
    assert answers == ([None] + [b"head"] * 7 if first == "swap" else [empty[first]] * 8)
    await backend.aclose()
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID


async def test_what_is_closed_makes_no_file(path: Path) -> None:
    """A store that was closed before its first use is refused, and makes no file."""
    backend = SqliteBackend(str(path))
    await backend.open()
    await backend.aclose()
    with pytest.raises(BackendUnavailableError, match="closed"):
        await backend.tail(handle(), 9)
    with pytest.raises(BackendUnavailableError, match="closed"):
        await backend.stamp(Stamp(b"d" * 16, 1))
    assert list(path.parent.iterdir()) == []


async def test_a_file_that_came_meanwhile_is_looked_at(path: Path) -> None:
    """Another program's file that came after `open` is refused by the first use, and not a byte of it changes."""
    backend = SqliteBackend(str(path))
    assert await backend.open() is None
    _run(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="not a SecureMem store"):
        await backend.stamp(Stamp(b"d" * 16, 1))
    assert path.read_bytes() == before
    await backend.aclose()


async def test_the_settings_are_really_set(path: Path) -> None:
    """Both connections have WAL, synchronous=FULL and secure_delete=ON, whatever this build's defaults are."""
    backend = SqliteBackend(str(path))
    await backend.open()

    def settings(con: sqlite3.Connection, asked: list[None]) -> list[tuple[object, ...]]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        return [tuple(con.execute(f"PRAGMA {name}").fetchone()[0] for name in names) for _ in asked]

    assert await backend._file.write(settings, None) == ("wal", 2, 1, 1)
    assert await backend._file.read(settings, None) == ("wal", 2, 1, 1)
    await backend.aclose()


async def test_the_file_says_whose_it_is(path: Path) -> None:
    """Application id and version stand in the file's header."""
    await _make(path)
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        assert con.execute("PRAGMA user_version").fetchone()[0] == 1


async def test_another_programs_file_is_refused_untouched(path: Path) -> None:
    """A database of another program is refused, by its tables or its application id, and not a byte of it changes."""
    for statements in (("CREATE TABLE theirs (a)",), ("PRAGMA application_id = 7",)):
        path.unlink(missing_ok=True)
        _run(path, *statements)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="not a SecureMem store"):
            await SqliteBackend(str(path)).open()
        assert path.read_bytes() == before


async def test_a_newer_version_is_refused(path: Path) -> None:
    """A file that a newer version has written is refused, and says so; not a byte of it changes."""
    await _make(path)
    _run(path, "PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="newer"):
        await SqliteBackend(str(path)).open()
    assert path.read_bytes() == before


async def test_no_database_is_refused_untouched(path: Path) -> None:
    """A file that is no database is refused, and not a byte of it changes."""
    path.write_bytes(b"Dear diary, " * 200)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="not a SQLite database"):
        await SqliteBackend(str(path)).open()
    assert path.read_bytes() == before


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory is no file to keep data in."""
    with pytest.raises(ConfigurationError, match="directory"):
        await SqliteBackend(str(tmp_path)).open()


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder that is not there is not made, and the error names what to do."""
    with pytest.raises(ConfigurationError, match="create it first"):
        await SqliteBackend(str(tmp_path / "nowhere" / "data.db")).open()
    assert not (tmp_path / "nowhere").exists()


@contextlib.contextmanager
def _not_root() -> Iterator[None]:
    """Give up root's rights, where the tests run with them."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


async def test_a_read_only_file_is_refused() -> None:
    """A file that may not be written to is refused at open, and not a byte of it changes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "data.db"
        await _make(path)
        path.chmod(0o444)
        before = path.read_bytes()
        with _not_root(), pytest.raises(BackendUnavailableError, match="read-only"):
            await SqliteBackend(str(path)).open()
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a b", "a;b", 'x"; DROP TABLE messages; --', "a'", "sqlite_x", "securemem_stamp", "ä", "a" * 64, "a\n"],
)
def test_table_names_with_sql_are_refused(path: Path, name: str) -> None:
    """A table name is a plain identifier, and nothing of ours or SQLite's."""
    with pytest.raises(ConfigurationError):
        SqliteBackend(str(path), table_name=name)
    assert not path.exists()


async def test_two_tables_in_one_file_are_apart(path: Path) -> None:
    """Two table names in one file see nothing of each other, with the same handle too."""
    one, two = SqliteBackend(str(path), table_name="one"), SqliteBackend(str(path), table_name="Select")
    await one.open()
    await two.open()
    session = handle()
    head = await write(one, session, 1, 5)
    assert await two.tail(session, 9) == Tail(b"", [])
    assert await two.swap(Change(session, b"", b"theirs", rows=rows(1, 2, b"theirs"), due=5)) is None
    assert await one.tail(session, 9) == Tail(head, newest_first(rows(1, 5)))
    assert await one.due(9, 9) == []
    assert await two.delete([session], heads=True) == 1
    assert await one.tail(session, 9) == Tail(head, newest_first(rows(1, 5)))
    await one.aclose()
    await two.aclose()


_TAKEN = ["one_sessions", "ONE_Sessions", "one_due", "One_DUE", "_sessions", "_due", "messages_sessions"]
_TAKEN += ["SQLITE_x", "Sqlite_x", "SECUREMEM_stamp", "SecureMem_x", "sqlite", "SQLite"]


@pytest.mark.parametrize("name", _TAKEN)
def test_a_table_name_that_is_taken(path: Path, name: str) -> None:
    """A name that another table's companions could bear, or SQLite's and our own, is refused in any case of letters."""
    with pytest.raises(ConfigurationError, match="table_name"):
        SqliteBackend(str(path), table_name=name)
    assert not path.exists()


@pytest.mark.parametrize("name", ["sessions", "due", "one_sessions_2", "one_due_", "sqlite1", "x_sqlite_x"])
async def test_a_table_name_that_is_nearly_taken(path: Path, name: str) -> None:
    """The control: a name that only looks like those is taken, and works beside another table."""
    one, two = SqliteBackend(str(path), table_name="one"), SqliteBackend(str(path), table_name=name)
    await one.open()
    head = await write(one, session := handle(), 1, 5)
    await two.open()
    assert await two.tail(session, 9) == Tail(b"", [])
    other = await write(two, session, 1, 3)
    assert await one.tail(session, 9) == Tail(head, newest_first(rows(1, 5)))
    assert await two.tail(session, 9) == Tail(other, newest_first(rows(1, 3)))
    await one.aclose()
    await two.aclose()


async def test_rows_without_a_head_are_given(path: Path) -> None:
    """Where somebody has cut the head away, the rows come without one, for the reader to refuse."""
    backend = SqliteBackend(str(path))
    await backend.open()
    session = handle()
    await write(backend, session, 1, 4)
    _run(path, "DELETE FROM messages WHERE id & 4294967295 = 4294967295")
    assert await backend.tail(session, 9) == Tail(b"", newest_first(rows(1, 4)))
    assert await backend.tail(session, 9, 3) == Tail(b"", newest_first(rows(1, 3)))
    await backend.aclose()


async def test_a_full_session_is_refused_alone(path: Path) -> None:
    """A seq past the last is refused, nothing is written, and the store goes on."""
    backend = SqliteBackend(str(path))
    await backend.open()
    session = handle()
    with pytest.raises(InvalidInputError, match="full"):
        await backend.swap(Change(session, b"", b"head", rows=[(2**32 - 1, b"one too many")]))
    assert await backend.tail(session, 9) == Tail(b"", [])
    await write(backend, session, 1, 3)
    await backend.aclose()


async def test_a_failed_read_leaves_nothing_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a read that failed half-way, later reads see what is written since."""
    backend = SqliteBackend(str(path))
    await backend.open()
    session = handle()
    head = await write(backend, session, 1, 4)
    with monkeypatch.context() as patch:
        patch.setitem(backend._sql, "tail", "SELECT id, body FROM not_there WHERE id BETWEEN ? AND ? LIMIT ?")
        with pytest.raises(BackendUnavailableError):
            await backend.tail(session, 9, 3)
    await write(backend, session, 4, 6, expected=head)
    assert (await backend.tail(session, 9)).rows == newest_first(rows(1, 6))
    assert (await backend.tail(session, 9, 6)).rows == newest_first(rows(1, 6))
    await backend.aclose()


async def test_purge_cuts_the_log_and_names_who_is_in_the_way(path: Path) -> None:
    """Purge empties the write-ahead log; while another connection reads it says so, and later it is gone."""
    backend = SqliteBackend(str(path))
    await backend.open()
    session, canary = handle(), make_canary().encode()
    await backend.stamp(Stamp(b"d" * 16, 1))
    assert await backend.swap(Change(session, b"", b"head", rows=[(1, canary * 20)])) is None
    log = path.with_name("data.db-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM messages").fetchone() == (2,)
        await backend.delete([session], heads=True)
        [left] = await backend.purge(0.05)
        assert left.store == "data"
        assert_found([log], canary)
        reader.execute("COMMIT")
    assert await backend.purge(5.0) == []
    assert log.stat().st_size == 0
    assert_absent([path.parent], canary)
    await backend.aclose()


async def test_purge_rewrites_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Purge gives the free space back and leaves all else as it was; without the rewrite, the control, it stays."""

    def free(con: sqlite3.Connection) -> int:
        return int(con.execute("PRAGMA freelist_count").fetchone()[0])

    backend = SqliteBackend(str(path))
    await backend.open()
    gone, kept = handle(), handle()
    await write(backend, gone, 1, 300)
    head = b"head up to 5"
    assert await backend.swap(Change(kept, b"", head, rows=rows(1, 5), due=7)) is None
    await backend.delete([gone], heads=True)
    with monkeypatch.context() as patch:
        patch.setattr("securemem.sqlitefile._rewrite", lambda con: True)
        assert await backend.purge(5.0) == []
        assert await backend._file.read_one(free) > 0
    size = path.stat().st_size
    assert await backend.purge(5.0) == []
    assert await backend._file.read_one(free) == 0
    assert path.stat().st_size < size
    assert await backend.tail(kept, 9) == Tail(head, newest_first(rows(1, 5)))
    assert await backend.due(9, 9) == [kept]
    await write(backend, kept, 5, 8, expected=head)
    assert (await backend.tail(kept, 9)).rows == newest_first(rows(1, 8))
    await backend.aclose()
    await SqliteBackend(str(path)).open()


async def test_purge_names_a_lock_that_is_in_the_way(path: Path) -> None:
    """While another process holds the write lock, purge says that the file was not rewritten; later it is."""
    backend = SqliteBackend(str(path))
    await backend.open()
    await write(backend, session := handle(), 1, 300)
    await backend.delete([session], heads=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        left = await backend.purge(0.05)
        other.execute("COMMIT")
    assert {entry.store for entry in left} == {"data"}
    assert any("free space" in entry.what and "locked" in entry.what for entry in left)
    assert await backend.purge(5.0) == []
    await backend.aclose()
