"""Sessions in which something is preserved: what lies in one, and the change that fills it. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import NamedTuple, Self

from securemem.crypto.envelope import FLAG_COMPRESSED, Sealed
from securemem.crypto.head import Walk
from securemem.keys.unwrapped import SessionKeys
from securemem.model import NEVER, Change, Head, HeadFlag

_KEPT = int(HeadFlag.KEEP | HeadFlag.RESTRICTED)
_HELD = int(HeadFlag.HELD)


class Preserved(NamedTuple):
    """A record that is preserved: what was sealed, and its clear columns."""

    payload: bytes
    expiry: int
    retention_class: int
    hour: int
    compressed: bool

    @classmethod
    def of(cls, sealed: Sealed, payload: bytes) -> Self:
        """Give it of a record that was opened."""
        return cls(payload, sealed.expiry, sealed.retention_class, sealed.hour, sealed.flags & FLAG_COMPRESSED != 0)

    def __repr__(self) -> str:
        return "Preserved(…)"


def records_in(to: SessionKeys, head: Head, rows: list[tuple[int, bytes]]) -> list[Preserved]:
    """Open what lies in one, oldest first.

    Raises:
        IntegrityError: it is not as it was written.
    """
    walk = Walk(to.head, head, session=to.handle, owner=to.user)
    records = walk.page(rows)[::-1]
    walk.finish()
    return [Preserved.of(each, to.owner.open(each)) for each in records]


def filled(to: SessionKeys, head: Head, raw: bytes, records: list[Preserved], *, held: bool, due: int) -> Change:
    """Give the change that puts records into a session in place of all that lies there."""
    seq, prev, rows = head.next, head.last_tag, []
    for payload, expiry, kind, hour, compressed in records:
        record, prev = to.owner.seal(
            payload, seq=seq, prev=prev, expiry=expiry, retention_class=kind, hour=hour, compressed=compressed
        )
        rows.append((seq, record))
        seq += 1
    new = Head(
        version=head.version + 1,
        generation=head.generation,
        epoch=head.epoch + 1,
        flags=(head.flags & ~_HELD) | _KEPT | (_HELD if held else 0),
        first=head.next,
        next=seq,
        last_tag=prev,
        # One that is held is looked at too: its hold may be released before it is known that it is here.
        due=due,
    )
    trim = (head.first, head.next)
    return Change(to.handle, raw, to.head.encode(new), rows=rows, trim=trim, due=new.due, until=NEVER)
