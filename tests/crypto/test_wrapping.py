"""Wrapped keys: whatever is changed about one, it opens as itself or not at all."""

from __future__ import annotations

import pytest

from securemem.crypto.aead import Aead
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import box_of, check, commitment, enclose, unwrap_under, wrap_under
from securemem.errors import CorruptRecordError, IntegrityError, WrongKeyError

_CONTEXT = pae(b"t", b"u1")
_PREFIX = 3 + 16


def _wrapping_key(fill: int = 7) -> Aead:
    return Aead(RawKey(bytes([fill]) * 32))


def _wrapped() -> bytes:
    return wrap_under(_wrapping_key(), RawKey(bytes(range(32))), context=_CONTEXT)


def _accepted(wrapped: bytes, expected: type[IntegrityError]) -> int:
    """Give 1 where a changed wrapped key was taken, 0 where it was refused as it should."""
    try:
        unwrap_under(_wrapping_key(), wrapped, context=_CONTEXT)
    except expected:
        return 0
    return 1


async def test_control() -> None:
    """An unchanged wrapped key opens as the key that was wrapped, and two wrappings of it differ."""
    assert unwrap_under(_wrapping_key(), _wrapped(), context=_CONTEXT).expose_secret() == bytes(range(32))
    assert _wrapped() != _wrapped()


async def test_every_bit() -> None:
    """A flipped bit in the magic is corruption, any other gives a wrong key: none of all bits is accepted."""
    wrapped, accepted, tried = _wrapped(), 0, 0
    for bit in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        accepted += _accepted(bytes(changed), CorruptRecordError if bit < 3 * 8 else WrongKeyError)
        tried += 1
    assert (accepted, tried) == (0, (_PREFIX + 12 + 32 + 16) * 8)


async def test_every_truncation_and_additions() -> None:
    """No prefix of a wrapped key opens, and none with bytes after it."""
    wrapped = _wrapped()
    accepted = sum(
        _accepted(wrapped[:size], CorruptRecordError if size <= _PREFIX else WrongKeyError)
        for size in range(len(wrapped))
    )
    accepted += _accepted(wrapped + b"\0", WrongKeyError) + _accepted(wrapped + bytes(9000), CorruptRecordError)
    assert accepted == 0


@pytest.mark.parametrize("context", [b"", pae(b"tu", b"1"), pae(b"t", b"u1", b""), pae(b"u1", b"t"), b"tu1"])
async def test_another_context(context: bytes) -> None:
    """A wrapped key does not open in another place, boundary shifts included."""
    with pytest.raises(WrongKeyError):
        unwrap_under(_wrapping_key(), _wrapped(), context=context)


async def test_another_wrapping_key() -> None:
    """A wrapped key does not open under another key."""
    with pytest.raises(WrongKeyError):
        unwrap_under(_wrapping_key(8), _wrapped(), context=_CONTEXT)


async def test_commitment_is_checked() -> None:
    """A box that opens is refused where it holds another key than was committed to, as with a box for two keys."""
    other = RawKey(bytes(32))
    box = box_of(wrap_under(_wrapping_key(), other, context=_CONTEXT))
    with pytest.raises(WrongKeyError, match="not the one"):
        unwrap_under(_wrapping_key(), enclose(RawKey(bytes(range(32))), box), context=_CONTEXT)


async def test_a_box_that_holds_no_key() -> None:
    """A box that opens to something of another size is refused as a wrong key."""
    box = _wrapping_key().seal(b"short", associated_data=_CONTEXT)
    with pytest.raises(WrongKeyError):
        unwrap_under(_wrapping_key(), enclose(RawKey(bytes(32)), box), context=_CONTEXT)


async def test_commitment_says_which_key() -> None:
    """Commitments of different keys differ, and hold no part of the key."""
    one, other = RawKey(bytes(32)), RawKey(bytes(31) + b"\1")
    assert commitment(one) != commitment(other)
    assert check(one, enclose(one, b"box")) is one
    with pytest.raises(WrongKeyError):
        check(other, enclose(one, b"box"))
