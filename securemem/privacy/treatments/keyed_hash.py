"""hash: the same value has the same hash within a tenant, so that it can be counted: `[EMAIL_ADDRESS#0f3c9a…]`.

64 bits of HMAC-SHA-256 under a key of the tenant's. Whoever has that key can try values, of which there are not many:
under GDPR (recital 26) what is hashed stays personal data.
"""

from __future__ import annotations

from securemem.crypto.pae import pae
from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand

_BYTES = 8


def keyed_hash(value: str, span: Span, hand: Hand) -> str:
    """Give the entity and the hash of the value, in brackets; case and spaces at the ends make no difference."""
    alike = value.strip().casefold().encode("utf-8", "surrogatepass")
    digest = hand.keyed_hash(pae(b"securemem/pii-hash/1", span.entity.encode(), alike))
    return f"[{span.entity}#{digest[:_BYTES].hex()}]"
