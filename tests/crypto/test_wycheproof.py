"""C2SP/wycheproof through our own rooms: AEAD, HKDF, HMAC and Ed25519, invalid vectors as well as valid ones.

Suite 1, the only one, is AES-256-GCM with nonces of 96 and tags of 128 bits: those groups are run, the others counted.
There is no ChaCha20-Poly1305 in SecureMem, so its file is not run; a record of another suite is refused, which is shown
here for each of the 254 suites that are neither AES-256-GCM nor a stub's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from securemem.crypto.aead import TAG_BYTES, Aead, InvalidTag
from securemem.crypto.envelope import SUITE_AES_256_GCM, SUITE_STUB, RowTags, Sealer, parse
from securemem.crypto.kdf import hkdf_expand
from securemem.crypto.mac import hmac_sha256
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import verify
from securemem.errors import CorruptRecordError, IntegrityError

Vectors = Callable[[str], list[dict[str, Any]]]
_HKDF_MOST = 255 * 32
_HANDLE = bytes(16)


def _cases(groups: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(group, case) for group in groups for case in group["tests"]]


def _hex(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


async def test_aes_gcm(wycheproof: Vectors) -> None:
    """`Aead` makes and opens every valid AES-256-GCM vector of suite 1's sizes, and refuses every invalid one."""
    groups = wycheproof("aes_gcm")
    ours = [group for group in groups if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128)]
    run = {"valid": 0, "invalid": 0}
    for _, case in _cases(ours):
        key, nonce, aad, message, ciphertext, tag = _hex(case, "key", "iv", "aad", "msg", "ct", "tag")
        aead = Aead(RawKey(key))
        if case["result"] == "valid":
            assert aead.encrypt(nonce, message, aad) == ciphertext + tag, case["tcId"]
            assert aead.decrypt(nonce, ciphertext + tag, aad) == message, case["tcId"]
            assert aead.open(nonce + ciphertext + tag, associated_data=aad) == message, case["tcId"]
        else:
            with pytest.raises(InvalidTag):
                aead.decrypt(nonce, ciphertext + tag, aad)
            with pytest.raises(InvalidTag):
                aead.open(nonce + ciphertext + tag, associated_data=aad)
        run[case["result"]] += 1
    assert run == {"valid": 39, "invalid": 27}
    assert len(_cases(groups)) - sum(run.values()) == 250, "of other key, nonce and tag sizes: outside of suite 1"


async def test_hkdf_sha256(wycheproof: Vectors) -> None:
    """HMAC as extract and `hkdf_expand` after it give every vector's key, and refuse lengths beyond RFC 5869's."""
    run = {"valid": 0, "invalid": 0}
    for _, case in _cases(wycheproof("hkdf_sha256")):
        ikm, salt, info, okm = _hex(case, "ikm", "salt", "info", "okm")
        key = hmac_sha256(salt, ikm)
        if case["result"] == "valid":
            assert hkdf_expand(key, info, case["size"]) == okm, case["tcId"]
        else:
            assert case["size"] > _HKDF_MOST
            with pytest.raises(ValueError, match=r"."):
                hkdf_expand(key, info, case["size"])
        run[case["result"]] += 1
    assert run == {"valid": 83, "invalid": 3}


async def test_hmac_sha256(wycheproof: Vectors) -> None:
    """`hmac_sha256` gives every valid tag, whole or truncated, and no invalid one."""
    run = {"valid": 0, "invalid": 0}
    for group, case in _cases(wycheproof("hmac_sha256")):
        key, message, tag = _hex(case, "key", "msg", "tag")
        made = hmac_sha256(key, message)[: group["tagSize"] // 8]
        assert (made == tag) is (case["result"] == "valid"), case["tcId"]
        run[case["result"]] += 1
    assert sum(run.values()) == 174
    assert min(run.values()) > 0


async def test_ed25519(wycheproof: Vectors) -> None:
    """`verify` takes every valid signature, and raises on every malleable, truncated or otherwise invalid one."""
    run = {"valid": 0, "invalid": 0}
    for group, case in _cases(wycheproof("ed25519")):
        public = bytes.fromhex(group["publicKey"]["pk"])
        message, signature = _hex(case, "msg", "sig")
        if case["result"] == "valid":
            verify(public, signature, message)
        else:
            with pytest.raises(IntegrityError):
                verify(public, signature, message)
        run[case["result"]] += 1
    assert sum(run.values()) == 151
    assert min(run.values()) > 0


async def test_other_suites_are_refused() -> None:
    """A record that names any suite but 1 is not parsed, so nobody can choose a cipher for the reader."""
    rows = RowTags(RawKey(bytes(32)), tenant=_HANDLE, user=_HANDLE, session=_HANDLE)
    sealer = Sealer(RawKey(bytes(32)), rows, tenant=_HANDLE, user=_HANDLE, session=_HANDLE, generation=1)
    record, tag = sealer.seal(b"payload", seq=1, prev=bytes(TAG_BYTES), expiry=0, retention_class=0, hour=0)
    assert parse(record, session=_HANDLE, seq=1).tag == tag
    refused = 0
    for suite in set(range(256)) - {SUITE_AES_256_GCM, SUITE_STUB}:
        with pytest.raises(CorruptRecordError):
            parse(record[:3] + bytes((suite,)) + record[4:], session=_HANDLE, seq=1)
        refused += 1
    assert refused == 254
