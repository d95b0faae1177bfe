"""What lies sealed of the canaries, byte for byte, taken down before it goes: the half of the proof that needs keys.

What is sought of a record is nonce and ciphertext: its header says nothing of anybody, its own tag stands in the head
and in what follows it. Of a key it is all but the mark of its format.
"""

from __future__ import annotations

from securemem.compose import Deployment
from securemem.crypto.envelope import FLAG_GUEST, HEADER_BYTES, SUBJECT_BYTES, SUITE_STUB
from securemem.crypto.mac import MAC_BYTES
from securemem.keys.rows import UserRow
from securemem.keys.tenant import load_tenant
from securemem.ports import ALL_ROWS
from securemem.proving.plant import Canaries
from securemem.proving.scan import Kind

_SUITE_AT, _FLAGS_AT = 3, 4
_TAG_BYTES = 16
_MAGIC_BYTES = 3
_PAGE = 100


class Evidence:
    """The sealed bytes of canaries.

    Attributes:
        sealed: what was seen, and of what kind.
        sessions: the handles of the sessions of those who are erased.
    """

    def __init__(self, deployment: Deployment, canaries: Canaries) -> None:
        """Take the open store and who is looked at."""
        self._deployment = deployment
        self._canaries = canaries
        self.sealed: set[tuple[Kind, bytes]] = set()
        self.sessions: set[bytes] = set()
        self._living = b""

    async def collect(self) -> None:
        """Take down what lies there now; what was taken down before stays."""
        keyring = self._deployment.keyring
        rows = {user: await keyring.find_user(user) for user in self._canaries.people}
        living = rows[self._canaries.living]
        self._living = living.handle if living is not None else b""
        for row in rows.values():
            if row is not None:
                await self._person(row)
        await self._tags()

    async def _person(self, row: UserRow) -> None:
        keystore, tenant = self._deployment.keyring.keystore, self._deployment.keyring.tenant_number
        self._key(row.handle, row.wrapped, row.name)
        self._handle(row.handle, row.handle)
        after = 0
        while page := await keystore.page(tenant, after=after, limit=_PAGE, user=row.handle):
            for number, _, session in page:
                self._key(row.handle, session.wrapped, session.title)
                self._handle(row.handle, session.handle)
                for guest in await keystore.guests(session.handle):
                    self._key(guest.user.handle, guest.key.wrapped)
                await self._records(session.handle, row.handle)
                after = number

    async def _records(self, session: bytes, owner: bytes) -> None:
        if owner != self._living:
            self.sessions.add(session)
        _, rows = await self._deployment.backend.tail(session, ALL_ROWS)
        for _, raw in rows:
            if raw[_SUITE_AT] == SUITE_STUB:
                continue
            guest = bool(raw[_FLAGS_AT] & FLAG_GUEST)
            header = HEADER_BYTES + guest * SUBJECT_BYTES
            person = raw[HEADER_BYTES:header] if guest else owner
            kind = Kind.LIVING_RECORD if person == self._living else Kind.RECORD
            self.sealed.add((kind, raw[header + MAC_BYTES : -_TAG_BYTES]))

    def _key(self, person: bytes, *blobs: bytes) -> None:
        kind = Kind.LIVING_KEY if person == self._living else Kind.KEY
        self.sealed.update((kind, blob[_MAGIC_BYTES:]) for blob in blobs)

    def _handle(self, person: bytes, handle: bytes) -> None:
        if person != self._living:
            self.sealed.update({(Kind.HANDLE, handle), (Kind.HANDLE, handle.hex().encode())})

    async def _tags(self) -> None:
        """Take down the tags by which the keystore finds them, which an index may hold by itself."""
        stores = self._deployment.stores
        tenant = await load_tenant(stores.keystore, stores.kms, stores.route.name)
        try:
            tags = [(user, tag) for user in self._canaries.people for tag in tenant.user_tags(user)]
            tags += [(user, tag) for user, name in self._canaries.sessions for tag in tenant.session_tags(user, name)]
        finally:
            tenant.wipe()
        living = self._canaries.living
        self.sealed.update((Kind.LIVING_KEY if user == living else Kind.KEY, tag) for user, tag in tags)
