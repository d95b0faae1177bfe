"""Plans: they count what a sweep then does, change nothing, and are held against the world when they are applied."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import ConflictError, Message, SecureMemory
from securemem.ledger.audit import EventKind, rule_name
from securemem.model import to_milliseconds
from securemem.policy import Policy
from securemem.retention.plan import Plan

from .store import (
    DAY,
    HOUR,
    INVOICE,
    INVOICES,
    LASTING,
    SCRATCH,
    TAGGED,
    add,
    dump,
    events,
    infos,
    kinds,
    later,
    on_hour,
    opened,
    policy,
    run_sql,
)

if TYPE_CHECKING:
    from tests.conftest import FakeClock, Stored

MAIL = "pii: {engine: patterns, entities: {EMAIL_ADDRESS: keep}}\n"
RULES = policy(
    "defaults: {ttl: 10d}\n" + MAIL,
    SCRATCH + INVOICES + "  - {id: mail, match: {entity: EMAIL_ADDRESS}, ttl: 5d}\n",
)


async def _fill(memory: SecureMemory, clock: FakeClock) -> None:
    """Write, on some days, messages of all kinds, in the sessions of two people and a guest."""
    for day in range(4):
        for user in ("alice", "bob"):
            chat = memory.session(f"s{day % 2}", user_id=user)
            await add(chat, "plain", "plain")
            await add(chat, "short", **TAGGED)
            await add(chat, "invoice", **INVOICE)
            await add(chat, "ask sarah@example.com")
            await add(chat, "by the caller", ttl=(day + 1) * HOUR)
            await chat.add("user", "short", user_id="carol", **TAGGED)  # type: ignore[arg-type]
        clock.advance(DAY)


def _now(plan: Plan) -> Counter[bytes]:
    """Give how many records each rule deletes, by what the audit names it by."""
    return Counter({rule_name(rule): line.now for rule, line in plan.lines.items() if line.now})


async def _deleted(memory: SecureMemory) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for event in await events(memory):
        if event.kind == EventKind.DELETE:
            assert event.rule is not None
            found[event.rule] += event.records or 0
    return found


async def test_a_plan_is_what_a_sweep_does(url: str, clock: FakeClock) -> None:
    """Rule by rule as many records go as the plan said, now and when its week is over."""
    async with opened(url, clock, RULES) as memory:
        await _fill(memory, clock)
        before = Counter[bytes]()
        for days in (0, 3, 7, 40):
            clock.advance(days * DAY)
            plan = await memory.retention.plan()
            report = await memory.sweep()
            after = await _deleted(memory)
            assert after - before == _now(plan)
            assert report.records == sum(line.now for line in plan.lines.values())
            again = await memory.retention.plan()
            assert (again.by_rules, again.records) == (0, plan.records - report.records)
            before = after
        assert before.total() == 4 * 2 * 6
        assert again.lines["invoices"].kept == again.records == 8, "what is left is kept"


async def test_a_plan_of_a_file_by_any_name(tmp_path: Path, clock: FakeClock) -> None:
    """A path with doubled slashes, blanks and signs is that of the store, for a plan too."""
    async with opened(f"sqlite:////{tmp_path}//a b%25.db", clock, policy(rules=SCRATCH)) as memory:
        await add(memory.session("s", user_id="alice"), "x", **TAGGED)
        clock.advance(2 * DAY)
        assert (await memory.retention.plan()).by_rules == 1


async def test_a_plan_sees_a_week_ahead(file_url: str, clock: FakeClock) -> None:
    """What goes within seven days is counted as such, what goes later is not, nor what goes now."""
    rules = SCRATCH + "".join(f"  - {{id: d{days}, match: {{tag: d{days}}}, ttl: {days}d}}\n" for days in (7, 8))
    async with opened(file_url, clock, policy(rules=rules)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x", **TAGGED)
        clock.advance(DAY)
        for tag in ("d7", "d8", "none"):
            await add(chat, "x", metadata={"tags": [tag]})
        await add(chat, "x", ttl=HOUR)
        plan = await memory.retention.plan()
        assert {rule: (line.now, line.soon) for rule, line in plan.lines.items() if line.now or line.soon} == {
            "scratch": (1, 0),
            "d7": (0, 1),
            "call": (0, 1),
        }
        assert plan.records == 5


@pytest.mark.parametrize("opened_as", ["default", "same", "other"])
@LASTING
async def test_a_plan_changes_nothing(url: str, clock: FakeClock, stored: Stored, opened_as: str) -> None:
    """The data, the keystore and the ledger are afterwards, byte for byte, what they were; what `apply` does shows."""
    mine = policy("safety: {after_change: plan_only}\n", SCRATCH + INVOICES)
    policies: dict[str, Policy | str] = {"default": "default", "same": mine, "other": RULES}
    async with opened(url, clock, policies[opened_as]) as memory:
        await _fill(memory, clock)
        await memory.holds.place("bob", reason_code="CASE-1")
        await run_sql(memory, "DELETE FROM {classes} WHERE number = (SELECT min(number) FROM {classes})")
    async with opened(url, clock, mine) as memory:
        before = (await dump(memory), await stored(memory))
        for _ in range(2):
            plan = await memory.retention.plan()
            assert plan.records
            assert plan.held
        assert (await dump(memory), await stored(memory)) == before
        await memory.retention.apply(plan.token, purge_seconds=0)
        assert await dump(memory) != before[0]
        assert (await stored(memory))[1:] != before[1][1:]  # type: ignore[index]


async def test_a_plan_changes_nothing_in_memory(clock: FakeClock, stored: Stored) -> None:
    """The same of a store that lies nowhere."""
    async with opened("memory://", clock, RULES) as memory:
        await _fill(memory, clock)
        before = (await dump(memory), await stored(memory))
        assert (await memory.retention.plan()).by_rules
        assert (await dump(memory), await stored(memory)) == before
        await memory.sweep()
        assert (await dump(memory), await stored(memory)) != before


async def test_what_is_held_or_kept_is_counted_apart(url: str, clock: FakeClock) -> None:
    """Held sessions, of a person or one alone, are in no rule's count; what a law keeps is in its rule's, as kept."""
    async with opened(url, clock, policy(rules=SCRATCH + INVOICES)) as memory:
        for user, session in (("alice", "s"), ("alice", "t"), ("bob", "s"), ("bob", "t"), ("carol", "s")):
            chat = memory.session(session, user_id=user)
            await add(chat, "1", "2", **TAGGED)
            await add(chat, "invoice", **INVOICE)
        await memory.holds.place("alice", reason_code="A")
        await memory.holds.place("alice", session_id="s", reason_code="B")
        await memory.holds.place("bob", session_id="t", reason_code="C")
        clock.advance(31 * DAY)
        plan = await memory.retention.plan()
        assert (plan.records, plan.held, plan.by_rules) == (15, 9, 4)
        assert plan.lines["invoices"].kept == 2
        assert (await memory.sweep()).records == 4


async def test_what_a_held_guest_said_goes_in_no_sweep(file_url: str, clock: FakeClock) -> None:
    """A plan may count what a hold on a guest keeps in somebody else's session: it says too much, never too little."""
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", "x", metadata=TAGGED["metadata"], user_id="bob")] * 2)
        await add(chat, "y", **TAGGED)
        await memory.holds.place("bob", reason_code="A")
        clock.advance(DAY)
        plan = await memory.retention.plan()
        assert (await memory.sweep()).records == 1
        assert plan.records == 3
        assert plan.by_rules >= 1, "what a plan may delete is never fewer than what goes"


