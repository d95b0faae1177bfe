"""What a policy begins with, and what is different in an environment: how they are joined, and where mistakes stand."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from securemem.errors import PolicyError
from securemem.policy.load import MOST_ENVIRONMENTS, MOST_EXTENDED, Loaded, load, load_whole
from tests.policy.texts import HEAD, NAMED, refused

BASE = (
    f"{HEAD}metadata: {{name: base, version: 3, owner: DPO}}\n"
    "defaults: {ttl: 90d, on_unclassified: defaults}\n"
    "pii: {engine: patterns, entities: {URL: redact, AGE: keep}, regions: [GB, NO]}\n"
    "rules:\n"
    "- {id: a, match: {tag: a}, ttl: 1d}\n"
    "- {id: b, match: {tag: b}, ttl: 2d, keep_for: 1y}\n"
    "tests:\n"
    "- {given: {tag: a}, expect: {action: keep, rule: a}}\n"
)
MINE = f"{HEAD}metadata: {{name: mine}}\nextends: base.yaml\n"


def write(folder: Path, **texts: str) -> Path:
    """Write files by their names, and give the path of `mine`."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "mine.yaml"


def whole(folder: Path, mine: str, environment: str | None = None) -> Loaded:
    """Give a policy that stands beside the base."""
    return load_whole(write(folder, base=BASE, mine=mine), environment=environment)


def error(folder: Path, mine: str, base: str = BASE, environment: str | None = None) -> str:
    """Give what is said of a policy that stands beside a base, without the folder."""
    with pytest.raises(PolicyError) as caught:
        load(write(folder, base=base, mine=mine), environment=environment)
    assert caught.value.line is not None
    return str(caught.value).replace(f"{folder}/", "")


# What is joined


def test_what_is_not_said_is_the_bases(tmp_path: Path) -> None:
    """Mappings are joined key by key, at any depth; a list takes the place of another."""
    file = whole(tmp_path, MINE + "defaults: {ttl: 30d}\npii: {entities: {AGE: redact}, regions: [DE]}\n").file
    assert (file.metadata.name, file.metadata.version, file.metadata.owner) == ("mine", 3, "DPO")
    assert (file.defaults.ttl, file.defaults.on_unclassified) == ("30d", "defaults")
    assert file.pii is not None
    assert (file.pii.engine, file.pii.entities, file.pii.regions) == (
        "patterns",
        {"URL": "redact", "AGE": "redact"},
        ("DE",),
    )


def test_rules_are_joined_by_their_ids(tmp_path: Path) -> None:
    """A rule of the same id has what is new in it put over what was, and keeps its place; others come after."""
    rules = whole(tmp_path, MINE + "rules:\n- {id: c, match: {tag: c}}\n- {id: b, ttl: 9d}\n").file.rules
    assert [(rule.id, rule.match.tag, rule.ttl, rule.keep_for) for rule in rules] == [
        ("a", "a", "1d", None),
        ("b", "b", "9d", "1y"),
        ("c", "c", None, None),
    ]


def test_tests_come_after_the_bases(tmp_path: Path) -> None:
    """A policy that begins with another has to pass its tests too."""
    more = "tests: [{given: {tag: b}, expect: {action: keep, rule: b}}]\n"
    assert [case.expect.rule for case in whole(tmp_path, MINE + more).file.tests] == ["a", "b"]


def test_a_shipped_policy_is_extended_by_its_name(tmp_path: Path) -> None:
    """Its entities are there, and the hash covers both files; a file beside of the same name is not taken for it."""
    path = write(tmp_path, mine=NAMED + "extends: default\n", default=BASE)
    policy = load(path)
    assert policy.name == "mine"
    assert policy.pii is not None
    assert policy.pii.entities == {"CREDIT_CARD": "redact", "SECRET": "redact"}


def test_the_hash_is_of_all_files(tmp_path: Path) -> None:
    """A change in any file that is extended changes it; without one it is that of the file."""
    path = write(tmp_path, base=BASE, mine=MINE)
    first = load(path).sha256
    write(tmp_path, base=BASE + "# a word\n")
    assert load(path).sha256 != first != hashlib.sha256(path.read_bytes()).hexdigest()
    write(tmp_path, base=BASE)
    assert load(path).sha256 == first
    base = tmp_path / "base.yaml"
    assert load(base).sha256 == hashlib.sha256(base.read_bytes()).hexdigest()


# Where mistakes stand


