"""Matches as sets of conditions: what is true of a record, and how specific a rule is for it."""

from __future__ import annotations

import contextlib
import time

import pytest

from securemem.errors import PolicyError
from securemem.policy.durations import Duration
from securemem.policy.rules import ENTITY, MOST_BRANCHES, PURPOSE, SESSION_TAG, TAG, Branch, Condition, Rule, facts_of
from tests.policy.texts import NAMED, loaded, refused


def rule(match: str) -> Rule:
    """Give the rule that has a match."""
    return loaded(f"{NAMED}rules: [{{id: a, match: {match}}}]\n").rules.rules[0]


def branch(**conditions: str) -> Branch:
    """Give conditions by their kinds."""
    return frozenset(Condition(kind, word) for kind, word in conditions.items())


@pytest.mark.parametrize(
    ("match", "branches"),
    [
        ("{tag: a}", [branch(tag="a")]),
        (
            "{tag: a, entity: B, session_tag: c, purpose: d}",
            [branch(tag="a", entity="B", session_tag="c", purpose="d")],
        ),
        ("{any: [{tag: a}, {entity: B}]}", [branch(tag="a"), branch(entity="B")]),
        ("{all: [{tag: a}, {entity: B}]}", [branch(tag="a", entity="B")]),
        ("{tag: a, any: [{entity: B}, {entity: C}]}", [branch(tag="a", entity="B"), branch(tag="a", entity="C")]),
        (
            "{any: [{tag: a}, {tag: b}], all: [{entity: B}, {any: [{purpose: c}, {purpose: d}]}]}",
            [branch(tag=tag, entity="B", purpose=purpose) for tag in "ab" for purpose in "cd"],
        ),
        ("{all: [{tag: a}, {tag: b}]}", [frozenset({Condition(TAG, "a"), Condition(TAG, "b")})]),
        ("{any: [{tag: a}, {tag: a}, {all: [{tag: a}]}]}", [branch(tag="a")]),
        ("{any: [{any: [{any: [{tag: a}]}]}]}", [branch(tag="a")]),
    ],
)
def test_a_match_is_true_in_these_ways(match: str, branches: list[Branch]) -> None:
    """All keys of one match have to be true, one of `any`, and each of `all`."""
    assert set(rule(match).branches) == set(branches)
    assert len(rule(match).branches) == len(branches)


def test_what_is_true_of_a_record() -> None:
    """Each tag, entity and its purpose; a tag of its session is one of its own too, and not the other way round."""
    assert facts_of(["a"], ["s"], ["E"], "p") == {
        Condition(TAG, "a"),
        Condition(TAG, "s"),
        Condition(SESSION_TAG, "s"),
        Condition(ENTITY, "E"),
        Condition(PURPOSE, "p"),
    }
    assert facts_of() == frozenset()
    assert rule("{tag: s}").specificity(facts_of([], ["s"])) == 1
    assert rule("{session_tag: s}").specificity(facts_of(["s"])) == 0


def test_kinds_do_not_mix() -> None:
    """A tag is no entity and no purpose, though they are the same word."""
    facts = facts_of(["X"])
    assert [rule(f"{{{kind}: X}}").specificity(facts) for kind in ("tag", "entity", "purpose")] == [1, 0, 0]


def test_a_rule_is_as_specific_as_its_longest_branch_that_is_true() -> None:
    """Only what is true of the record counts; a rule of which nothing is true is not for it."""
    found = rule("{any: [{tag: a}, {tag: b, entity: E}, {tag: c, entity: F, purpose: p}]}")
    assert found.specificity(facts_of(["a"])) == 1
    assert found.specificity(facts_of(["a", "b"], entities=["E"])) == 2
    assert found.specificity(facts_of(["b"])) == found.specificity(frozenset()) == 0


def test_the_most_specific_comes_first_then_ids() -> None:
    """Where rules stand in the file is no matter."""
    text = "{{id: {}, match: {{tag: a{}}}}}"
    rules = [text.format(*each) for each in (("z", ""), ("m", ", entity: E"), ("b", ""), ("other", ", entity: F"))]
    for order in (rules, rules[::-1]):
        policy = loaded(f"{NAMED}rules: [{', '.join(order)}]\n")
        assert [each.id for each in policy.rules.matching(facts_of(["a"], entities=["E"]))] == ["m", "b", "z"]


