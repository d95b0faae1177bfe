"""What is wrong with a policy whose parts are all of the right types, and what in it is odd."""

from __future__ import annotations

import pytest

from securemem.policy.decide import RESERVED
from tests.policy.texts import NAMED, loaded, refused, warned, whole

PII = "pii: {entities: {URL: redact, MEDICAL: keep}}\n"
RULES = NAMED + PII + "defaults: {ttl: 1y}\nrules:\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "rules:\n- {id: a, match: {tag: a}}\n- {id: b, match: {tag: a}}\n- {id: a, match: {tag: c}}\n",
            "7:4: id 'a' is given twice, it stood in line 5",
        ),
        (
            "erasure: {notify: [{id: a, url_env: A}, {id: a, url_env: B}]}\n",
            "4:42: id 'a' is given twice, it stood in line 4",
        ),
        ("bounds: {min_ttl: 31d, max_ttl: 1mo}\n", "4:10: min_ttl 31d is above max_ttl 1mo"),
        ("bounds: {min_ttl: 1y, max_ttl: 365d}\n", "4:10: min_ttl 1y is above max_ttl 365d"),
        (
            "rules: [{id: a, match: {}}]\n",
            "4:17: a match has to say something, `defaults` hold for every record",
        ),
        (
            "rules: [{id: a, match: {any: [{tag: a}, {}]}}]\n",
            "4:41: a match has to say something, `defaults` hold for every record",
        ),
        (
            "rules: [{id: a, match: {tag: a, all: [{any: [{}]}]}}]\n",
            "4:46: a match has to say something, `defaults` hold for every record",
        ),
        ("rules: [{id: a, match: {any: []}}]\n", "4:25: [] is empty"),
        (
            "rules: [{id: a, match: {tag: a}, keep_basis: {article: gdpr-17-3-b}}]\n",
            "4:34: keep_basis says nothing without keep_for",
        ),
        (
            "rules: [{id: a, match: {tag: a}, while_kept: use}]\n",
            "4:34: while_kept says nothing without keep_for",
        ),
        (
            "rules: [{id: scratch, match: {tag: a}}]\ntests: [{given: {}, expect: {action: keep, rule: scatch}}]\n",
            "5:44: there is no rule 'scatch', did you mean 'scratch'?",
        ),
        ("tests: [{given: {}, expect: {action: keep, rule: zzz}}]\n", "4:44: there is no rule 'zzz'"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    """The error stands where the mistake is, names both lines where there are two, and offers what was meant."""
    assert refused(NAMED + text) == said


@pytest.mark.parametrize(
    "text",
    [
        "rules: [{id: a, match: {tag: a}}]\nerasure: {notify: [{id: a, url_env: A}]}\n",
        "bounds: {min_ttl: 30d, max_ttl: 30d}\n",
        "bounds: {min_ttl: 365d, max_ttl: 1y}\n",
        "rules: [{id: a, match: {any: [{tag: a}]}}]\n",
        "rules: [{id: a, match: {tag: a}, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}, while_kept: use}]\n",
        "tests: [{given: {}, expect: {action: keep, rule: defaults}}]\n",
        "tests: [{given: {}, expect: {action: keep}}]\n",
    ],
)
def test_what_can_be_meant_is_taken(text: str) -> None:
    """The control: the nearest to each mistake that is none."""
    assert loaded(NAMED + text).name == "mine"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_rule_is_called_as_decisions_call_something_else(name: str) -> None:
    """A rule that is named so would be mistaken in every decision; in a test it may be expected."""
    said = f"4:10: {name!r} is what decisions call something else, name the rule otherwise"
    assert refused(f"{NAMED}rules: [{{id: {name}, match: {{tag: a}}}}]\n") == said
    assert loaded(f"{NAMED}rules: [{{id: {name}-1, match: {{tag: a}}}}]\n").rules.rules[0].id == f"{name}-1"
    assert loaded(f"{NAMED}tests: [{{given: {{}}, expect: {{action: keep, rule: {name}}}}}]\n").name == "mine"


USE, RESTRICT = "keep_for: 1y, while_kept: use", "keep_for: 2y, while_kept: restrict"
CARE, SALES = "purpose: care", "purpose: sales"


def _two(one: str, other: str) -> str:
    return f"{RULES}- {{id: one, match: {one}}}\n- {{id: other, match: {other}}}\n"


CONFLICTS = [
    (f"{{tag: a}}, {USE}", f"{{tag: b}}, {RESTRICT}", "while_kept"),
    (f"{{tag: a}}, {USE}", f"{{tag: a}}, {RESTRICT}", "while_kept"),
    (f"{{tag: a}}, {CARE}", f"{{entity: MEDICAL}}, {SALES}", "purpose"),
    ("{tag: a}, on_write: {redact: [URL]}", "{tag: b}, on_write: {hash: [URL]}", "on_write of URL"),
    (f"{{tag: a}}, {CARE}", f"{{any: [{{tag: b, entity: URL}}, {{tag: c}}]}}, {SALES}", "purpose"),
    (f"{{tag: a, purpose: p}}, {CARE}", f"{{tag: b, purpose: p}}, {SALES}", "purpose"),
    (f"{{session_tag: a}}, {CARE}", f"{{tag: a}}, {SALES}", "purpose"),
    (f"{{any: [{{tag: a}}, {{tag: a, entity: URL}}]}}, {CARE}", f"{{tag: b}}, {SALES}", "purpose"),
]


@pytest.mark.parametrize(("one", "other", "differing"), CONFLICTS)
def test_rules_that_tie_and_differ_are_an_error(one: str, other: str, differing: str) -> None:
    """It stands at the second, names both with their lines and what they differ in; their order is no matter."""
    for first, second in ((one, other), (other, one)):
        assert refused(_two(first, second)) == (
            "8:3: rule 'other' (line 8) and rule 'one' (line 7) can be true of the same record, and differ in "
            f"{differing}, make one of them more specific"
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(f"{{tag: a}}, {USE}", f"{{tag: b, entity: URL}}, {RESTRICT}", id="more specific"),
        pytest.param(f"{{tag: a}}, {CARE}", f"{{tag: a, session_tag: a}}, {SALES}", id="more specific, same words"),
        pytest.param(f"{{purpose: p}}, {CARE}", f"{{purpose: q}}, {SALES}", id="other purposes"),
        pytest.param(
            f"{{tag: a, purpose: p}}, {CARE}", f"{{tag: b, purpose: q}}, {SALES}", id="other purposes among others"
        ),
        pytest.param(f"{{tag: a}}, {USE}", f"{{tag: b}}, {USE}", id="the same"),
        pytest.param(f"{{tag: a}}, {USE}", "{tag: b}, keep_for: 2y", id="one says nothing"),
        pytest.param(f"{{tag: a}}, {USE}", f"{{tag: b}}, {CARE}", id="of other things"),
        pytest.param("{tag: a}, ttl: 1d, keep_for: 1y", "{tag: a}, ttl: 2d, keep_for: 2y", id="time"),
        pytest.param("{tag: a}, on_write: {redact: [URL]}", "{tag: b}, on_write: {hash: [AGE]}", id="other entities"),
        pytest.param(
            f"{{any: [{{tag: a}}, {{all: [{{tag: a}}, {{tag: b}}]}}]}}, {CARE}",
            f"{{tag: b}}, {SALES}",
            id="one is longer wherever both are true",
        ),
        pytest.param(
            f"{{any: [{{session_tag: a}}, {{tag: a, session_tag: a}}]}}, {CARE}",
            f"{{tag: b}}, {SALES}",
            id="a session's tag is its messages'",
        ),
    ],
)
def test_rules_that_do_not_tie_or_differ_are_taken(one: str, other: str) -> None:
    """What is a matter of time, is said once, or is settled by specificity or purpose, is no conflict."""
    for first, second in ((one, other), (other, one)):
        assert len(loaded(_two(first, second)).rules.rules) == 2


