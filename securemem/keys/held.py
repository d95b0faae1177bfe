"""The unwrapped keys of one tenant that are in memory: bounded, and wiped when they are too old, used again or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from securemem.keys.cache import KeyCache
from securemem.keys.unwrapped import SessionKeys, UserKey

CACHE_SECONDS = 60.0
CACHE_SIZE = 4096
_LEAST_WAIT = 0.1


class Held:
    """Keys of people, by their real ids, and keys of sessions, by their owners' and their own.

    Attributes:
        users: of people.
        sessions: of sessions.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Hold nothing yet; `monotonic` is a clock for intervals, in seconds."""
        self.users: KeyCache[str, UserKey] = KeyCache(size=CACHE_SIZE, ttl=CACHE_SECONDS, monotonic=monotonic)
        self.sessions: KeyCache[tuple[str, str], SessionKeys] = KeyCache(
            size=CACHE_SIZE, ttl=CACHE_SECONDS, monotonic=monotonic
        )
        self._timer: asyncio.TimerHandle | None = None

    def put_user(self, key: UserKey) -> None:
        """Hold a person's key from now on."""
        self.users.put(key.user_id, key)
        self._look_after()

    def put_session(self, keys: SessionKeys) -> None:
        """Hold a session's keys from now on."""
        self.sessions.put((keys.user_id, keys.title.session_id), keys)
        self._look_after()

    def forget_user(self, user_id: str) -> None:
        """Let go of a person's own key."""
        self.users.discard(user_id)

    def forget(self, user_id: str, session_id: str) -> None:
        """Let go of a session's keys, and of its user's."""
        self.sessions.discard((user_id, session_id))
        self.users.discard(user_id)

    def forget_person(self, user_id: str) -> None:
        """Let go of a person's key, and of the keys of all sessions that hold something of theirs, by the real id."""
        self.users.discard(user_id)
        self.sessions.discard_where(lambda held: held.user_id == user_id or user_id in held.guest_ids)

    def forget_handle(self, user: bytes) -> None:
        """Let go of the same by the person's handle."""
        self.users.discard_where(lambda held: held.handle == user)
        self.sessions.discard_where(lambda held: held.user == user or user in held.guests)

    def clear(self) -> None:
        """Let go of everything."""
        self.stop()
        self.users.clear()
        self.sessions.clear()

    def stop(self) -> None:
        """Look after what is held no more, until something else is put there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_after(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CACHE_SECONDS, self._expire)

    def _expire(self) -> None:
        """Wipe what is past its time, and look again as long as anything is held."""
        waits = [wait for cache in (self.users, self.sessions) if (wait := cache.expire()) is not None]
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(min(waits), _LEAST_WAIT), self._expire) if waits else None
