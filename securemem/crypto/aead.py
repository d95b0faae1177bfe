"""Authenticated encryption with associated data: AES-256-GCM from pyca `cryptography`, and nothing else.

    box = nonce 12 | ciphertext | tag 16

`associated_data` has no default anywhere: what is sealed is sealed for a place.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from securemem.crypto.kdf import hkdf_expand
from securemem.crypto.secret import RawKey

NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES

__all__ = ["NONCE_BYTES", "OVERHEAD", "TAG_BYTES", "Aead", "InvalidTag", "new_nonce"]


def new_nonce() -> bytes:
    """Draw 96 random bits; a key seals far fewer than 2³² messages (NIST SP 800-38D, 8.3)."""
    return os.urandom(NONCE_BYTES)


class Aead:
    """AES-256-GCM under one key.

    `encrypt(nonce, plaintext, associated_data)` and `decrypt(nonce, ciphertext, associated_data)` are the primitive's
    own, bound once because they stand on the hot path; `decrypt` raises `InvalidTag`.
    """

    __slots__ = ("decrypt", "encrypt")

    def __init__(self, key: RawKey, label: bytes = b"") -> None:
        """Take a key.

        Args:
            key: the key, or what it is derived from.
            label: under which it is derived, by HKDF-Expand; none for the key itself.
        """
        secret = key.expose_secret()
        cipher = AESGCM(hkdf_expand(secret, label) if label else secret)
        self.encrypt = cipher.encrypt
        self.decrypt = cipher.decrypt

    def seal(self, plaintext: bytes, *, associated_data: bytes) -> bytes:
        """Seal under a fresh nonce; gives nonce, ciphertext and tag in one."""
        nonce = new_nonce()
        return nonce + self.encrypt(nonce, plaintext, associated_data)

    def open(self, box: bytes, *, associated_data: bytes) -> bytes:
        """Open what `seal` made.

        Raises:
            InvalidTag: the key, the box or the associated data is not the one it was sealed with.
        """
        if len(box) < OVERHEAD:
            raise InvalidTag
        return self.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated_data)
