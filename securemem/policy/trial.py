"""Runs the tests that a policy carries with it: records that are described, and what has to be decided about them."""

from __future__ import annotations

from typing import NamedTuple

from securemem.model import NEVER
from securemem.policy import schema
from securemem.policy.decide import Asked, Decision, Record, decide
from securemem.policy.durations import Duration
from securemem.policy.rules import Rules, facts_of


class Outcome(NamedTuple):
    """What came of one test.

    Attributes:
        number: which one, from 1.
        expected: what had to be decided.
        decision: what was.
        passed: whether that is the same.
        matched: the rules that were for its record.
    """

    number: int
    expected: schema.Expected
    decision: Decision
    passed: bool
    matched: frozenset[str]


def run(cases: tuple[schema.Case, ...], rules: Rules, now: int) -> list[Outcome]:
    """Run a policy's tests.

    Args:
        cases: the tests.
        rules: the policy's, as they stand in the file.
        now: the moment at which they are run, in milliseconds.
    """
    return [_run(number, case, rules, now) for number, case in enumerate(cases, 1)]


def _run(number: int, case: schema.Case, rules: Rules, now: int) -> Outcome:
    given, expected = case.given, case.expect
    record = record_of(given, now)
    asked = Asked(erasure=given.event == "erasure", restriction=given.event == "restriction")
    decision = decide(record, rules, held=given.event == "hold", asked=asked, now=now)
    passed = decision.action == expected.action and expected.rule in (None, decision.rule)
    matched = rules.matching(record.facts) if record.facts is not None else []
    return Outcome(number, expected, decision, passed, frozenset(rule.id for rule in matched))


def record_of(given: schema.Given, now: int) -> Record:
    """Give the record that a test describes; it came at a moment that is known to the millisecond."""
    came = Duration.of(given.age).before(now) if given.age is not None else now
    facts = facts_of(
        (*given.tags, *([given.tag] if given.tag else [])),
        (*given.session_tags, *([given.session_tag] if given.session_tag else [])),
        (*given.entities, *([given.entity] if given.entity else [])),
        given.purpose,
    )
    expiry = Duration.of(given.ttl).after(came) if given.ttl is not None else NEVER
    return Record(None if given.unclassified else facts, came, came, expiry)
