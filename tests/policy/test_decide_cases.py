"""What is decided, case by case: a table that a reader can follow, and that notices a change of any branch."""

from __future__ import annotations

import pytest

from securemem.model import NEVER
from securemem.policy.decide import Action, Asked, Decision, decide
from tests.policy.table import CASES, WHY, Case


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_decided_as_it_is_written(case: Case) -> None:
    """Action, rule, deadline and whether something is kept are those of the table."""
    record, rules, held, asked = case.situation
    found = decide(record, rules, held=held, asked=asked, now=case.now)
    assert (found.action.value, found.rule, found.deadline, found.keeps) == case.expected


def test_a_decision_says_why_in_words() -> None:
    """The words name the duration as it was written, and the article that demands a keep; none is without words."""
    words = {case.name: _why(case) for case in CASES}
    assert all(words.values())
    assert {name: words[name] for name in WHY} == WHY


def _why(case: Case) -> str:
    record, rules, held, asked = case.situation
    return decide(record, rules, held=held, asked=asked, now=case.now).why


def test_a_decision_holds_no_keep_unless_it_says_so() -> None:
    """The control of `keeps`: by itself a decision is one that nothing stands against."""
    assert Decision(Action.KEEP, "defaults", NEVER, "").keeps is False
    assert Asked() == (False, False)
