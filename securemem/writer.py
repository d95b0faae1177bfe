"""Appends: seals messages that were prepared for their place, makes room, and moves the head."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from securemem.conversation import Conversation, Found, Place
from securemem.crypto.envelope import Sealed, Sealer
from securemem.errors import ConflictError, ExpiredError, InvalidInputError, UserErasedError
from securemem.keys.rows import Person
from securemem.keys.unwrapped import SessionKeys
from securemem.lives import Lives
from securemem.model import Message, to_milliseconds
from securemem.ports import ALL_ROWS, Clock
from securemem.preparing import Prepared, Preparing
from securemem.reader import FORGOTTEN_SINCE, Reader, check_restriction, stands
from securemem.sealing import Room, Step, in_order, seal_step

CONFLICT_SECONDS = 30.0


class Copies(NamedTuple):
    """Messages that were read from one session to be sealed for another, and whose they were."""

    owner: Person
    guests: dict[str, Person]
    tags: tuple[str, ...]
    messages: list[Prepared]


class Writer:
    """Appends to the sessions of one store."""

    def __init__(self, clock: Clock, preparing: Preparing, reader: Reader, lives: Lives) -> None:
        """Take the store's clock, what opens and prepares messages that are sealed anew, and how long they live."""
        self._clock = clock
        self._preparing = preparing
        self._reader = reader
        self._lives = lives

    async def append(
        self,
        conversation: Conversation,
        prepared: list[Prepared],
        *,
        under: bytes | None = None,
        people: Mapping[str, Person] | None = None,
    ) -> list[Message]:
        """Append messages in one atomic step.

        Args:
            conversation: the session.
            prepared: the messages.
            under: the handle that the session has to have still, for what says more of it than it did itself; None for
                whatever session there is by now.
            people: who people have to be still, by id, where something of theirs was read or written before this.

        Returns:
            The messages as they are stored, with their seqs.

        Raises:
            UserErasedError: the session's person, or a guest that is being written for, was forgotten.
            ConflictError: other processes were quicker for 30 seconds on end; or the session is not `under` any more.
            BackendUnavailableError: a store does not answer; on a server it was written once at most.
        """
        async with conversation.lock:
            begun = time.monotonic()
            guests = dict(people or {})
            conversation.belong_to(guests.pop(conversation.user_id, None))
            while True:
                keys = await (conversation.keys_or_new() if under is None else _keys_under(conversation, under))
                place = await conversation.place(keys)
                keys = place.keys
                if under not in (None, keys.handle):
                    raise _begun_anew()
                if place.head.closed:
                    await conversation.await_shredding(keys, begun)
                else:
                    sealers = await _sealers(conversation, keys, prepared, guests)
                    if sealers is None:
                        conversation.ask_anew()
                        continue
                    step = await self._step(conversation, place, prepared, sealers)
                    if step is not None and await conversation.swap(keys, step.change, step.head):
                        return step.finish(keys, self._lives.is_settled)
                if time.monotonic() > begun + CONFLICT_SECONDS:
                    raise ConflictError(f"session {keys.handle.hex()}: others were quicker for too long; try again")

    async def start(self, conversation: Conversation, copies: Copies) -> None:
        """Append the first messages of a session that must not exist yet, of people who must exist still.

        Raises:
            ConflictError: the session exists.
            UserErasedError: the owner or a guest was forgotten since the copies were read.
        """
        async with conversation.lock:
            conversation.ask_anew()
            # A key without a head is what is left of a fork that was interrupted: it is gone on with.
            keys = await conversation.keys() or await conversation.mint(copies.owner)
            if keys.person != copies.owner:
                raise UserErasedError("the person was forgotten meanwhile; nothing was written")
            place = await conversation.place(keys)
            keys = place.keys
            if place.raw:
                raise ConflictError("a session of this id exists already: clear it, or choose another id")
            sealers = await _sealers(conversation, keys, copies.messages, copies.guests)
            if sealers is None:
                raise ConflictError("the new session was cleared or erased at the same moment; nothing was written")
            step = await self._step(conversation, place, copies.messages, sealers)
            if step is None or not await conversation.swap(keys, step.change, step.head):
                raise ConflictError("a session of this id was made or erased at the same moment")

    async def copy(self, conversation: Conversation, at: int | None) -> Copies:
        """Prepare a session's messages, up to and with `at`, to be sealed for another one.

        Raises:
            InvalidInputError: there is no such session, or no message of this seq.
        """
        while True:
            found = await conversation.read(ALL_ROWS, primary=True)
            if found is not None:
                check_restriction(found)
            try:
                return await self._copied(conversation, found, at)
            except FORGOTTEN_SINCE as exc:
                if found is None or await stands(conversation, found.head, exc):
                    raise

    async def _copied(self, conversation: Conversation, found: Found | None, at: int | None) -> Copies:
        keys, head = (found.keys, found.head) if found is not None else (None, None)
        if head is not None and at is not None and not head.first <= at < head.next:
            raise InvalidInputError(f"there is no message {at}: this session holds {head.first} to {head.next - 1}")
        messages: list[Prepared] = []
        people: dict[str, Person] = {}
        if found is not None:
            now = to_milliseconds(self._clock())
            wanted = [sealed for sealed in found.records() if at is None or sealed.seq <= at]
            if wanted and wanted[0].seq == at and await self._reader.is_over(wanted[0], now):
                raise ExpiredError(f"message {at} is past its time: fork at another")
            messages = await self._prepare_again(conversation, found.keys, wanted, people)
        if keys is None or not messages:
            raise InvalidInputError("there is nothing to fork: the session holds no message")
        return Copies(keys.person, people, keys.title.tags, messages)

    async def _prepare_again(
        self, conversation: Conversation, keys: SessionKeys, records: list[Sealed], people: dict[str, Person]
    ) -> list[Prepared]:
        """Open records, newest first, and prepare those that live to be sealed anew, oldest first.

        `people` takes in as whom guests were read.
        """
        by_seq = {sealed.seq: sealed for sealed in records}
        messages = await self._reader.open_all(conversation, keys, records, people=people)
        return [self._preparing.again(message, by_seq[message.seq or 0]) for message in reversed(messages)]

    async def _step(
        self,
        conversation: Conversation,
        place: Place,
        prepared: list[Prepared],
        sealers: dict[str | None, Sealer],
    ) -> Step | None:
        """Seal messages for the place after the head, and work out what goes to make room.

        Returns:
            None where what would be carried on is of somebody who was forgotten since the session was read.
        """
        keys, head = place.keys, place.head
        room = Room(head.first, head.holes, prepared)
        is_crowded = head.live + len(prepared) > self._preparing.limits.max_messages
        if is_crowded and not head.keep and not any(entry.keeps for entry in prepared):
            people: dict[str, Person] = {}
            room = await self._make_room(conversation, place, prepared, people)
            try:
                carried = await _sealers(conversation, keys, room.entries, people)
            except UserErasedError:
                conversation.newest.certain = False
                return None
            if carried is None:
                raise ConflictError("the session was cleared at the same moment; nothing was written; try again")
            sealers |= carried
        return seal_step(keys, head, place.raw, prepared=prepared, room=room, sealers=sealers)

    async def _make_room(
        self, conversation: Conversation, place: Place, prepared: list[Prepared], people: dict[str, Person]
    ) -> Room:
        """Work out where the session goes on, the stubs behind it, and what is sealed, in order.

        A pinned message that would go is sealed anew at the end instead, in the same step; of a batch that is larger
        than the session may be, what goes at once is sealed first.
        """
        head, limit, added = place.head, self._preparing.limits.max_messages, len(prepared)
        excess = head.live + added - limit
        records: list[Sealed] = []
        if head.holes or (head.pins and head.pins[0] < head.first + excess):
            found = await conversation.read(head.next - head.first, primary=True)
            records = found.records() if found is not None else []
        live = sorted(sealed.seq for sealed in records) if head.holes else range(head.first, head.next)
        room = max(0, limit - sum(entry.pinned for entry in prepared))
        pinned = [sealed for sealed in records if sealed.seq in head.pins][:room]
        carried: list[Sealed] = []
        while True:
            cut = excess + len(carried)
            first = live[cut] if cut < len(live) else head.next + cut - len(live)
            going = [sealed for sealed in pinned if sealed.seq < first]
            if len(going) == len(carried):
                break
            carried = going
        holes = max(0, head.next - first) - sum(seq >= first for seq in live) if head.holes else 0
        again = await self._prepare_again(conversation, place.keys, carried, people) if carried else []
        return Room(first, holes, in_order(again, prepared, len(again) + added - limit))