def test_a_mistake_stands_in_the_file_that_it_is_in(tmp_path: Path) -> None:
    """Each error names the file, line and column of the part that is wrong, whichever file that came from."""
    assert error(tmp_path, MINE + "defaults: {ttl: 9}\n").startswith("mine.yaml:5:12: 9 is no duration")
    assert error(tmp_path, MINE, BASE.replace("90d", "9")).startswith("base.yaml:4:12: 9 is no duration")
    assert error(tmp_path, MINE + "rules:\n- {id: b, ttl: 9}\n").startswith("mine.yaml:6:11: 9 is no duration")
    assert error(tmp_path, MINE + "rules:\n- {id: b, tll: 9d}\n") == (
        "mine.yaml:6:11: 'tll' is not known here, did you mean 'ttl'?"
    )
    wrong = MINE + "tests:\n- {given: {}, expect: {action: keep, rule: zzz}}\n"
    assert error(tmp_path, wrong) == "mine.yaml:6:38: there is no rule 'zzz'"
    assert error(tmp_path, MINE, BASE.replace("keep, rule: a", "keep, rule: z")).startswith("base.yaml:10:44: ")


def test_a_conflict_of_two_files_names_both(tmp_path: Path) -> None:
    """The line of a rule that another file brought is named with that file."""
    base = BASE.replace("ttl: 1d", "purpose: care")
    mine = MINE + "rules: [{id: c, match: {tag: c}, purpose: sales}]\n"
    assert error(tmp_path, mine, base) == (
        "mine.yaml:5:9: rule 'c' (line 5) and rule 'a' (line 7 of base.yaml) can be true of the same record, and "
        "differ in purpose, make one of them more specific"
    )


def test_an_id_given_twice_is_refused_though_each_is_the_bases(tmp_path: Path) -> None:
    """Which of two that change the same rule comes last, would decide: it is an error where the second stands."""
    mine = MINE + "rules:\n- {id: b, ttl: 9d}\n- {id: b, ttl: 8d}\n"
    assert error(tmp_path, mine) == "mine.yaml:7:4: id 'b' is given twice"
    assert error(tmp_path, MINE, BASE.replace("id: b", "id: a")) == (
        "base.yaml:8:4: id 'a' is given twice, it stood in line 7 of base.yaml"
    )


def test_a_warning_stands_in_its_file(tmp_path: Path) -> None:
    """What is odd about a rule of the base is said of the base."""
    found = whole(tmp_path, MINE).warnings
    assert [(warning.file, warning.line) for warning in found] == [(f"{tmp_path}/base.yaml", 8)]


# What cannot be extended


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("bse.yaml", "there is no policy 'bse.yaml', did you mean 'base.yaml'?"),
        ("defualt", "there is no policy 'defualt', did you mean 'default'?"),
        ("zzzzzzzz", "there is no policy 'zzzzzzzz'"),
        ("a" * 5000, f"there is no policy '{'a' * 59}…"),
        ('"a\\0b"', "there is no policy 'a\\x00b'"),
        (".", "there is no policy '.'"),
    ],
)
def test_what_is_not_there_is_refused(named: str, said: str, tmp_path: Path) -> None:
    """The error stands at `extends`, and offers the shipped policies and the files beside."""
    assert error(tmp_path, NAMED + f"extends: {named}\n") == f"mine.yaml:4:1: {said}"


def test_a_circle_is_refused(tmp_path: Path) -> None:
    """Two files that begin with one another, or one with itself, come to an end."""
    circle = BASE + "extends: mine.yaml\n"
    assert f"extends more than {MOST_EXTENDED} files" in error(tmp_path, MINE, circle)
    assert f"extends more than {MOST_EXTENDED} files" in error(tmp_path, NAMED + "extends: mine.yaml\n")


def test_as_many_as_are_allowed_are_joined(tmp_path: Path) -> None:
    """A line of files, each of which begins with the next; one more is refused."""
    names = [f"p{number}" for number in range(MOST_EXTENDED + 1)]
    for name, base in pairwise(names):
        (tmp_path / f"{name}.yaml").write_text(f"{HEAD}metadata: {{name: {name}}}\nextends: {base}.yaml\n")
    (tmp_path / f"{names[-1]}.yaml").write_text(BASE)
    assert len(load(tmp_path / "p0.yaml").rules.rules) == 2
    with pytest.raises(PolicyError, match=f"extends more than {MOST_EXTENDED} files, one the other"):
        load(write(tmp_path, mine=NAMED + "extends: p0.yaml\n"))


@pytest.mark.parametrize("value", ["[base.yaml]", "{a: b}", "1", "''"])
def test_what_is_no_name_is_refused(value: str, tmp_path: Path) -> None:
    """Another type in place of a name is said to be wrong where it stands."""
    assert error(tmp_path, NAMED + f"extends: {value}\n").startswith("mine.yaml:4:1: ")


