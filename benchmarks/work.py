"""The operations that are timed: each is made for a store, and takes the number of its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.stores import Ours, Store
from benchmarks.texts import Corpus

Operation = Callable[[int], Awaitable[object]]
WorkerOperation = Callable[[int, int], Awaitable[object]]

_STRIDE = 37
"""Coprime to the number of sessions: every session has its turn, and never two neighbours in a row."""
_AT_ONCE = 50


def session_of(number: int, sessions: int) -> int:
    """Give the session whose turn it is."""
    return number * _STRIDE % sessions


async def fill(store: Store, corpus: Corpus, *, sessions: int, messages: int) -> None:
    """Let all sessions grow turn by turn beside each other, as they do in use."""
    for turn in range(messages // 2):
        numbers = turn * sessions
        for first in range(0, sessions, _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, sessions))
            await asyncio.gather(*(store.append(session, corpus.pair(numbers + session)) for session in some))


def append(store: Store, corpus: Corpus, sessions: int) -> Operation:
    """Append two."""
    return lambda number: store.append(session_of(number, sessions), corpus.pair(number))


def load(store: Store, sessions: int) -> Operation:
    """Load twenty."""
    return lambda number: store.load(session_of(number, sessions))


def turn(store: Store, corpus: Corpus, sessions: int) -> Operation:
    """Load twenty and append two."""

    async def once(number: int) -> None:
        session = session_of(number, sessions)
        await store.load(session)
        await store.append(session, corpus.pair(number))

    return once


def worker_turn(store: Store, corpus: Corpus) -> WorkerOperation:
    """Load twenty and append two in the worker's own session."""

    async def once(worker: int, number: int) -> None:
        await store.load(worker)
        await store.append(worker, corpus.pair(worker + number))

    return once


def window(ours: Ours, sessions: Sequence[int], limit: int | None) -> Operation:
    """Load the window, or so many messages, of these sessions in turn."""
    return lambda number: ours.load(sessions[session_of(number, len(sessions))], limit)


def load_from(store: Store, sessions: Sequence[int]) -> Operation:
    """Load twenty from these sessions in turn."""
    return lambda number: store.load(sessions[session_of(number, len(sessions))])


def append_to(store: Store, corpus: Corpus, sessions: Sequence[int]) -> Operation:
    """Append two to these sessions in turn."""
    return lambda number: store.append(sessions[session_of(number, len(sessions))], corpus.pair(number))
