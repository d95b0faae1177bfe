"""What the tests of the ledger write."""

from __future__ import annotations

from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.ledger.store import Ledger

DEPLOYMENT, TENANT, PERSON = (bytes([number]) * 16 for number in (1, 2, 3))


async def begin(ledger: Ledger, kind: ActKind, *sessions: bytes) -> Act:
    """Write an act."""
    person = PERSON if kind is ActKind.ERASE else None
    graves = [Tombstone(session, 1) for session in sessions]
    return await ledger.begin(kind, tenant=TENANT, user=person, generation=1, sessions=graves, at=1000)
