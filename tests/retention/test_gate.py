"""What keeps workers from deleting by a policy: that it was changed, a second person's word, and too much at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from securemem import ConflictError, SecureMemory
from securemem.ledger.audit import EventKind
from securemem.policy import Policy

from .store import DAY, HOUR, INVOICES, SCRATCH, TAGGED, add, head_of, infos, kinds, opened, policy, rows, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PLAN_ONLY = "safety: {after_change: plan_only}\n"
TWO = "safety: {two_person: [ttl_shortened, rule_removed]}\n"
SHORTER = SCRATCH.replace("1d", "1h")


@asynccontextmanager
async def store(url: str, clock: FakeClock, mine: Policy | str) -> AsyncIterator[SecureMemory]:
    """Give the store of the tests here, opened under a policy."""
    async with opened(url, clock, mine) as memory:
        yield memory


async def _filled(url: str, clock: FakeClock, mine: Policy | str, count: int = 3) -> None:
    """Make a store under a policy, with some messages that a rule is for and one that none is."""
    async with store(url, clock, mine) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, *["short"] * count, **TAGGED)
        await add(chat, "long")


async def _applied(memory: SecureMemory, actor: str | None = None) -> str:
    """Plan and apply; gives what it waits for."""
    plan = await memory.retention.plan()
    return (await memory.retention.apply(plan.token, actor=actor)).refusal


async def test_a_new_tenant_needs_nobodys_word(file_url: str, clock: FakeClock) -> None:
    """Made under a policy, it has that in force, whatever its safety says."""
    async with store(file_url, clock, policy(PLAN_ONLY, SCRATCH)) as memory:
        await add(memory.session("s", user_id="alice"), "short", **TAGGED)
        clock.advance(DAY)
        report = await memory.sweep()
        assert (report.records, report.refusal) == (1, "")


@pytest.mark.parametrize("before", ["default", "another"])
@pytest.mark.parametrize("safety", [PLAN_ONLY, ""], ids=["plan_only", "apply"])
async def test_a_changed_policy_waits_where_it_says_so(
    file_url: str, clock: FakeClock, before: str, safety: str
) -> None:
    """Under `plan_only` workers delete nothing by it until it was applied, and say so; else they do at once."""
    await _filled(file_url, clock, policy(rules=SCRATCH) if before == "another" else "default")
    clock.advance(2 * HOUR)
    async with store(file_url, clock, policy(safety, SHORTER)) as memory:
        chat = memory.session("s", user_id="alice")
        assert await texts(chat) == ["long"], "readers do not wait"
        report = await memory.sweep()
        if not safety:
            assert (report.records, report.refusal) == (3, "")
            return
        assert (report.records, report.waiting, await rows(memory, chat)) == (0, 3, 4)
        assert "securemem policy apply" in report.refusal
        assert (await kinds(memory))[EventKind.DELETE] == 0
        assert await _applied(memory) == ""
        assert (await head_of(memory, chat)).live == 1
        await add(chat, "short", **TAGGED)
        clock.advance(2 * HOUR)
        assert (await memory.sweep()).records == 1


async def test_what_waits_is_counted_and_dated(file_url: str, clock: FakeClock) -> None:
    """A worker that may not says how much is over that it has met, and since when."""
    await _filled(file_url, clock, policy(rules=SCRATCH))
    begun = clock.now
    clock.advance(2 * DAY)
    async with store(file_url, clock, policy(PLAN_ONLY, SHORTER)) as memory:
        report = await memory.sweep()
        assert (report.records, report.waiting) == (0, 3)
        assert report.oldest == int(begun.timestamp() * 1000) + HOUR * 1000


@pytest.mark.parametrize("safety", [PLAN_ONLY, TWO, "safety: {max_delete: {percent: 1, records: 1}}\n"])
async def test_what_callers_asked_for_waits_for_nobody(file_url: str, clock: FakeClock, safety: str) -> None:
    """Their own `ttl` is deleted whatever keeps workers from going by rules."""
    async with store(file_url, clock, "default") as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, *"abc", ttl=HOUR)
        await add(chat, *"def", **TAGGED)
        await add(chat, "long")
    clock.advance(2 * HOUR)
    async with store(file_url, clock, policy(safety, SHORTER)) as memory:
        report = await memory.sweep()
        assert report.records == 3
        assert report.refusal
        assert (await head_of(memory, memory.session("s", user_id="alice"))).live == 4


async def test_two_persons_have_to_say_so(file_url: str, clock: FakeClock) -> None:
    """One is not enough, not even twice, nor nobody; another one is; each word is in the audit."""
    await _filled(file_url, clock, policy(rules=SCRATCH))
    clock.advance(2 * HOUR)
    async with store(file_url, clock, policy(TWO, SHORTER)) as memory:
        assert "policy" in (await memory.sweep()).refusal
        with pytest.raises(ConflictError, match="two persons"):
            await _applied(memory)
        for _ in range(2):
            assert "second person" in await _applied(memory, "dpo:a")
            assert (await memory.sweep()).records == 0
        assert await _applied(memory, "dpo:b") == ""
        assert await infos(memory) == {"s": 1}
        found = await kinds(memory)
        assert (found[EventKind.PROPOSE], found[EventKind.APPLY], found[EventKind.DELETE]) == (2, 1, 1)


async def test_a_word_is_for_one_policy(file_url: str, clock: FakeClock) -> None:
    """What one person wanted of another file is no word for this one."""
    await _filled(file_url, clock, policy(rules=SCRATCH))
    async with store(file_url, clock, policy(TWO, SHORTER)) as memory:
        assert await _applied(memory, "dpo:a")
    async with store(file_url, clock, policy(TWO, SHORTER.replace("1h", "2h"))) as memory:
        assert await _applied(memory, "dpo:b")
        assert not await _applied(memory, "dpo:a")


async def test_a_longer_life_needs_no_second_person(file_url: str, clock: FakeClock) -> None:
    """What only lengthens lives, or is not asked of two, one person puts in force, and a worker by itself."""
    await _filled(file_url, clock, policy(rules=SCRATCH))
    clock.advance(DAY)
    async with store(file_url, clock, policy(TWO, SCRATCH.replace("1d", "2d"))) as memory:
        report = await memory.sweep()
        assert (report.records, report.refusal) == (0, "")
    async with store(file_url, clock, policy(TWO + "defaults: {ttl: 9d}\n")) as memory:
        assert (await memory.sweep()).refusal, "a rule was removed"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bounds: {min_ttl: 2d}\n", "bounds: {min_ttl: 1h}\n"),
        ("defaults: {on_unclassified: quarantine}\n", "defaults: {on_unclassified: defaults}\n"),
    ],
    ids=["bounds", "unclassified"],
)
async def test_what_lets_records_go_sooner_wants_two(file_url: str, clock: FakeClock, before: str, after: str) -> None:
    """Whatever lets something go sooner is a shorter life, wherever the file says it."""
    await _filled(file_url, clock, policy(TWO + before, SCRATCH))
    async with store(file_url, clock, policy(TWO + after, SCRATCH)) as memory:
        assert "second person" in await _applied(memory, "dpo:a")
    async with store(file_url, clock, policy(TWO + before, SCRATCH)) as memory:
        assert await _applied(memory, "dpo:a") == "", "the control: nothing has changed"


@pytest.mark.parametrize("what", ["keep_for: 1y", "keep_for: 2y"])
async def test_a_shorter_keep_wants_two(file_url: str, clock: FakeClock, what: str) -> None:
    """A record that is kept for a shorter time, or that no law keeps any more, goes sooner."""
    keeps = INVOICES.replace("keep_for: 1y", "keep_for: 2y")
    other = keeps.replace("keep_for: 2y", what).replace("keep_basis: {article: gdpr-17-3-b}, ", "")
    await _filled(file_url, clock, policy(TWO, keeps))
    async with store(file_url, clock, policy(TWO, other)) as memory:
        assert "second person" in await _applied(memory, "dpo:a")


@pytest.mark.parametrize("safety", ["", "safety: {after_change: apply}\n", "safety: {two_person: [rule_removed]}\n"])
async def test_nobody_lifts_a_brake_alone(file_url: str, clock: FakeClock, safety: str) -> None:
    """Whoever takes the second person out of the file needs one for it, whatever else they change with it."""
    await _filled(file_url, clock, policy(TWO, SCRATCH))
    clock.advance(2 * HOUR)
    async with store(file_url, clock, policy(safety, SHORTER)) as memory:
        assert (await memory.sweep()).refusal
        assert "second person" in await _applied(memory, "dpo:a")
        assert (await memory.sweep()).records == 0
        assert await _applied(memory, "dpo:b") == ""
        assert await infos(memory) == {"s": 1}


async def test_plan_only_outlives_its_file(file_url: str, clock: FakeClock) -> None:
    """A file that says `apply` takes the place of one that says `plan_only` once somebody has looked."""
    await _filled(file_url, clock, policy(PLAN_ONLY, SCRATCH))
    clock.advance(2 * HOUR)
    async with store(file_url, clock, policy(rules=SHORTER)) as memory:
        report = await memory.sweep()
        assert (report.records, "policy plan" in report.refusal) == (0, True)
        assert await _applied(memory) == ""
        assert await infos(memory) == {"s": 1}


async def test_a_plan_lets_go_what_it_was_made_for(file_url: str, clock: FakeClock) -> None:
    """What somebody has read is no word for what came later; applied a second time, it ends what it had begun."""
    mine = policy("safety: {max_delete: {records: 1}}\n", SCRATCH)
    await _filled(file_url, clock, mine)
    clock.advance(DAY)
    async with store(file_url, clock, mine) as memory:
        token = (await memory.retention.plan()).token
        assert [(await memory.retention.apply(token)).records for _ in range(2)] == [3, 0]
        await add(memory.session("s", user_id="alice"), "later", "later", **TAGGED)
        clock.advance(DAY)
        with pytest.raises(ConflictError, match="plan again"):
            await memory.retention.apply(token)
        assert (await memory.retention.apply((await memory.retention.plan()).token)).records == 2


async def test_a_comment_changes_nothing(file_url: str, clock: FakeClock) -> None:
    """A file that says the same of time needs nobody's word, whatever else is other in it."""
    await _filled(file_url, clock, policy(PLAN_ONLY, SCRATCH))
    clock.advance(DAY)
    same = policy(f"# anew\n{PLAN_ONLY}", SCRATCH, name="other")
    assert same.digest != policy(PLAN_ONLY, SCRATCH).digest
    async with store(file_url, clock, same) as memory:
        report = await memory.sweep()
        assert (report.records, report.refusal) == (3, "")


