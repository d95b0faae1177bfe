"""Reads sessions: opens what a conversation gives, leaves out what is past its time, and pages back.

Decrypting is a few microseconds a message, so it is done on the event loop, which gets a turn every hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import msgspec

from securemem import codec, window
from securemem.conversation import Conversation, Found
from securemem.crypto.envelope import FLAG_COMPRESSED, Opened, Sealed
from securemem.crypto.head import Walk
from securemem.errors import CorruptRecordError, IntegrityError, UserRestrictedError, WrongKeyError
from securemem.keys.rows import Person
from securemem.keys.unwrapped import Entry, SessionKeys
from securemem.lives import Lives
from securemem.model import NEVER, VAULT, Head, Message, from_milliseconds
from securemem.newest import Newest
from securemem.ports import Clock

YIELD_EVERY = 100
FORGOTTEN_SINCE = (WrongKeyError, CorruptRecordError)
"""What opening a record can raise whose person was forgotten since it was read: their key is gone, or it is another one
by now, for something of theirs has to be kept, and so they came back under the same handle."""


class Page(msgspec.Struct, frozen=True, gc=False):
    """Messages of a session that were read.

    Attributes:
        messages: oldest first.
        head: the session's; None where there is no session.
        ordinary: whether it is known of all that there is nothing to be seen to before they are given, as
            `window.are_ordinary` says; False where nobody has looked.
    """

    messages: list[Message]
    head: Head | None = None
    ordinary: bool = False


class Reader:
    """Reads the sessions of one store."""

    def __init__(self, clock: Clock, lives: Lives, *, max_messages: int) -> None:
        """Take the store's clock, how long its records live, and how many a session has at most."""
        self._clock = clock
        self._lives = lives
        self._max_messages = max_messages

    async def newest(
        self,
        conversation: Conversation,
        limit: int,
        before: int | None = None,
        *,
        actor: str | None = None,
        even_restricted: bool = False,
    ) -> Page:
        """Give the newest `limit` messages below `before` that are not past their time, oldest first.

        A session that is held or restricted is given to nobody but its person (`even_restricted`). A page from the
        middle begins where an earlier one has ended, at a tag that was verified then; if none has, all from the head
        down to it is read and verified once.

        Raises:
            UserRestrictedError: the session is held or restricted.
        """
        ask = limit
        while True:
            newest = conversation.newest
            start = before if before in newest.boundaries and not _has_to_count(newest.head) else None
            above = conversation.newest.rows_above(before) if start is None else 0
            found = await conversation.read(ask + above, start)
            if found is None:
                return Page([])
            # A vault is read for the session in which its pseudonyms stand, and that one is asked.
            if not even_restricted and conversation.session_id != VAULT:
                check_restriction(found)
            if before is not None and before <= found.head.first:
                return Page([], found.head)
            if _is_amiss(newest, found.head, start, above=newest.rows_above(before) - above):
                continue  # the head was not known, or has moved: now it is known how far to read
            if before is None and (recalled := _recalled(conversation, found)):
                return Page(recalled, found.head, ordinary=True)
            messages = await self._open_standing(conversation, found, actor)
            if messages is None:
                continue
            if before is not None:
                messages = [message for message in messages if message.seq is not None and message.seq < before]
            if found.whole or len(messages) >= limit or self._is_past(found):
                del messages[limit:]
                messages.reverse()
                return Page(messages, found.head)
            ask *= 2

    async def _open_standing(self, conversation: Conversation, found: Found, actor: str | None) -> list[Message] | None:
        """Open a page; None where the session, or a guest in it, was destroyed since it was read."""
        try:
            messages = await self._open(conversation, found, actor)
        except FORGOTTEN_SINCE as exc:
            if await stands(conversation, found.head, exc):
                raise
            return None
        return self._within(messages, found.head) if found.head.keep else messages

    def _is_past(self, found: Found) -> bool:
        """Tell whether a page has reached what would have been trimmed."""
        head = found.head
        return head.keep and found.rows[-1][0] < head.next - head.holes - self._max_messages

    def _within(self, messages: list[Message], head: Head) -> list[Message]:
        """Leave out what would have been trimmed, had nothing in the session to be kept."""
        first = head.next - head.holes - self._max_messages
        if _has_to_count(head) and len(messages) > self._max_messages:
            first = max(first, messages[self._max_messages - 1].seq or 0)
        return [message for message in messages if (message.seq or 0) >= first or message.seq in head.pins]

    async def is_over(self, sealed: Sealed, now: int) -> bool:
        """Tell whether a record that was put in its place is past its time."""
        kind = sealed.retention_class
        await self._lives.know((kind,))
        return NEVER < self._lives.seen(kind, sealed.hour, sealed.expiry) <= now

    async def pinned(
        self, conversation: Conversation, messages: Sequence[Message], head: Head, *, actor: str | None = None
    ) -> list[Message]:
        """Give the pinned messages that live, oldest first: those among `messages`, and those that are older.

        An older one is read and verified with all that lies above it, the owner's once as long as the session's keys
        are held, a guest's each time.
        """
        now = self._clock()
        keys = await conversation.keys()
        at_hand = {message.seq: message for message in messages}
        if keys is None:
            return []
        if any(seq not in at_hand and seq not in keys.pinned for seq in head.pins):
            keys, guests = await self._older_pinned(conversation, keys, head, actor)
            at_hand = {message.seq: message for message in guests} | at_hand
        pinned = []
        for seq in head.pins:
            if seq in at_hand:
                pinned.append(at_hand[seq])
            elif seq in keys.pinned:
                pinned += await self._living([keys.pinned[seq]], now, actor)
        return pinned

    async def _older_pinned(
        self, conversation: Conversation, keys: SessionKeys, head: Head, actor: str | None
    ) -> tuple[SessionKeys, list[Message]]:
        """Keep the owner's pinned messages with the session's keys; gives these, and the pinned messages of guests."""
        while True:
            found = await conversation.read(head.next - head.first)
            if found is None:
                return keys, []
            keys, pinned = found.keys, [sealed for sealed in found.records() if sealed.seq in head.pins]
            for sealed in pinned:
                if sealed.subject is None:
                    keys.pinned[sealed.seq] = _opened(sealed, keys.owner.open(sealed))
            theirs = [sealed for sealed in pinned if sealed.subject is not None]
            try:
                return keys, await self.open_all(conversation, keys, theirs, actor)
            except FORGOTTEN_SINCE as exc:
                if await stands(conversation, found.head, exc):
                    raise

    async def _open(self, conversation: Conversation, found: Found, actor: str | None) -> list[Message]:
        """Verify and open a page, and leave out what is past its time, or for other actors."""
        now = self._clock()
        keys, walk, rows = found.keys, found.walk, found.rows
        done = newer = keys.known.newer(rows)
        messages: list[Message] = []
        if newer:
            messages, done = await self._open_run(keys, walk, rows[:newer], now, actor)
        if done == newer and done < len(rows):
            recalled = walk.recall(rows[done:] if done else rows, keys.known)
            messages += await self._living(recalled, now, actor)
            done += len(recalled)
            if done < len(rows):
                older, count = await self._open_run(keys, walk, rows[done:], now, actor)
                messages += older
                done += count
        if done < len(rows):
            messages += await self.open_all(conversation, keys, walk.page(rows[done:]), actor)
        if found.whole:
            walk.finish()
        conversation.newest.remember_boundary(walk)
        return messages

    async def _open_run(
        self, keys: SessionKeys, walk: Walk, rows: list[tuple[int, bytes]], now: datetime, actor: str | None
    ) -> tuple[list[Message], int]:
        """Open the ordinary records that rows begin with; gives the messages that live, and how many were opened."""
        messages: list[Message] = []
        entries: list[Entry] = []
        while len(entries) < len(rows):
            some = rows[len(entries) : len(entries) + YIELD_EVERY]
            opened = walk.run(keys.owner, some)
            lives, kinds = self._lives, {record[4] for record in opened}
            await lives.know(kinds)
            settled = {kind for kind in kinds if lives.is_settled(kind)}
            given = {kind for kind in kinds if lives.is_for(kind, actor)}
            for record in opened:
                kind = record[4]
                message = _message(record, lives.seen(kind, record[5], record[2]))
                entries.append(message if kind in settled and codec.is_text(message) else record)
                if kind in given and (message.expires_at is None or message.expires_at > now):
                    messages.append(message)
            if len(opened) < len(some):
                break
            if len(entries) < len(rows):
                await asyncio.sleep(0)
        ordinary = window.are_ordinary(entries)
        keys.known.add(rows[: len(entries)][::-1], entries[::-1], walk.expected, ordinary=ordinary)
        return messages, len(entries)

    async def _living(self, entries: Sequence[Entry], now: datetime, actor: str | None) -> list[Message]:
        """Give the messages that are not past their time, and for this actor."""
        lives = self._lives
        if not lives.is_idle:
            await lives.know({entry[4] for entry in entries if not isinstance(entry, Message)})
        living: list[Message] = []
        for entry in entries:
            if isinstance(entry, Message):
                message = entry
            elif lives.is_for(entry[4], actor):
                message = _message(entry, lives.seen(entry[4], entry[5], entry[2]))
            else:
                continue
            if message.expires_at is None or message.expires_at > now:
                living.append(message)
        return living

    async def open_all(
        self,
        conversation: Conversation,
        keys: SessionKeys,
        records: list[Sealed],
        actor: str | None = None,
        *,
        people: dict[str, Person] | None = None,
    ) -> list[Message]:
        """Open records that were put in their place, and leave out those past their time.

        Args:
            conversation: the session.
            keys: its keys, which may be wiped meanwhile.
            records: of it.
            actor: who reads.
            people: takes in as whom guests were read, by id, for whoever seals anew what they said.
        """
        now = self._clock()
        messages: list[Message] = []
        for count, sealed in enumerate(records, 1):
            sealer = keys.owner
            if sealed.subject is not None:
                sealer = await conversation.guest_opener(keys, sealed.subject, sealed.seq)
                if people is not None:
                    people |= keys.guest_ids | people  # as they were read first
            messages += await self._living([_opened(sealed, sealer.open(sealed))], now, actor)
            if not count % YIELD_EVERY:
                await asyncio.sleep(0)
        return messages


