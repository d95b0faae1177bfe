"""One session's state in this process: its keys, its newest head, and the lock under which it is written.

All handles of a session share one of these. A reader takes head and window in one round trip and verifies them; a
writer that has just read has the head, so a chat turn is one read and one write. Whatever other processes do to the
session shows in the head: the version never goes back, a moved epoch voids what is cached, a closed head ends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from securemem.crypto.envelope import Sealed, Sealer
from securemem.crypto.head import Walk
from securemem.errors import ConflictError, ReorderedError, UserErasedError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Person
from securemem.keys.unwrapped import SessionKeys, Title
from securemem.ledger.acts import Act
from securemem.model import NEVER, Change, Head, Tail, to_milliseconds
from securemem.nearby import Ahead, Pages
from securemem.newest import Newest
from securemem.ports import Backend, Clock

HEADLESS_SECONDS = 600
"""How long after its making a session's key may still be waiting for the first message."""
_CLOSED_POLL_SECONDS = 0.01
CLOSER_SECONDS = 5.0
"""How long whoever closed a session has to shred its key, before a writer who waits for that does it."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """A page of a session that was read, and not yet opened.

    Attributes:
        keys: the session's.
        head: verified.
        walk: puts the rows in their place in the chain.
        rows: newest first.
        whole: whether the session's beginning was reached.
    """

    keys: SessionKeys
    head: Head
    walk: Walk
    rows: list[tuple[int, bytes]]
    whole: bool

    def records(self) -> list[Sealed]:
        """Verify all rows and give the records, newest first."""
        records = self.walk.page(self.rows)
        if self.whole:
            self.walk.finish()
        return records


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a change goes: the session's keys, and the head that it builds on."""

    keys: SessionKeys
    head: Head
    raw: bytes


@dataclass(frozen=True, slots=True)
class Around:
    """What all conversations of a store share.

    Attributes:
        backend: the data store.
        pages: reads it, or a replica.
        keyring: the tenant's keys.
        clock: the store's.
        retire: destroys a session that the data store has dropped at its end, its key first.
        expire: destroys a session that was closed, likewise.
        begun: is told of every session whose first head is there, or in which somebody is a guest for the first time,
            before its writer knows.
        floors: the newest head of every session that this process saw, for the keystore: version and latest expiry.
    """

    backend: Backend
    pages: Pages
    keyring: Keyring
    clock: Clock
    retire: Callable[[bytes, int], Awaitable[None]]
    expire: Callable[[bytes, int], Awaitable[None]]
    begun: Callable[[bytes], Awaitable[None]]
    floors: dict[bytes, tuple[int, int]] = field(default_factory=dict)


