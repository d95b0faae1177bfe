"""Keeps people's vaults where their sessions are: in one more session of each, that nobody can name.

Its id is the empty text, which is no id that a caller may give, so that it lies under the person's own key, is carried,
swept and erased with all else of theirs, and is told from their other sessions by nothing. Each of its messages is a
list of entries, which end when the last message with them does. Where two processes give one token to two values, the
first to be written has it; the other sees that and takes another before anything is written with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakValueDictionary

from securemem.codec import MAX_SEQ
from securemem.conversation import Conversation, OpenConversation
from securemem.errors import UserErasedError
from securemem.keys.rows import Person
from securemem.keys.unwrapped import SessionKeys
from securemem.ledger.classes import OWN
from securemem.lives import Lives
from securemem.model import VAULT, Message
from securemem.ports import Clock
from securemem.preparing import Limits, Preparing
from securemem.privacy.vault import Entry, Vault
from securemem.reader import Reader
from securemem.writer import Writer

T = TypeVar("T")

_ROLE = "vault"
_FEW = 8


@dataclass(slots=True)
class _Shelf:
    """A vault as far as it was read: up to but without `next`."""

    vault: Vault = field(default_factory=Vault)
    next: int = 1


class Vaults:
    """Reads and writes the vaults of one store."""

    def __init__(
        self,
        conversation: OpenConversation,
        reader: Reader,
        clock: Clock,
        lives: Lives,
    ) -> None:
        """Take what gives conversations, what reads them, and how long what is in them lives."""
        self._conversation = conversation
        self._reader = reader
        self._preparing = Preparing(clock, Limits(max_messages=MAX_SEQ, ttl=None, compress=False), lives)
        self._writer = Writer(clock, self._preparing, reader, lives)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, user_id: str) -> asyncio.Lock:
        """Give the lock under which this process gives tokens to a person's values and keeps them."""
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = asyncio.Lock()
        return lock

    async def at_hand(self, user_id: str, owner: Person | None) -> Vault:
        """Give a person's vault, read only if it is not in memory: for a writer, who finds out when it keeps.

        Args:
            user_id: the person.
            owner: who the person has to be still; None for whoever is known by the id.

        Raises:
            UserErasedError: that person was forgotten.
        """
        return (await self._with(user_id, owner, self._shelf)).vault

    async def _shelf(self, conversation: Conversation) -> _Shelf:
        keys = await conversation.keys()
        shelf = _shelf_at(keys) if keys is not None else None
        return shelf if shelf is not None else await self._read(conversation)

    async def owner(self, user_id: str) -> Person | None:
        """Give whose vault was read or written last under an id; None where nobody is known."""
        return (await self._conversation(user_id, VAULT, ())).person

    async def fresh(self, user_id: str) -> Vault:
        """Give a person's vault as it stands: empty where they were forgotten meanwhile."""
        return (await self._with(user_id, None, self._read)).vault

    async def keep(self, user_id: str, vault: Vault, entries: list[Entry], owner: Person | None) -> bool:
        """Write entries, durably, before anything is written with their tokens. Where this fails, the vault is void.

        Args:
            user_id: the person.
            vault: that holds them.
            entries: new ones, or known ones with a later end.
            owner: as `at_hand`.

        Returns:
            Whether all of them stand; if not, another process was quicker, and the vault has to be asked for anew.

        Raises:
            UserErasedError: as `at_hand`.
        """
        return await self._with(user_id, owner, lambda conversation: self._keep(conversation, vault, entries))

    async def _with(self, user_id: str, owner: Person | None, call: Callable[[Conversation], Awaitable[T]]) -> T:
        """Do something with the session of a vault; with a new one, where that one's person was forgotten."""
        conversation = await self._conversation(user_id, VAULT, ())
        try:
            conversation.belong_to(owner)
            return await call(conversation)
        except UserErasedError:
            # What is kept of a person goes on under their next key, which another process may have given them.
            conversation.ask_anew()
            with suppress(UserErasedError):
                await conversation.keys()
        conversation = await self._conversation(user_id, VAULT, ())
        conversation.belong_to(owner)
        return await call(conversation)

    async def _keep(self, conversation: Conversation, vault: Vault, entries: list[Entry]) -> bool:
        keys = await conversation.keys()
        if vault.of != (keys.handle if keys is not None else None):
            vault.is_void = True  # it was of who had the id before, or somebody else began one
            return False
        messages = [Message(_ROLE, entry.content(), expires_at=entry.until) for entry in entries]
        prepared = self._preparing.prepare(messages, owner=conversation.user_id, ttl=None, kinds=[OWN] * len(messages))
        seqs = [message.seq or 0 for message in await self._writer.append(conversation, prepared)]
        keys = await conversation.keys()
        if keys is not None and keys.made is None and seqs[0] == 1:
            keys.made = _Shelf(vault)
            vault.of = keys.handle
        shelf = _shelf_at(keys) if keys is not None else None
        if shelf is not None and shelf.vault is vault and shelf.next == seqs[0]:
            shelf.next = seqs[-1] + 1
            return True
        vault.is_void = True
        read = (await self._read(conversation)).vault
        return all(read.holds(entry) for entry in entries)

    async def _read(self, conversation: Conversation) -> _Shelf:
        limit = _FEW
        while True:
            page = await self._reader.newest(conversation, limit)
            head = page.head
            keys = await conversation.keys()
            if head is None or keys is None:
                empty = _Shelf()
                empty.vault.of = keys.handle if keys is not None else None
                return empty
            shelf = keys.made = _shelf_at(keys) or _Shelf()
            shelf.vault.of = keys.handle
            lowest = max(shelf.next, head.first)
            if head.next - lowest > limit:
                limit = head.next - lowest
                continue
            fresh = [message for message in page.messages if message.seq is not None and message.seq >= shelf.next]
            for message in fresh:
                shelf.vault.add(Entry.of(message))
            if len(fresh) < head.next - shelf.next:
                # Some are past their time, or deleted. An entry takes a seq at least, so no number is above the newest.
                shelf.vault.used = head.next - 1
            shelf.next = max(shelf.next, head.next)
            return shelf


def _shelf_at(keys: SessionKeys) -> _Shelf | None:
    """Give what is in memory of a vault, beside its session's keys."""
    return keys.made if isinstance(keys.made, _Shelf) and not keys.made.vault.is_void else None
