"""The attack: who of a list of candidates was here, told from all bytes that are left, by every hash that is at hand.

The attacker has every file of the store, the KEK with them, all that is wrapped under it, and knows how the store
works. Of every candidate all digests are made, unkeyed and under every key and whatever looks like one, of the e-mail
alone and as the store puts it. One whose first eight bytes stand anywhere, as bytes, in hex or in base64, is a link.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from securemem.crypto.pae import pae

SESSION = "chat"
"""What every session in the store is called: the attacker knows that."""

_WINDOW = 8
_KEY_SIZES = (16, 32)
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}={0,2}")
_UNKEYED: dict[str, Callable[[bytes], bytes]] = {
    name: lambda data, name=name: hashlib.new(name, data, usedforsecurity=False).digest()  # type: ignore[misc]
    for name in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")
}
_UNKEYED["blake2b-16"] = lambda data: hashlib.blake2b(data, digest_size=16).digest()
_UNKEYED["blake2b-32"] = lambda data: hashlib.blake2b(data, digest_size=32).digest()


class Link(NamedTuple):
    """A candidate that was found, how, and whether only in copies from before the erasure."""

    candidate: str
    how: str
    old: bool


@dataclass(frozen=True)
class Remains:
    """All that is left.

    Attributes:
        windows: every eight bytes in a row of it.
        old: likewise of copies from before the erasure.
        keys: what is a key, or could be.
        tenant: the tenant's handle, which stands in the keystore.
        size: how many bytes there are.
    """

    windows: frozenset[bytes]
    old: frozenset[bytes]
    keys: tuple[bytes, ...]
    tenant: bytes
    size: int

    @classmethod
    def of(
        cls, folder: Path, *, more: Iterable[bytes], old: Iterable[bytes], keys: Iterable[bytes], tenant: bytes
    ) -> Remains:
        """Read them.

        Args:
            folder: with the files of a store.
            more: what lies elsewhere: receipts.
            old: copies from before the erasure.
            keys: that were unwrapped with the KEK.
            tenant: the tenant's handle.
        """
        texts = [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()] + list(more)
        fields = [field for path in sorted(folder.glob("*.db")) for field in _fields(path)]
        texts += fields
        texts += [decoded for text in texts for decoded in _decoded(text)]
        alike = {text for text in (*texts, *fields) if len(text) in _KEY_SIZES}
        return cls(_windows(texts), _windows(old), tuple(sorted({*keys, *alike})), tenant, sum(map(len, texts)))

    def links(self, candidates: Iterable[str]) -> Iterator[Link]:
        """Give those candidates of which something is found."""
        windows, old = self.windows, self.old
        for candidate in candidates:
            for how, digest in self._digests(candidate.encode()):
                start = digest[:_WINDOW]
                if start in windows or start in old:
                    yield Link(candidate, how, start not in windows)

    def tries(self) -> int:
        """Give how many digests are made of each candidate."""
        return sum(1 for _ in self._digests(b"somebody@example.com"))

    def _digests(self, email: bytes) -> Iterator[tuple[str, bytes]]:
        own = pae(b"user", self.tenant, email)
        forms = {"e-mail": email, "person": own, "lines": email + b"\n", "tenant": self.tenant + email}
        for name, make in _UNKEYED.items():
            for form, data in forms.items():
                yield f"{name} of {form}", make(data)
        yield "itself", email
        session = pae(b"session", self.tenant, email, SESSION.encode())
        alone = pae(b"session", self.tenant, email, email)
        actor, fact = pae(b"securemem/actor/1", email), pae(b"securemem/fact/1", email)
        keyed = (("e-mail", email), ("person", own), ("session", session), ("own session", alone), ("actor", actor))
        for number, key in enumerate(self.keys):
            for form, data in (*keyed, ("fact", fact)):
                yield f"HMAC-SHA-256 of {form} under key {number}", hmac.digest(key, data, "sha256")
            for form, data in keyed[:2]:
                yield f"BLAKE2b of {form} under key {number}", hashlib.blake2b(data, key=key, digest_size=16).digest()
                yield f"BLAKE2b-256 of {form} under key {number}", hashlib.blake2b(data, key=key).digest()


def _windows(texts: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(text[at : at + _WINDOW] for text in texts for at in range(len(text) - _WINDOW + 1))


def _fields(path: Path) -> Iterator[bytes]:
    """Give every field of every row of a database."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as con:
        for (table,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in con.execute(f'SELECT * FROM "{table}"'):
                for field in row:
                    if isinstance(field, bytes):
                        yield field
                    elif isinstance(field, str):
                        yield field.encode()


def _decoded(text: bytes) -> Iterator[bytes]:
    """Give what stands in hex or in base64 in a text."""
    for found in _HEX.finditer(text):
        yield bytes.fromhex(found[0].decode())
    for found in _BASE64.finditer(text):
        core = found[0].rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            yield base64.b64decode(core + b"=" * (-len(core) % 4))
        except binascii.Error:
            continue  # of no whole length: no base64
