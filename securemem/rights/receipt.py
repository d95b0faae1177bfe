"""The receipt of an erasure: what is gone, what is left and until when, signed.

    {"receipt": {…}, "dsse": {"payloadType": "application/vnd.securemem.receipt+json", "payload": …, "signatures": […]}}

Under "audit" it may prove that the erasure is in the audit: {"number", "size", "root", "path": […], "before", "event"},
as `ledger.tree.Inclusion`; the event names the same person and tenant, and the signature covers the root.

The signed payload is the canonical JSON of "receipt" (sorted keys, no white space). States: LOGICAL, the rows and keys
are deleted; SHREDDED, and the keystore's own file holds nothing of the keys any more; BACKUP_CLOSED, and no backup of
the keystore opens them either, for the KEK's epoch is destroyed and its copies are past. There is no name, id or text
of the person in it, only random handles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from securemem.crypto.signing import Signer, canonical, dsse_open, dsse_sign, from_pem
from securemem.errors import ConfigurationError, IntegrityError
from securemem.ledger.tree import Inclusion
from securemem.model import Residue

PAYLOAD_TYPE = "application/vnd.securemem.receipt+json"
VERSION = 1
LOGICAL, SHREDDED, BACKUP_CLOSED = "LOGICAL", "SHREDDED", "BACKUP_CLOSED"
_KEY_BYTES = 32
_ALTERED = "the receipt was altered: what it says is not what was signed"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure did.

    Attributes:
        id: the receipt's own.
        handle: the person's random handle in hex; empty where nothing was held.
        state: how far the keys are gone, which decides what can still be read; the data's own is in `stores`.
        at: when it was done.
        stores: what each store did: its state and counts.
        residue: what is left, where, and until when.
        horizon: when nothing is left anywhere; None while the operator alone can tell.
        dsse: the signed envelope.
    """

    id: str
    handle: str
    state: str
    at: datetime
    stores: dict[str, dict[str, Any]]
    residue: tuple[Residue, ...]
    horizon: datetime | None
    dsse: dict[str, Any]
    statement: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Give the receipt with its signature, ready for `json.dumps`."""
        return {"receipt": self.statement, "dsse": self.dsse}

    def verify(self, public_key: bytes | str) -> None:
        """Check the signature, and that it is this receipt that was signed.

        Args:
            public_key: PEM, or the 32 raw bytes of an Ed25519 key.

        Raises:
            IntegrityError: it does not hold.
            ConfigurationError: the key is none.
        """
        statement = verify_receipt(self.to_json(), public_key)
        try:
            says = canonical(statement | self._says())
        except (AttributeError, TypeError, ValueError):
            raise IntegrityError(_ALTERED) from None
        if says != canonical(statement):
            raise IntegrityError(_ALTERED)

    def _says(self) -> dict[str, Any]:
        """Give what the attributes say, as the statement has it."""
        return {
            "id": self.id,
            "handle": self.handle,
            "state": self.state,
            "at": self.at.isoformat(),
            "stores": self.stores,
            "residue": _entries(self.residue),
            "horizon": self.horizon.isoformat() if self.horizon is not None else None,
        }


def verify_receipt(document: dict[str, Any], public_key: bytes | str) -> dict[str, Any]:
    """Check a receipt as it lies in a file, and give what it states.

    Raises:
        IntegrityError: malformed, altered, or signed by another key.
        ConfigurationError: the key is none, or the receipt is of another version.
    """
    raw = public_key if isinstance(public_key, bytes) and len(public_key) == _KEY_BYTES else from_pem(public_key)
    if not isinstance(document.get("dsse"), dict):
        raise IntegrityError("this is no receipt: it lacks its signature")
    statement = dsse_open(document["dsse"], PAYLOAD_TYPE, raw)
    try:
        same = canonical(document["receipt"]) == canonical(statement)
    except (KeyError, TypeError, ValueError):
        same = False
    if not same:
        raise IntegrityError(_ALTERED)
    if statement.get("version") != VERSION:
        raise ConfigurationError("the receipt is of another version: check it with the SecureMem that made it")
    if "audit" in statement:
        event = Inclusion.from_json(statement["audit"]).event
        if (event.tenant.hex(), (event.person or b"").hex()) != (statement.get("tenant"), statement.get("handle")):
            raise IntegrityError("the audited event that the receipt proves is about somebody else")
    return statement


def issue(
    signer: Signer,
    *,
    receipt_id: str,
    handle: bytes | None,
    tenant: bytes,
    state: str,
    at: datetime,
    stores: dict[str, dict[str, Any]],
    residue: list[Residue],
    policy: dict[str, str],
    inclusion: Inclusion | None = None,
) -> Receipt:
    """Write and sign a receipt, which proves that an event is in the audit where an inclusion is given."""
    dates = [entry.until for entry in residue]
    horizon = None if None in dates else max([at, *(date for date in dates if date is not None)])
    statement = {
        "version": VERSION,
        "kind": "erasure",
        "id": receipt_id,
        "tenant": tenant.hex(),
        "handle": handle.hex() if handle else "",
        "state": state,
        "at": at.isoformat(),
        "policy": policy,
        "stores": stores,
        "residue": _entries(residue),
        "horizon": horizon.isoformat() if horizon else None,
    }
    if inclusion is not None:
        statement["audit"] = inclusion.to_json()
    dsse = dsse_sign(signer, PAYLOAD_TYPE, statement)
    return Receipt(
        receipt_id, handle.hex() if handle else "", state, at, stores, tuple(residue), horizon, dsse, statement
    )


def _entries(residue: Iterable[Residue]) -> list[dict[str, Any]]:
    return [
        {"store": entry.store, "what": entry.what, "until": entry.until.isoformat() if entry.until else None}
        for entry in residue
    ]
