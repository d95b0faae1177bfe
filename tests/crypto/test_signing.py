"""Signatures and DSSE envelopes: what was not signed is never given as a statement."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer, canonical, dsse_open, dsse_sign, from_pem, key_id, to_pem, verify
from securemem.errors import ConfigurationError, IntegrityError
from securemem.model import Residue
from securemem.rights.receipt import Receipt, issue, verify_receipt

_TYPE = "application/vnd.securemem.test+json"
_STATEMENT: dict[str, Any] = {"b": 1, "a": ["ä", None, True]}


def _signer(fill: int = 3) -> Signer:
    return Signer(RawKey(bytes([fill]) * 32))


def _receipt() -> Receipt:
    return issue(
        _signer(),
        receipt_id="ab" * 16,
        handle=bytes(16),
        tenant=bytes(16),
        state="SHREDDED",
        at=datetime(2026, 11, 5, tzinfo=UTC),
        stores={"data": {"records": 3}},
        residue=[Residue("kms", "backups")],
        policy={"name": "plain", "sha256": "00"},
    )


async def test_control() -> None:
    """A signature and an envelope hold as they were made."""
    signer = _signer()
    verify(signer.public_key, signer.sign(b"data"), b"data")
    assert dsse_open(dsse_sign(signer, _TYPE, _STATEMENT), _TYPE, signer.public_key) == _STATEMENT


async def test_every_bit_of_a_signature_and_its_key() -> None:
    """No signature holds with one bit flipped in it, and none under a key with one bit flipped."""
    signer = _signer()
    public, signature = signer.public_key, signer.sign(b"data")
    for what in (signature, public):
        for bit in range(len(what) * 8):
            changed = bytearray(what)
            changed[bit // 8] ^= 1 << bit % 8
            pair = (bytes(changed), signature) if what is public else (public, bytes(changed))
            with pytest.raises(IntegrityError):
                verify(*pair, b"data")


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65])
async def test_lengths(size: int) -> None:
    """Keys and signatures of other lengths are refused, not crashed on."""
    signer = _signer()
    with pytest.raises(IntegrityError):
        verify(signer.public_key, bytes(size), b"data")
    with pytest.raises(IntegrityError):
        verify(bytes(size), signer.sign(b"data"), b"data")


async def test_every_bit_of_a_payload() -> None:
    """No envelope opens with one bit of its payload flipped."""
    signer = _signer()
    envelope = dsse_sign(signer, _TYPE, _STATEMENT)
    payload = base64.b64decode(envelope["payload"])
    for bit in range(len(payload) * 8):
        changed = bytearray(payload)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            dsse_open(envelope | {"payload": base64.b64encode(changed).decode()}, _TYPE, signer.public_key)


async def test_another_key_or_type() -> None:
    """An envelope says nothing under another key, as another type, or where the type was rewritten."""
    signer = _signer()
    envelope = dsse_sign(signer, _TYPE, _STATEMENT)
    with pytest.raises(IntegrityError):
        dsse_open(envelope, _TYPE, _signer(4).public_key)
    with pytest.raises(IntegrityError):
        dsse_open(envelope, "text/plain", signer.public_key)
    with pytest.raises(IntegrityError):
        dsse_open(envelope | {"payloadType": "text/plain"}, "text/plain", signer.public_key)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": None},
        {"payload": "no base64!"},
        {"payload": "ä"},
        {"signatures": []},
        {"signatures": None},
        {"signatures": ["sig"]},
        {"signatures": [{"sig": 5}]},
        {"payloadType": None},
    ],
)
async def test_malformed(change: dict[str, Any]) -> None:
    """What is no envelope is an IntegrityError, whatever its shape."""
    signer = _signer()
    with pytest.raises(IntegrityError):
        dsse_open(dsse_sign(signer, _TYPE, _STATEMENT) | change, _TYPE, signer.public_key)


async def test_a_signed_list_is_no_statement() -> None:
    """A payload that is signed and no object is refused."""
    signer = _signer()
    envelope = dsse_sign(signer, _TYPE, [1])  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        dsse_open(envelope, _TYPE, signer.public_key)


async def test_canonical_form() -> None:
    """One statement has one form, whatever the order of its keys."""
    assert canonical({"b": 1, "a": "ä"}) == canonical({"a": "ä", "b": 1}) == '{"a":"ä","b":1}'.encode()


async def test_pem() -> None:
    """A public key survives PEM; what is no Ed25519 PEM says so."""
    public = _signer().public_key
    assert from_pem(to_pem(public)) == public
    assert len(key_id(public)) == 16
    for wrong in ("", "no PEM", to_pem(public)[:60], None, 5):
        with pytest.raises(ConfigurationError):
            from_pem(wrong)  # type: ignore[arg-type]


async def test_receipt_alterations() -> None:
    """A receipt holds as issued; altered in any field, or with a field more or less, it does not."""
    document = _receipt().to_json()
    public = _signer().public_key
    assert verify_receipt(document, public)["state"] == "SHREDDED"
    assert verify_receipt(document, to_pem(public))["state"] == "SHREDDED"
    for name in document["receipt"]:
        changed, shortened = copy.deepcopy(document), copy.deepcopy(document)
        changed["receipt"][name] = "BACKUP_CLOSED"
        del shortened["receipt"][name]
        for altered in (changed, shortened, {"dsse": document["dsse"]}, {"receipt": document["receipt"]}):
            with pytest.raises(IntegrityError):
                verify_receipt(altered, public)
    document["receipt"]["more"] = 1
    with pytest.raises(IntegrityError):
        verify_receipt(document, public)
