"""The cache of unwrapped keys: bounded, short-lived, wiped on the way out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Wipeable(Protocol):
    """Something that holds key material and can let go of it."""

    def wipe(self) -> None:
        """Overwrite what is held."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Wipeable)


class KeyCache(Generic[K, V]):
    """Least recently used out first, nothing older than `ttl` seconds, every value wiped when it leaves."""

    def __init__(self, *, size: int, ttl: float, monotonic: Callable[[], float]) -> None:
        self._size = size
        self._ttl = ttl
        self._now = monotonic
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Give what is held, if it is not too old; what is too old is wiped."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._now() - entry[0] > self._ttl:
            self.discard(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def expire(self) -> float | None:
        """Let go of all that is too old; gives the seconds until the next is, or None where nothing is held."""
        oldest = self._now() - self._ttl
        for key in [key for key, (since, _) in self._entries.items() if since < oldest]:
            self.discard(key)
        if not self._entries:
            return None
        return min(since for since, _ in self._entries.values()) - oldest

    def put(self, key: K, value: V) -> None:
        """Hold a value from now on, in place of what was held."""
        self.discard(key)
        self._entries[key] = (self._now(), value)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)[1][1].wipe()

    def discard(self, key: K) -> None:
        """Let go of a value, if one is held."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry[1].wipe()

    def discard_where(self, condition: Callable[[V], bool]) -> None:
        """Let go of every value of which the condition is true."""
        for key in [key for key, (_, value) in self._entries.items() if condition(value)]:
            self.discard(key)

    def __iter__(self) -> Iterator[V]:
        return iter([value for _, value in self._entries.values()])

    def clear(self) -> None:
        """Let go of everything."""
        for key in list(self._entries):
            self.discard(key)
