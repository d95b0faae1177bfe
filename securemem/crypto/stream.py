"""Backups: a stream sealed in frames, so that one which was cut short, reordered or altered is known as such.

A backup, big-endian:

    header = "SB" | format u8 = 1 | store u8 | deployment 16 | counter u64 | created u64 | holder 16 | epoch u32
             | length u16 | wrapped key (that many bytes)
    frame  = ciphertext | tag 16            AES-256-GCM under the backup's own random key; 65,536 bytes of the stream in
             each frame but the last, which has 0 to 65,536
    nonce of a frame = its number u64, from 0 | 3 zeros | 1 for the last frame, else 0
    AAD of a frame   = PAE("securemem/backup/1", header)

    context of wrapping = PAE("securemem/backup-key/1", all of the header before `holder`, holder, epoch u32)

`store` is 1 for data, 2 for a keystore, 3 for a ledger; `counter` the store's stamp when the backup was begun, and
`created` when that was, in milliseconds.

The key of a keystore's backup is wrapped by the KMS under the KEK of `epoch`, and `holder` is zeros: once that epoch is
destroyed it opens no more. The key of other backups is wrapped under HKDF-Expand(tenant head key,
"securemem/backup/2026-11") of the tenant `holder`, and `epoch` is 0: the head key is rewrapped with each epoch, so that
they open for as long as the keystore does. A nonce counts, for the key seals one backup only.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from securemem.crypto.aead import TAG_BYTES, Aead, InvalidTag
from securemem.crypto.pae import pae, u32
from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import unwrap_under, wrap_under
from securemem.errors import ConfigurationError, CorruptRecordError

FRAME_BYTES = 65536
SEALED_FRAME_BYTES = FRAME_BYTES + TAG_BYTES
STORES = ("data", "keystore", "ledger")
NO_HOLDER = bytes(16)

_MAGIC, _FORMAT = b"SB", 1
_FIXED = struct.Struct(">2sBB16sQQ16sIH")
HEADER_BYTES = _FIXED.size
"""How much of a header says how long it is."""
_MOST_WRAPPED = 8192
_LABEL = b"securemem/backup/2026-11"


class Header(NamedTuple):
    """What stands before the frames of a backup.

    Attributes:
        store: of `STORES`.
        deployment: whose it is.
        counter: the store's stamp when it was begun.
        created: when that was, in milliseconds.
        holder: the handle of the tenant whose head key its key is wrapped under; `NO_HOLDER` for a keystore's.
        epoch: of the KEK that its key is wrapped under; 0 for what is no keystore's.
        wrapped: its key; empty before that is wrapped.
    """

    store: str
    deployment: bytes
    counter: int
    created: int
    holder: bytes
    epoch: int
    wrapped: bytes = b""

    @property
    def context(self) -> bytes:
        """What the key is bound to."""
        return pae(b"securemem/backup-key/1", self.encode()[: 2 + 1 + 1 + 16 + 8 + 8], self.holder, u32(self.epoch))

    def encode(self) -> bytes:
        """Give the header's bytes."""
        number = STORES.index(self.store) + 1
        numbers = (self.counter, self.created, self.holder, self.epoch, len(self.wrapped))
        return _FIXED.pack(_MAGIC, _FORMAT, number, self.deployment, *numbers) + self.wrapped


def wrapped_length(raw: bytes) -> int:
    """Give how many bytes of a header come after its first `HEADER_BYTES`.

    Raises:
        ConfigurationError: it is no backup, or a newer version's.
    """
    if raw[:2] != _MAGIC or len(raw) < HEADER_BYTES:
        raise ConfigurationError("is no backup of SecureMem")
    _, form, number, *_, length = _FIXED.unpack_from(raw)
    if form != _FORMAT:
        raise ConfigurationError("is a backup of another version of SecureMem: restore it with that one")
    if not 1 <= number <= len(STORES) or length > _MOST_WRAPPED:
        raise ConfigurationError("is no backup of SecureMem")
    return int(length)


def parse_header(raw: bytes) -> Header:
    """Read a whole header; nothing in it is to be believed before a frame was opened.

    Raises:
        ConfigurationError: as `wrapped_length`.
    """
    if len(raw) != HEADER_BYTES + wrapped_length(raw):
        raise ConfigurationError("is no backup of SecureMem")
    _, _, number, deployment, counter, created, holder, epoch, _ = _FIXED.unpack_from(raw)
    return Header(STORES[number - 1], deployment, counter, created, holder, epoch, raw[HEADER_BYTES:])


def wrap_backup_key(head_key: RawKey, key: RawKey, *, context: bytes) -> bytes:
    """Wrap a backup's key under a tenant's head key."""
    return wrap_under(_wrapping(head_key), key, context=context)


def unwrap_backup_key(head_key: RawKey, wrapped: bytes, *, context: bytes) -> RawKey:
    """Unwrap a backup's key.

    Raises:
        WrongKeyError: it was wrapped under another tenant's head key, or for another backup.
    """
    return unwrap_under(_wrapping(head_key), wrapped, context=context)


def _wrapping(head_key: RawKey) -> Aead:
    return Aead(head_key, _LABEL)


class Frames:
    """Seals or opens the frames of one backup, in their order."""

    __slots__ = ("_cipher", "_number", "_place")

    def __init__(self, key: RawKey, header: bytes) -> None:
        """Take the backup's key, and its header's bytes."""
        self._cipher = Aead(key)
        self._place = pae(b"securemem/backup/1", header)
        self._number = 0

    def seal(self, piece: bytes, *, last: bool) -> bytes:
        """Seal the next piece of the stream."""
        return self._cipher.encrypt(self._nonce(last=last), piece, self._place)

    def open(self, frame: bytes, *, last: bool) -> bytes:
        """Open the next frame.

        Raises:
            CorruptRecordError: it was altered, or is not the frame that belongs here.
        """
        try:
            return self._cipher.decrypt(self._nonce(last=last), frame, self._place)
        except InvalidTag:
            raise CorruptRecordError(f"was cut short or altered, at frame {self._number - 1}") from None

    def _nonce(self, *, last: bool) -> bytes:
        nonce = self._number.to_bytes(8, "big") + bytes((0, 0, 0, last))
        self._number += 1
        return nonce
