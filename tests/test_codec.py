"""The codec: what goes in comes out, and what cannot be read again is refused on the way in or named on the way out."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securemem import CorruptRecordError, InvalidInputError, Message
from securemem.codec import MAX_DEPTH, MAX_PAYLOAD_BYTES, check_id, compress, decode, decompress, encode, plain

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None)
@given(
    role=TEXT.filter(lambda text: 0 < len(text.encode()) <= 1024),
    content=JSON,
    metadata=st.none() | st.dictionaries(TEXT, JSON, max_size=3),
    timestamp=st.datetimes(timezones=st.just(UTC)),
    guest=st.none() | TEXT.filter(bool),
)
def test_what_goes_in_comes_out(
    role: str, content: Any, metadata: dict[str, Any] | None, timestamp: datetime, guest: str | None
) -> None:
    """Any JSON, any time to the microsecond, any role and guest."""
    given_ = plain(Message(role, content, metadata=metadata, user_id=guest))
    payload = encode(given_, timestamp, guest=guest is not None)
    back = decode(payload, seq=7, expires_at=None)
    assert back == Message(role, content, timestamp=timestamp, metadata=metadata, user_id=guest, seq=7)
    assert repr(back.content) == repr(content)  # 1, 1.0 and True are equal, and still not the same


def test_the_owners_id_is_not_encoded() -> None:
    """A `user_id` that is the session owner's is left out of the payload; a guest's is in it."""
    message = Message("user", "x", user_id="alice-7")
    assert b"alice-7" not in encode(message, NOW, guest=False)
    assert b"alice-7" in encode(message, NOW, guest=True)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH])
def test_depth_is_bounded_exactly(depth: int) -> None:
    """A hundred levels go in and come out; one more is refused."""
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    message = plain(Message("user", value))
    assert decode(encode(message, NOW, guest=False), seq=1, expires_at=None).content == value
    for _ in range(MAX_DEPTH - depth + 1):
        value = [value]
    with pytest.raises(InvalidInputError, match="deeper"):
        plain(Message("user", value))


def test_size_is_bounded_exactly() -> None:
    """A payload of 16 MiB goes in, one byte more does not."""
    overhead = len(encode(Message("user", "x" * 70_000), NOW, guest=False)) - 70_000
    largest = MAX_PAYLOAD_BYTES - overhead
    assert len(encode(Message("user", "x" * largest), NOW, guest=False)) == MAX_PAYLOAD_BYTES
    with pytest.raises(InvalidInputError, match="16 MiB"):
        encode(Message("user", "x" * (largest + 1)), NOW, guest=False)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"plain text",
        msgspec.msgpack.encode({"role": "user"}),
        msgspec.msgpack.encode(["user", "x"]),
        msgspec.msgpack.encode(["user", "x", "yesterday", None, None]),
        msgspec.msgpack.encode([7, "x", NOW, None, None]),
        msgspec.msgpack.encode(["user", "x", NOW, [], None]),
        encode(Message("user", "x"), NOW, guest=False)[:-1],
        encode(Message("user", "x"), NOW, guest=False) + b"\xc0",
        b"\x95\xa4user" + b"\x91" * 100_000,
        b"\x95\xa4user\xa1\xff" + msgspec.msgpack.encode(NOW) + b"\xc0\xc0",
    ],
)
def test_what_is_no_payload_is_named(payload: bytes) -> None:
    """Bytes that are none of ours, or cut off, or have something after them, are a CorruptRecordError with the seq."""
    with pytest.raises(CorruptRecordError, match="record 7") as caught:
        decode(payload, seq=7, expires_at=None)
    assert caught.value.seq == 7


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    """No bytes make anything but a message or a CorruptRecordError."""
    with contextlib.suppress(CorruptRecordError):
        decode(payload, seq=1, expires_at=None)


@pytest.mark.parametrize("payload", [b"", b"short", os.urandom(4096), b"again and again " * 4096])
def test_compression_only_where_it_helps(payload: bytes) -> None:
    """What grows smaller is compressed and comes back; what is short or random stays as it is."""
    packed, compressed = compress(payload)
    assert compressed == (len(packed) < len(payload)) == payload.startswith(b"again and")
    assert (decompress(packed, seq=1) if compressed else packed) == payload


@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES + 1, 1 << 32])
def test_a_bomb_is_refused(size: int) -> None:
    """A frame that says it grows beyond 16 MiB, or does so without saying, is refused before it is unpacked."""
    import zstandard  # noqa: PLC0415

    said = zstandard.ZstdCompressor().compress(bytes(MAX_PAYLOAD_BYTES + 1))
    unsaid = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    silent = unsaid.compress(bytes(size & 0x1FFFFFF)) + unsaid.flush()
    for bomb in (said, silent):
        with pytest.raises(CorruptRecordError, match="record 7"):
            decompress(bomb, seq=7)


def test_a_broken_frame_is_refused() -> None:
    """Cut off, changed, or no frame at all: a CorruptRecordError."""
    packed, _ = compress(b"again and again " * 100)
    for broken in (b"", packed[:-1], packed[:8], b"no frame at all", bytes([packed[0] ^ 1]) + packed[1:]):
        with pytest.raises(CorruptRecordError):
            decompress(broken, seq=7)


def test_an_id_is_its_utf8() -> None:
    """Ids are given back as UTF-8, the longest of 1,024 bytes."""
    assert check_id("ä" * 512, "id") == "ä".encode() * 512
    with pytest.raises(InvalidInputError, match="1024"):
        check_id("ä" * 512 + "x", "id")


def test_a_time_keeps_its_microseconds() -> None:
    """A timestamp is sealed to the microsecond."""
    moment = NOW + timedelta(microseconds=123_457)
    assert decode(encode(Message("user", "x"), moment, guest=False), seq=1, expires_at=None).timestamp == moment
