"""Passes under several policies: what one of them looked at is looked at anew under the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from securemem.policy import Policy
from securemem.retention.sweep import Orders, SweepReport

from .store import DAY, SCRATCH, TAGGED, add, head_of, inside, opened, policy

if TYPE_CHECKING:
    from tests.conftest import FakeClock

Run = Callable[..., Awaitable[SweepReport]]
MINE = policy(rules=SCRATCH)
LONGER = SCRATCH.replace("1d", "9d")
OTHERS: dict[str, Policy | str] = {
    "without rules": "default",
    "another": policy(rules=LONGER, name="another"),
    "one that waits": policy("safety: {after_change: plan_only}\n", LONGER, name="waiting"),
}


@pytest.mark.parametrize("stopped", [False, True], ids=["through", "stopped"])
@pytest.mark.parametrize("other", OTHERS)
async def test_what_another_policy_keeps_is_due_again(
    file_url: str, clock: FakeClock, other: str, *, stopped: bool
) -> None:
    """A pass by which nothing has to go hides from no later one what the next policy says is past its time."""
    async with opened(file_url, clock, MINE) as memory:
        await add(memory.session("s", user_id="alice"), *"abc", **TAGGED)
        await add(memory.session("s", user_id="alice"), "long")
        assert (await memory.sweep()).records == 0
    clock.advance(DAY)
    async with opened(file_url, clock, OTHERS[other]) as memory:
        keeper = (await inside(memory)).office.keeper

        async def pace(_: int) -> bool:
            return not stopped

        assert (await keeper.go_through(pace=pace, purge_seconds=None)).records == 0
    async with opened(file_url, clock, MINE) as memory:
        assert (await memory.sweep()).records == 3
        assert (await head_of(memory, memory.session("s", user_id="alice"))).live == 1


async def test_the_same_policy_looks_at_what_is_due_alone(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: who was through under a policy, one without rules too, goes over all sessions no second time."""
    looked: list[bool] = []
    for mine in (MINE, "default"):
        async with opened(file_url, clock, mine) as memory:
            await add(memory.session("s", user_id="alice"), "a", **TAGGED)
            sweep = (await inside(memory)).office.sweep
            run = sweep.run

            async def noted(orders: Orders, *, purge_seconds: float | None, run: Run = run) -> SweepReport:
                looked.append(orders.everything)
                return await run(orders, purge_seconds=purge_seconds)

            monkeypatch.setattr(sweep, "run", noted)
            for _ in range(3):
                await memory.sweep()
    assert looked == [True, False, False] * 2