HOURS = "only the hour is known in which a record came, and its life is reckoned from the beginning of that"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- {id: a, match: {entity: PERSON}, ttl: 1d}\n",
            "7:11: rule 'a' can never match, PERSON is not among pii.entities",
        ),
        (
            "- {id: a, match: {all: [{purpose: p}, {purpose: q}]}, ttl: 1d}\n",
            "7:11: rule 'a' can never match, a record has one purpose",
        ),
        (
            "- {id: a, match: {any: [{tag: a}, {entity: PERSON}]}, ttl: 1d}\n",
            "7:11: PERSON is never found, it is not among pii.entities",
        ),
        (
            "- {id: a, match: {tag: a}, ttl: 1d, keep_for: 1y}\n",
            "7:37: without keep_basis an erasure deletes all the same",
        ),
        (
            "- {id: a, match: {tag: a}, ttl: 59m}\n",
            f"7:28: after 59m a record may be gone as soon as it is written, {HOURS}",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(text: str, said: str) -> None:
    """The policy is loaded, and its warning says where and why."""
    assert warned(RULES + text) == [said]


@pytest.mark.parametrize(
    "text",
    [
        "- {id: a, match: {entity: MEDICAL}, ttl: 1d}\n",
        "- {id: a, match: {entity: PERSON}, ttl: 1d, on_write: {redact: [PERSON]}}\n",
        "- {id: a, match: {any: [{purpose: p}, {purpose: q}]}, ttl: 1d}\n",
        "- {id: a, match: {tag: a}, ttl: 60m}\n",
        "- {id: a, match: {tag: a}, ttl: 1d, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}}\n",
    ],
)
def test_what_is_probably_meant_is_none(text: str) -> None:
    """The control: the nearest to each warning that is in order."""
    assert warned(RULES + text) == []


def test_without_pii_no_entity_is_found() -> None:
    """A rule by an entity never matches where nothing looks for any."""
    text = NAMED + "rules: [{id: a, match: {entity: URL}, ttl: 1d}]\n"
    assert warned(text) == ["4:17: rule 'a' can never match, URL is not among pii.entities"]
    assert warned(text + PII) == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("rules: [{id: a, match: {tag: a}, ttl: 1h}]", "5:34: 1h is beyond min_ttl, it is taken as 1d"),
        ("rules: [{id: a, match: {tag: a}, ttl: 2y}]", "5:34: 2y is beyond max_ttl, it is taken as 1y"),
        ("defaults: {ttl: 2y}", "5:12: 2y is beyond max_ttl, it is taken as 1y"),
        ("defaults: {ttl: 1h}", "5:12: 1h is beyond min_ttl, it is taken as 1d"),
        ("defaults: {ttl: 1y}", None),
        ("rules: [{id: a, match: {tag: a}, ttl: 24h}]", None),
    ],
)
def test_a_ttl_beyond_the_bounds_is_a_warning(written: str, said: str | None) -> None:
    """It says what is taken in its place; a ttl at a bound is within."""
    assert warned(f"{NAMED}bounds: {{min_ttl: 1d, max_ttl: 1y}}\n{written}\n") == ([said] if said else [])


