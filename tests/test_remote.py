"""Calls to a server: each ends at its own time, whatever the others do, and only that ends it."""

from __future__ import annotations

import asyncio
import time

import pytest

from securemem.errors import BackendUnavailableError
from securemem.remote import Patience, Remote, Watch


async def _wait(watch: Watch, limit: float, seconds: float) -> float:
    """Wait within a limit; gives how long it took, below zero where the limit ended it."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(None) as timeout:
            watch.begin(timeout, limit)
            try:
                await asyncio.sleep(seconds)
            finally:
                watch.end(timeout)
    except TimeoutError:
        return began - time.monotonic()
    return time.monotonic() - began


LIMITS = (3.0, 0.1, 1.0, 0.1, 0.2)
DONE = 2
"""Which of them is done in time."""
LATEST = 2.0


async def _several(watch: Watch) -> list[float]:
    waits = [_wait(watch, limit, 0.01 if place == DONE else 99) for place, limit in enumerate(LIMITS)]
    return await asyncio.gather(*waits)


def test_each_call_ends_at_its_own_time() -> None:
    """One timer ends calls of several lengths, each when its time is up, and leaves the one that is done in time."""
    watch = Watch()
    for _ in range(2):  # another event loop, of which the timer knows nothing, is served as well
        took = asyncio.run(_several(watch))
        assert took.pop(DONE) > 0, "it was not ended"
        ended = [limit for place, limit in enumerate(LIMITS) if place != DONE]
        assert all(limit <= -each < limit + LATEST for each, limit in zip(took, ended, strict=True))


async def test_a_cancelled_call_is_no_late_one() -> None:
    """Who is cancelled hears of that, and not that the server was late."""
    remote = Remote("a server", lambda _: None, Patience(0.2, 0.2))
    call = asyncio.create_task(remote.call(lambda _: asyncio.sleep(9)))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(BackendUnavailableError, match="did not answer within"):
        await remote.call(lambda _: asyncio.sleep(9))
