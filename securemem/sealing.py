"""Seals messages one after the other for the places after a head. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from securemem import codec, window
from securemem.crypto.envelope import Sealer
from securemem.crypto.head import MAX_PINS
from securemem.keys.unwrapped import Entry, SessionKeys
from securemem.lives import HOUR
from securemem.model import NEVER, Change, Head, HeadFlag, Message
from securemem.preparing import Prepared

_KEEP = int(HeadFlag.KEEP)


class Room(msgspec.Struct, frozen=True, gc=False):
    """Where a session goes on: its first seq, the stubs behind that, and the messages to seal, in order."""

    first: int
    holes: int
    entries: list[Prepared]


class Run(msgspec.Struct, frozen=True, gc=False):
    """Messages that were sealed one after the other, and where they leave the chain."""

    rows: list[tuple[int, bytes]]
    pins: list[int]
    next: int
    last_tag: bytes


class Step(msgspec.Struct, frozen=True, gc=False):
    """A change that is ready to be made, and what comes of it."""

    change: Change
    head: Head
    run: Run
    entries: list[Prepared]
    prepared: list[Prepared]
    sealers: dict[str | None, Sealer]
    prev: bytes

    def finish(self, keys: SessionKeys, is_settled: Callable[[int], bool]) -> list[Message]:
        """Give the messages that the caller gave, as they are stored now, in that order.

        What was sealed is kept beside the keys, where all of it is the owner's, so that it need not be opened again.

        Args:
            keys: the session's.
            is_settled: tells of a class whether what is kept may be the messages themselves, without it.
        """
        rows, entries = self.run.rows, self.entries
        stored = [replace(entry.message, seq=seq) for entry, (seq, _) in zip(entries, rows, strict=True)]
        if len(self.sealers) == 1:
            found: list[Entry] = [
                message
                if codec.is_text(message) and is_settled(entry.kind)
                else (message.seq or 0, entry.compressed, entry.expiry, entry.payload, entry.kind, entry.hour)
                for message, entry in zip(stored, entries, strict=True)
            ]
            keys.known.add(rows, found, self.prev, ordinary=window.are_ordinary(found))
        if entries is self.prepared:
            return stored
        by_entry = {id(entry): message for entry, message in zip(entries, stored, strict=True)}
        return [by_entry[id(entry)] for entry in self.prepared]


def in_order(carried: list[Prepared], prepared: list[Prepared], over: int) -> list[Prepared]:
    """Put what goes at once first: the oldest that are not pinned of a batch `over` the limit by so many."""
    if not carried and over <= 0:
        return prepared
    going: list[Prepared] = []
    staying: list[Prepared] = []
    for entry in prepared:
        (going if len(going) < over and not entry.pinned else staying).append(entry)
    return going + carried + staying


def seal(head: Head, entries: list[Prepared], sealers: dict[str | None, Sealer]) -> Run:
    """Seal messages for the places after a head."""
    prev, seq, rows, pins = head.last_tag, head.next, [], list(head.pins)
    for entry in entries:
        record, prev = entry.seal(sealers[entry.message.user_id], seq, prev)
        rows.append((seq, record))
        if entry.pinned:
            pins.append(seq)
        seq += 1
    return Run(rows, pins, seq, prev)


def seal_step(
    keys: SessionKeys,
    head: Head,
    raw: bytes,
    *,
    prepared: list[Prepared],
    room: Room,
    sealers: dict[str | None, Sealer],
) -> Step:
    """Seal messages and work out the change that appends them.

    Args:
        keys: the session's.
        head: that the change builds on.
        raw: its bytes.
        prepared: what the caller wants appended.
        room: what is sealed, and from where the session goes on.
        sealers: by the id of the person that a message is about, None for the session's owner.
    """
    first = room.first
    run = seal(head, room.entries, sealers)
    due, latest, keeps = _times(head, room.entries)
    new = Head(
        version=head.version + 1,
        generation=head.generation,
        epoch=head.epoch,
        flags=head.flags | _KEEP if keeps else head.flags,
        first=first,
        next=run.next,
        last_tag=run.last_tag,
        holes=room.holes,
        due=due,
        latest_expiry=latest,
        edits={edited: tag for edited, tag in head.edits.items() if edited >= first} if head.edits else {},
        pins=tuple(pin for pin in run.pins if pin >= first)[-MAX_PINS:] if run.pins else (),
    )
    change = Change(
        session=keys.handle,
        expected=raw,
        head=keys.head.encode(new),
        rows=[row for row in run.rows if row[0] >= first] if first > head.next else run.rows,
        trim=(head.first, min(first, head.next)),
        due=due if due != head.due else None,
        until=_until(head, new),
    )
    return Step(change, new, run, room.entries, prepared, sealers, head.last_tag)


def _until(head: Head, new: Head) -> int | None:
    """Give until when a store has to keep the session, where that is another moment than before; for good if kept.

    It is rounded up to the hour, so that few appends to a session whose messages all live for the same time move it.
    """
    if new.keep:
        return NEVER
    until = _to_the_hour(new.latest_expiry)
    return None if head.version and until == _to_the_hour(head.latest_expiry) else until


def _to_the_hour(moment: int) -> int:
    return -(-moment // HOUR) * HOUR


def _times(head: Head, entries: list[Prepared]) -> tuple[int, int, bool]:
    """Give what a head says once these have come.

    Returns:
        When a worker should look next, until when callers want the last of the records (NEVER if one has no end), and
        whether one of these has to be kept.
    """
    due, latest, keeps = head.due, head.latest_expiry, False
    endless = latest == NEVER and head.next > 1
    for entry in entries:
        if entry.due != NEVER and (entry.due < due or due == NEVER):
            due = entry.due
        latest = max(latest, entry.expiry)
        endless = endless or entry.expiry == NEVER
        keeps = keeps or entry.keeps
    return due, NEVER if endless else latest, keeps
