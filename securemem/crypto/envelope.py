"""The envelope: one message, sealed for one place.

A record, big-endian:

    header   "SM" | format u8 = 1 | suite u8 = 1 | flags u8 | seq u64 | prev 16 | expiry u64 | class u32 | hour u32
             | generation u32 | [subject 16, where flag GUEST]                        49 or 65 bytes
    row tag  16
    body     nonce 12 | ciphertext | GCM tag 16

- Suite 1: AES-256-GCM under the record key = HKDF-Expand(session key, "securemem/record/2026-11"), with
  AAD = PAE("securemem/record/1", tenant, user, session) ‖ header ‖ row tag; tenant, user and session are handles.
- `prev` is the GCM tag of the record before (zeros for the first), `expiry` milliseconds since 1970 or 0,
  `hour` whole hours since 1970 at the append, `generation` that of the session key.
- `subject` is the handle of the person the message is about, where that is not the session's owner; it stands in the
  AAD in the owner's place too.
- The row tag is keyed BLAKE2b-128 (tenant head key, "sm-row-1", PAE(tenant, user, session) ‖ header): it lets the
  worker, which holds no user's key, check the clear columns before it deletes by them. It is in the AAD, so that
  whoever opens the record has checked it too; the GCM tag is bound by the successor's `prev`, which is in a header.

Flags: 1 the plaintext is compressed, 2 GUEST. A suite of 0 marks a stub, whose format stands in `head`.
Lengths are checked before anything is trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from securemem.crypto.aead import NONCE_BYTES, TAG_BYTES, Aead, InvalidTag, new_nonce
from securemem.crypto.mac import MAC_BYTES, blake2b_state, equal
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.errors import CorruptRecordError, IntegrityError, PlaintextError, WrongKeyError

MAGIC = b"SM"
FORMAT = 1
SUITE_AES_256_GCM = 1
SUITE_STUB = 0

FLAG_COMPRESSED = 1
FLAG_GUEST = 2
_KNOWN_FLAGS = FLAG_COMPRESSED | FLAG_GUEST

HEADER = struct.Struct(">2sBBBQ16sQIII")
HEADER_BYTES = HEADER.size
_START = struct.pack(">2sBB", MAGIC, FORMAT, SUITE_AES_256_GCM)
_FLAGS = len(_START)
_PLAIN_HEADER = struct.Struct(">4sBQ16sQIII")
SUBJECT_BYTES = 16
_NONCE = HEADER_BYTES + MAC_BYTES
_BODY = _NONCE + NONCE_BYTES
SEALED_OVERHEAD = HEADER_BYTES + NONCE_BYTES + TAG_BYTES + MAC_BYTES
MAX_RECORD_BYTES = 17 * 1024 * 1024

RECORD_KEY_LABEL = b"securemem/record/2026-11"
AAD_LABEL = b"securemem/record/1"
ROW_PURPOSE = b"sm-row-1"


Opened = tuple[int, int, int, bytes, int, int]
"""A record that was verified and opened: seq, flags, expiry, payload, retention class, hour. A bare tuple, for the hot
path makes many."""


class Sealed(NamedTuple):
    """A record that was parsed, and not yet verified."""

    seq: int
    prev: bytes
    tag: bytes
    flags: int
    expiry: int
    retention_class: int
    hour: int
    generation: int
    subject: bytes | None
    header_bytes: int
    raw: bytes

    @property
    def row_tag(self) -> bytes:
        """The row tag that it bears."""
        return self.raw[self.header_bytes : self.header_bytes + MAC_BYTES]


def parse(raw: bytes, *, session: bytes, seq: int) -> Sealed:
    """Take a record apart by its lengths; nothing in it is authenticated yet.

    Args:
        raw: the bytes that the data store gave.
        session: the session's handle, for errors.
        seq: the place it was found at, for errors.

    Raises:
        PlaintextError: it is no record at all.
        CorruptRecordError: too short or too long, an unknown format, suite or flag.
    """
    if raw[:2] != MAGIC:
        raise PlaintextError("was never sealed; it is not returned", session=session, seq=seq)
    if not SEALED_OVERHEAD <= len(raw) <= MAX_RECORD_BYTES:
        raise CorruptRecordError("has an impossible length", session=session, seq=seq)
    _, form, suite, flags, number, prev, expiry, kind, hour, generation = HEADER.unpack_from(raw)
    if form != FORMAT or suite != SUITE_AES_256_GCM or flags & ~_KNOWN_FLAGS:
        raise CorruptRecordError("has an unknown format, suite or flag", session=session, seq=seq)
    size = HEADER_BYTES
    subject = None
    if flags & FLAG_GUEST:
        size += SUBJECT_BYTES
        subject = raw[HEADER_BYTES:size]
        if len(raw) < SEALED_OVERHEAD + SUBJECT_BYTES:
            raise CorruptRecordError("has an impossible length", session=session, seq=seq)
    return Sealed(number, prev, raw[-TAG_BYTES:], flags, expiry, kind, hour, generation, subject, size, raw)


def is_of_guest(raw: bytes) -> bool:
    """Tell, from a record's bytes as they lie there, whether they claim to be a guest's."""
    return raw[:_FLAGS] == _START and raw[_FLAGS] & FLAG_GUEST != 0


class RowTags:
    """Makes and checks the row tags of one subject in one session; needs the tenant head key, no user's."""

    __slots__ = ("_state",)

    def __init__(self, head_key: RawKey, *, tenant: bytes, user: bytes, session: bytes) -> None:
        self._state = blake2b_state(head_key, ROW_PURPOSE, pae(tenant, user, session))

    def make(self, header: bytes) -> bytes:
        """Give the row tag of a header."""
        state = self._state.copy()
        state.update(header)
        return state.digest()

    def holds(self, sealed: Sealed) -> bool:
        """Tell whether the record's clear columns are those that were sealed."""
        return equal(self.make(sealed.raw[: sealed.header_bytes]), sealed.row_tag)


