"""The keystore's rows exchanged and changed: a key opens what it was made for, or the load fails."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from securemem import CorruptRecordError, IntegrityError, SecureMemory, WrongKeyError

from .access import opened
from .store import SECRETS, TRIP, Store

# Rows are numbered as they were made: users alice 1, bob 2, carol 3 …, sessions trip 1, work 2, group 3 …
_EXCHANGES = [
    ("sessions", "wrapped", 1, 2, WrongKeyError),
    ("sessions", "wrapped", 1, 3, WrongKeyError),
    ("sessions", "tag", 1, 2, CorruptRecordError),
    ("sessions", "title", 1, 2, CorruptRecordError),
    ("sessions", "handle", 1, 2, WrongKeyError),
    ("users", "wrapped", 1, 3, WrongKeyError),
    ("users", "tag", 1, 3, CorruptRecordError),
    ("users", "name", 1, 3, CorruptRecordError),
    ("users", "handle", 1, 3, WrongKeyError),
]


def _keystore(store: Store) -> AbstractContextManager[sqlite3.Connection]:
    return opened(Path(store.url.removeprefix("sqlite:///")).with_name("store.keys.db"))


async def _refused(store: Store, error: type[IntegrityError]) -> None:
    memory: SecureMemory = store.open()
    async with memory:
        with pytest.raises(IntegrityError) as caught:
            await store.chat(TRIP, memory).history()
    assert type(caught.value) is error, repr(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


async def _reads(store: Store) -> None:
    memory = store.open()
    async with memory:
        assert len(await store.chat(TRIP, memory).history()) == 8


@pytest.mark.parametrize("exchange", _EXCHANGES, ids=lambda exchange: " ".join(map(str, exchange[:4])))
async def test_exchanged(exchange: tuple[str, str, int, int, type[IntegrityError]], file_store: Store) -> None:
    """Nothing of one row passes for another's; put back, it is read."""
    table, column, one, other, error = exchange
    get = f"SELECT {column} FROM {table} WHERE {table[:-1]} = ?"
    put = f"UPDATE {table} SET {column} = ? WHERE {table[:-1]} = ?"
    with _keystore(file_store) as con:
        values = [con.execute(get, (number,)).fetchone()[0] for number in (one, other)]
        assert values[0] != values[1]
        for first, second in (values, values[::-1]):
            con.execute(put, (b"between", one))
            con.execute(put, (first, other))
            con.execute(put, (second, one))
            if first == values[0]:
                await _refused(file_store, error)
    await _reads(file_store)


@pytest.mark.parametrize(
    ("table", "column"), [("sessions", "wrapped"), ("sessions", "title"), ("users", "wrapped"), ("users", "name")]
)
async def test_a_bit_of_every_byte(table: str, column: str, file_store: Store) -> None:
    """No sealed column opens with a bit flipped in any byte of it."""
    put = f"UPDATE {table} SET {column} = ? WHERE {table[:-1]} = 1"
    with _keystore(file_store) as con:
        whole: bytes = con.execute(f"SELECT {column} FROM {table} WHERE {table[:-1]} = 1").fetchone()[0]
        for byte in range(len(whole)):
            changed = bytearray(whole)
            changed[byte] ^= 1 << byte % 8
            con.execute(put, (bytes(changed),))
            boxed = column != "wrapped"
            await _refused(file_store, CorruptRecordError if boxed or byte < 3 else WrongKeyError)
        con.execute(put, (whole,))
    await _reads(file_store)


@pytest.mark.parametrize("table", ["sessions", "users"])
async def test_another_generation(table: str, file_store: Store) -> None:
    """A key that is said to be of another generation does not open."""
    with _keystore(file_store) as con:
        con.execute(f"UPDATE {table} SET generation = 2 WHERE {table[:-1]} = 1")
        await _refused(file_store, WrongKeyError)
        con.execute(f"UPDATE {table} SET generation = 1 WHERE {table[:-1]} = 1")
    await _reads(file_store)


async def test_another_stores_kek(file_store: Store) -> None:
    """A KEK file whose key was changed opens nothing, and says so before anything is read."""
    path = Path(file_store.url.removeprefix("sqlite:///")).with_name("store.kek")
    text = _text(path)
    start = text.index('"1": "') + 6
    _write(path, text[:start] + ("0" if text[start] != "0" else "1") + text[start + 1 :])
    with pytest.raises(WrongKeyError):
        await file_store.open().__aenter__()
    _write(path, text)
    await _reads(file_store)


def _text(path: Path) -> str:
    return path.read_text()


def _write(path: Path, text: str) -> None:
    path.write_text(text)
