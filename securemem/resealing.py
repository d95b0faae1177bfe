"""Seals again what lies in a session: one record in place of another, or a whole run of the chain.

A record that is replaced keeps the `prev` that it had, and the head's `edits` name its new tag; where it is the newest,
the head's `last tag` does. When the edits are too many, all from the oldest of them on is sealed again in one change,
so that each `prev` says anew what lies before, and no edits are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from securemem.crypto.envelope import FLAG_COMPRESSED, Sealed, Sealer
from securemem.crypto.head import MAX_EDITS, HeadSeal, is_stub
from securemem.model import Change, Head
from securemem.preparing import Prepared

_YIELD_EVERY = 100

SealerOf = Callable[[Sealed], Awaitable[Sealer]]
"""Gives what opens and seals a record."""


class Replacement(NamedTuple):
    """A record, and what is to be sealed in its place."""

    sealed: Sealed
    prepared: Prepared

    def seal(self, sealer: Sealer, prev: bytes) -> tuple[bytes, bytes]:
        """Seal it, as `Sealer.seal` does."""
        return self.prepared.seal(sealer, self.sealed.seq, prev)


def has_room(head: Head, seq: int) -> bool:
    """Tell whether one more edit, of the record at `seq`, can be named by a head."""
    return len(head.edits) < MAX_EDITS or seq in head.edits or seq == head.next - 1


def lowest(head: Head, seq: int) -> int:
    """Give from where on a session is sealed again to replace the record at `seq`."""
    return seq if has_room(head, seq) else min(seq, *head.edits)


class Session(NamedTuple):
    """A session as it stands.

    Attributes:
        handle: the session's.
        seal: makes its heads and stubs.
        head: that stands, and
        raw: its bytes.
    """

    handle: bytes
    seal: HeadSeal
    head: Head
    raw: bytes

    def change(self, new: Head, rows: list[tuple[int, bytes]]) -> tuple[Change, Head]:
        """Give the change that puts rows, and its head: the epoch rises, so that nobody goes by what was."""
        new = msgspec.structs.replace(new, version=self.head.version + 1, epoch=self.head.epoch + 1)
        return Change(self.handle, self.raw, self.seal.encode(new), rows=rows), new


def replace_one(session: Session, new: Replacement, sealer: Sealer) -> tuple[Change, Head]:
    """Give the change that puts one record in place of another."""
    head, seq = session.head, new.sealed.seq
    record, tag = new.seal(sealer, new.sealed.prev)
    if seq == head.next - 1 and seq not in head.edits:
        head = msgspec.structs.replace(head, last_tag=tag)
    else:
        head = msgspec.structs.replace(head, edits=head.edits | {seq: tag})
    return session.change(head, [(seq, record)])


async def replace_run(
    session: Session,
    new: Replacement,
    rows: Iterable[tuple[int, bytes]],
    records: Sequence[Sealed],
    sealer_of: SealerOf,
) -> tuple[Change, Head]:
    """Give the change that seals again all from the oldest edit on, with one record replaced.

    Args:
        session: as it stands.
        new: the record that is replaced.
        rows: that lie there from the oldest edit on, oldest first.
        records: those of them that are no stubs, verified.
        sealer_of: gives what opens and seals a record.
    """
    by_seq = {sealed.seq: sealed for sealed in records}
    put: list[tuple[int, bytes]] = []
    prev: bytes | None = None
    for seq, raw in rows:
        if is_stub(raw):
            stub = session.seal.open_stub(raw, seq)
            at, tag = session.seal.stub(seq=seq, tag=stub.tag, prev=stub.prev if prev is None else prev), stub.tag
        else:
            sealed = by_seq[seq]
            sealer = await sealer_of(sealed)
            before = sealed.prev if prev is None else prev
            at, tag = new.seal(sealer, before) if seq == new.sealed.seq else _again(sealed, sealer, before)
        put.append((seq, at))
        prev = tag
        if not len(put) % _YIELD_EVERY:
            await asyncio.sleep(0)
    return session.change(msgspec.structs.replace(session.head, edits={}, last_tag=prev or bytes(16)), put)


def _again(sealed: Sealed, sealer: Sealer, prev: bytes) -> tuple[bytes, bytes]:
    """Seal what is in a record for the same place after another record."""
    return sealer.seal(
        sealer.open(sealed),
        seq=sealed.seq,
        prev=prev,
        expiry=sealed.expiry,
        retention_class=sealed.retention_class,
        hour=sealed.hour,
        compressed=bool(sealed.flags & FLAG_COMPRESSED),
    )
