"""When the KEK's epoch has to be closed after an erasure: within the time that the policy promises for keys.

A person's wrapped keys are deleted at once, and lie in older backups of the keystore still, which the KEK of their
epoch opens until that is destroyed (`erasure.targets.key`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from securemem.keys.keyring import Keyring
from securemem.keys.rows import DESTROYED, OPEN
from securemem.ledger.acts import ActKind
from securemem.ledger.leases import Leases
from securemem.ledger.store import Ledger
from securemem.model import to_milliseconds
from securemem.policy import Policy
from securemem.ports import Clock

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

LEASE_SECONDS = 3600.0
"""How long other workers leave a closing alone that one has begun."""
_NAME = b"closing an epoch"


class Closing:
    """Knows when that is, for one tenant."""

    def __init__(self, keyring: Keyring, ledger: Ledger, clock: Clock, policy: Policy) -> None:
        """Take the stores, and the policy in force."""
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._within = policy.key_within
        self._leases = Leases(ledger, keyring.tenant, seconds=LEASE_SECONDS)

    async def is_due(self) -> bool:
        """Tell whether half of the promised time is over, so that erasures until then are closed together."""
        first, due = await self._first()
        return due is not None and to_milliseconds(self._clock()) >= (first + due) // 2

    async def is_overdue(self) -> bool:
        """Tell whether all of it is."""
        _, due = await self._first()
        return due is not None and to_milliseconds(self._clock()) > due

    async def close(self, folder: Path, close_epoch: Callable[[Path], Awaitable[list[int]]]) -> int:
        """Close every older epoch, with a backup of the keystore that takes the place of those made by this before.

        It opens the living, and takes that place as soon as it reads back, whether an epoch can be closed or not.

        Args:
            folder: where backups go.
            close_epoch: closes them, once a backup is written to a place and reads back.

        Returns:
            How many were closed: none where it is not due, or another worker is at it.
        """
        taken = await self._leases.take([_NAME])
        try:
            if not taken or not await self.is_due():
                return 0
            deployment = (await self._keyring.keystore.stamp_now()).deployment
            prefix = f"keystore-{deployment.hex()}-"
            new = folder / f"{prefix}{self._clock():%Y%m%dT%H%M%SZ}.db"
            before = await asyncio.to_thread(lambda: set(folder.glob(f"{prefix}*.db")) - {new})
            try:
                return len(await close_epoch(new))
            finally:
                await asyncio.to_thread(_put_in_place, new, before)
        finally:
            await self._leases.give_back(taken)

    async def _first(self) -> tuple[int, int | None]:
        """Give when the first of the people was erased whose keys an older backup may have, and when that has to end.

        Returns:
            Both in milliseconds; None for the second where there is nobody, or no promise.
        """
        within = self._within
        if within is None:
            return 0, None
        epochs = await self._keyring.keystore.epochs()
        is_alone = all(row.state in (OPEN, DESTROYED) for row in epochs)
        since = max(row.since for row in epochs if row.state == OPEN) if is_alone else 0

        async def work(connection: AsyncConnection, tables: Tables) -> int | None:
            from sqlalchemy import func, select  # noqa: PLC0415

            acts = tables.acts.c
            mine = (acts.tenant == self._keyring.tenant, acts.kind == ActKind.ERASE.value, acts.at >= since)
            first: int | None = (await connection.execute(select(func.min(acts.at)).where(*mine))).scalar()
            return first

        first = await self._ledger.transact(work)
        return (first, within.after(first)) if first is not None else (0, None)


def _put_in_place(new: Path, before: Iterable[Path]) -> None:
    """Remove backups, if there is the one that takes their place."""
    if new.exists():
        for path in before:
            path.unlink(missing_ok=True)