@LASTING
async def test_what_a_change_keeps_is_told(url: str, clock: FakeClock) -> None:
    """Against the policy in force, a plan says what is not deleted any more; against the same, nothing."""
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, *"abc", **TAGGED)
        await add(chat, "d", metadata={"tags": ["scratch", "invoice"]})
        clock.advance(DAY)
        assert {rule: line.newly_kept for rule, line in (await memory.retention.plan()).lines.items()} == {"scratch": 0}
    keeping = INVOICES.replace("ttl: 30d, ", "")
    async with opened(url, clock, policy(rules=SCRATCH + keeping)) as memory:
        plan = await memory.retention.plan()
        assert (plan.lines["scratch"].now, plan.lines["invoices"].newly_kept) == (3, 1)
    async with opened(url, clock, policy(rules=SCRATCH.replace("1d", "2d"))) as memory:
        plan = await memory.retention.plan()
        assert (plan.by_rules, plan.lines["scratch"].newly_kept) == (0, 4)


@LASTING
async def test_tenants_are_counted_apart(url: str, clock: FakeClock) -> None:
    """Each tenant's plan has its own records alone, though all lie in one store."""
    counts = {"one": 2, "two": 3}
    for tenant, count in counts.items():
        async with opened(url, clock, policy(rules=SCRATCH), tenant=tenant) as memory:
            await add(memory.session("s", user_id="alice"), *["x"] * count, **TAGGED)
    clock.advance(DAY)
    for tenant, count in counts.items():
        async with opened(url, clock, policy(rules=SCRATCH), tenant=tenant) as memory:
            plan = await memory.retention.plan()
            assert (plan.records, plan.by_rules) == (count, count)
            assert (await memory.sweep()).records == count


