"""The head: one authenticated row a session, the stubs that stand in for removed records, and the walk between them.

A head, big-endian:

    "SH" | format u8 = 1 | flags u8 | version u64 | generation u32 | epoch u32 | first u64 | next u64 | last tag 16
    | holes u32 | due u64 | latest expiry u64 | edits u8 | pins u8
    | (seq u64 | tag 16) for each edit | seq u64 for each pin | MAC 16

    MAC = keyed BLAKE2b-128 (tenant head key, "sm-head-1", PAE(tenant, session) ‖ all before the MAC)

A head with the flag MOVED stays on a server that its session was moved from; of version 0, where there was no session.

A stub, which lies where a record was taken out of the middle:

    "SM" | format u8 = 1 | suite u8 = 0 | flags u8 = 0 | seq u64 | prev 16 | tag 16 | MAC 16

    MAC = keyed BLAKE2b-128 (tenant head key, "sm-stub-1", PAE(tenant, session) ‖ all before the MAC)

The walk: the newest record's GCM tag is the head's `last tag`, each older one's is its successor's `prev`; where a seq
is in `edits`, the record or stub that lies there bears the tag named there instead, and still the `prev` that the
first record there had.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from securemem.crypto.envelope import FORMAT, MAGIC, SUITE_STUB, Opened, RowTags, Sealed, Sealer, parse
from securemem.crypto.known import Known
from securemem.crypto.mac import MAC_BYTES, blake2b_state, equal
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.errors import (
    ConfigurationError,
    CorruptRecordError,
    IntegrityError,
    PlaintextError,
    ReorderedError,
)
from securemem.model import Head, HeadFlag

HEAD_MAGIC = b"SH"
MAX_EDITS = 64
MAX_PINS = 16

M = TypeVar("M")

_FIXED = struct.Struct(">2sBBQIIQQ16sIQQBB")
_EDIT = struct.Struct(">Q16s")
_SEQ = struct.Struct(">Q")
_STUB = struct.Struct(">2sBBBQ16s16s")
_MOVED = int(HeadFlag.MOVED)
_VERSION = slice(4, 12)


class Stub(tuple[int, bytes, bytes]):
    """A verified stub: (seq, tag, prev) of the record that was there."""

    __slots__ = ()

    @property
    def seq(self) -> int:
        """The place that the record had."""
        return self[0]

    @property
    def tag(self) -> bytes:
        """The GCM tag that the record had."""
        return self[1]

    @property
    def prev(self) -> bytes:
        """The tag of the record before."""
        return self[2]


class HeadSeal:
    """Makes and checks heads and stubs of one session; needs the tenant head key, no user's."""

    __slots__ = ("_head_key", "_heads", "_place", "_session", "_tenant")

    def __init__(self, head_key: RawKey, *, tenant: bytes, session: bytes) -> None:
        place = pae(tenant, session)
        self._heads = blake2b_state(head_key, b"sm-head-1", place)
        self._place = place
        self._head_key = head_key
        self._tenant = tenant
        self._session = session

    def row_tags(self, user: bytes) -> RowTags:
        """Give the maker and checker of row tags for a subject of this session."""
        return RowTags(self._head_key, tenant=self._tenant, user=user, session=self._session)

    def encode(self, head: Head) -> bytes:
        """Give a head's bytes, MAC included."""
        body = _FIXED.pack(
            HEAD_MAGIC,
            FORMAT,
            head.flags,
            head.version,
            head.generation,
            head.epoch,
            head.first,
            head.next,
            head.last_tag,
            head.holes,
            head.due,
            head.latest_expiry,
            len(head.edits),
            len(head.pins),
        )
        if head.edits or head.pins:
            body += b"".join(_EDIT.pack(seq, tag) for seq, tag in sorted(head.edits.items()))
            body += b"".join(_SEQ.pack(seq) for seq in head.pins)
        state = self._heads.copy()
        state.update(body)
        return body + state.digest()

    def decode(self, raw: bytes, *, moved: bool = False) -> Head:
        """Check a head and give it.

        Args:
            raw: the head's bytes.
            moved: whether it may be one that says that the session goes on elsewhere, for who can go there.

        Raises:
            PlaintextError: it is no head.
            CorruptRecordError: its length, format or MAC is wrong, or it is another session's.
            ConfigurationError: the session goes on elsewhere.
        """
        if raw[:2] != HEAD_MAGIC:
            raise PlaintextError("the head was never sealed", session=self._session)
        if len(raw) < _FIXED.size + MAC_BYTES:
            raise CorruptRecordError("the head has an impossible length", session=self._session)
        _, form, flags, *numbers, edits, pins = _FIXED.unpack_from(raw)
        edits_end = _FIXED.size + edits * _EDIT.size
        pins_end = edits_end + pins * _SEQ.size
        if form != FORMAT or edits > MAX_EDITS or pins > MAX_PINS or len(raw) != pins_end + MAC_BYTES:
            raise CorruptRecordError("the head has an unknown format or length", session=self._session)
        state = self._heads.copy()
        state.update(raw[:-MAC_BYTES])
        if not equal(state.digest(), raw[-MAC_BYTES:]):
            raise CorruptRecordError("the head was changed or is another session's", session=self._session)
        if flags & _MOVED and not moved:
            raise ConfigurationError(
                f"session {self._session.hex()} goes on at another server: name it under [servers] in securemem.toml "
                "(`securemem tenant list` says which), and open the store anew"
            )
        version, generation, epoch, first, following, last_tag, holes, due, latest = numbers
        return Head(
            version=version,
            generation=generation,
            epoch=epoch,
            flags=flags,
            first=first,
            next=following,
            last_tag=last_tag,
            holes=holes,
            due=due,
            latest_expiry=latest,
            edits=dict(_EDIT.iter_unpack(raw[_FIXED.size : edits_end])),
            pins=tuple(seq for (seq,) in _SEQ.iter_unpack(raw[edits_end:pins_end])),
        )

    def stub(self, *, seq: int, tag: bytes, prev: bytes) -> bytes:
        """Make the stub that stands in for the record that was taken out at `seq`."""
        body = _STUB.pack(MAGIC, FORMAT, SUITE_STUB, 0, seq, prev, tag)
        return body + self._stub_mac(body)

    def stub_for(self, sealed: Sealed) -> tuple[int, bytes]:
        """Make the stub that stands in for a record which a walk has verified."""
        return sealed.seq, self.stub(seq=sealed.seq, tag=sealed.tag, prev=sealed.prev)

    def open_stub(self, raw: bytes, seq: int) -> Stub:
        """Check a stub.

        Raises:
            CorruptRecordError: it was changed, or is another session's.
        """
        if len(raw) != _STUB.size + MAC_BYTES or not equal(self._stub_mac(raw[:-MAC_BYTES]), raw[-MAC_BYTES:]):
            raise CorruptRecordError("the stub was changed or is another session's", session=self._session, seq=seq)
        _, form, _, flags, number, prev, tag = _STUB.unpack_from(raw)
        if form != FORMAT or flags:
            raise CorruptRecordError("the stub has an unknown format", session=self._session, seq=seq)
        return Stub((number, tag, prev))

    def _stub_mac(self, body: bytes) -> bytes:
        state = blake2b_state(self._head_key, b"sm-stub-1", self._place)
        state.update(body)
        return state.digest()


