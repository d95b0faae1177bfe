"""KEK epochs: OPEN → SEALED → every key rewrapped → a new keystore backup, read back → DESTROYED.

Deleting a wrapped key is not yet shredding it: a keystore backup and a living KEK still open it. Once the epoch that
the backup was wrapped under is destroyed, the backup opens nobody; one taken after the rewrap opens the living.

Keys that lie in the ledger, of notices that are still to be sent, are rewrapped with those in the keystore.

Each step is durable before the next and can be repeated: a process that dies anywhere is followed by another `rotate`
or `close_epoch`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hmac import HMAC
from pathlib import Path

from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import box_of, check, enclose
from securemem.keys.keyring import Keyring
from securemem.keys.rows import COMING, OPEN, SEALED, TENANT_KEY_KINDS, Rewrapped, UserRow
from securemem.keys.tenant import session_tag, unwrap_index_key, unwrap_tenant_key, user_tag, wrap_tenant_key
from securemem.keys.unwrapped import UserKey, open_name, title_of, user_context
from securemem.model import from_milliseconds, to_milliseconds
from securemem.newfile import check_place
from securemem.ports import Clock
from securemem.residue import PURGE_SECONDS

_BATCH = 100


@dataclass(frozen=True, slots=True)
class EpochStatus:
    """One epoch of the KEK.

    Attributes:
        epoch: its number.
        state: "open", "sealed" or "destroyed" ("coming" while a rotation begins).
        since: from when it is in this state.
        users: how many users' keys are wrapped under it.
        kek: whether the KMS still has its KEK.
    """

    epoch: int
    state: str
    since: datetime
    users: int
    kek: bool


class Rotation:
    """Moves a keystore and its KMS from one epoch to the next."""

    def __init__(
        self,
        keyring: Keyring,
        clock: Clock,
        *,
        rewrap: Callable[[int], Awaitable[None]],
        write_down: Callable[[int], Awaitable[None]],
    ) -> None:
        """Take what a rotation needs.

        Args:
            keyring: of a tenant of the keystore.
            clock: the store's.
            rewrap: puts those keys under an epoch that lie elsewhere than in the keystore.
            write_down: is awaited with each epoch before its KEK is destroyed, again where that is tried again.
        """
        self._elsewhere = rewrap
        self._write_down = write_down
        self._keyring = keyring
        self._keystore = keyring.keystore
        self._kms = keyring.kms
        self._clock = clock

    async def status(self) -> list[EpochStatus]:
        """Give all epochs, ascending."""
        users = await self._keystore.users_by_epoch()
        keks = set(await self._kms.epochs())
        return [
            EpochStatus(row.epoch, row.state, from_milliseconds(row.since), users.get(row.epoch, 0), row.epoch in keks)
            for row in await self._keystore.epochs()
        ]

    async def rotate(self) -> int:
        """Open a new epoch, put every user's key under it, and give its number.

        Raises:
            NotReadyError: another process rotates just now.
        """
        old = await self._open_epoch()
        new = old + 1
        await self._kms.create_epoch(new)
        await self._keystore.add_epoch(new, COMING, self._now())
        while True:
            await self._prepare_tenants(old, new)
            if await self._keystore.switch_epoch(old, new, self._now()):
                break
        await self._rewrap_all(new)
        return new

    async def close_epochs(self, backup: Path | None) -> list[int]:
        """Destroy every epoch but the open one, of which there is a new one where it is the only one.

        Args:
            backup: where a backup of the keystore is written and read back before anything is destroyed.

        Returns:
            The epochs that were destroyed.

        Raises:
            NotReadyError: another process rotates just now, or the backup does not read back.
        """
        if backup is not None:
            check_place(backup)
        if not any(row.state == SEALED for row in await self._keystore.epochs()):
            await self.rotate()
        current = await self._open_epoch()
        await self._rewrap_all(current)
        sealed = [row.epoch for row in await self._keystore.epochs() if row.state == SEALED]
        for epoch in sealed:
            # Nothing is found or opened by these any more; a backup taken now has to open without them.
            await self._keystore.delete_tenant_keys(epoch)
        if backup is not None:
            await self._keystore.backup(backup)
        for epoch in sealed:
            await self._write_down(epoch)
            await self._kms.destroy_epoch(epoch)
            await self._keystore.set_destroyed(epoch, self._now())
        await self._keystore.purge(PURGE_SECONDS)
        await self._keyring.reload()
        return sealed

    def _now(self) -> int:
        return to_milliseconds(self._clock())

    async def _open_epoch(self) -> int:
        return max(row.epoch for row in await self._keystore.epochs() if row.state == OPEN)

    async def _prepare_tenants(self, old: int, new: int) -> None:
        """Give every tenant its keys under the coming epoch: a new index key, and the others rewrapped."""
        for number, handle, _ in await self._keystore.tenants():
            rows = await self._keystore.tenant_keys(number)
            present = {row.kind for row in rows if row.epoch == new}
            for row in rows:
                if row.epoch != old or row.kind in present or row.kind not in TENANT_KEY_KINDS:
                    continue
                is_new = row.kind == "index"
                with RawKey.generate() if is_new else await unwrap_tenant_key(self._kms, handle, row) as kept:
                    wrapped = await wrap_tenant_key(self._kms, handle, row.kind, new, kept)
                await self._keystore.add_tenant_key(number, wrapped)

    async def _rewrap_all(self, epoch: int) -> None:
        """Put every user's key that is under an older epoch under this one, with new lookup tags."""
        tenants = {number: handle for number, handle, _ in await self._keystore.tenants()}
        index: dict[int, HMAC] = {}
        for number, handle in tenants.items():
            for row in await self._keystore.tenant_keys(number):
                if row.kind == "index" and row.epoch == epoch:
                    index[number] = await unwrap_index_key(self._kms, handle, row)
        while batch := await self._keystore.users_under(epoch, _BATCH):
            for tenant, user in batch:
                await self._rewrap(tenants[tenant], index[tenant], user, epoch)
        await self._elsewhere(epoch)
        await self._keystore.purge(PURGE_SECONDS)
        await self._keyring.reload()

    async def _rewrap(self, tenant: bytes, index: HMAC, row: UserRow, epoch: int) -> None:
        context = user_context(tenant, row.handle, row.generation)
        with check(await self._kms.unwrap(row.epoch, box_of(row.wrapped), context=context), row.wrapped) as key:
            user_id = open_name(key, tenant, row)
            user = UserKey(tenant, row, user_id, key)
            sessions = [
                (session_tag(index, tenant, user_id, title_of(user, session).session_id), session.handle)
                for session in await self._keystore.sessions_to_retag(row.number)
            ]
            wrapped = enclose(key, await self._kms.wrap(epoch, key, context=context))
        tag = user_tag(index, tenant, user_id)
        await self._keystore.rewrap(row, Rewrapped(epoch, wrapped, tag, sessions))
