"""What has changed between two policies, and above all what ends sooner."""

from __future__ import annotations

import pytest

from securemem.policy.differ import differences
from tests.policy.texts import NAMED, loaded

RULE = "rules: [{id: a, match: {tag: a}%s}]\n"


def found(old: str, new: str) -> list[tuple[str, ...]]:
    """Give the differences between two texts."""
    return [tuple(each) for each in differences(loaded(NAMED + old), loaded(NAMED + new))]


def ttl(text: str) -> str:
    """Give a rule with more in it."""
    return RULE % f", {text}"


SOONER = [
    ("", "defaults: {ttl: 1d}\n", ("ttl_shortened", "defaults.ttl", "none", "1d")),
    ("defaults: {ttl: 1mo}\n", "defaults: {ttl: 30d}\n", ("ttl_shortened", "defaults.ttl", "1mo", "30d")),
    ("", "bounds: {max_ttl: 1y}\n", ("ttl_shortened", "bounds.max_ttl", "none", "1y")),
    ("bounds: {min_ttl: 2d}\n", "bounds: {min_ttl: 1d}\n", ("keep_shortened", "bounds.min_ttl", "2d", "1d")),
    ("bounds: {min_ttl: 2d}\n", "", ("keep_shortened", "bounds.min_ttl", "2d", "none")),
    (RULE % "", "", ("rule_removed", "rule a", "there", "")),
    ("", ttl("ttl: 1d"), ("ttl_shortened", "rule a", "", "there")),
    (RULE % "", ttl("ttl: 1d"), ("ttl_shortened", "rule a: ttl", "none", "1d")),
    (ttl("ttl: 2d"), ttl("ttl: 1d"), ("ttl_shortened", "rule a: ttl", "2d", "1d")),
    (
        "defaults: {ttl: 1d}\n" + ttl("ttl: 2d"),
        "defaults: {ttl: 1d}\n" + RULE % "",
        ("ttl_shortened", "rule a: ttl", "2d", "none"),
    ),
    (
        "bounds: {max_ttl: 1d}\n" + ttl("ttl: 2d"),
        "bounds: {max_ttl: 1d}\n" + RULE % "",
        ("ttl_shortened", "rule a: ttl", "2d", "none"),
    ),
    (
        ttl("ttl: 2d"),
        ttl("ttl: 2d").replace("{tag: a}", "{any: [{tag: a, entity: B}, {purpose: c}]}"),
        ("ttl_shortened", "rule a: match", "tag a", "entity B and tag a or purpose c"),
    ),
    (ttl("keep_for: 2y"), ttl("keep_for: 1y"), ("keep_shortened", "rule a: keep_for", "2y", "1y")),
    (ttl("keep_for: 2y"), RULE % "", ("keep_shortened", "rule a: keep_for", "2y", "none")),
    (
        ttl("keep_for: 2y"),
        ttl("keep_for: 2y").replace("tag: a", "tag: b"),
        ("keep_shortened", "rule a: match", "tag a", "tag b"),
    ),
]
LATER = [
    ("defaults: {ttl: 1d}\n", "defaults: {ttl: 2d}\n", ("ttl_lengthened", "defaults.ttl", "1d", "2d")),
    ("defaults: {ttl: 1d}\n", "", ("ttl_lengthened", "defaults.ttl", "1d", "none")),
    ("bounds: {max_ttl: 1d}\n", "", ("ttl_lengthened", "bounds.max_ttl", "1d", "none")),
    ("", "bounds: {min_ttl: 1d}\n", ("keep_lengthened", "bounds.min_ttl", "none", "1d")),
    ("", RULE % "", ("rule_added", "rule a", "", "there")),
    ("", ttl("keep_for: 1y"), ("rule_added", "rule a", "", "there")),
    (ttl("ttl: 1d"), RULE % "", ("ttl_lengthened", "rule a: ttl", "1d", "none")),
    (RULE % "", ttl("keep_for: 1y"), ("keep_lengthened", "rule a: keep_for", "none", "1y")),
    (
        "defaults: {ttl: 2d}\n" + ttl("ttl: 1d"),
        "defaults: {ttl: 2d}\n" + RULE % "",
        ("ttl_lengthened", "rule a: ttl", "1d", "none"),
    ),
]
OTHERWISE = [
    (RULE % "", RULE.replace("tag: a", "tag: b") % "", ("changed", "rule a: match", "tag a", "tag b")),
    (RULE % "", ttl("purpose: p"), ("changed", "rule a: purpose", "", "")),
    ("", "defaults: {on_unclassified: defaults}\n", ("ttl_shortened", "defaults.on_unclassified", "", "")),
    ("", "pii: {entities: {URL: keep}}\n", ("changed", "pii", "", "")),
    ("", "access: {roles: {a: [read]}}\n", ("changed", "access", "", "")),
    ("", "safety: {two_person: [rule_removed]}\n", ("changed", "safety", "", "")),
    (
        "pii: {entities: {URL: keep}}\n" + RULE % "",
        "pii: {entities: {URL: keep}}\n" + ttl("on_write: {redact: [URL]}"),
        ("changed", "rule a: on_write", "", ""),
    ),
    (
        ttl("keep_for: 1y, while_kept: use"),
        ttl("keep_for: 1y, while_kept: restrict"),
        ("changed", "rule a: while_kept", "", ""),
    ),
    (
        ttl("keep_for: 1y, keep_basis: {article: hgb}"),
        ttl("keep_for: 1y"),
        ("keep_shortened", "rule a: basis", "", ""),
    ),
]


@pytest.mark.parametrize(("old", "new", "difference"), [*SOONER, *LATER, *OTHERWISE])
def test_a_difference_is_named_by_what_it_does(old: str, new: str, difference: tuple[str, ...]) -> None:
    """What ends sooner is told from what ends later; nothing else is named, and nothing where nothing changed."""
    assert found(old, new) == [difference]
    assert found(old, old) == found(new, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("defaults: {ttl: 24h}\n", "defaults: {ttl: 1d}\n"),
        ("defaults: {ttl: 12mo}\n", "defaults: {ttl: 1y}\n"),
        (ttl("keep_for: 7d"), ttl("keep_for: 1w")),
        (
            "rules: [{id: a, match: {tag: a}}, {id: b, match: {tag: b}}]\n",
            "rules: [{id: b, match: {tag: b}}, {id: a, match: {tag: a}}]\n",
        ),
        (
            "rules: [{id: a, match: {any: [{tag: a}, {tag: b}]}}]\n",
            "rules: [{id: a, match: {any: [{tag: b}, {tag: a}]}}]\n",
        ),
    ],
)
def test_the_same_in_other_words_is_no_difference(old: str, new: str) -> None:
    """How a duration is written, and in which order rules and parts of a match stand, changes nothing."""
    assert found(old, new) == found(new, old) == []


def test_all_differences_are_given() -> None:
    """Rules by their ids: those that were there first, then those that are new."""
    old = "defaults: {ttl: 2d}\nrules: [{id: a, match: {tag: a}, ttl: 2d}, {id: b, match: {tag: b}}]\n"
    new = "defaults: {ttl: 1d}\nrules: [{id: c, match: {tag: c}}, {id: a, match: {tag: a}, ttl: 3d}]\n"
    assert [each[:2] for each in found(old, new)] == [
        ("ttl_shortened", "defaults.ttl"),
        ("ttl_lengthened", "rule a: ttl"),
        ("rule_removed", "rule b"),
        ("rule_added", "rule c"),
    ]
