"""A tenant's own keys: index (one an epoch), head and signing, wrapped by the KMS and not shredded with any user.

context of wrapping = PAE("securemem/tenant-key/1", tenant, kind, epoch u32)
lookup tag of a user    = HMAC-SHA-256(index key, PAE("user", tenant, user id))
lookup tag of a session = HMAC-SHA-256(index key, PAE("session", tenant, user id, session id))
keyed hash of a value   = HMAC-SHA-256(HKDF-Expand(head key, "securemem/keyed-hash/2026-11"), PAE of what it is)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from hmac import HMAC

from securemem.crypto.kdf import hkdf_expand
from securemem.crypto.mac import hmac_sha256, hmac_sha256_state
from securemem.crypto.pae import pae, u32
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer
from securemem.crypto.wrapping import box_of, check, enclose
from securemem.errors import WrongKeyError
from securemem.keys.keystore import Keystore
from securemem.keys.rows import OPEN, TENANT_KEY_KINDS, TenantKeyRow
from securemem.model import HANDLE_BYTES
from securemem.ports import KeyManagementService

_HASH_LABEL = b"securemem/keyed-hash/2026-11"


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """What one tenant's store needs in memory."""

    number: int
    handle: bytes
    open_epoch: int
    index: dict[int, HMAC] = field(repr=False)
    head: RawKey = field(repr=False)
    signer: Signer = field(repr=False)

    def user_tags(self, user_id: str) -> list[bytes]:
        """Give a user's lookup tags under every index key that lives, the open epoch's first."""
        return [user_tag(index, self.handle, user_id) for index in self._living()]

    def session_tags(self, user_id: str, session_id: str) -> list[bytes]:
        """Give a session's lookup tags likewise."""
        return [session_tag(index, self.handle, user_id, session_id) for index in self._living()]

    def _living(self) -> list[HMAC]:
        return [self.index[epoch] for epoch in sorted(self.index, reverse=True) if epoch <= self.open_epoch]

    def keyed_hash(self, data: bytes) -> bytes:
        """Give a hash that is the same for all of the tenant's epochs, and means nothing to whoever lacks its key."""
        return hmac_sha256(hkdf_expand(self.head.expose_secret(), _HASH_LABEL), data)

    def with_head(self, head: RawKey) -> TenantKeys:
        """Give the same with the head key that is in use already, which no rotation changes; this one is wiped."""
        self.head.wipe()
        return replace(self, head=head)

    def wipe(self) -> None:
        """Overwrite the keys; OpenSSL overwrites its states of the index keys when they are freed."""
        self.head.wipe()
        self.index.clear()


def user_tag(index: HMAC, tenant: bytes, user_id: str) -> bytes:
    """Give a user's lookup tag under one index key."""
    return _tag(index, pae(b"user", tenant, user_id.encode()))


def session_tag(index: HMAC, tenant: bytes, user_id: str, session_id: str) -> bytes:
    """Give a session's lookup tag likewise."""
    return _tag(index, pae(b"session", tenant, user_id.encode(), session_id.encode()))


def _tag(index: HMAC, name: bytes) -> bytes:
    state = index.copy()
    state.update(name)
    return state.digest()


async def wrap_tenant_key(kms: KeyManagementService, tenant: bytes, kind: str, epoch: int, key: RawKey) -> TenantKeyRow:
    """Wrap one of a tenant's keys under an epoch's KEK."""
    context = pae(b"securemem/tenant-key/1", tenant, kind.encode(), u32(epoch))
    return TenantKeyRow(kind, epoch, enclose(key, await kms.wrap(epoch, key, context=context)))


async def unwrap_tenant_key(kms: KeyManagementService, tenant: bytes, row: TenantKeyRow) -> RawKey:
    """Unwrap one of a tenant's keys.

    Raises:
        WrongKeyError: the KEK is not the one it was wrapped under.
    """
    context = pae(b"securemem/tenant-key/1", tenant, row.kind.encode(), u32(row.epoch))
    return check(await kms.unwrap(row.epoch, box_of(row.wrapped), context=context), row.wrapped)


async def unwrap_index_key(kms: KeyManagementService, tenant: bytes, row: TenantKeyRow) -> HMAC:
    """Unwrap an index key, as `unwrap_tenant_key`, for the one use that it has."""
    with await unwrap_tenant_key(kms, tenant, row) as key:
        return hmac_sha256_state(key)


async def _signer(kms: KeyManagementService, tenant: bytes, row: TenantKeyRow) -> Signer:
    with await unwrap_tenant_key(kms, tenant, row) as seed:
        return Signer(seed)


async def _drawn(kms: KeyManagementService, tenant: bytes, kind: str, epoch: int) -> TenantKeyRow:
    with RawKey.generate() as key:
        return await wrap_tenant_key(kms, tenant, kind, epoch, key)


async def load_tenant(keystore: Keystore, kms: KeyManagementService, name: str) -> TenantKeys:
    """Give a tenant's keys, and make them for a tenant that is new.

    Raises:
        WrongKeyError: the KEK at hand is not this keystore's.
    """
    while True:
        open_epoch = max((row.epoch for row in await keystore.epochs() if row.state == OPEN), default=0)
        known = await keystore.tenant(name)
        if known is None:
            handle = os.urandom(HANDLE_BYTES)
            keys = [await _drawn(kms, handle, kind, open_epoch) for kind in TENANT_KEY_KINDS]
            await keystore.add_tenant(handle, name, keys)
            continue
        number, handle = known
        rows = await keystore.tenant_keys(number)
        found = {row.kind: row for row in rows if row.epoch == open_epoch}
        if len(found) < len(TENANT_KEY_KINDS):
            raise WrongKeyError("the keystore lacks this tenant's own keys: restore it from its newest backup")
        index = {row.epoch: await unwrap_index_key(kms, handle, row) for row in rows if row.kind == "index"}
        signer = await _signer(kms, handle, found["signing"])
        return TenantKeys(
            number, handle, open_epoch, index, await unwrap_tenant_key(kms, handle, found["head"]), signer
        )
