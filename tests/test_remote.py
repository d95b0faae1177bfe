"""Calls to a server: each ends at its own time, whatever the others do, and only that ends it."""

from __future__ import annotations

import asyncio
import time

import pytest

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.remote import Failure, Patience, Remote, Watch


async def _wait(watch: Watch[asyncio.Timeout], limit: float, seconds: float) -> float:
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


async def _several(watch: Watch[asyncio.Timeout]) -> list[float]:
    waits = [_wait(watch, limit, 0.01 if place == DONE else 99) for place, limit in enumerate(LIMITS)]
    return await asyncio.gather(*waits)


def test_each_call_ends_at_its_own_time() -> None:
    """One timer ends calls of several lengths, each when its time is up, and leaves the one that is done in time."""
    watch: Watch[asyncio.Timeout] = Watch(lambda limit: limit.reschedule(asyncio.get_running_loop().time()))
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


async def test_the_error_names_the_whole_time() -> None:
    """All tries took so long together, and not the last one alone; the control is the first one's, in its cause."""
    remote = Remote("a server", lambda _: None, Patience(0.4, 1.2))
    with pytest.raises(BackendUnavailableError) as caught:
        await remote.call(lambda _: asyncio.sleep(9))
    first = caught.value.__cause__
    took = [float(str(error).split()[-2]) for error in (first, caught.value)]
    assert 0.4 <= took[0] < took[1]
    assert took[1] >= 1.1


def _failure(exc: Exception) -> Failure | None:
    """Take a lost connection for passing and a refusal for final; all else is none of the driver's."""
    if isinstance(exc, ConnectionError):
        return Failure(BackendUnavailableError("lost"), True)
    return Failure(ConfigurationError("refused"), False) if isinstance(exc, PermissionError) else None


async def test_a_call_goes_on_after_a_try_that_was_made_elsewhere() -> None:
    """What passes is tried again, told that it may have been carried out; what does not is said at once."""
    remote, told = Remote("a server", _failure, Patience(0.2, 1.0)), list[bool]()

    async def attempt(again: bool) -> str:  # noqa: FBT001  (as `Remote.call` has it)
        told.append(again)
        return "done"

    now = time.monotonic()
    assert await remote.go_on(attempt, ConnectionResetError(), since=now) == "done"
    assert await remote.go_on(attempt, TimeoutError(), since=now) == "done"
    assert told == [True, True]
    with pytest.raises(ConfigurationError, match="refused"):
        await remote.go_on(attempt, PermissionError(), since=now)
    with pytest.raises(KeyError):
        await remote.go_on(attempt, KeyError(), since=now)
    assert told == [True, True]


async def test_the_try_that_was_made_elsewhere_counts() -> None:
    """All tries together take no longer than they may from when the first one began, and are said to have."""
    remote = Remote("a server", _failure, Patience(0.2, 1.0))
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError, match="did not answer within") as caught:
        await remote.go_on(lambda _: asyncio.sleep(9), TimeoutError(), since=began - 0.9)
    assert time.monotonic() - began < 0.5
    assert "within 0.9 s" in str(caught.value.__cause__)
    assert not remote.well
    assert await remote.call(lambda _: asyncio.sleep(0, "there"), since=time.monotonic()) == "there"
    assert remote.well


async def test_a_time_that_is_used_up_already() -> None:
    """A first try that is late takes no longer than all may; the control is one that has all the time for itself."""
    remote = Remote("a server", _failure, Patience(0.5, 1.0))
    for since, least, most in ((0.9, 0.0, 0.4), (0.0, 0.9, 2.0)):
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match="did not answer within"):
            await remote.call(lambda _: asyncio.sleep(9), since=began - since)
        assert least <= time.monotonic() - began < most


async def test_one_try_alone() -> None:
    """With no patience a call that fails is not made again, by whomever its try was made, and is counted."""
    remote, told = Remote("a server", _failure, Patience.of({"timeout": "0.2", "patience": "0"})), list[bool]()

    async def attempt(again: bool) -> None:  # noqa: FBT001  (as `Remote.call` has it)
        told.append(again)
        raise ConnectionResetError

    with pytest.raises(BackendUnavailableError, match="lost"):
        await remote.call(attempt)
    assert not remote.well
    with pytest.raises(BackendUnavailableError, match="did not answer within"):
        await remote.go_on(attempt, TimeoutError(), since=time.monotonic())
    assert told == [False]
    assert await remote.call(lambda _: asyncio.sleep(0.05, "there")) == "there"
    assert remote.well


def test_one_try_has_its_time() -> None:
    """One try alone takes as long as one may, and that is the URL's to say."""
    assert Patience.of({"patience": "0"}, 7) == Patience(7.0, 7.0, once=True)
    assert Patience.of({"timeout": "3", "patience": "0"}, 7) == Patience(3.0, 3.0, once=True)


def test_one_try_takes_no_longer_than_all() -> None:
    """Where all tries together may take less than one could, that counts for one too."""
    assert Patience.of({"patience": "2"}) == Patience.of({"patience": "2", "timeout": "9"}, 7) == Patience(2.0, 2.0)
    assert Patience.of({"patience": "9"}, 7) == Patience(7.0, 9.0)
