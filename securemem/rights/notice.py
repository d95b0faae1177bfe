"""What recipients are told, made ready: drawn up, sealed under a key of the request's own, and queued with an act.

    {"type": "person.erased", "timestamp": "2026-03-02T12:00:00+00:00", "data": {"user_id": "alice", "request": "…"}}

The person's id is what a recipient knows them by; it is nowhere else in the ledger, and there only sealed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from securemem.crypto.notice import key_context, seal_notice
from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import box_of, check, enclose
from securemem.ledger.outbox import NoticeKind, RequestKey, Sealed, queue, rewrap
from securemem.ledger.store import Ledger
from securemem.model import from_milliseconds
from securemem.ports import KeyManagementService

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

TYPES = {
    NoticeKind.ERASURE: "person.erased",
    NoticeKind.RECTIFICATION: "person.rectified",
    NoticeKind.RESTRICTION: "person.restricted",
}


@dataclass(frozen=True, slots=True)
class Notices:
    """What all recipients are told of one request, sealed; none where nobody has to be told."""

    key: RequestKey | None = None
    sealed: tuple[Sealed, ...] = ()

    async def write(self, connection: AsyncConnection, tables: Tables) -> None:
        """Queue them within somebody's transaction.

        Raises:
            ConflictError: their key's epoch was closed meanwhile; they have to be prepared anew.
        """
        if self.key is not None:
            await queue(connection, tables, self.key, self.sealed)


def text_of(kind: NoticeKind, user_id: str, request: bytes, at: int) -> bytes:
    """Give what a recipient is told, as JSON."""
    told = {
        "type": TYPES[kind],
        "timestamp": from_milliseconds(at).isoformat(),
        "data": {"user_id": user_id, "request": request.hex()},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def sealed_for(key: RawKey, text: bytes, request: RequestKey, recipient: tuple[str, str, int]) -> Sealed:
    """Seal a text for one recipient, given by its id, its variable, and by when it has to acknowledge."""
    name, url_env, ack_by = recipient
    body = seal_notice(key, text, tenant=request.tenant, request=request.request, recipient=name)
    return Sealed(name, url_env, body, ack_by)


async def wrap_key(kms: KeyManagementService, epoch: int, key: RawKey, *, tenant: bytes, request: bytes) -> bytes:
    """Wrap a request's key under an epoch's KEK."""
    return enclose(key, await kms.wrap(epoch, key, context=key_context(tenant, request)))


async def unwrap_key(kms: KeyManagementService, key: RequestKey) -> RawKey:
    """Unwrap a request's key, which is there still.

    Raises:
        WrongKeyError: the KEK is not the one it was wrapped under.
        CorruptRecordError: it is no wrapped key.
    """
    wrapped = key.wrapped or b""
    context = key_context(key.tenant, key.request)
    return check(await kms.unwrap(key.epoch, box_of(wrapped), context=context), wrapped)


async def rewrap_all(ledger: Ledger, kms: KeyManagementService, epoch: int) -> None:
    """Put the keys of all requests under an epoch; none is queued under an older one any more."""

    async def anew(key: RequestKey) -> bytes:
        with await unwrap_key(kms, key) as raw:
            return await wrap_key(kms, epoch, raw, tenant=key.tenant, request=key.request)

    await rewrap(ledger, epoch, anew)