async def _keys_under(conversation: Conversation, handle: bytes) -> SessionKeys:
    """Give the session's keys, which have to be those of a handle.

    Raises:
        ConflictError: they are gone, or others.
    """
    keys = await conversation.keys()
    if keys is None or keys.handle != handle:
        raise _begun_anew()
    return keys


def _begun_anew() -> ConflictError:
    return ConflictError("the session was cleared since it was read, or has ended; nothing was written")


async def _sealers(
    conversation: Conversation, keys: SessionKeys, prepared: list[Prepared], guests: dict[str, Person]
) -> dict[str | None, Sealer] | None:
    """Give the sealers that messages want; None where the session has no key any more.

    Args:
        conversation: the session.
        keys: its keys.
        prepared: the messages.
        guests: people by their ids, who have to be there still; those that are found are added, so that a second try
            does not bring back who was forgotten since the first.
    """
    sealers: dict[str | None, Sealer] = {None: keys.owner}
    for entry in prepared:
        user_id = entry.message.user_id
        if user_id is not None and user_id not in sealers:
            sealer = await conversation.guest_sealer(keys, user_id, guests.get(user_id))
            if sealer is None:
                return None
            sealers[user_id] = sealer
            guests[user_id] = keys.guest_ids[user_id]
    return sealers
