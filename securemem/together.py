"""Does something with each of some items, a few at a time, so that their commits go together and nobody is flooded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from securemem.model import Change
from securemem.ports import Backend, Sparing

A = TypeVar("A")
T = TypeVar("T")
_AT_ONCE = 8


async def few_at_once(items: Sequence[A], call: Callable[[A], Awaitable[T]]) -> list[T]:
    """Do something with each of some items, a few at a time."""
    found: list[T] = []
    for start in range(0, len(items), _AT_ONCE):
        found += await asyncio.gather(*(call(item) for item in items[start : start + _AT_ONCE]))
    return found


async def swap_all(backend: Backend, changes: Sequence[Change]) -> list[bytes | None]:
    """Make changes, each of another session, so that others are held up as little as the data store can."""
    if isinstance(backend, Sparing):
        return await backend.swap_all(changes)
    return await few_at_once(changes, backend.swap)
