"""Counts the calls that are under way in a store, so that it is not closed beneath them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_within: ContextVar[frozenset[object]] = ContextVar("securemem_calls", default=frozenset())
"""The calls, of whatever stores, within which this is done; a task has those of whoever made it."""


class UnderWay:
    """How many calls have begun and not ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self._count = 0
        self._idle: asyncio.Event | None = None
        self._calls: set[object] = set()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count a call in, and out at its end; what it calls in its turn meanwhile, in its tasks too, is within it."""
        call = object()
        self.begin()
        self._calls.add(call)
        _within.set(_within.get() | {call})
        try:
            yield
        finally:
            _within.set(_within.get() - {call})
            self._calls.remove(call)
            self.end()

    @property
    def is_within_call(self) -> bool:
        """Whether whoever asks is within a call that has not ended."""
        return not self._calls.isdisjoint(_within.get())

    def begin(self) -> None:
        """Count a call in."""
        self._count += 1

    def end(self) -> None:
        """Count it out."""
        self._count -= 1
        if not self._count and self._idle is not None:
            self._idle.set()
            self._idle = None

    async def idle(self) -> None:
        """Wait until none is under way; whoever asks lets no new ones begin."""
        if self._count:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    async def through(self, steps: Coroutine[Any, Any, T]) -> T:
        """Run what must not be left half done in a task of its own, which a cancelled caller does not take with it."""
        self.begin()
        task = asyncio.ensure_future(steps)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Count it out; what it raises is nobody's any more where its caller was cancelled."""
        if not task.cancelled():
            task.exception()
        self.end()