async def test_a_plan_says_from_when_backups_are_without(file_url: str, clock: FakeClock) -> None:
    """So many days after it as the policy promises of backups; where it promises nothing, nothing is said."""
    async with opened(file_url, clock, policy("erasure: {targets: {backups: 35d}}\n", SCRATCH)) as memory:
        assert (await memory.retention.plan()).gone_at == int(clock.now.timestamp() * 1000) + 35 * DAY * 1000
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        assert (await memory.retention.plan()).gone_at is None


async def test_a_plan_says_from_when_each_rule_is_irreversible(file_url: str, clock: FakeClock) -> None:
    """That is so many days after the first deletion by it, now or within the week, as backups live."""
    rules = SCRATCH + "  - {id: week, match: {tag: invoice}, ttl: 5d}\n  - {id: year, match: {tag: x}, ttl: 1y}\n"
    async with opened(file_url, clock, policy("erasure: {targets: {backups: 35d}}\n", rules)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "a", "b", **TAGGED)
        await add(chat, "c", **INVOICE)
        await add(chat, "d", metadata={"tags": ["x"]})
        came = on_hour(clock.now)
        clock.advance(2 * DAY)
        lines = (await memory.retention.plan()).lines
        gone = {rule: line.gone_at for rule, line in lines.items()}
        backups = 35 * DAY
        assert gone["scratch"] == to_milliseconds(later(clock.now, backups))
        due = to_milliseconds(later(came, 5 * DAY + backups))
        assert due <= (gone["week"] or 0) <= due + HOUR * 1000
        assert gone["year"] is None
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        [line] = [line for rule, line in (await memory.retention.plan()).lines.items() if rule == "scratch"]
        assert (line.first, line.gone_at) == (to_milliseconds(clock.now), None)


async def _planned(url: str, clock: FakeClock, more: str = "", rules: str = SCRATCH, **options: str) -> Plan:
    async with opened(url, clock, policy(more, rules), **options) as memory:
        return await memory.retention.plan()


async def test_only_its_own_plan_is_applied(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """Another policy's, another store's, another tenant's, and any that was changed are refused; nothing is done."""
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        await add(memory.session("s", user_id="alice"), "x", **TAGGED)
        clock.advance(DAY)
        token = (await memory.retention.plan()).token
        wrong = [
            (await _planned(file_url, clock, "# other\n")).token,
            (await _planned(file_url, clock, rules=SCRATCH.replace("1d", "1h"))).token,
            (await _planned(f"sqlite:///{tmp_path}/other.db", clock)).token,
            (await _planned(file_url, clock, tenant="other")).token,
        ]
        wrong += [
            token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :] for place in range(len(token))
        ]
        wrong += ["", "-", "--", token + "0", token[:-1], token.upper(), f" {token}", "é-1-ab", "1" * 5000, "-1-1-1"]
        for each in wrong:
            if each == token:
                continue
            with pytest.raises(ConflictError, match="no plan of this policy"):
                await memory.retention.apply(each)
        assert await infos(memory) == {"s": 0}
        assert (await kinds(memory))[EventKind.DELETE] == 0
        assert (await memory.retention.apply(token)).records == 1


@pytest.mark.parametrize(
    ("safety", "more", "goes"),
    [
        ("", 50, True),
        ("safety: {max_delete: {records: 3}}\n", 3, True),
        ("safety: {max_delete: {records: 3}}\n", 4, False),
    ],
)
async def test_a_world_that_moved_is_refused(
    file_url: str, clock: FakeClock, safety: str, more: int, *, goes: bool
) -> None:
    """More than the plan said and the brake allows on top is not deleted by it; a new plan is."""
    async with opened(file_url, clock, policy(safety, SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "x", "y", **TAGGED)
        clock.advance(DAY)
        token = (await memory.retention.plan()).token
        await chat.add_many([Message("user", "x", metadata=TAGGED["metadata"])] * more)
        clock.advance(DAY)
        if goes:
            assert (await memory.retention.apply(token)).records == more + 2
            return
        with pytest.raises(ConflictError, match="plan again"):
            await memory.retention.apply(token)
        assert ((await kinds(memory))[EventKind.REFUSE], (await kinds(memory))[EventKind.DELETE]) == (1, 0)
        assert (await memory.retention.apply((await memory.retention.plan()).token)).records == more + 2


def test_a_plan_has_no_id_and_no_text() -> None:
    """What it is made of are numbers, and the names of rules."""
    kinds_of = {each.name: each.type for each in dataclasses.fields(Plan)}
    assert set(kinds_of) == {"at", "records", "lines", "held", "quarantined", "gone_at", "token", "oldest"}
