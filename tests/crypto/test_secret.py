"""Raw keys: of one size, wiped for good, and in no repr, log or pickle."""

from __future__ import annotations

import copy
import pickle

import pytest

from securemem.crypto.aead import Aead, new_nonce
from securemem.crypto.secret import KEY_BYTES, RawKey

_MATERIAL = bytes(range(KEY_BYTES))


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
async def test_other_sizes_are_refused(size: int) -> None:
    """A key of any size but 32 bytes is no key."""
    with pytest.raises(ValueError, match="32 bytes"):
        RawKey(bytes(size))


async def test_says_nothing_of_itself() -> None:
    """Neither repr, str nor format gives a byte away."""
    key = RawKey(_MATERIAL)
    assert {repr(key), str(key), f"{key}"} == {"RawKey(…)"}


async def test_is_never_pickled_or_copied() -> None:
    """Pickling and copying raise, so that no second copy comes about unseen."""
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            duplicate(RawKey(_MATERIAL))


async def test_wipe_overwrites() -> None:
    """After `wipe` the very bytes that held the key are zeros, and the key cannot be used."""
    key = RawKey(_MATERIAL)
    held = key._bytes
    key.wipe()
    assert held == bytes(KEY_BYTES)
    with pytest.raises(ValueError, match="wiped"):
        key.expose_secret()
    with pytest.raises(ValueError, match="wiped"):
        Aead(key)
    key.wipe()


async def test_takes_its_own_copy() -> None:
    """A key does not change with the buffer that it was made of, nor with the bytes it gave."""
    material = bytearray(_MATERIAL)
    key = RawKey(material)
    material[:] = bytes(KEY_BYTES)
    assert key.expose_secret() == _MATERIAL


async def test_generated_keys_and_nonces_differ() -> None:
    """A thousand keys and nonces are a thousand different ones, of their full size."""
    keys = {RawKey.generate().expose_secret() for _ in range(1000)}
    nonces = {new_nonce() for _ in range(1000)}
    assert (len(keys), len(nonces)) == (1000, 1000)
    assert {len(nonce) for nonce in nonces} == {12}
