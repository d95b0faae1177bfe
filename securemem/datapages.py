"""The data of a deployment as a stream of pages, session by session, and back.

    stream = (length u32 | page) …         page = MessagePack [tenant, name, session, head, rows]

A page has rows of one session, oldest first, each `[seq, bytes]`; with the last page of a session comes its head, and
pages before that have none. Where a session was changed while it was read, its pages begin anew, and only what comes
with the head counts. What lies in a data store is copied as it lies there; it is found by the keystore, which knows of
every session that can be read.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import msgspec

from securemem.crypto.head import HeadSeal
from securemem.errors import CorruptRecordError, IntegrityError
from securemem.model import Head, Tail
from securemem.ports import ALL_ROWS, Backend

ROWS = 500
_TRIES = 5
_LENGTH = struct.Struct(">I")
_MOST_BYTES = 2**31


class Page(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows of one session.

    Attributes:
        tenant: the tenant's handle.
        name: by which the keystore knows the tenant, in one table.
        session: the session's handle.
        head: as it lies there; empty where more of the session follows.
        rows: oldest first.
    """

    tenant: bytes
    name: str
    session: bytes
    head: bytes
    rows: list[tuple[int, bytes]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Page).decode


def encode(page: Page) -> bytes:
    """Give a page as it stands in the stream."""
    body = _encode(page)
    return _LENGTH.pack(len(body)) + body


async def decode(pieces: AsyncIterator[bytes]) -> AsyncIterator[Page]:
    """Give the pages of a stream.

    Raises:
        CorruptRecordError: it is no such stream.
    """
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        start = 0
        while len(waiting) - start >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(waiting, start)
            end = start + _LENGTH.size + length
            if length > _MOST_BYTES:
                raise CorruptRecordError("the backup holds something else than pages")
            if end > len(waiting):
                break
            try:
                yield _decode(bytes(waiting[start + _LENGTH.size : end]))
            except msgspec.DecodeError:
                raise CorruptRecordError("the backup holds something else than pages") from None
            start = end
        del waiting[:start]
    if waiting:
        raise CorruptRecordError("the backup ends within a page")


async def of_session(
    backend: Backend, seal: HeadSeal, session: bytes, tail: Tail
) -> AsyncIterator[tuple[bytes, list[tuple[int, bytes]]]]:
    """Give a session as (head, rows), the head with the last rows only; nothing of one that has none, or is closed.

    Args:
        backend: where it lies.
        seal: of its head.
        session: its handle.
        tail: its newest `ROWS` rows, as they were just read.
    """
    raw, rows = tail
    head = _head(seal, raw)
    if not raw or (head is not None and head.closed):
        return
    if head is not None and len(rows) == ROWS and rows[-1][0] > head.first:
        for _ in range(_TRIES):
            async for page in _upwards(backend, seal, session, raw, head):
                yield page
                if page[0]:
                    return
            raw, _ = await backend.tail(session, 0)
            head = _head(seal, raw)
            if head is None or head.closed:
                break
    if len(rows) == ROWS:
        raw, rows = await backend.tail(session, ALL_ROWS)
    if raw:
        yield raw, rows[::-1]


async def _upwards(
    backend: Backend, seal: HeadSeal, session: bytes, raw: bytes, head: Head
) -> AsyncIterator[tuple[bytes, list[tuple[int, bytes]]]]:
    """Read a session from its oldest row; ends without a head where something but an append has happened to it."""
    low = head.first
    while True:
        found = await backend.tail(session, ROWS, low + ROWS)
        if found.head != raw:
            now = _head(seal, found.head)
            if now is None or _but_for_appends(now) != _but_for_appends(head):
                return
            raw, head = found.head, now
        rows = [row for row in found.rows[::-1] if row[0] >= low]
        low += ROWS
        yield raw if low >= head.next else b"", rows
        if low >= head.next:
            return


def _but_for_appends(head: Head) -> tuple[object, ...]:
    return head.generation, head.epoch, head.flags, head.first, head.holes, head.edits


def _head(seal: HeadSeal, raw: bytes) -> Head | None:
    """Give a head; None where there is none that could be read: what is damaged is copied as it is."""
    try:
        return seal.decode(raw) if raw else None
    except IntegrityError:
        return None
