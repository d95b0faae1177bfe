"""Keyed hashes: HMAC-SHA-256 for lookup tags, keyed BLAKE2b (RFC 7693) of 16 bytes for rows, stubs and heads."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from securemem.crypto.secret import RawKey

if TYPE_CHECKING:
    from hashlib import blake2b as Blake2b  # noqa: N812  (the typeshed name of the hash object's class)

MAC_BYTES = 16

equal = hmac.compare_digest


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Give HMAC-SHA-256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


def hmac_sha256_state(key: RawKey) -> hmac.HMAC:
    """Give HMAC-SHA-256 under a key that is used often; copy it for every message."""
    return hmac.new(key.expose_secret(), digestmod="sha256")


def blake2b_state(key: RawKey, purpose: bytes, context: bytes) -> Blake2b:
    """Give a keyed hash that has taken `context` already; copy it for every message.

    Args:
        key: the MAC key.
        purpose: at most 16 bytes that keep the uses of one key apart (BLAKE2's personalisation).
        context: what is the same for all messages, as a PAE.
    """
    return hashlib.blake2b(context, key=key.expose_secret(), digest_size=MAC_BYTES, person=purpose)