def is_stub(raw: bytes) -> bool:
    """Tell a stub's bytes from a record's."""
    return raw[:2] == MAGIC and raw[3:4] == bytes((SUITE_STUB,))


def is_moved(raw: bytes) -> bool:
    """Tell, from a head's bytes as they lie there, whether they claim that the session goes on at another server."""
    return raw[:2] == HEAD_MAGIC and len(raw) >= _FIXED.size and raw[3] & _MOVED != 0


def is_fence(raw: bytes) -> bool:
    """Tell such a head from one that stands where the session had none: it keeps a late writer from beginning it."""
    return is_moved(raw) and not any(raw[_VERSION])


class Walk:
    """Follows the chain of one session backwards, page by page, from its head.

    After each page `expected` is the tag that the next older record must bear.
    """

    __slots__ = ("_genuine", "_head", "_owner", "_seal", "_session", "_tags", "_whole", "expected", "holes", "seq")

    def __init__(
        self,
        seal: HeadSeal,
        head: Head,
        *,
        session: bytes,
        owner: bytes,
        genuine: Callable[[Sealed], bool] | None = None,
        page: tuple[int | None, bytes | None] = (None, None),
    ) -> None:
        """Start from a head that was verified.

        Args:
            seal: of the session.
            head: the newest one.
            session: the session's handle.
            owner: its owner's.
            genuine: tells, for a record in the wrong place, whether it was written here at all; by its row tag if not
                given, which says less.
            page: the seq that the rows lie below and the tag that the newest of them bears, for a page from the middle;
                from the head if they are None.
        """
        self._seal = seal
        self._head = head
        self._session = session
        self._owner = owner
        self._genuine = genuine or self._row_tag_holds
        before, tag = page
        self._whole = before is None or tag is None
        self._tags: dict[bytes, RowTags] = {}
        self.seq = head.next if before is None or tag is None else before
        self.expected = head.last_tag if tag is None else tag
        self.holes = 0

    @property
    def epoch(self) -> int:
        """The epoch of the head that it started from."""
        return self._head.epoch

    def run(self, sealer: Sealer, rows: Sequence[tuple[int, bytes]]) -> list[Opened]:
        """Open the ordinary records that rows begin with (`Sealer.open_run`); what comes after is for `page`."""
        if self._head.edits or (rows and rows[-1][0] < self._head.first):
            return []
        opened, self.expected = sealer.open_run(rows, self.seq, self.expected)
        self.seq -= len(opened)
        return opened

    def recall(self, rows: Sequence[tuple[int, bytes]], known: Known[M]) -> Sequence[M]:
        """Pass over records that rows begin with, where they were verified here before, and give what is in them."""
        if self._head.edits or (rows and rows[-1][0] < self._head.first):
            return ()
        found, self.expected = known.recall(rows, self.seq, self.expected)
        self.seq -= len(found)
        return found

    def page(self, rows: Sequence[tuple[int, bytes]]) -> list[Sealed]:
        """Put a page of rows, newest first, in its place in the chain; stubs are passed over.

        Raises:
            ReorderedError: a record is missing, doubled, swapped or an older copy.
            CorruptRecordError, PlaintextError: as `parse`, or a tag was changed.
        """
        out = []
        edits, session = self._head.edits, self._session
        wanted, tag = self.seq, self.expected
        for seq, raw in rows:
            wanted -= 1
            if seq > wanted:
                raise ReorderedError("lies where nothing was written", session=session, seq=seq)
            if seq != wanted:
                raise ReorderedError("is missing", session=session, seq=wanted)
            if seq < self._head.first:
                raise ReorderedError("was taken out, and put back", session=session, seq=seq)
            record: Sealed | Stub = (
                self._seal.open_stub(raw, seq) if is_stub(raw) else parse(raw, session=session, seq=seq)
            )
            if edits and seq in edits:
                tag = edits[seq]
            if record.seq != seq or record.tag != tag:
                raise self._misplaced(record, seq)
            tag = record.prev
            if isinstance(record, Stub):
                self.holes += 1
            elif self._row_tag_holds(record):
                out.append(record)
            else:
                raise CorruptRecordError("was changed since it was sealed", session=session, seq=seq)
        self.seq, self.expected = wanted, tag
        return out

    def finish(self) -> None:
        """State that no older rows came, and check that none are wanting and that the stubs are all there.

        Raises:
            ReorderedError: the session's oldest records are missing, or a removed one was put back.
        """
        if self.seq > self._head.first:
            raise ReorderedError("is missing", session=self._session, seq=self.seq - 1)
        if self._whole and self.holes != self._head.holes:
            raise ReorderedError("a record that was taken out was put back", session=self._session)

    def _row_tag_holds(self, record: Sealed) -> bool:
        subject = record.subject or self._owner
        tags = self._tags.get(subject)
        if tags is None:
            tags = self._tags[subject] = self._seal.row_tags(subject)
        return tags.holds(record)

    def _misplaced(self, record: Sealed | Stub, seq: int) -> IntegrityError:
        """Tell a genuine record in the wrong place from one whose bytes were changed."""
        if isinstance(record, Stub) or self._genuine(record):
            return ReorderedError("is not the record that was written there last", session=self._session, seq=seq)
        return CorruptRecordError("was changed, or is another session's", session=self._session, seq=seq)
