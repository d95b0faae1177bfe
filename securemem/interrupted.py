"""Carries out acts that whoever decided them has not seen through: killed, cancelled, or cut off from a store.

That is done when a store is opened, and by workers, for a process may stay open for months.
"""

from __future__ import annotations

from collections.abc import Sequence

from securemem.destruction import Destruction
from securemem.keys.keyring import Keyring
from securemem.ledger.acts import Act, ActKind
from securemem.ledger.store import Ledger
from securemem.marks import MARKING, mark_anew
from securemem.model import to_milliseconds
from securemem.ports import Backend, Clock
from securemem.throughout import throughout

GRACE_SECONDS = 600
"""For how long an act that is not through is left to whoever decided it."""
_SEEN_THROUGH = MARKING | {ActKind.CLEAR, ActKind.EXPIRE, ActKind.ERASE, ActKind.RECTIFY}


async def carry_out(
    acts: Sequence[Act],
    destruction: Destruction,
    *,
    backend: Backend,
    keyring: Keyring,
    ledger: Ledger,
    clock: Clock,
    purge_seconds: float,
) -> None:
    """Carry out some of a tenant's acts, by ascending number, and mark them as through.

    Args:
        acts: as the ledger has them.
        destruction: over the tenant's stores.
        backend: the tenant's data.
        keyring: the tenant's.
        ledger: where they stand.
        clock: the store's.
        purge_seconds: as `Destruction.carry_out`.
    """

    async def work() -> None:
        if any(act.kind in MARKING for act in acts):
            # First, for a stamp says of all acts up to one that they are done.
            await mark_anew(backend, keyring, ledger, clock)
        await destruction.catch_up(acts, purge_seconds=purge_seconds)

    await throughout(backend, work)


async def left_behind(ledger: Ledger, tenant: bytes, clock: Clock) -> list[Act]:
    """Give a tenant's acts that were decided a while ago and are not through: nobody is at them any more."""
    before = to_milliseconds(clock()) - GRACE_SECONDS * 1000
    acts = await ledger.acts(unfinished=True)
    return [act for act in acts if act.tenant == tenant and act.kind in _SEEN_THROUGH and act.at <= before]
