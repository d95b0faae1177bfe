"""Frames open in their order, whole, and under their own header, or not at all."""

from __future__ import annotations

import pytest

from securemem import ConfigurationError, CorruptRecordError, WrongKeyError
from securemem.crypto.secret import RawKey
from securemem.crypto.stream import (
    HEADER_BYTES,
    STORES,
    Frames,
    Header,
    parse_header,
    unwrap_backup_key,
    wrap_backup_key,
    wrapped_length,
)

KEY, HEAD_KEY = RawKey(b"\x01" * 32), RawKey(b"\x02" * 32)
HEADER = Header("data", b"d" * 16, 7, 1_800_000_000_000, b"t" * 16, 0, b"w" * 40)
PIECES = [b"one", b"two", b"three"]


def _sealed() -> list[bytes]:
    frames = Frames(KEY, HEADER.encode())
    return [frames.seal(piece, last=piece is PIECES[-1]) for piece in PIECES]


def _open(sealed: list[bytes], header: bytes = HEADER.encode()) -> list[bytes]:
    frames = Frames(KEY, header)
    return [frames.open(frame, last=number == len(sealed) - 1) for number, frame in enumerate(sealed)]


def test_frames_open_in_their_order() -> None:
    """What was sealed is what is opened."""
    assert _open(_sealed()) == PIECES


@pytest.mark.parametrize("places", [(0, 1), (0,), (1, 0, 2), (0, 0, 1, 2), (0, 2), (1, 2), (0, 1, 2, 2)], ids=str)
def test_frames_that_are_missing_doubled_or_swapped(places: tuple[int, ...]) -> None:
    """A stream that was cut, reordered, or has a frame too many does not open to its end."""
    sealed = _sealed()
    with pytest.raises(CorruptRecordError, match="cut short or altered"):
        _open([sealed[place] for place in places])


def test_every_bit_counts() -> None:
    """A frame in which one bit was changed does not open, nor does any under a header in which one was."""
    sealed, header = _sealed(), HEADER.encode()
    for place in range(8 * len(sealed[0])):
        changed = bytearray(sealed[0])
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(CorruptRecordError):
            _open([bytes(changed), *sealed[1:]])
    for place in range(8 * len(header)):
        changed = bytearray(header)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(CorruptRecordError):
            _open(sealed, bytes(changed))


@pytest.mark.parametrize("store", STORES)
def test_headers_are_read_back(store: str) -> None:
    """A header gives what it was made of, and says how long it is before anything in it is believed."""
    header = HEADER._replace(store=store)
    raw = header.encode()
    assert parse_header(raw) == header
    assert wrapped_length(raw[:HEADER_BYTES]) == len(header.wrapped)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SQLite format 3\0" * 10,
        HEADER.encode()[:-1],
        HEADER.encode() + b"x",
        HEADER.encode()[:20],
        b"SB\x02" + HEADER.encode()[3:],
        b"SB\x01\x04" + HEADER.encode()[4:],
        HEADER._replace(wrapped=b"w" * 8193).encode(),
    ],
)
def test_what_is_no_header(raw: bytes) -> None:
    """Something else, a part of a header, another version, or an impossible length is refused."""
    with pytest.raises(ConfigurationError):
        parse_header(raw)


@pytest.mark.parametrize(
    "other",
    [
        {"store": "ledger"},
        {"deployment": b"e" * 16},
        {"counter": 8},
        {"created": 1},
        {"holder": b"u" * 16},
        {"epoch": 1},
    ],
    ids=str,
)
def test_a_key_is_its_backups_own(other: dict[str, object]) -> None:
    """A wrapped key opens under the tenant's head key for the header that it was made for, and no other."""
    wrapped = wrap_backup_key(HEAD_KEY, KEY, context=HEADER.context)
    assert unwrap_backup_key(HEAD_KEY, wrapped, context=HEADER.context).expose_secret() == KEY.expose_secret()
    with pytest.raises(WrongKeyError):
        unwrap_backup_key(HEAD_KEY, wrapped, context=HEADER._replace(**other).context)  # type: ignore[arg-type]
    with pytest.raises(WrongKeyError):
        unwrap_backup_key(KEY, wrapped, context=HEADER.context)
