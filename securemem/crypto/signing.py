"""Ed25519 signatures (RFC 8032) and the DSSE envelope (secure-systems-lab/dsse, protocol 1.0.2) around JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError, IntegrityError


def verify(public_key: bytes, signature: bytes, data: bytes) -> None:
    """Check an Ed25519 signature against a raw public key of 32 bytes.

    Raises:
        IntegrityError: it does not hold.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError) as exc:
        raise IntegrityError("the signature does not hold") from exc


class Signer:
    """Signs for one tenant."""

    def __init__(self, seed: RawKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.expose_secret())

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Give the signature, 64 bytes."""
        return self._key.sign(data)


def key_id(public_key: bytes) -> str:
    """Name a public key by the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def to_pem(public_key: bytes) -> str:
    """Give a raw public key as PEM (SubjectPublicKeyInfo, RFC 8410)."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(text: str | bytes) -> bytes:
    """Read a raw Ed25519 public key from PEM.

    Raises:
        ConfigurationError: it is no PEM of an Ed25519 public key.
    """
    try:
        key = load_pem_public_key(text.encode() if isinstance(text, str) else text)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError("no PEM public key: give the file that `securemem receipt key` wrote") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError("the key is not an Ed25519 public key")
    return key.public_bytes_raw()


def _pre_authentication(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def canonical(statement: dict[str, Any]) -> bytes:
    """Give JSON in one form: sorted keys, no white space, UTF-8."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def dsse_sign(signer: Signer, payload_type: str, statement: dict[str, Any]) -> dict[str, Any]:
    """Sign a JSON statement; gives the DSSE envelope as a JSON-ready dict."""
    payload = canonical(statement)
    signature = signer.sign(_pre_authentication(payload_type, payload))
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(signer.public_key), "sig": base64.b64encode(signature).decode()}],
    }


def dsse_open(envelope: dict[str, Any], payload_type: str, public_key: bytes) -> dict[str, Any]:
    """Check a DSSE envelope and give the statement that was signed.

    Raises:
        IntegrityError: the envelope is malformed, of another type, or no signature of the key holds.
    """
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        stated_type = envelope["payloadType"]
    except (KeyError, IndexError, TypeError, ValueError, binascii.Error) as exc:
        raise IntegrityError("not a DSSE envelope") from exc
    if stated_type != payload_type:
        raise IntegrityError(f"the envelope does not hold a {payload_type}")
    verify(public_key, signature, _pre_authentication(payload_type, payload))
    statement = json.loads(payload)
    if not isinstance(statement, dict):
        raise IntegrityError("the signed payload is not an object")
    return statement
