"""The keyring: finds, issues, caches and shreds the keys of people and sessions, for one tenant.

Real ids come in here and do not leave: what goes on is handles. A cold load is one keystore query and one unwrap where
the user's key is not cached; a warm one is a look into the cache.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from securemem.crypto.envelope import RowTags, Sealer
from securemem.crypto.head import HeadSeal
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer
from securemem.crypto.wrapping import enclose
from securemem.errors import CorruptRecordError, UserErasedError
from securemem.keys.guests import Guests
from securemem.keys.held import Held
from securemem.keys.keystore import Keystore
from securemem.keys.rows import Found, Guard, Minted, NewSession, NewUser, Person, SessionRow, UserRow
from securemem.keys.tenant import TenantKeys, load_tenant
from securemem.keys.unwrapped import (
    GENERATION,
    SessionKeys,
    Title,
    UserKey,
    open_name,
    open_title,
    seal_name,
    seal_title,
    user_context,
)
from securemem.keys.unwrapping import Unwrapping
from securemem.model import HANDLE_BYTES, NEVER
from securemem.ports import KeyManagementService

_PAGE = 100


class Keyring:
    """Keys of one tenant, over a keystore and a KMS that were opened by the caller.

    Attributes:
        keystore: where they lie, wrapped.
        kms: what people's keys are wrapped by.
        held: those in memory.
        guests: finds and issues those of people in other people's sessions.
    """

    def __init__(
        self,
        keystore: Keystore,
        kms: KeyManagementService,
        tenant: TenantKeys,
        name: str,
        *,
        confirm: Callable[[], Awaitable[object]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what `open_keyring` loaded."""
        self.keystore = keystore
        self._confirm = confirm
        self.kms = kms
        self._tenant = tenant
        self._name = name
        self.held = Held(monotonic)
        self.guests = Guests(self)
        self._unwrapping = Unwrapping(kms)

    @property
    def tenant(self) -> bytes:
        """The tenant's handle."""
        return self._tenant.handle

    @property
    def tenant_number(self) -> int:
        """The number of the tenant's row in the keystore."""
        return self._tenant.number

    @property
    def open_epoch(self) -> int:
        """The epoch that new keys are wrapped under, as far as this process knows."""
        return self._tenant.open_epoch

    @property
    def signer(self) -> Signer:
        """The tenant's signing key."""
        return self._tenant.signer

    def head_seal(self, session: bytes) -> HeadSeal:
        """Give what makes and checks the heads of a session, which needs no user's key."""
        return HeadSeal(self._tenant.head, tenant=self.tenant, session=session)

    def keyed_hash(self, data: bytes) -> bytes:
        """Give a hash of 32 bytes under a key of the tenant's, as `tenant.TenantKeys.keyed_hash`."""
        return self._tenant.keyed_hash(data)

    def actor_hash(self, actor: str | None) -> bytes | None:
        """Give the hash by which the audit knows an actor; None where none was named."""
        return self.keyed_hash(pae(b"securemem/actor/1", actor.encode())) if actor is not None else None

    async def find(self, user_id: str, session_id: str) -> SessionKeys | None:
        """Give a session's keys, or None where the keystore has no such session of such a user.

        Raises:
            WrongKeyError: the KMS opens something else than what was wrapped.
            CorruptRecordError: the sealed ids are not the ones that were asked for.
        """
        return (await self.find_both(user_id, session_id))[1]

    async def find_both(self, user_id: str, session_id: str) -> tuple[Person | None, SessionKeys | None]:
        """Give a person, and a session's keys, as `find`; of each None where there is none."""
        keys = self.held.sessions.get((user_id, session_id))
        if keys is not None:
            return keys.person, keys
        found = await self.look_up(user_id, session_id)
        if found.user is None:
            return None, None
        user = await self.user(found.user, user_id)
        return user.row.person, self._admit(user, found.session, session_id) if found.session is not None else None

    async def find_user(self, user_id: str) -> UserRow | None:
        """Give a user's row, without unwrapping anything."""
        return (await self.look_up(user_id, None)).user

    async def mint(self, user_id: str, session_id: str, title: Title, *, owner: Person | None = None) -> SessionKeys:
        """Make a session's key, and its user's where that is new, durably; where it exists, give the one that does.

        Args:
            user_id: the person.
            session_id: the session.
            title: what is sealed under the new key.
            owner: the user, who has to be there still, for whoever writes what was read before.

        Raises:
            UserErasedError: the owner was erased.
        """
        if self._confirm is not None:
            await self._confirm()
        while True:
            user = self.held.users.get(user_id)
            if user is None or owner not in (None, user.row.person):
                found = await self.look_up(user_id, session_id)
                if found.user is not None:
                    user = await self.user(found.user, user_id)
                    if found.session is not None:
                        return self._admit(user, found.session, session_id)
            if owner is not None and (user is None or user.row.person != owner):
                raise UserErasedError("the person was forgotten meanwhile; nothing was written")
            keys, status = await self._insert(user, user_id, session_id, title)
            if status is Minted.DONE:
                return keys
            if status is Minted.EPOCH_MOVED:
                await self.reload()
            self.held.forget_user(user_id)

    async def _insert(
        self, user: UserKey | None, user_id: str, session_id: str, title: Title
    ) -> tuple[SessionKeys, Minted]:
        tenant = self._tenant
        new, user = await self.new_user(user_id) if user is None else (None, user)
        session, key = os.urandom(HANDLE_BYTES), RawKey.generate()
        tags = tenant.session_tags(user_id, session_id)
        row = SessionRow(
            session,
            GENERATION,
            0,
            NEVER,
            user.wrap_session_key(session, GENERATION, key),
            seal_title(key, self.tenant, user.handle, session, title),
        )
        keys = self._session_keys(user, row, key, title)
        status = await self.keystore.mint(
            new or user.row,
            NewSession(row.handle, tags[0], row.generation, row.wrapped, row.title),
            self.guard(user_id, tags),
        )
        if status is Minted.DONE:
            keys.fresh = True
            self.held.put_session(keys)
            if new is not None and self.held.users.get(user_id) is None:
                self.held.put_user(user)
        return keys, status

    async def new_user(self, user_id: str) -> tuple[NewUser, UserKey]:
        """Draw a key for a person who has none, and give the row to insert with it."""
        tenant, handle, key = self._tenant, os.urandom(HANDLE_BYTES), RawKey.generate()
        context = user_context(self.tenant, handle, GENERATION)
        wrapped = enclose(key, await self.kms.wrap(tenant.open_epoch, key, context=context))
        name = seal_name(key, self.tenant, handle, user_id)
        new = NewUser(tenant.number, handle, tenant.user_tags(user_id)[0], tenant.open_epoch, GENERATION, wrapped, name)
        row = UserRow(0, handle, tenant.open_epoch, GENERATION, wrapped, name)
        return new, UserKey(self.tenant, row, user_id, key)

    async def sessions(self, user_id: str | None) -> AsyncIterator[SessionKeys]:
        """Go through the sessions of a user, or of everybody in the tenant, in the order they were made."""
        owner = None
        if user_id is not None:
            row = await self.find_user(user_id)
            if row is None:
                return
            owner = row.handle
        async for user_row, session in self.rows(owner):
            yield await self._opened(user_row, session, user_id)

    async def rows(self, owner: bytes | None) -> AsyncIterator[tuple[UserRow, SessionRow]]:
        """Go through the rows of a user's sessions, or of everybody's in the tenant; nothing is unwrapped."""
        after = 0
        while page := await self.keystore.page(self._tenant.number, after=after, limit=_PAGE, user=owner):
            for number, user_row, session in page:
                yield user_row, session
                after = number

    async def at(self, owner: bytes, session: bytes) -> SessionKeys | None:
        """Give a session's keys by its owner's handle and its own; None where it has none any more."""
        async for user_row, row in self.rows(owner):
            if row.handle == session:
                return await self._opened(user_row, row, None)
        return None

    async def _opened(self, user_row: UserRow, row: SessionRow, user_id: str | None) -> SessionKeys:
        user = await self.user(user_row, user_id)
        with user.unwrap_session_key(row.handle, row.generation, row.wrapped) as key:
            return self._session_keys(user, row, key, open_title(key, self.tenant, user.handle, row))

    def tags(self, user_id: str, session_id: str) -> tuple[bytes, bytes]:
        """Give the lookup tags of a user and of a session of theirs, under the open epoch."""
        return self._tenant.user_tags(user_id)[0], self._tenant.session_tags(user_id, session_id)[0]

    def guard(self, user_id: str, session_tags: Sequence[bytes] = ()) -> Guard:
        """Give what has to hold for a key of this person to be inserted."""
        return Guard(self._tenant.open_epoch, self._tenant.user_tags(user_id), list(session_tags))

    async def aclose(self) -> None:
        """Wipe what is held in memory."""
        self.held.clear()
        self._tenant.wipe()

    async def look_up(self, user_id: str, session_id: str | None) -> Found:
        """Find a person's row, and a session's of theirs, under every index key that lives."""
        if self._confirm is not None:
            await self._confirm()
        while True:
            tenant = self._tenant
            tags = tenant.session_tags(user_id, session_id) if session_id is not None else []
            found = await self.keystore.find(tenant.user_tags(user_id), tags)
            if found.open_epoch == tenant.open_epoch:
                return found
            await self.reload()

    async def reload(self) -> None:
        """Take over an epoch that another process opened, and let go of KEKs that it destroyed."""
        await self.kms.epochs()
        self._tenant = (await load_tenant(self.keystore, self.kms, self._name)).with_head(self._tenant.head)

    async def user(self, row: UserRow, user_id: str | None) -> UserKey:
        """Give a user's key from the cache or through the KMS, once however many ask."""
        if user_id is not None:
            cached = self.held.users.get(user_id)
            if cached is not None and cached.row[1:4] == row[1:4]:
                return cached
        key = await self._unwrapping.key_of(self.tenant, row)
        try:
            user = UserKey(self.tenant, row, self._name_of(row, key, user_id), key)
        except CorruptRecordError:
            key.wipe()
            raise
        self.held.put_user(user)
        return user

    def _name_of(self, row: UserRow, key: RawKey, user_id: str | None) -> str:
        name = open_name(key, self.tenant, row)
        if user_id is not None and name != user_id:
            raise CorruptRecordError(f"keystore: the row of user {row.handle.hex()} was found under another's tag")
        return name

    def _admit(self, user: UserKey, row: SessionRow, session_id: str) -> SessionKeys:
        with user.unwrap_session_key(row.handle, row.generation, row.wrapped) as key:
            title = open_title(key, self.tenant, user.handle, row)
            if title.session_id != session_id:
                raise CorruptRecordError("keystore: found under another session's tag", session=row.handle)
            keys = self._session_keys(user, row, key, title)
        self.held.put_session(keys)
        return keys

    def _session_keys(self, user: UserKey, row: SessionRow, key: RawKey, title: Title) -> SessionKeys:
        seal = self.head_seal(row.handle)
        owner = self.sealer(user, row.handle, row.generation, key, rows=seal.row_tags(user.handle), guest=False)
        return SessionKeys(
            row.handle,
            user.row.person,
            row.generation,
            row.floor,
            row.floor_ends,
            user.user_id,
            title,
            owner,
            seal,
        )

    def sealer(
        self, user: UserKey, session: bytes, generation: int, key: RawKey, *, rows: RowTags, guest: bool
    ) -> Sealer:
        """Give what seals and opens a person's records in a session; the session's key is wiped."""
        sealer = Sealer(
            key,
            rows,
            tenant=self.tenant,
            user=user.handle,
            session=session,
            generation=generation,
            guest=guest,
        )
        key.wipe()
        return sealer


async def open_keyring(
    keystore: Keystore,
    kms: KeyManagementService,
    tenant: str,
    *,
    confirm: Callable[[], Awaitable[object]] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Keyring:
    """Load a tenant's keys, made where the tenant is new, and give its keyring.

    Args:
        keystore: open.
        kms: open.
        tenant: the name.
        confirm: awaited before anything is looked up or made; raises where the tenant's sessions are out of reach.
        monotonic: a clock for intervals.
    """
    keys = await load_tenant(keystore, kms, tenant)
    return Keyring(keystore, kms, keys, tenant, confirm=confirm, monotonic=monotonic)