class Conversation:
    """Knows one session's keys and head, and moves it; `reader` opens what it reads, `writer` makes what it writes."""

    def __init__(self, around: Around, *, user_id: str, session_id: str, tags: tuple[str, ...] = ()) -> None:
        """Know where to look; nothing is read yet.

        Args:
            around: what all conversations share.
            user_id: the session's owner.
            session_id: its id.
            tags: what it is given when it is made.
        """
        self.lock = asyncio.Lock()
        self.user_id = user_id
        self.session_id = session_id
        self.tags = tags
        self.erased = False
        self.interrupted: Act | None = None
        self._around = around
        self._backend = around.backend
        self._keyring = around.keyring
        self.newest = Newest(around.floors)
        self._person: Person | None = None
        self._absent = False

    # Keys and head

    async def keys(self) -> SessionKeys | None:
        """Give the session's keys; None where there is no such session.

        Raises:
            UserErasedError: its person was forgotten since this object was first used.
        """
        keys = self._at_hand()
        if keys is not None:
            return keys
        person, keys = await self._keyring.find_both(self.user_id, self.session_id)
        self._absent = keys is None
        if keys is None or keys.handle != self.newest.handle or self._person not in (None, keys.person):
            await self._changed(keys)
        self._person = self._person or person
        return keys

    def _at_hand(self) -> SessionKeys | None:
        """Give the session's keys if they are in memory.

        Raises:
            UserErasedError: as `keys`.
        """
        if self.erased:
            raise UserErasedError("the person of this session was forgotten; open a new handle to begin anew")
        keys = self._keyring.held.sessions.get((self.user_id, self.session_id))
        return keys if keys is not None and keys.handle == self.newest.handle else None

    async def keys_or_new(self) -> SessionKeys:
        """Give the session's keys, made where there are none; the keystore is not asked twice on end for the same."""
        if self._absent and not self.erased:
            return await self.mint()
        return self._at_hand() or await self.keys() or await self.mint()

    async def _changed(self, keys: SessionKeys | None) -> None:
        """Take over another session key than before, or none; find out whether the person was forgotten."""
        if self._person is not None and (keys is None or keys.person != self._person):
            row = await self._keyring.find_user(self.user_id)
            if row is None or row.person != self._person:
                self.erased = True
                raise UserErasedError("the person of this session was forgotten; open a new handle to begin anew")
        self.newest.begin(keys.handle if keys is not None else None)
        self._person = keys.person if keys is not None else self._person

    def tags_at_hand(self) -> tuple[str, ...] | None:
        """Give the session's tags if they are in memory."""
        keys = self._at_hand()
        return keys.title.tags if keys is not None else None

    async def known_tags(self) -> tuple[str, ...]:
        """Give the session's tags: those it was made with, or will be."""
        if self._absent and not self.erased:
            return self.tags
        keys = await self.keys()
        return keys.title.tags if keys is not None else self.tags

    @property
    def person(self) -> Person | None:
        """Its owner, as far as they are known."""
        return self._person

    def belong_to(self, person: Person | None) -> None:
        """Be this person's and nobody else's, who has the same id perhaps since the person was forgotten.

        Raises:
            UserErasedError: it is somebody else's.
        """
        if person is not None and self._person not in (None, person):
            raise UserErasedError("the person of this session was forgotten; open a new handle to begin anew")
        self._person = self._person or person

    def mark_erased(self) -> None:
        """End this object: its person was forgotten by this process."""
        self.erased = True
        self.newest.begin(None)

    def reset(self) -> None:
        """Forget keys and head: the session was cleared by this process."""
        self._keyring.held.forget(self.user_id, self.session_id)
        self.newest.begin(None)

    async def _voided(self, keys: SessionKeys, before: int, head: Head) -> bool:
        """Let go of what is cached, if something lawful has happened to the session; tell whether to begin again.

        Args:
            keys: that were used.
            before: the epoch that was known when they were.
            head: the newest one.
        """
        if head.epoch == before and not head.closed:
            return False
        self._keyring.held.forget(self.user_id, self.session_id)
        fresh = await self.keys()
        return not head.closed or fresh is None or fresh.handle != keys.handle

    # Reading

    async def read(self, limit: int, before: int | None = None, *, primary: bool = False) -> Found | None:
        """Read a page of the chain and its head in one round trip; None where there is no session, or nothing in it.

        Args:
            limit: how many rows.
            before: the seq that they lie below.
            primary: whether a replica's answer would not do, for whoever writes by it.

        Raises:
            IntegrityError: the head is not as it was written, or missing.
        """
        asked, newest = None, self.newest
        while True:
            seen, epoch = newest.version, newest.epoch
            early, keys = None, self._at_hand()
            if keys is None:
                early = await self._read_ahead(limit, before)
                keys = await self.keys()
            if keys is None:
                return None
            if early is not None and early.session == keys.handle:
                tail: Tail | None = await early.tail
            else:
                seen, epoch = newest.version, newest.epoch
                tail = await self._around.pages.tail(keys, limit, before, least=None if primary else seen)
            if tail is None:
                self._keyring.held.forget(self.user_id, self.session_id)
                continue
            raw, rows = tail
            if not raw:
                if self._is_empty(keys, rows, seen, asked=asked):
                    return None
                asked = keys.handle
                self._keyring.held.forget(self.user_id, self.session_id)
                continue
            head = newest.accept(keys, raw, seen)
            if await self._voided(keys, epoch, head):
                continue
            if head.closed:
                return None
            tag = newest.boundaries.get(before) if before is not None and before < head.next else None
            walk = Walk(keys.head, head, session=keys.handle, owner=keys.user, genuine=keys.genuine, page=(before, tag))
            whole = len(rows) < limit or rows[-1][0] <= head.first
            return Found(keys, head, walk, rows, whole)

    def _is_empty(self, keys: SessionKeys, rows: list[tuple[int, bytes]], seen: int, *, asked: bytes | None) -> bool:
        """Tell whether a session without a head has nothing in it; False where the keystore has to be asked first.

        It may have ended, been cleared or erased since its keys were cached, and begun anew under another key.

        Args:
            keys: that were used.
            rows: that were found.
            seen: the newest version that had been seen.
            asked: the handle that the keystore had just now.

        Raises:
            ReorderedError: somebody took the head away.
        """
        if not rows and asked != keys.handle:
            return False
        if self._is_over(keys, rows) or (not rows and not seen and not keys.floor):
            return True
        raise ReorderedError("its head is missing: the data was cut or rolled back", session=keys.handle)

    async def _read_ahead(self, limit: int, before: int | None) -> Ahead | None:
        """Ask a server for the page of a session whose keys have left the cache, while the keystore is asked for these.

        Nothing of it is looked at before the keys are there.
        """
        if self.newest.handle is None or self._keyring.held.sessions.get((self.user_id, self.session_id)) is not None:
            return None
        return await self._around.pages.ahead(self.newest.handle, limit, before)

    def _is_over(self, keys: SessionKeys, rows: list[tuple[int, bytes]]) -> bool:
        """Tell whether a session that is not there was to end by now, so that its store may have dropped it."""
        head = self.newest.head
        end = head.latest_expiry if head is not None else keys.floor_ends
        return not rows and NEVER < end <= to_milliseconds(self._around.clock())

    # Moving the head

    async def place(self, keys: SessionKeys) -> Place:
        """Give the head that a change builds on, read only if it is not known."""
        newest = self.newest
        if newest.certain and newest.head is not None:
            return Place(keys, newest.head, newest.raw)
        if keys.fresh:
            keys.fresh = False
            return Place(keys, Head(version=0, generation=keys.generation), b"")
        seen = newest.version
        raw, rows = await self._backend.tail(keys.handle, 1)
        if raw:
            return Place(keys, newest.accept(keys, raw, seen), raw)
        self.ask_anew()  # it may have ended since its keys were cached, and begun anew under another key
        fresh = await self.keys_or_new()
        if fresh.handle != keys.handle:
            return await self.place(fresh)
        if self._is_over(keys, rows) or (not rows and not seen and not keys.floor and self._is_old(keys)):
            # Nothing is appended under a key that may have sealed other records at the same places.
            await self._around.retire(keys.handle, keys.generation)
            self.reset()
            return await self.place(await self.keys_or_new())
        if rows or seen or keys.floor:
            await self.read(1, primary=True)  # names what is wrong, or finds that the session was removed lawfully
            raise ConflictError(f"session {keys.handle.hex()}: was cleared at the same moment; try again")
        return Place(keys, Head(version=0, generation=keys.generation), b"")

    def _is_old(self, keys: SessionKeys) -> bool:
        """Tell whether a key without a head is no longer one that somebody is just about to use."""
        return to_milliseconds(self._around.clock()) - keys.title.created_at > HEADLESS_SECONDS * 1000

    async def swap(self, keys: SessionKeys, change: Change, new: Head) -> bool:
        """Make a change; False, with the head that stands taken over, where somebody else was quicker."""
        newest = self.newest
        seen, epoch = newest.version, newest.epoch
        # Should this be cancelled or fail, the head is unknown, and whoever comes next reads it.
        newest.certain = False
        current = await self._backend.swap(change)
        if current is None:
            newest.adopt(keys.handle, change.head, new)
            if not change.expected or keys.has_new_guest:
                keys.has_new_guest = False
                await self._around.begun(keys.handle)
            return True
        if current:
            await self._voided(keys, epoch, newest.accept(keys, current, seen))
        else:
            self._keyring.held.forget(self.user_id, self.session_id)
        return False

    def ask_anew(self) -> None:
        """Take the keys from the keystore next time, for what is not hot and must know what other processes did."""
        self._keyring.held.forget(self.user_id, self.session_id)

    async def mint(self, owner: Person | None = None) -> SessionKeys:
        """Make the session's key; `owner` has to be there still."""
        title = Title(self.session_id, to_milliseconds(self._around.clock()), self.tags)
        try:
            keys = await self._keyring.mint(self.user_id, self.session_id, title, owner=owner or self._person)
        except UserErasedError:
            self.erased = self.erased or owner is None
            raise
        self._absent = False
        if keys.handle != self.newest.handle:
            await self._changed(keys)
        return keys

    async def guest_opener(self, keys: SessionKeys, subject: bytes, seq: int) -> Sealer:
        """Give the sealer for a record of another person in this session."""
        return await self._keyring.guests.for_reading(keys, subject, seq)

    async def guest_sealer(self, keys: SessionKeys, user_id: str, guest: Person | None) -> Sealer | None:
        """Give the sealer for another person's messages, who has to be there still; None if the session is gone."""
        return await self._keyring.guests.for_writing(keys, user_id, guest)

    async def await_shredding(self, keys: SessionKeys, since: float) -> None:
        """Give whoever closed the session a moment to shred its key, so that a new one can begin.

        Whoever closed it has decided that it ends, and written that down. Where its key is there still after a while,
        they died in between, and it is ended here.

        Args:
            keys: the session's.
            since: when it was found closed first, in seconds of the monotonic clock.
        """
        self._keyring.held.forget(self.user_id, self.session_id)
        fresh = await self.keys()
        if fresh is not None and fresh.handle == keys.handle:
            self.newest.certain = False
            if time.monotonic() - since > CLOSER_SECONDS:
                await self._around.expire(keys.handle, keys.generation)
            else:
                await asyncio.sleep(_CLOSED_POLL_SECONDS)


OpenConversation = Callable[[str, str, tuple[str, ...]], Awaitable[Conversation]]
"""Gives the state that all handles of a session share, by user, session id and the tags that a new one would get."""
