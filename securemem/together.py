"""Does several things at once: with each of some items, a few at a time, so that their commits go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from securemem.model import Change
from securemem.ports import Backend, Sparing

A = TypeVar("A")
T = TypeVar("T")
U = TypeVar("U")
_AT_ONCE = 8


async def few_at_once(items: Sequence[A], call: Callable[[A], Awaitable[T]]) -> list[T]:
    """Do something with each of some items, a few at a time."""
    found: list[T] = []
    for start in range(0, len(items), _AT_ONCE):
        found += await asyncio.gather(*(call(item) for item in items[start : start + _AT_ONCE]))
    return found


async def meanwhile(wait: Coroutine[Any, Any, T], work: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Do some work while something is waited for; where that fails, the work is stopped."""
    task = asyncio.ensure_future(work)
    try:
        waited = await wait
    except BaseException:
        task.cancel()
        await asyncio.wait([task])
        raise
    return waited, await task


async def swap_all(backend: Backend, changes: Sequence[Change]) -> list[bytes | None]:
    """Make changes, each of another session, so that others are held up as little as the data store can."""
    if isinstance(backend, Sparing):
        return await backend.swap_all(changes)
    return await few_at_once(changes, backend.swap)
