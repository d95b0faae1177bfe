"""The conversations that this process has at hand: one a session, however many handles there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from weakref import WeakValueDictionary

from securemem.conversation import Around, Conversation
from securemem.errors import BackendUnavailableError
from securemem.keys.rows import Floor

RECENT_SESSIONS = 1024
"""How many sessions' heads stay in memory after their last handle is gone."""

MOST_FLOORS = 10_000
"""How many sessions' head versions are kept before the keystore is told."""


class Conversations:
    """Gives every handle of a session the same state, and knows how far each session has come."""

    def __init__(self, around: Around) -> None:
        """Take what they share."""
        self._around = around
        self._all: WeakValueDictionary[tuple[str, str], Conversation] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._raising = asyncio.Lock()

    async def get(self, user_id: str, session_id: str, tags: tuple[str, ...]) -> Conversation:
        """Give a session's conversation, a new one where there is none or its person was forgotten."""
        if len(self._around.floors) > MOST_FLOORS and not self._raising.locked():
            # While the keystore does not answer they are kept, and sessions in use go on.
            with contextlib.suppress(BackendUnavailableError):
                await self.raise_floors()
        key = (user_id, session_id)
        shared = self._recent.get(key)
        if shared is None or shared.erased:
            shared = self._all.get(key)
            if shared is None or shared.erased:
                shared = self._all[key] = Conversation(self._around, user_id=user_id, session_id=session_id, tags=tags)
            self._recent[key] = shared
        if tags:
            shared.tags = tags
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_SESSIONS:
            self._recent.popitem(last=False)
        return shared

    def end(self, user_id: str) -> None:
        """End all conversations of a person who is being forgotten; their handles say so from now on."""
        for key, shared in list(self._all.items()):
            if key[0] == user_id:
                shared.mark_erased()
                self._all.pop(key, None)
                self._recent.pop(key, None)

    async def raise_floors(self) -> None:
        """Record in the keystore how far sessions have come, so that no older state of them is accepted again."""
        async with self._raising:
            known = self._around.floors
            floors = [Floor(session, version, ends) for session, (version, ends) in known.items()]
            if floors:
                await self._around.keyring.keystore.raise_floors(floors)
            for session, version, ends in floors:
                if known.get(session) == (version, ends):  # else it has come further meanwhile
                    del known[session]
