"""The operations that are timed: each is made for a store, and takes the number of its turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from benchmarks.stores import Ours, Store
from benchmarks.texts import Corpus

Operation = Callable[[int], Awaitable[object]]

_STRIDE = 37
"""Coprime to the number of sessions: every session has its turn, and never two neighbours in a row."""


def append(store: Store, corpus: Corpus, sessions: int) -> Operation:
    """Append two."""
    return lambda number: store.append(number * _STRIDE % sessions, corpus.pair(number))


def load(store: Store, sessions: int) -> Operation:
    """Load twenty."""
    return lambda number: store.load(number * _STRIDE % sessions)


def turn(store: Store, corpus: Corpus, sessions: int) -> Operation:
    """Load twenty and append two."""

    async def once(number: int) -> None:
        session = number * _STRIDE % sessions
        await store.load(session)
        await store.append(session, corpus.pair(number))

    return once


def worker_turn(store: Store, corpus: Corpus) -> Callable[[int, int], Awaitable[None]]:
    """Load twenty and append two in the worker's own session."""

    async def once(worker: int, number: int) -> None:
        await store.load(worker)
        await store.append(worker, corpus.pair(worker + number))

    return once


def window(ours: Ours, sessions: Sequence[int], limit: int | None) -> Operation:
    """Load the window, or so many messages, of these sessions in turn."""
    return lambda number: ours.load(sessions[number * _STRIDE % len(sessions)], limit)


def append_to(ours: Ours, corpus: Corpus, sessions: Sequence[int]) -> Operation:
    """Append two to these sessions in turn."""
    return lambda number: ours.append(sessions[number * _STRIDE % len(sessions)], corpus.pair(number))
