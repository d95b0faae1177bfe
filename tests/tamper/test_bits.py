"""Every bit of one record of each kind, of a stub and of a head, flipped where it lies."""

from __future__ import annotations

import pytest

from securemem import CorruptRecordError, IntegrityError, PlaintextError

from .access import HEAD, at
from .store import GROUP, SECRETS, TRIP, Store

_MAGIC_BITS = 16
_ROWS = [
    pytest.param(TRIP, 5, id="a record"),
    pytest.param(TRIP, 8, id="the newest record"),
    pytest.param(TRIP, 1, id="the oldest record"),
    pytest.param(TRIP, 4, id="a guest's record"),
    pytest.param(GROUP, 3, id="a stub"),
    pytest.param(TRIP, HEAD, id="a head"),
]


def _right(error: IntegrityError, bit: int, handle: str, seq: int) -> bool:
    """Tell whether this is the error that a flipped bit of this row has to raise."""
    assert not any(secret in str(error) for secret in SECRETS)
    expected = PlaintextError if bit < _MAGIC_BITS else CorruptRecordError
    place = None if seq == HEAD else seq
    return type(error) is expected and (error.session, error.seq) == (handle, place)


def _flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize(("session", "seq"), _ROWS)
async def test_every_bit(session: int, seq: int, store: Store) -> None:
    """No flipped bit is accepted by a warm handle; each raises the row's own error, and undone it reads again."""
    chat, rows = store.chat(session), store.rows()
    truth, handle, row = await chat.history(), store.handle(session), at(session, seq)
    wrong, accepted, tried = [], 0, 0
    for bit in range(len(rows[row]) * 8):
        store.put_one(row, _flipped(rows[row], bit))
        tried += 1
        try:
            await chat.history()
            accepted += 1
        except IntegrityError as error:
            if not _right(error, bit, handle, seq):
                wrong.append((bit, repr(error)))
    assert (accepted, wrong[:3]) == (0, [])
    assert tried == len(rows[row]) * 8 > 400
    assert store.rows() != rows
    store.put_one(row, rows[row])
    assert await chat.history() == truth
    assert len(truth) > 0


@pytest.mark.parametrize(("session", "seq"), [(TRIP, 5), (TRIP, HEAD)])
async def test_a_bit_of_every_byte_cold(session: int, seq: int, file_store: Store) -> None:
    """No flipped bit is accepted by a store that has just been opened, with no key and no head in memory."""
    rows, row, accepted = file_store.rows(), at(session, seq), 0
    handle = file_store.handle(session)
    for byte in range(len(rows[row])):
        bit = byte * 8 + byte % 8
        file_store.put_one(row, _flipped(rows[row], bit))
        memory = file_store.open()
        async with memory:
            with pytest.raises(IntegrityError) as caught:
                accepted += len(await file_store.chat(session, memory).history())
            assert _right(caught.value, bit, handle, seq), (byte, repr(caught.value))
    assert accepted == 0
    file_store.put_one(row, rows[row])
    async with file_store.memory:
        assert len(await file_store.chat(session).history()) == 8


@pytest.mark.parametrize(("session", "seq"), _ROWS)
async def test_every_truncation(session: int, seq: int, store: Store) -> None:
    """No row is accepted that was cut short or grew; a head cut to nothing is a missing one."""
    chat, rows = store.chat(session), store.rows()
    row, refused = at(session, seq), 0
    truth = await chat.history()
    whole = rows[row]
    changed = [whole[:size] for size in range(len(whole))] + [whole + b"\0", whole + whole, b"\0" + whole]
    for raw in changed:
        store.put_one(row, raw)
        with pytest.raises(IntegrityError) as caught:
            await chat.history()
        refused += caught.value.seq == (None if seq == HEAD else seq)
    assert refused == len(changed)
    store.put_one(row, whole)
    assert await chat.history() == truth
