"""The epochs of the KEK as an operator looks at them, opens and closes them (`memory.keys`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from securemem.crypto.signing import to_pem
from securemem.errors import NotReadyError

if TYPE_CHECKING:
    from securemem.host import SessionHost
    from securemem.keys.rotation import EpochStatus


class Keys:
    """What an operator does with a store's keys: for all tenants in its keystore."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share."""
        self._host = host

    async def public_key(self) -> str:
        """Give the PEM of the key that this tenant's receipts are signed with."""
        async with self._host.in_use() as deployment:
            return to_pem(deployment.keyring.signer.public_key)

    async def status(self) -> list[EpochStatus]:
        """Give all epochs, ascending."""
        async with self._host.in_use() as deployment:
            return await deployment.office.rotation.status()

    async def rotate(self) -> int:
        """Open a new epoch and put every user's key under it; no message is touched.

        Returns:
            The new epoch's number.

        Raises:
            NotReadyError: another process rotates just now.
        """
        async with self._host.in_use() as deployment:
            return await deployment.office.rotation.rotate()

    async def close_epoch(self, *, backup: str | Path | None = None, without_backup: bool = False) -> list[int]:
        """Destroy every epoch but the open one, so that keystore backups from before open nobody any more.

        Rotates first where the open epoch is the only one. Each is written down in the audit before it is destroyed.

        Args:
            backup: where to write a backup of the keystore under the open epoch; it is read back before anything is
                destroyed.
            without_backup: destroy without one. Should the keystore be lost, everything is.

        Returns:
            The epochs that were destroyed.

        Raises:
            NotReadyError: neither a backup nor `without_backup` was given, or the backup does not read back.
        """
        if backup is None and not without_backup:
            raise NotReadyError(
                "older keystore backups will open nobody: give a path for a new backup, or without_backup=True"
            )
        async with self._host.in_use() as deployment:
            return await deployment.office.rotation.close_epochs(Path(backup) if backup else None)
