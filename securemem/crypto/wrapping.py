"""Wrapped keys: a raw key sealed under another, with a commitment to its value.

    wrapped = "SK" | format u8 = 1 | commitment 16 | box (as the wrapping key's own room makes it)
    commitment = HKDF-Expand(key, "securemem/commitment/2026-11", 16)

GCM alone does not commit to its key: one ciphertext can be made to open under two. The commitment is compared in
constant time whenever a key is unwrapped, so that a key is the one that was wrapped or is refused.
"""

from __future__ import annotations

from securemem.crypto.aead import Aead, InvalidTag
from securemem.crypto.kdf import hkdf_expand
from securemem.crypto.mac import equal
from securemem.crypto.secret import RawKey
from securemem.errors import CorruptRecordError, WrongKeyError

_MAGIC = b"SK\x01"
_COMMITMENT_LABEL = b"securemem/commitment/2026-11"
_COMMITMENT_BYTES = 16
_PREFIX_BYTES = len(_MAGIC) + _COMMITMENT_BYTES
_MAX_BYTES = 8192

WrappedKey = bytes
"""A wrapped key's bytes, safe to store."""


def commitment(key: RawKey) -> bytes:
    """Give 16 bytes that only this key has."""
    return hkdf_expand(key.expose_secret(), _COMMITMENT_LABEL, _COMMITMENT_BYTES)


def enclose(key: RawKey, box: bytes) -> WrappedKey:
    """Put a key's commitment before the box that holds it."""
    return _MAGIC + commitment(key) + box


def box_of(wrapped: WrappedKey) -> bytes:
    """Give the box in a wrapped key.

    Raises:
        CorruptRecordError: it is no wrapped key of this format.
    """
    if wrapped[:3] != _MAGIC or not _PREFIX_BYTES < len(wrapped) <= _MAX_BYTES:
        raise CorruptRecordError("a wrapped key in the keystore is no wrapped key of this version")
    return wrapped[_PREFIX_BYTES:]


def check(key: RawKey, wrapped: WrappedKey) -> RawKey:
    """Give the unwrapped key if it is the one that was wrapped.

    Raises:
        WrongKeyError: it is another.
    """
    if not equal(commitment(key), wrapped[len(_MAGIC) : _PREFIX_BYTES]):
        key.wipe()
        raise WrongKeyError("the unwrapped key is not the one that was wrapped")
    return key


def wrap_under(wrapping_key: Aead, key: RawKey, *, context: bytes) -> WrappedKey:
    """Wrap a key under another one of ours, bound to `context`."""
    return enclose(key, wrapping_key.seal(key.expose_secret(), associated_data=context))


def unwrap_under(wrapping_key: Aead, wrapped: WrappedKey, *, context: bytes) -> RawKey:
    """Unwrap a key.

    Raises:
        WrongKeyError: the wrapping key or the context is not the one it was wrapped with.
        CorruptRecordError: it is no wrapped key of this format.
    """
    try:
        return check(RawKey(wrapping_key.open(box_of(wrapped), associated_data=context)), wrapped)
    except (InvalidTag, ValueError) as exc:
        raise WrongKeyError("a wrapped key does not open under the key it should") from exc
