"""Sessions in which something is preserved: their names, what lies in one, the change that fills it. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Self

from securemem import codec
from securemem.crypto.envelope import FLAG_COMPRESSED, Sealed
from securemem.crypto.head import Walk
from securemem.keys.unwrapped import SessionKeys
from securemem.model import NEVER, Change, Head, HeadFlag, Message

_MARK = "\0preserved\0"
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

    def message(self) -> Message:
        """Give the message that it says."""
        plain = codec.decompress(self.payload, seq=0) if self.compressed else self.payload
        return codec.decode(plain, 0, None)

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


def name_for(session: bytes, act: int, attempt: int, name: str) -> str:
    """Give the name of a session in which an act preserves something: one that no caller gives.

    Args:
        session: of which.
        act: its number.
        attempt: how many were closed before it was filled.
        name: what the session is called, where that is the person's to know.
    """
    return f"{_begins(session, act)}{attempt}\0{name}"


def is_of(name: str, session: bytes, act: int) -> bool:
    """Tell whether a name is of a session in which an act preserves something of another one."""
    return name.startswith(_begins(session, act))


def preserves(name: str) -> bool:
    """Tell whether a name is of a session in which something is preserved."""
    return name.startswith(_MARK)


def shown_name(session_id: str) -> str:
    """Give what a session was called that this one preserves something of; its own name where it does not.

    It is empty where that is not the person's to know: they were a guest in it.
    """
    return session_id[len(_MARK) :].split("\0", 3)[3] if preserves(session_id) else session_id


def still_lie(there: list[Preserved], new: list[Preserved]) -> bool:
    """Tell of what is preserved whether all of it is among records that lie yet, be it in an older wording.

    A rectified record has the time and the role that it had.
    """
    return Counter(map(_identity, there)) <= Counter(map(_identity, new))


def _identity(record: Preserved) -> tuple[object, str]:
    message = record.message()
    return message.timestamp, message.role


def _begins(session: bytes, act: int) -> str:
    return f"{_MARK}{session.hex()}\0{act}\0"
