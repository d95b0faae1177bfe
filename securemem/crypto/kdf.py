"""Keys from keys: HKDF-Expand with SHA-256 (RFC 5869, 2.3) from random keys, scrypt (RFC 7914) from passphrases."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from securemem.errors import ConfigurationError

_HASH = SHA256()


def hkdf_expand(key: bytes, info: bytes, length: int = 32) -> bytes:
    """Derive `length` bytes (at most 8,160) from a pseudorandom key under a label."""
    return HKDFExpand(_HASH, length, info).derive(key)


def scrypt(passphrase: bytes, *, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Derive 32 bytes from a passphrase (RFC 7914); takes about 128 · n · r bytes of memory.

    Raises:
        ConfigurationError: the parameters are none that scrypt takes.
    """
    try:
        return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase)
    except (ValueError, TypeError, MemoryError) as exc:
        raise ConfigurationError("scrypt cannot run with these parameters on this machine") from exc