def test_a_tenants_rules_hide_the_callers_words() -> None:
    """Tags and purposes become hashes in every branch; entities, which are presidio's names, and all else stay."""
    policy = loaded(
        f"{NAMED}defaults: {{ttl: 9d}}\nrules:\n"
        "- {id: a, match: {tag: secret, session_tag: secret, entity: URL, purpose: secret}, ttl: 1d, purpose: care}\n"
        "- {id: b, match: {any: [{tag: secret}, {entity: URL}]}, keep_for: 1y, while_kept: use}\n"
    )
    bound = policy.rules.bound(lambda word: f"#{len(word)}")
    assert bound.rules[0].branches == (branch(tag="#6", session_tag="#6", entity="URL", purpose="#6"),)
    assert set(bound.rules[1].branches) == {branch(tag="#6"), branch(entity="URL")}
    plain = tuple(each._replace(branches=()) for each in policy.rules.rules)
    assert tuple(each._replace(branches=()) for each in bound.rules) == plain
    assert bound._replace(rules=()) == policy.rules._replace(rules=())
    assert "secret" in repr(policy.rules), "the control"
    assert "secret" not in repr(bound)


def test_entities_that_rules_ask_for_or_treat() -> None:
    """What has to be looked for: what matches name, and what is treated on the way in."""
    policy = loaded(
        f"{NAMED}pii: {{entities: {{URL: keep}}}}\nrules:\n"
        "- {id: a, match: {any: [{entity: MEDICAL}, {tag: b}]}, on_write: {redact: [PERSON, AGE], hash: [IBAN_CODE]}}\n"
    )
    assert policy.rules.entities() == {"MEDICAL", "PERSON", "AGE", "IBAN_CODE"}
    assert policy.rules.rules[0].on_write == {"PERSON": "redact", "AGE": "redact", "IBAN_CODE": "hash"}


@pytest.mark.parametrize(
    ("text", "is_idle"),
    [
        ("", True),
        ("bounds: {min_ttl: 1d}\n", True),
        ("defaults: {ttl: 1d}\n", False),
        ("bounds: {max_ttl: 1d}\n", False),
        ("rules: [{id: a, match: {tag: a}}]\n", False),
    ],
)
def test_rules_that_say_nothing_are_idle(text: str, is_idle: bool) -> None:  # noqa: FBT001  (a case's answer)
    """Without a rule and an end nothing has to be decided."""
    assert loaded(NAMED + text).rules.are_idle is is_idle


def _any(number: int, kind: str = "tag") -> str:
    return "{any: [" + ", ".join(f"{{{kind}: w{each}}}" for each in range(number)) + "]}"


TOO_MANY = "a match has too many ways to be true, part it into rules"


def test_branches_are_bounded() -> None:
    """As many ways to be true as are allowed are taken; one more is refused, however it comes about."""
    assert len(rule(_any(MOST_BRANCHES)).branches) == MOST_BRANCHES
    assert len(rule(f"{{all: [{_any(16)}, {_any(16, 'entity')}]}}").branches) == MOST_BRANCHES
    for match in (_any(MOST_BRANCHES + 1), f"{{all: [{_any(16)}, {_any(17, 'entity')}]}}"):
        assert (
            refused(f"{NAMED}rules: [{{id: b, match: {{tag: b}}}},\n{{id: a, match: {match}}}]\n") == f"5:9: {TOO_MANY}"
        )


@pytest.mark.parametrize(
    "match",
    [
        "{all: [" + ", ".join([_any(2)] * 40) + "]}",
        "{all: [" + ", ".join(f"{{any: [{{tag: a{n}}}, {{tag: b{n}}}]}}" for n in range(64)) + "]}",
        "{all: [" + ", ".join([_any(200)] * 8) + "]}",
        "{any: [" * 14 + "{tag: a}" + "]}" * 14,
    ],
    ids=["two, forty times", "two to the 64th", "two hundred to the 8th", "nested"],
)
def test_no_match_takes_time_to_read(match: str) -> None:
    """What would be more combinations than there are atoms is taken or refused at once."""
    begin = time.process_time()
    text = f"{NAMED}rules: [{{id: a, match: {match}}}]\n"
    with contextlib.suppress(PolicyError):
        assert loaded(text).rules.rules[0].branches
    assert time.process_time() - begin < 2


def test_all_rules_together_are_bounded() -> None:
    """A policy with a thousand ways in all is taken; one with more is refused in no time."""
    rules = [f"{{id: r{number}, match: {_any(64)}}}" for number in range(17)]
    assert len(loaded(f"{NAMED}rules: [{', '.join(rules[:16])}]\n").rules.rules) == 16
    assert refused(f"{NAMED}rules: [{', '.join(rules)}]\n") == f"4:1: {TOO_MANY}"


def test_a_rule_by_itself_says_nothing() -> None:
    """The control of defaults: what a rule does not say, is not said."""
    found = rule("{tag: a}")
    assert found == Rule("a", (branch(tag="a"),))
    assert (found.ttl, found.keep_for, found.basis, found.while_kept, found.purpose) == (None,) * 5
    assert rule("{tag: a}")._replace(ttl=Duration.of("1d")) != found
