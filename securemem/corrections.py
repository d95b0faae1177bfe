"""What a rectification owes the ledger: its act, and that no store brings the old record back.

    act in the ledger, not through yet → the record replaced (compare-and-swap) → purge → floor → act through

The act names the record and the version that its session's head gets with it. Under an older head the old record lies:
where the act is not through, the rectification was never made and is given up; where it is, a store was restored from
before it, and a stub takes the old record's place, for what it should say now is known to nobody else.
"""

from __future__ import annotations

import msgspec

from securemem.crypto.head import Walk
from securemem.errors import IntegrityError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Floor
from securemem.keys.unwrapped import SessionKeys
from securemem.ledger.acts import Act, ActKind, Edit, Tombstone
from securemem.ledger.store import Ledger
from securemem.model import Change, Head, to_milliseconds
from securemem.ports import ALL_ROWS, Backend, Clock


class Corrections:
    """The acts of rectifications."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock

    async def decide(self, keys: SessionKeys, edit: Edit) -> Act:
        """Decide to rectify a record, before anything is touched."""
        return await self._ledger.begin(
            ActKind.RECTIFY,
            tenant=self._keyring.tenant,
            user=None,
            generation=0,
            sessions=[Tombstone(keys.handle, keys.generation)],
            at=self._now(),
            edit=edit,
        )

    async def give_up(self, act: Act) -> None:
        """Say of a rectification that it was not made: the session had moved on."""
        await self._ledger.give_up(act.counter, at=self._now())

    async def enforce(self, act: Act, tombstone: Tombstone) -> int:
        """See to it that the old record is not there; gives how many were taken out.

        What was tampered with is left: no reader gets anything of it.
        """
        session = tombstone.session
        while (owner := await self._keyring.keystore.owner_of(session)) is not None:
            try:
                change = await self._change(act, tombstone, owner.user)
            except IntegrityError:
                change = None
            if change is None:
                return 0
            if await self._backend.swap(change) is None:
                return 1
        return 0

    async def _change(self, act: Act, tombstone: Tombstone, owner: bytes) -> Change | None:
        """Give the change that takes out the old record; None where it is not there, or was never to be rectified."""
        session, edit = tombstone.session, act.edit
        seal = self._keyring.head_seal(session)
        raw, _ = await self._backend.tail(session, 0)
        if not raw or edit is None:
            return None
        head = seal.decode(raw)
        if head.closed or head.generation > tombstone.generation:
            return None
        restored = head.version >> 32 > edit.version >> 32  # `restoringdata` puts heads far above
        if head.version >= edit.version and not restored:
            await self._keyring.keystore.raise_floors([Floor(session, head.version, head.latest_expiry)])
            return None
        if not act.done:
            await self.give_up(act)
            return None
        stood, rows = await self._backend.tail(session, ALL_ROWS)
        if stood != raw:
            return await self._change(act, tombstone, owner)
        walk = Walk(seal, head, session=session, owner=owner)
        stubs = [seal.stub_for(sealed) for sealed in walk.page(rows) if sealed.seq == edit.seq]
        return Change(session, raw, seal.encode(without(head, stubs)), rows=stubs) if stubs else None

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def without(head: Head, stubs: list[tuple[int, bytes]]) -> Head:
    """Give the head of a session in which stubs were put in place of records.

    What it knows of rectified ones stays: their stubs bear the tags that it names.
    """
    gone = {seq for seq, _ in stubs}
    return msgspec.structs.replace(
        head,
        version=head.version + 1,
        epoch=head.epoch + 1,
        holes=head.holes + len(stubs),
        pins=tuple(pin for pin in head.pins if pin not in gone),
    )
