"""What comes between a worker's look and its deed wins: a hold, an append, another worker."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from securemem import SecureMemory, conversation
from securemem.ending import CLOSED_HEAD_SECONDS
from securemem.ledger.audit import EventKind
from securemem.ledger.holds import Holds
from securemem.retention import sweep
from securemem.retention.sweep import SweepReport

from .store import DAY, LASTING, SCRATCH, TAGGED, add, handle_of, head_of, inside, kinds, opened, policy, rows, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

RULES = policy(rules=SCRATCH)
Between = Callable[[], Awaitable[object]]


async def _in_between(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch, deed: Between, *, after: str) -> None:
    """Let something be done once, right before the next change of a session, or right after the holds were read.

    At both moments the sweep has read the session; the real store does all the rest.
    """
    deployment = await inside(memory)
    done = False

    def once(call: Callable[..., Awaitable[object]], *, first: bool) -> Callable[..., Awaitable[object]]:
        async def wrapped(*args: object, **options: object) -> object:
            nonlocal done
            if done:
                return await call(*args, **options)
            done = True
            if first:
                await deed()
            found = await call(*args, **options)
            if not first:
                await deed()
            return found

        return wrapped

    if after == "the holds":
        holds: Holds = deployment.office.sweep._holds
        monkeypatch.setattr(holds, "active", once(holds.active, first=False))
        return
    for name in {"swap", "swap_all"} & set(dir(deployment.backend)):
        monkeypatch.setattr(deployment.backend, name, once(getattr(deployment.backend, name), first=True))


WHAT = {
    f"{url}-{what}-{after}": (url, what, after)
    for url in ("memory", "sqlite", "postgresql", "redis")
    for what in ("hold", "nothing")
    for after in ("the holds", "the judgement")
    if url == "sqlite" or (what, after) == ("hold", "the judgement")
}


@pytest.mark.parametrize("whole", [False, True], ids=["some", "whole"])
@pytest.mark.parametrize(("url", "what", "after"), WHAT.values(), ids=WHAT, indirect=["url"])
async def test_a_hold_that_comes_between_wins(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, what: str, after: str, *, whole: bool
) -> None:
    """Placed when the worker has read the session already, it keeps everything; without it the same sweep deletes."""
    async with opened(url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "short", **TAGGED)
        await add(chat, "other", **(TAGGED if whole else {}))
        clock.advance(DAY)

        async def deed() -> None:
            if what == "hold":
                await memory.holds.place("alice", reason_code="CASE-1")

        await _in_between(memory, monkeypatch, deed, after=after)
        report = await memory.sweep()
        left = 2 if what == "hold" else 0 if whole else 1
        assert (report.records, await rows(memory, chat)) == (2 - left, left)
        if what == "hold":
            head = await head_of(memory, chat)
            assert head.keep
            assert head.restricted
            assert (await memory.sweep()).records == 0


@pytest.mark.parametrize("whole", [False, True], ids=["some", "whole"])
async def test_an_append_that_comes_between_stays(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    """A message that comes when all before it is judged is kept, and what is over goes all the same."""
    async with opened(url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "short", **TAGGED)
        if not whole:
            await add(chat, "long")
        clock.advance(DAY)
        await _in_between(memory, monkeypatch, lambda: add(chat, "new"), after="the judgement")
        report = await memory.sweep()
        assert (report.records, report.sessions) == (1, 0)
        assert await texts(chat) == ([] if whole else ["long"]) + ["new"]


@LASTING
async def test_two_workers_take_nothing_twice(url: str, clock: FakeClock) -> None:
    """Two processes that sweep at once take out together what is over, each record once, and leave the rest."""
    async with opened(url, clock, RULES) as one, opened(url, clock, RULES) as other:
        for number in range(12):
            chat = one.session(f"s{number}", user_id=f"user {number % 3}")
            await add(chat, "short", **TAGGED)
            if number % 2:
                await add(chat, "long")
        clock.advance(DAY)
        reports = await asyncio.gather(*(each.sweep(purge_seconds=0) for each in (one, other)))
        for _ in range(2):
            reports += [await each.sweep(purge_seconds=0) for each in (one, other)]
        assert sum(report.records for report in reports) == 12
        assert sum(report.sessions for report in reports) == 6
        counts = [await texts(one.session(f"s{number}", user_id=f"user {number % 3}")) for number in range(12)]
        assert counts == [[], ["long"]] * 6


async def test_a_pass_that_is_told_to_end_leaves_the_rest(file_url: str, clock: FakeClock) -> None:
    """After the batch that is under way it ends; the next pass goes on with what is left."""
    async with opened(file_url, clock, RULES) as memory:
        for number in range(40):
            await add(memory.session(f"s{number}", user_id="alice"), "short", **TAGGED)
        clock.advance(DAY)
        seen: list[int] = []

        async def pace(records: int) -> bool:
            seen.append(records)
            return False

        first = await memory.retention.work(pace=pace, purge_seconds=None)
        assert seen == [first.records] == [32]
        assert (await memory.sweep()).records == 8
        assert (await kinds(memory))[EventKind.DELETE] == 40


@pytest.mark.parametrize(("gentle", "rests"), [(True, 7), (False, 0)], ids=["gentle", "at_full_speed"])
async def test_a_gentle_pass_rests_between_sessions(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, gentle: bool, rests: int
) -> None:
    """Four times as long as it looked at one, and in all for a quarter of its lease at most; then it goes on."""
    async with opened("memory://", clock, RULES) as memory:
        for number in range(12):
            await add(memory.session(f"s{number}", user_id="alice"), "short", **TAGGED)
        clock.advance(DAY)
        slept: list[float] = []
        sleep, seconds = asyncio.sleep, itertools.count()

        async def noted(delay: float) -> None:
            slept.append(delay)
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", noted)
        monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        assert (await memory.retention.work(gentle=gentle, purge_seconds=None)).records == 12
        assert [delay for delay in slept if delay] == [4] * rests


async def test_who_waits_ends_what_a_worker_closed_and_left(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that died between closing a session and its act keeps nobody out: who appends begins it anew."""
    monkeypatch.setattr(conversation, "CLOSER_SECONDS", 0.1)
    async with opened(url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x", **TAGGED)
        clock.advance(2 * DAY)
        deployment, old = await inside(memory), await handle_of(memory, chat)
        raw, _ = await deployment.backend.tail(old, 0)
        assert await deployment.backend.swap(deployment.destruction.closing(old, raw)) is None
        await add(chat, "y")
        assert await texts(chat) == ["y"]
        assert await deployment.keyring.keystore.owner_of(old) is None
        assert not (await deployment.backend.tail(old, 100)).rows


async def test_a_head_that_was_closed_since_stays(url: str, clock: FakeClock) -> None:
    """A sweep that meets a session cleared since it was listed leaves its closed head for the time that it is for."""
    async with opened(url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x")
        deployment, handle = await inside(memory), await handle_of(memory, chat)
        await chat.clear()
        sweep, seal = deployment.office.sweep, deployment.keyring.head_seal(handle)
        for seconds, removed in ((0, 0), (CLOSED_HEAD_SECONDS, 1)):
            clock.advance(seconds)
            report = SweepReport()
            await sweep._without_key(handle, seal, report)
            assert (report.closed_heads, report.without_key) == (removed, 0)
            assert bool((await deployment.backend.tail(handle, 0)).head) is not bool(removed)
