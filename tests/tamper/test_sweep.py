"""A clear column that was changed is never laundered into a lawful deletion, nor into a longer life."""

from __future__ import annotations

import itertools
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from securemem import CorruptRecordError, IntegrityError, Message, PlaintextError, ReorderedError, SecureMemory, Session

from .access import HEAD, Rows, at
from .conftest import on_server
from .store import TRIP, Store

_EXPIRY, _CLASS, _HOUR = (29, ">Q"), (37, ">I"), (41, ">I")
_START = datetime(2026, 3, 2, 12, tzinfo=UTC)
_DUE, _LATER, _ENDLESS = 2, 5, 4
_BEFORE_A_HEAD = 16
"""Bytes of what stands before a head in a Redis list: where the session ends, and when it is due."""


class _Timed(Store):
    """Six messages: 2 and 3 are due after a minute, 5 after an hour, the others never."""

    def __init__(self, url: str, **options: Any) -> None:
        self.now = _START
        super().__init__(url, **options)

    def open(self, tenant: str = "default") -> SecureMemory:
        """Give a store object that goes by this store's time."""
        return SecureMemory.open(self.url, tenant=tenant, clock=lambda: self.now, **self._options)

    async def fill(self) -> Session:
        """Write the messages."""
        chat = self.chat(TRIP)
        ends = [None, 60, 60, None, 3600, None]
        expiries = [None if end is None else _START + timedelta(seconds=end) for end in ends]
        await chat.add_many([Message("user", "SECRET", expires_at=expiry) for expiry in expiries])
        return chat


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncIterator[_Timed]:
    """Give the timed messages, two of them due now."""
    async with _filled(_Timed(f"sqlite:///{tmp_path}/timed.db")) as store:
        yield store


@pytest.fixture(params=["postgresql", "redis"])
async def served_timed(request: pytest.FixtureRequest) -> AsyncIterator[_Timed]:
    """Give the timed messages on each server."""
    async with _filled(_Timed(**on_server(request))) as store:
        yield store


@asynccontextmanager
async def _filled(store: _Timed) -> AsyncIterator[_Timed]:
    async with store.memory:
        await store.fill()
        store.now += timedelta(seconds=120)
        yield store


def _set(rows: Rows, seq: int, column: tuple[int, str], number: int) -> None:
    raw = bytearray(rows[at(TRIP, seq)])
    struct.pack_into(column[1], raw, column[0], number)
    rows[at(TRIP, seq)] = bytes(raw)


async def _refused(store: _Timed, rows: Rows, error: type[IntegrityError], seq: int | None) -> None:
    """Sweep changed rows: the right error, and every row is left as it was."""
    await _untouched(store, rows, error, seq)
    assert (await store.memory.sweep()).records == 2


async def _untouched(store: _Timed, rows: Rows, error: type[IntegrityError], seq: int | None) -> None:
    before = store.rows()
    store.put(rows)
    changed = store.rows()
    assert changed != before
    for _ in range(2):
        with pytest.raises(error) as caught:
            await store.memory.sweep()
        assert type(caught.value) is error
        assert (caught.value.session, caught.value.seq) == (store.handle(TRIP), seq)
        assert store.rows() == changed, "something was deleted, or written"
    store.put(before)


async def test_control(timed: _Timed) -> None:
    """The untouched store is swept: the two that are due go, and the rest is read."""
    assert (await timed.memory.sweep()).records == 2
    assert [message.seq for message in await timed.chat(TRIP).history()] == [1, 4, 5, 6]


@pytest.mark.parametrize("seq", [1, _DUE, 3, _ENDLESS, _LATER, 6])
@pytest.mark.parametrize("column", [_EXPIRY, _CLASS, _HOUR], ids=["expiry", "class", "hour"])
@pytest.mark.parametrize("number", [1, 2**32 - 1])
async def test_a_changed_column(seq: int, column: tuple[int, str], number: int, timed: _Timed) -> None:
    """Whichever record's expiry, hour or class was changed, earlier or later, nothing of the session is swept."""
    rows = timed.rows()
    _set(rows, seq, column, number)
    await _refused(timed, rows, CorruptRecordError, seq)