class Sealer:
    """Seals and opens the records of one subject in one session, under one generation of the session key."""

    __slots__ = ("_aad", "_aead", "_guest", "_rows", "_session", "generation")

    def __init__(
        self,
        session_key: RawKey,
        rows: RowTags,
        *,
        tenant: bytes,
        user: bytes,
        session: bytes,
        generation: int,
        guest: bool = False,
    ) -> None:
        self._aead = Aead(session_key, RECORD_KEY_LABEL)
        self._aad = pae(AAD_LABEL, tenant, user, session)
        self._rows = rows
        self._session = session
        self._guest = user if guest else b""
        self.generation = generation

    def seal(
        self,
        payload: bytes,
        *,
        seq: int,
        prev: bytes,
        expiry: int,
        retention_class: int,
        hour: int,
        compressed: bool = False,
    ) -> tuple[bytes, bytes]:
        """Seal one encoded message.

        Returns:
            The record, and its GCM tag, which is the `prev` of the next one.
        """
        flags = compressed | (FLAG_GUEST if self._guest else 0)
        header = HEADER.pack(
            MAGIC, FORMAT, SUITE_AES_256_GCM, flags, seq, prev, expiry, retention_class, hour, self.generation
        )
        header += self._guest
        header += self._rows.make(header)
        nonce = new_nonce()
        ciphertext = self._aead.encrypt(nonce, payload, self._aad + header)
        return header + nonce + ciphertext, ciphertext[-TAG_BYTES:]

    def open_run(
        self,
        rows: Sequence[tuple[int, bytes]],
        before: int,
        tag: bytes,
    ) -> tuple[list[Opened], bytes]:
        """Open the run of ordinary records that rows begin with: this is the path that nearly every read takes.

        It only ever accepts what the general path (`parse`, the chain, `open`) accepts too. At the first record that
        is anything but ordinary, be it a stub, a guest's, or not as it should be, it stops, and leaves the rest to
        that path, which says what is wrong.

        Args:
            rows: (seq, bytes), newest first.
            before: the seq after the newest.
            tag: the GCM tag that the newest must bear.

        Returns:
            The records, and the tag that the next older one must bear.
        """
        out: list[Opened] = []
        unpack, decrypt, aad = _PLAIN_HEADER.unpack_from, self._aead.decrypt, self._aad
        generation, seq = self.generation, before
        for at, raw in rows:
            seq -= 1
            if raw[-TAG_BYTES:] != tag:
                break
            if not SEALED_OVERHEAD <= len(raw) <= MAX_RECORD_BYTES:
                break
            start, flags, number, prev, expiry, kind, hour, sealed_under = unpack(raw)
            if start != _START or flags > FLAG_COMPRESSED or not at == number == seq or sealed_under != generation:
                break
            try:
                payload = decrypt(raw[_NONCE:_BODY], raw[_BODY:], aad + raw[:_NONCE])
            except InvalidTag:
                break
            out.append((seq, flags, expiry, payload, kind, hour))
            tag = prev
        return out, tag

    def open(self, sealed: Sealed) -> bytes:
        """Open one record that `walk` has put in its place.

        Raises:
            WrongKeyError: it was sealed under another generation of the key.
            CorruptRecordError: its bytes, or the place it is in, are not those it was sealed with.
        """
        if sealed.generation != self.generation:
            raise WrongKeyError("was sealed under another key", session=self._session, seq=sealed.seq)
        raw, nonce = sealed.raw, sealed.header_bytes + MAC_BYTES
        body = nonce + NONCE_BYTES
        try:
            return self._aead.decrypt(raw[nonce:body], raw[body:], self._aad + raw[:nonce])
        except InvalidTag:
            raise CorruptRecordError("was changed since it was sealed", session=self._session, seq=sealed.seq) from None

    def opens(self, sealed: Sealed) -> bool:
        """Tell whether a record is genuine, wherever it lies now."""
        try:
            self.open(sealed)
        except IntegrityError:
            return False
        return True
