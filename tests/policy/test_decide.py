"""What is decided equals the precedence as it is written down a second time, on very many random cases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from securemem.policy.decide import Decision, decide
from tests.policy.cases import FEW, cases
from tests.policy.naive import Situation, Verdict, later, verdict

SEED = 20_261_126
CHUNK = 20_000


def decided(situation: Situation, now: int, decide: Callable[..., Decision] = decide) -> Verdict:
    """Give what is decided, without the words."""
    record, rules, held, asked = situation
    decision = decide(record, rules, held=held, asked=asked, now=now)
    return Verdict(decision.action.value, decision.rule, decision.deadline, decision.keeps)


def differing(seed: int, number: int, decide: Callable[..., Decision] = decide) -> list[str]:
    """Give the cases in which the two do not say the same, in words."""
    found = []
    for situation, now in cases(seed, number):
        mine, theirs = decided(situation, now, decide), verdict(situation, now)
        if mine != theirs:
            found.append(f"{situation} at {now}: decided {mine}, is {theirs}")
    later.cache_clear()
    return found


def test_the_two_differ_in_none_of_a_seeded_share() -> None:
    """Action, rule, deadline and whether it is kept are the same in 20,000 cases."""
    assert differing(SEED, FEW) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_two_differ_in_none_of_a_million() -> None:
    """The same in a million cases, none of which is of the seeded share."""
    differ = [case for chunk in range(1_000_000 // CHUNK) for case in differing(chunk, CHUNK)]
    assert differ == []


def test_the_comparison_would_find_a_fault() -> None:
    """The control: a decision that is a millisecond late, or names another rule, is among what differs."""

    def late(*args: object, now: int, **given: object) -> Decision:
        return decide(*args, now=now - 1, **given)  # type: ignore[arg-type]

    def nameless(*args: object, **given: object) -> Decision:
        return decide(*args, **given)._replace(rule="defaults")  # type: ignore[arg-type]

    assert differing(SEED, 500, late)
    assert differing(SEED, 500, nameless)


def test_the_cases_reach_all_that_can_be_decided() -> None:
    """Each action, and each thing that decides, is in hundreds of the cases; many are where something changes."""
    seen: Counter[str] = Counter()
    for situation, now in cases(SEED, FEW):
        found = decided(situation, now)
        named = found.rule if not found.rule.startswith("r") or found.rule == "restriction" else "a rule"
        before = decided(situation, now - 1)
        edge = found.action != before.action or decided(situation, now + 1).action != found.action
        seen.update((found.action, named, f"{found.action} by {named}", "edge" if edge else "inside"))
    reached = ("keep", "restrict", "delete", "quarantine", "a rule", "defaults", "bounds", "call", "hold", "erasure")
    assert min(seen[each] for each in (*reached, "restriction", "unclassified")) > 200, seen
    assert seen["edge"] > FEW / 10, seen


def test_no_rules_order_matters() -> None:
    """The same rules in another order decide the same."""
    chance = random.Random(SEED)
    for situation, now in cases(SEED + 1, 2000):
        rules = list(situation.rules.rules)
        chance.shuffle(rules)
        other = situation._replace(rules=situation.rules._replace(rules=tuple(rules)))
        assert decided(other, now) == decided(situation, now)


def test_what_is_said_of_a_deadline_comes_true() -> None:
    """Until its deadline the action stays, and at it there is another; what has none stays as it is to the end."""
    for situation, now in cases(SEED + 2, 2000):
        at = partial(decided, situation)
        found = at(now)
        if found.action == "delete":
            continue
        if found.deadline:
            assert now < found.deadline
            assert at(found.deadline - 1).action == found.action != at(found.deadline).action
        else:
            assert at(now + 10**15).action == found.action
