"""Messages to bytes and back: MessagePack of [role, content, timestamp, metadata, user id], zstd where it is asked.

Where pseudonyms stand in a message, a sixth part says so: true. A message without them has five.

Everything is checked on the way in, so that what is stored can always be read: text without lone surrogates, content
and metadata that JSON knows, sizes within bounds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from securemem.errors import CorruptRecordError, InvalidInputError
from securemem.model import Message

MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
MAX_ID_BYTES = 1024
MAX_DEPTH = 100
MAX_SEQ = 0xFFFFFFFE
_COMPRESS_FROM_BYTES = 128


class _Payload(msgspec.Struct, frozen=True, array_like=True, gc=False):
    role: str
    content: Any
    timestamp: datetime
    metadata: dict[str, Any] | None
    user_id: str | None


class _Marked(_Payload, frozen=True, array_like=True, gc=False):
    pseudonymised: bool = False


_encoder = msgspec.msgpack.Encoder()
_decode = msgspec.msgpack.Decoder(_Marked).decode


def check_id(value: object, what: str) -> bytes:
    """Give an id as UTF-8.

    Raises:
        InvalidInputError: not text, empty, over 1,024 bytes, or with a lone surrogate.
    """
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{what} has to be a text that is not empty")
    if len(value) <= MAX_ID_BYTES and value.isascii():
        return value.encode()
    if len(value) > MAX_ID_BYTES:
        raise InvalidInputError(f"{what} is over {MAX_ID_BYTES} bytes of UTF-8")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} has a lone surrogate, which UTF-8 cannot carry") from None
    if len(raw) > MAX_ID_BYTES:
        raise InvalidInputError(f"{what} is over {MAX_ID_BYTES} bytes of UTF-8")
    return raw


def check_tags(tags: object) -> tuple[str, ...]:
    """Give tags, each once and in order.

    Raises:
        InvalidInputError: a single text, or what is no collection of texts.
    """
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInputError("tags has to be a collection of texts")
    found = list(tags)
    for tag in found:
        check_id(tag, "a tag")
    return tuple(sorted(set(found)))


def check_text(value: object, what: str) -> str:
    """Give a text.

    Raises:
        InvalidInputError: it is none.
    """
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} has to be a text")
    return value


def check_path(value: object, what: str) -> Path:
    """Give the path of a file.

    Raises:
        InvalidInputError: neither text nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InvalidInputError(f"{what} has to be the path of a file")
    return Path(value)


def check_count(value: object, what: str, *, least: int = 0) -> int:
    """Give a whole number, cut to what a session can hold.

    Raises:
        InvalidInputError: no whole number, or below `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidInputError(f"{what} has to be a whole number, at least {least}")
    return min(value, MAX_SEQ)


def plain_json(value: object, what: str, depth: int = 0) -> Any:
    """Give JSON as the plain types that it will come back as: no subclasses, lists for tuples, nothing shared.

    Raises:
        InvalidInputError: another type, NaN or infinity, a key that is not text, nested deeper than 100.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{what} holds NaN or infinity, which JSON does not know")
        return float(value)
    if depth >= MAX_DEPTH:
        raise InvalidInputError(f"{what} is nested deeper than {MAX_DEPTH}")
    if isinstance(value, list | tuple):
        return [plain_json(item, what, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInputError(f"{what} has a key that is no text")
        return {str.__str__(key): plain_json(item, what, depth + 1) for key, item in value.items()}
    raise InvalidInputError(f"{what} holds a {type(value).__name__}, which is not JSON")


def is_text(message: Message) -> bool:
    """Tell a message of text alone: there is nothing in it that could be changed, so that many may share it."""
    return type(message.content) is str and message.metadata is None and type(message.role) is str


def plain(message: Message) -> Message:
    """Give a message whose content and metadata are plain JSON; one of text alone is given as it is.

    Raises:
        InvalidInputError: role, content or metadata is none that can be stored.
    """
    role, content, metadata = message.role, message.content, message.metadata
    check_id(role, "role")
    if is_text(message):
        return message
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidInputError("metadata has to be a JSON object")
    return msgspec.structs.replace(
        message,
        role=plain_json(role, "role"),
        content=plain_json(content, "content"),
        metadata=plain_json(metadata, "metadata"),
    )


def encode(message: Message, timestamp: datetime, *, guest: bool) -> bytes:
    """Encode what is sealed of a message.

    Args:
        message: of plain JSON (`plain`).
        timestamp: its time, aware.
        guest: whether its `user_id` goes in, being that of another person than the session's owner.

    Raises:
        InvalidInputError: it cannot be stored.
    """
    person = message.user_id if guest else None
    stored = _Payload(message.role, message.content, timestamp, message.metadata, person)
    if message.pseudonymised:
        stored = _Marked(
            message.role, message.content, timestamp, message.metadata, person, pseudonymised=message.pseudonymised
        )
    try:
        payload = _encoder.encode(stored)
    except UnicodeEncodeError:
        raise InvalidInputError("a text has a lone surrogate, which UTF-8 cannot carry") from None
    except OverflowError:
        raise InvalidInputError("an integer is beyond 64 bits; give it as text") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidInputError(f"a message is over {MAX_PAYLOAD_BYTES >> 20} MiB; store a reference to it instead")
    return payload


def decode(payload: bytes, seq: int, expires_at: datetime | None) -> Message:
    """Give the message that was encoded.

    Raises:
        CorruptRecordError: the payload is none of ours, though its seal held.
    """
    try:
        stored = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CorruptRecordError("holds what this version cannot read", seq=seq) from None
    return Message(
        stored.role,
        stored.content,
        timestamp=stored.timestamp,
        metadata=stored.metadata,
        user_id=stored.user_id,
        expires_at=expires_at,
        seq=seq,
        pseudonymised=stored.pseudonymised,
    )


def compress(payload: bytes) -> tuple[bytes, bool]:
    """Give the payload compressed, and True, if that makes it smaller."""
    if len(payload) < _COMPRESS_FROM_BYTES:
        return payload, False
    import zstandard  # noqa: PLC0415  (only stores that compress pay for it)

    packed = zstandard.ZstdCompressor(level=3).compress(payload)
    return (packed, True) if len(packed) < len(payload) else (payload, False)


def decompress(packed: bytes, *, seq: int) -> bytes:
    """Give what was compressed, at most 16 MiB of it.

    Raises:
        CorruptRecordError: no zstd frame, or one that would grow beyond the bound.
    """
    import zstandard  # noqa: PLC0415

    try:
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= MAX_PAYLOAD_BYTES:
            raise CorruptRecordError("grows beyond what a message may be", seq=seq)
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError:
        raise CorruptRecordError("holds what zstd cannot read", seq=seq) from None


def check_time(moment: object, what: str) -> datetime:
    """Give a moment in UTC.

    Raises:
        InvalidInputError: no datetime, or one without a time zone.
    """
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidInputError(f"{what} has to be a datetime with a time zone")
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError(f"{what} is beyond the calendar") from None
    if type(found) is datetime:
        return found
    # A subclass, such as pandas has one, is not encoded, and may hold more than a moment.
    return datetime(*found.timetuple()[:6], found.microsecond, tzinfo=UTC)