BRAKES = {
    "number": ("{records: 3}", 3, True),
    "one more": ("{records: 3}", 4, False),
    "percent": ("{percent: 75}", 3, True),
    "percent and more": ("{percent: 74}", 3, False),
    "the larger is percent": ("{percent: 75, records: 1}", 3, True),
    "the larger is the number": ("{percent: 1, records: 3}", 3, True),
    "neither": ("{percent: 1, records: 2}", 3, False),
}


@pytest.mark.parametrize(("most", "count", "goes"), BRAKES.values(), ids=BRAKES)
async def test_too_much_at_once_waits(file_url: str, clock: FakeClock, most: str, count: int, *, goes: bool) -> None:
    """Up to the larger of a share and a number a worker deletes; beyond it nothing, until somebody applies it."""
    mine = policy(f"safety: {{max_delete: {most}}}\n", SCRATCH)
    await _filled(file_url, clock, mine, count)
    clock.advance(DAY)
    async with store(file_url, clock, mine) as memory:
        report = await memory.sweep()
        assert (report.records, bool(report.refusal)) == (count if goes else 0, not goes)
        if not goes:
            assert (await kinds(memory))[EventKind.REFUSE] == 1
            assert report.waiting == count
            assert await _applied(memory) == ""
            assert await infos(memory) == {"s": 1}


async def test_the_brake_is_for_rules_of_a_new_policy_too(file_url: str, clock: FakeClock) -> None:
    """A policy that would take nearly everything is in force and still waits; what is held is not counted."""
    mine = policy("safety: {max_delete: {records: 2}}\n", SCRATCH)
    async with store(file_url, clock, mine) as memory:
        for user in ("alice", "bob"):
            await add(memory.session("s", user_id=user), "1", "2", **TAGGED)
        clock.advance(DAY)
        assert (await memory.sweep()).records == 0
        await memory.holds.place("bob", reason_code="CASE-1")
        assert (await memory.sweep()).records == 2
