"""The conversations that this process has at hand: one a session, however many handles there are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

from securemem.conversation import Conversation
from securemem.keys.keyring import Keyring
from securemem.ports import Backend, Clock

RECENT_SESSIONS = 1024
"""How many sessions' heads stay in memory after their last handle is gone."""

MOST_FLOORS = 10_000
"""How many sessions' head versions are kept before the keystore is told."""


class Conversations:
    """Gives every handle of a session the same state, and knows how far each session has come."""

    def __init__(self, clock: Clock, check: Callable[[], None]) -> None:
        """Take the store's clock, and what refuses a store that cannot be used."""
        self._clock = clock
        self._check = check
        self._all: WeakValueDictionary[tuple[str, str], Conversation] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._floors: dict[bytes, int] = {}

    async def get(
        self, backend: Backend, keyring: Keyring, *, user_id: str, session_id: str, tags: tuple[str, ...]
    ) -> Conversation:
        """Give a session's conversation, a new one where there is none or its person was forgotten."""
        if len(self._floors) > MOST_FLOORS:
            await self.raise_floors(keyring)
        key = (user_id, session_id)
        shared = self._all.get(key)
        if shared is None or shared.erased:
            shared = self._all[key] = Conversation(
                backend,
                keyring,
                self._clock,
                self._check,
                self._floors,
                user_id=user_id,
                session_id=session_id,
                tags=tags,
            )
        shared.tags = tags or shared.tags
        self._recent[key] = shared
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

    async def raise_floors(self, keyring: Keyring) -> None:
        """Record in the keystore how far sessions have come, so that no older state of them is accepted again."""
        floors = [(version, session) for session, version in self._floors.items()]
        self._floors.clear()
        if floors:
            await keyring.keystore.raise_floors(floors)

    def clear(self) -> None:
        """Let go of all that no handle holds."""
        self._recent.clear()
