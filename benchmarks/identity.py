"""Our store with its cipher replaced by the identity, to show what encryption costs; everything else stays as it is.

Ciphertext is the plaintext and a counter for a tag, so that the chain of tags still works; the keyed hashes of rows and
heads are constants. What is left of the cryptography is the nonce, half a microsecond a message.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Self
from unittest import mock

from benchmarks.stores import Ours, session_name, user_name
from securemem.crypto import envelope, head
from securemem.crypto.mac import MAC_BYTES
from securemem.keys.keyring import Keyring

_TAG_BYTES = 16
_CONSTANT = bytes(MAC_BYTES)


class _Identity:
    """Takes the place of `Aead`."""

    def __init__(self) -> None:
        self._tags = itertools.count(1)

    def encrypt(self, _nonce: bytes, plaintext: bytes, _associated_data: bytes) -> bytes:
        return plaintext + next(self._tags).to_bytes(_TAG_BYTES)

    def decrypt(self, _nonce: bytes, ciphertext: bytes, _associated_data: bytes) -> bytes:
        return ciphertext[:-_TAG_BYTES]


class _Constant:
    """Takes the place of a keyed hash."""

    def copy(self) -> Self:
        return self

    def update(self, data: bytes) -> None:
        pass

    def digest(self) -> bytes:
        return _CONSTANT


_identity = _Identity()
_constant = _Constant()


@contextlib.contextmanager
def _without_cipher() -> Iterator[None]:
    """Let the rooms of `crypto` make their seals without ciphers and hashes, while keys are being issued."""
    with (
        mock.patch.object(envelope, "Aead", return_value=_identity),
        mock.patch.object(envelope, "blake2b_state", return_value=_constant),
        mock.patch.object(head, "blake2b_state", return_value=_constant),
    ):
        yield


class IdentityKeyring(Keyring):
    """Issues keys that seal nothing."""

    def head_seal(self, session: bytes) -> head.HeadSeal:
        """Give a seal whose MACs are constants."""
        with _without_cipher():
            return super().head_seal(session)

    def sealer(self, *arguments: Any, **options: Any) -> envelope.Sealer:
        """Give a sealer that leaves everything in clear."""
        with _without_cipher():
            return super().sealer(*arguments, **options)


def take_cipher_out(ours: Ours) -> None:
    """Turn a store that was just opened, and holds nothing yet, into one that seals nothing."""
    deployment = ours.memory.host.deployment
    if deployment is None:
        raise RuntimeError("open the store first")
    deployment.keyring.__class__ = IdentityKeyring


async def check_cipher_is_out(ours: Ours, number: int) -> None:
    """Make sure that a session's newest text lies in the file in clear, lest the variant measure nothing.

    Raises:
        RuntimeError: it is sealed.
    """
    deployment = ours.memory.host.deployment
    keys = deployment and await deployment.keyring.find(user_name(number), session_name(number))
    newest = (await ours.load(number))[-1]
    if deployment is None or not keys:
        raise RuntimeError("there is no such session")
    _, rows = await deployment.backend.tail(keys.handle, 1)
    if str(newest.content).encode() not in rows[0][1]:
        raise RuntimeError("the variant without a cipher still has one: benchmarks/identity.py is out of date")