def test_a_text_extends_nothing() -> None:
    """A policy that is not in a file has nothing beside it: what it would begin with is not left out in silence."""
    assert refused(NAMED + "extends: default\n") == "4:1: a text extends nothing, load it from a file"


def test_the_base_may_be_wrong_in_any_way(tmp_path: Path) -> None:
    """A base that is no policy at all is refused by its own name."""
    for base in ("", "- a\n", "a: &x 1\n", "a: [\n", "#" * (2 << 20)):
        with pytest.raises(PolicyError) as caught:
            load(write(tmp_path, base=base, mine=MINE))
        assert caught.value.file == f"{tmp_path}/base.yaml"


# Environments

STAGED = BASE.replace("name: base", "name: mine") + (
    "environments:\n"
    "  staging: {defaults: {ttl: 7d}, rules: [{id: a, ttl: 1h}]}\n"
    "  production: {bounds: {max_ttl: 1y}}\n"
)


def test_an_environment_is_put_over_the_policy(tmp_path: Path) -> None:
    """What it says holds there alone, and its hash is another than that of the policy and of other environments."""
    path = write(tmp_path, mine=STAGED)
    plain, staging, production = (load(path, environment=name) for name in (None, "staging", "production"))
    assert [str(each.rules.ttl) for each in (plain, staging, production)] == ["90d", "7d", "90d"]
    assert [str(each.rules.rules[0].ttl) for each in (plain, staging, production)] == ["1d", "1h", "1d"]
    assert [str(each.rules.max_ttl) for each in (plain, staging, production)] == ["None", "None", "1y"]
    assert len({plain.sha256, staging.sha256, production.sha256}) == 3
    assert plain.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("stagin", ", did you mean 'staging'?"), ("produktion", ", did you mean 'production'?"), ("zzz", "")],
)
def test_an_unknown_environment_is_refused(name: str, hint: str, tmp_path: Path) -> None:
    """A misspelt environment is not the policy without one."""
    said = f"mine.yaml:11:1: there is no environment {name!r}{hint}"
    assert error(tmp_path, STAGED, environment=name) == said


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("{defaults: {ttl: 9}}", "12:21: 9 is no duration, a whole number and a unit, such as 24h, 90d, 18mo or 7y"),
        ("{defualts: {}}", "12:10: 'defualts' is not known here, did you mean 'defaults'?"),
        ("{rules: [{id: a, match: {}}]}", None),
        ("{bounds: {min_ttl: 2y, max_ttl: 1y}}", "12:19: min_ttl 2y is above max_ttl 1y"),
        ("{rules: [{id: z, match: {tag: z}, ttl: 1001y}]}", "12:43: '1001y' is over 1000 years"),
        ("{extends: default}", "12:10: 'extends' cannot differ between environments"),
        ("{environments: {x: {}}}", "12:10: 'environments' cannot differ between environments"),
        ("{kind: RetentionPolicy}", "12:10: 'kind' cannot differ between environments"),
        ("[a]", '12:4: expected keys and values, got ["a"]'),
    ],
)
def test_each_environment_is_checked(inside: str, said: str | None, tmp_path: Path) -> None:
    """A mistake in one is found whichever is asked for, where it stands; one without is taken."""
    text = STAGED.partition("environments:")[0] + f"environments:\n   odd: {inside}\n   fine: {{}}\n"
    for environment in (None, "fine", "odd"):
        if said is None:
            assert load(write(tmp_path, mine=text), environment=environment).name == "mine"
        else:
            assert error(tmp_path, text, environment=environment) == f"mine.yaml:{said}"


def test_a_bases_environments_are_there_too(tmp_path: Path) -> None:
    """What differs in an environment can be said by the policy that is extended, and be changed by the other."""
    base = BASE + "environments: {test: {defaults: {ttl: 1h}}}\n"
    path = write(tmp_path, base=base, mine=MINE + "environments: {test: {bounds: {max_ttl: 1d}}}\n")
    rules = load(path, environment="test").rules
    assert (str(rules.ttl), str(rules.max_ttl)) == ("1h", "1d")


def test_environments_are_bounded(tmp_path: Path) -> None:
    """As many as are allowed are taken; one more is refused, since each is a policy to check."""
    some = ", ".join(f"e{number}: {{}}" for number in range(MOST_ENVIRONMENTS))
    assert load(write(tmp_path, mine=f"{NAMED}environments: {{{some}}}\n"), environment="e7").name == "mine"
    said = f"mine.yaml:4:1: there are more than {MOST_ENVIRONMENTS} environments"
    assert error(tmp_path, f"{NAMED}environments: {{{some}, more: {{}}}}\n") == said