def _recalled(conversation: Conversation, found: Found) -> list[Message]:
    """Give a page from the head, oldest first, if all of it is known and ordinary; else nothing."""
    known, walk = found.keys.known, found.walk
    if found.head.keep or not known.are_ordinary(found.rows):
        return []
    messages = cast("list[Message]", walk.recall(found.rows, known))
    if messages:
        if found.whole:
            walk.finish()
        conversation.newest.remember_boundary(walk)
        messages.reverse()
    return messages


def _is_amiss(newest: Newest, head: Head, start: int | None, *, above: int) -> bool:
    """Tell whether a page has to be asked for anew, by what its head says.

    Args:
        newest: what is known of the session.
        head: of the page.
        start: the place that it begins at, where an earlier one has ended; None for the head.
        above: how many rows it lacks then.
    """
    if start is None:
        return above > 0
    return _has_to_count(head) or (start < head.next and start not in newest.boundaries)


def _has_to_count(head: Head | None) -> bool:
    """Tell whether only a look at all that is newer shows what would have been trimmed of a session."""
    return head is not None and head.keep and head.holes > 0


async def stands(conversation: Conversation, head: Head, error: IntegrityError) -> bool:
    """Tell whether a session is there still, with nothing taken out of its middle since a head of it was read.

    Args:
        conversation: the session.
        head: that was read.
        error: what was raised when its records were opened; where a key was gone, the session's own may be too.
    """
    if isinstance(error, WrongKeyError):
        conversation.ask_anew()
    found = await conversation.read(1, primary=True)
    return found is not None and found.head.epoch == head.epoch and found.head.generation == head.generation


def check_restriction(found: Found) -> None:
    """Refuse to give what a hold or a restriction keeps out of sight.

    Raises:
        UserRestrictedError: one is on the session.
    """
    if found.head.restricted:
        raise UserRestrictedError(f"session {found.keys.handle.hex()}: is held or restricted: it is kept, and not read")


def _opened(sealed: Sealed, payload: bytes) -> Opened:
    return sealed.seq, sealed.flags, sealed.expiry, payload, sealed.retention_class, sealed.hour


def _message(record: Opened, seen: int) -> Message:
    """Give the message of a record that is given to readers until a moment, in milliseconds; NEVER for good."""
    seq, flags, _, payload, _, _ = record
    plain = codec.decompress(payload, seq=seq) if flags & FLAG_COMPRESSED else payload
    return codec.decode(plain, seq, None if seen == NEVER else from_milliseconds(seen))
