"""A notice: what one recipient is told of a request, sealed under that request's own key.

    sealed  = "SN" | format u8 = 1 | box of AES-256-GCM over the text, padded with spaces to a multiple of 512 bytes
    AAD     = PAE("securemem/notice/1", tenant, request, recipient)
    context = PAE("securemem/outbox-key/1", tenant, request), that the KMS wraps the request's key in

The text is JSON, which spaces at its end do not change; padded, its length tells little of whom it is about.
"""

from __future__ import annotations

from securemem.crypto.aead import OVERHEAD, Aead, InvalidTag
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.errors import CorruptRecordError

STEP = 512
_MAGIC = b"SN\x01"
_MAX_BYTES = 65536


def key_context(tenant: bytes, request: bytes) -> bytes:
    """Give the context that a request's key is wrapped in."""
    return pae(b"securemem/outbox-key/1", tenant, request)


def seal_notice(key: RawKey, text: bytes, *, tenant: bytes, request: bytes, recipient: str) -> bytes:
    """Seal what a recipient is told."""
    padded = text.ljust(-(-len(text) // STEP) * STEP)
    return _MAGIC + Aead(key).seal(padded, associated_data=_place(tenant, request, recipient))


def open_notice(key: RawKey, sealed: bytes, *, tenant: bytes, request: bytes, recipient: str) -> bytes:
    """Open what `seal_notice` made.

    Raises:
        CorruptRecordError: it is another recipient's or request's, was changed, or is no notice.
    """
    if sealed[:3] != _MAGIC or not len(_MAGIC) + OVERHEAD <= len(sealed) <= _MAX_BYTES:
        raise CorruptRecordError(f"the outbox holds no notice of this version for request {request.hex()}")
    try:
        return Aead(key).open(sealed[3:], associated_data=_place(tenant, request, recipient)).rstrip(b" ")
    except InvalidTag:
        raise CorruptRecordError(f"a notice of request {request.hex()} was changed in the outbox") from None


def _place(tenant: bytes, request: bytes, recipient: str) -> bytes:
    return pae(b"securemem/notice/1", tenant, request, recipient.encode())
