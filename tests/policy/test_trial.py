"""The tests that a policy carries with it: what they describe, and what comes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from securemem.model import NEVER
from securemem.policy import schema
from securemem.policy.durations import Duration
from securemem.policy.rules import facts_of
from securemem.policy.trial import Outcome, record_of, run
from tests.policy.texts import NAMED, whole

NOW = int(datetime(2026, 3, 31, 12, 30, tzinfo=UTC).timestamp()) * 1000
RULES = (
    NAMED + "defaults: {ttl: 90d}\npii: {entities: {MEDICAL: keep}}\nrules:\n"
    "- {id: scratch, match: {session_tag: scratch}, ttl: 24h}\n"
    "- {id: health, match: {any: [{tag: health}, {entity: MEDICAL}]}, ttl: 30d}\n"
    "- {id: invoices, match: {tag: invoice}, keep_for: 7y, keep_basis: {article: gdpr-17-3-b}, while_kept: restrict}\n"
    "- {id: care, match: {purpose: care}, ttl: 1y}\n"
    "tests:\n"
)


def outcomes(*tests: str) -> list[Outcome]:
    """Give what comes of tests under these rules."""
    loaded = whole(RULES + "".join(f"- {test}\n" for test in tests))
    return run(loaded.file.tests, loaded.policy.rules, NOW)


CASES = [
    ("{session_tag: scratch, age: 25h}", "delete", "scratch"),
    ("{session_tag: scratch, age: 24h}", "delete", "scratch"),
    ("{session_tag: scratch, age: 23h}", "keep", "scratch"),
    ("{tag: scratch, age: 25h}", "keep", "defaults"),
    ("{session_tags: [x, scratch], age: 25h}", "delete", "scratch"),
    ("{session_tag: health, age: 31d}", "delete", "health"),
    ("{tags: [x, health], age: 31d}", "delete", "health"),
    ("{entity: MEDICAL, age: 31d}", "delete", "health"),
    ("{entities: [URL, MEDICAL], age: 31d}", "delete", "health"),
    ("{purpose: care, age: 91d}", "keep", "care"),
    ("{purpose: care, age: 1y}", "delete", "care"),
    ("{purpose: sales, age: 91d}", "delete", "defaults"),
    ("{tag: invoice, age: 2y, event: erasure}", "restrict", "invoices"),
    ("{tag: invoice, age: 7y, event: erasure}", "delete", "erasure"),
    ("{tag: invoice, tags: [health], session_tag: scratch, age: 25h}", "restrict", "invoices"),
    ("{event: erasure}", "delete", "erasure"),
    ("{event: restriction}", "restrict", "restriction"),
    ("{event: hold, age: 9y}", "restrict", "hold"),
    ("{ttl: 1h}", "keep", "call"),
    ("{ttl: 1h, age: 1h}", "delete", "call"),
    ("{ttl: 1y, age: 90d}", "delete", "defaults"),
    ("{unclassified: true, tag: health, age: 9y}", "quarantine", "unclassified"),
    ("{}", "keep", "defaults"),
]


@pytest.mark.parametrize(("given", "action", "rule"), CASES)
def test_a_test_that_expects_what_is_decided_passes(given: str, action: str, rule: str) -> None:
    """With the rule or without; another action or another rule fails, and says what was decided."""
    others = [each for each in ("keep", "restrict", "delete", "quarantine") if each != action]
    tests = [f"{{given: {given}, expect: {{action: {action}, rule: {rule}}}}}"]
    tests.append(f"{{given: {given}, expect: {{action: {action}}}}}")
    tests += [f"{{given: {given}, expect: {{action: {other}}}}}" for other in others]
    tests.append(f"{{given: {given}, expect: {{action: {action}, rule: {'bounds'}}}}}")
    found = outcomes(*tests)
    assert [outcome.passed for outcome in found] == [True, True, False, False, False, False]
    assert {(outcome.decision.action.value, outcome.decision.rule) for outcome in found} == {(action, rule)}
    assert [outcome.number for outcome in found] == [1, 2, 3, 4, 5, 6]
    assert found[2].expected.action == others[0]


def test_an_outcome_names_the_rules_that_were_for_its_record() -> None:
    """All of them, and not only the one that decided; none where the class is not known."""
    tests = ("{tags: [health, invoice], session_tag: scratch}", "{}", "{unclassified: true, tag: health}")
    found = outcomes(*(f"{{given: {given}, expect: {{action: keep}}}}" for given in tests))
    assert [outcome.matched for outcome in found] == [{"scratch", "health", "invoices"}, set(), set()]


def test_a_policy_without_tests_has_no_outcomes() -> None:
    """Nothing is run where nothing is expected."""
    assert run((), whole(NAMED).policy.rules, NOW) == []


@pytest.mark.parametrize(("age", "came"), [("1mo", datetime(2026, 2, 28, 12, 30, tzinfo=UTC)), ("1000y", None)])
def test_an_age_is_the_calendars(age: str, came: datetime | None) -> None:
    """A month before the last of March is the last of February; nothing came before 1970."""
    record = record_of(schema.Given(age=age), NOW)
    assert record.since == record.by == (int(came.timestamp()) * 1000 if came is not None else 1)


@pytest.mark.parametrize("span", ["1mo", "2mo", "1y", "30d", "7y", "1h"])
@pytest.mark.parametrize("day", range(26, 35))
def test_what_is_as_old_as_its_ttl_is_over(span: str, day: int) -> None:
    """On every day of the year's ends of months an age of a duration is the end of a life of it, and less is not."""
    now = NOW + (day - 31) * 86_400_000
    for given in (schema.Given(age=span, ttl=span), schema.Given(age=span)):
        came = record_of(given, now).since
        assert Duration.of(span).after(came) <= now
    assert Duration.of(span).after(record_of(schema.Given(), now).since) > now


def test_what_is_not_given_is_not_there() -> None:
    """A test without words describes a record that came just now, with nothing true of it and no end."""
    record = record_of(schema.Given(), NOW)
    assert record == (frozenset(), NOW, NOW, NEVER)
    one = schema.Given(
        tag="a", tags=("b",), session_tag="c", session_tags=("d",), entity="E", entities=("F",), purpose="p"
    )
    assert record_of(one, NOW).facts == facts_of("ab", "cd", "EF", "p")
    assert record_of(schema.Given(tag="a", unclassified=True), NOW).facts is None