async def test_an_expiry_taken_away(timed: _Timed) -> None:
    """A record that was given an endless life does not get it."""
    rows = timed.rows()
    _set(rows, _DUE, _EXPIRY, 0)
    await _refused(timed, rows, CorruptRecordError, _DUE)


_OTHER: list[tuple[str, type[IntegrityError], int | None]] = [
    ("plaintext", PlaintextError, _ENDLESS),
    ("swapped", ReorderedError, _DUE + 1),
    ("gap", ReorderedError, _DUE),
    ("cut", ReorderedError, 6),
    ("head", PlaintextError, None),
    ("bit of the head", CorruptRecordError, None),
]


def _attack(name: str, rows: Rows, seq: int | None) -> None:
    """Do to the rows what the name says, so that it shows at `seq`."""
    if name == "plaintext":
        rows[at(TRIP, _ENDLESS)] = b"hello"
    elif name == "swapped":
        one, other = at(TRIP, _DUE), at(TRIP, _DUE + 1)
        rows[one], rows[other] = rows[other], rows[one]
    elif name in ("gap", "cut"):
        del rows[at(TRIP, seq or 0)]
    elif name == "head":
        rows[at(TRIP, HEAD)] = b"hello"
    else:
        rows[at(TRIP, HEAD)] = rows[at(TRIP, HEAD)][:-1] + bytes((rows[at(TRIP, HEAD)][-1] ^ 1,))


@pytest.mark.parametrize(("name", "error", "seq"), _OTHER)
async def test_other_attacks(name: str, error: type[IntegrityError], seq: int | None, timed: _Timed) -> None:
    """A session that is not as it was written is not swept, whatever is wrong with it."""
    rows = timed.rows()
    _attack(name, rows, seq)
    await _refused(timed, rows, error, seq)


async def test_on_a_server(served_timed: _Timed) -> None:
    """Nothing that somebody changed in a server's table or list is swept, and all that is due once it is undone."""
    before = served_timed.rows()
    for seq in range(1, 7):
        for column, number in itertools.product((_EXPIRY, _CLASS, _HOUR), (1, 2**32 - 1)):
            rows = dict(before)
            _set(rows, seq, column, number)
            await _untouched(served_timed, rows, CorruptRecordError, seq)
    for name, error, place in _OTHER:
        rows = dict(before)
        _attack(name, rows, place)
        if name == "head" and served_timed.listed:
            rows[at(TRIP, HEAD)] = before[at(TRIP, HEAD)][:_BEFORE_A_HEAD] + b"hello"
        await _untouched(served_timed, rows, error, place)
    assert (await served_timed.memory.sweep()).records == 2
    assert [message.seq for message in await served_timed.chat(TRIP).history()] == [1, 4, 5, 6]


async def test_a_sweep_does_not_carry_a_rollback_over_the_floor(tmp_path: Path) -> None:
    """An older state is refused by the sweep too, which would otherwise move it up to the version that is accepted."""
    store = _Timed(f"sqlite:///{tmp_path}/timed.db")
    async with store.memory:
        chat = await store.fill()
        older = store.rows()
        await chat.add("user", "SECRET the newest")
    newest = store.rows()
    store.now += timedelta(seconds=120)
    store.put(older)
    async with store.open() as memory:
        with pytest.raises(ReorderedError):
            await memory.sweep()
    assert store.rows() == older
    store.put(newest)
    async with store.open() as memory:
        assert (await memory.sweep()).records == 2
        assert (await store.chat(TRIP, memory).history())[-1].content == "SECRET the newest"


async def test_a_changed_record_is_not_read_as_expired(timed: _Timed) -> None:
    """A reader says that a record was changed before it believes that its time is past, and never shows a due one."""
    rows, chat = timed.rows(), timed.chat(TRIP)
    for seq, expiry in ((_ENDLESS, 1), (_DUE, 0), (_LATER, 1)):
        changed = dict(rows)
        _set(changed, seq, _EXPIRY, expiry)
        timed.put(changed)
        with pytest.raises(CorruptRecordError) as caught:
            await chat.history()
        assert caught.value.seq == seq
    timed.put(rows)
    assert [message.seq for message in await chat.history()] == [1, 4, 5, 6]