def test_a_keep_that_nothing_ends_is_a_warning() -> None:
    """How long at least is no end; a ttl of the rule, the defaults or the bounds is one."""
    keep = "rules: [{id: a, match: {tag: a}, keep_for: 1y, keep_basis: {article: hgb}%s}]\n"
    said = "4:34: is how long at least; nothing says how long at most, say `ttl`"
    assert warned(NAMED + keep % "") == [said]
    for ended in (keep % ", ttl: 1d", keep % "" + "defaults: {ttl: 1d}\n", keep % "" + "bounds: {max_ttl: 1d}\n"):
        assert warned(NAMED + ended) == []


def test_an_actor_of_no_role_is_a_warning() -> None:
    """A purpose for somebody without rights serves nobody; where there are no roles, everybody has all rights."""
    purposes = "purposes: {care: [agent:x, nurse:y]}"
    found = warned(f"{NAMED}access: {{roles: {{agent: [read]}}, {purposes}}}\n")
    assert [each.partition(": ")[2] for each in found] == ["'nurse:y' is of no role, it has no rights"]
    assert warned(f"{NAMED}access: {{{purposes}}}\n") == []


def test_warnings_are_all_given() -> None:
    """One does not hide another."""
    text = RULES + "- {id: a, match: {entity: AGE}, keep_for: 1y}\n- {id: b, match: {tag: b}, keep_for: 1y}\n"
    assert [each.line for each in whole(text).warnings] == [7, 7, 8]
