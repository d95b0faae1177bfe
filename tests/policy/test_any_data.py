"""Whatever a policy file holds, it is taken or refused as one, at a place, and in no time to speak of."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from securemem.errors import PolicyError
from securemem.policy.document import MAX_BYTES
from securemem.policy.load import load
from securemem.policy.trial import run
from tests.policy.texts import FILE, NAMED, loaded, refused, whole

ISSUE = """\
# yaml-language-server: $schema=./securemem-policy.v1.json
apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: eu-support, version: 7, owner: dpo@example.com, review_by: 2027-01-31}
defaults: {ttl: 90d, clock: created_at, on_unclassified: quarantine}
bounds: {min_ttl: 1h, max_ttl: 3y}
pii:
  engine: ner
  entities: {CREDIT_CARD: redact, SECRET: redact, PERSON: pseudonymise, EMAIL_ADDRESS: pseudonymise}
rules:
  - {id: scratch, match: {session_tag: scratch}, ttl: 24h}
  - id: health
    match: {any: [{tag: health}, {entity: MEDICAL}]}
    purpose: care
    ttl: 30d
    on_write: {redact: [EMAIL_ADDRESS, PHONE_NUMBER]}
  - id: invoices
    match: {tag: invoice}
    keep_for: 7y
    keep_basis: {article: gdpr-17-3-b, law: "HGB §257"}
    while_kept: restrict
erasure:
  targets: {key: 1h, rows: 24h, backups: 35d}
  notify: [{id: crm, url_env: CRM_ERASE_URL, ack_within: 7d}]
requests: {regimes: [gdpr, ukgdpr, ccpa, lgpd], log_retention: 24mo}
access:
  roles: {agent: [read, write], dpo: [erase, export, hold, reveal], auditor: [audit]}
  purposes: {care: [agent:clinic-bot], support: [agent:support-bot]}
safety:
  max_delete: {percent: 5, records: 10000}
  after_change: plan_only
  two_person: [ttl_shortened, rule_removed, hold_override]
tests:
  - {given: {session_tag: scratch, age: 25h}, expect: {action: delete, rule: scratch}}
  - {given: {tag: invoice, age: 2y, event: erasure}, expect: {action: restrict, rule: invoices}}
environments:
  staging: {defaults: {ttl: 7d}, rules: [{id: scratch, ttl: 1h}]}
"""
WHOLE: dict[str, Any] = yaml.load(ISSUE, Loader=yaml.BaseLoader)
for _numbers in (WHOLE["metadata"], WHOLE["safety"]["max_delete"]):
    _numbers.update({key: int(value) for key, value in _numbers.items() if value.isdigit()})


def parts(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of each part of some data."""
    yield path
    if isinstance(data, dict | list):
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from parts(value, (*path, step))


PATHS = list(parts(WHOLE))
WORDS = st.sampled_from(sorted({str(step) for path in PATHS for step in path} | {"9d", "-1d", "0d", "a\n", "[", "..."}))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.just("x" * 300)
ANY = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=4) | WORDS, part, max_size=4),
    max_leaves=8,
)


def put(path: tuple[Any, ...], value: Any) -> Any:
    """Give the whole of the data with another value at a path."""
    if not path:
        return value
    data = copy.deepcopy(WHOLE)
    part: Any = data
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return data


def taken(data: Any) -> bool:
    """Tell whether data is taken as a policy; what refuses it has a place in its file."""
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    try:
        whole(text)
    except PolicyError as exc:
        assert exc.file == FILE  # noqa: PT017  (nothing else may be raised, and some are taken)
        assert 1 <= (exc.line or 0) <= text.count("\n") + 1  # noqa: PT017
        assert (exc.column or 0) >= 1  # noqa: PT017
        assert str(exc).startswith(f"{FILE}:{exc.line}:{exc.column}: ")  # noqa: PT017
        assert len(str(exc)) < 1500  # noqa: PT017
        return False
    return True


def test_the_whole_of_what_a_policy_may_say_is_taken() -> None:
    """The control: a file with every part is a policy, its own tests pass, and nothing is odd but one entity."""
    found = whole(ISSUE)
    assert found.file.safety.two_person == ("ttl_shortened", "rule_removed", "hold_override")
    assert [outcome.passed for outcome in run(found.file.tests, found.policy.rules, 1_767_225_600_000)] == [True, True]
    assert [warning.line for warning in found.warnings] == [13]
    assert (found.policy.recipients, found.policy.backup_days) == (("crm",), 35)
    assert taken(WHOLE)


@pytest.mark.parametrize("path", PATHS, ids=[".".join(map(str, path)) or "file" for path in PATHS])
def test_a_wrong_type_is_refused_at_its_part(path: tuple[Any, ...]) -> None:
    """Each part of a policy with each type in its place is taken or is a PolicyError with a place."""
    wrong: tuple[object, ...] = (None, True, 7, -1, 1.5, "", "no such thing", [], {}, [[]], [None], {"a": 1}, "x" * 300)
    for value in wrong:
        taken(put(path, value))


@given(st.sampled_from(PATHS), ANY)
def test_any_data_in_any_place_raises_nothing_else(path: tuple[Any, ...], value: object) -> None:
    """Random data in place of a random part: taken, or a PolicyError with a place."""
    taken(put(path, value))


@given(st.sampled_from([path for path in PATHS if path]), st.text(max_size=5) | WORDS, ANY)
def test_any_key_in_any_place_raises_nothing_else(path: tuple[Any, ...], key: str, value: object) -> None:
    """A random key more in a random part, likewise."""
    part: Any = WHOLE
    for step in path:
        part = part[step]
    taken(put(path, {**part, key: value} if isinstance(part, dict) else value))


@given(st.integers(0, len(ISSUE)), st.integers(0, 40), st.text(max_size=6))
def test_any_cut_in_the_text_raises_nothing_else(start: int, length: int, between: str) -> None:
    """A piece of the file's text replaced by another, which no longer has to be YAML."""
    with contextlib.suppress(PolicyError):
        whole(ISSUE[:start] + between + ISSUE[start + length :])


@pytest.mark.parametrize("part", ["defaults", "rules", "tests", "environments", "pii", "access"])
def test_anchors_and_tags_are_refused_in_every_part(part: str) -> None:
    """Nothing in a policy is a reference or a type of Python's; the place is the part's."""
    for value in ("&a {b: 1}", "*a", "!!python/object/apply:os.system [x]", "!!set {a}"):
        assert refused(f"{NAMED}{part}: {value}\n").startswith(f"4:{len(part) + 3}: ")


def _bomb() -> str:
    levels = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    return f"{NAMED}environments:\n  a0: &a0 [x]\n{levels}"


def _rules(number: int, more: str = "") -> str:
    return "rules:\n" + "".join(f"- {{id: r{n}, match: {{tag: t{n}}}{more}}}\n" for n in range(number))


BIG = {
    "bomb": _bomb(),
    "rules in conflict with none": NAMED + _rules(1024, ", purpose: p"),
    "more rules than are taken": NAMED + _rules(20_000),
    "rules that tie": NAMED + "rules:\n" + "".join(
        f"- {{id: r{n}, match: {{any: [{', '.join(f'{{tag: t{n}-{m}}}' for m in range(128))}]}}, purpose: p}}\n"
        for n in range(8)
    ),
    "entities, the last of which is wrong": NAMED + "pii:\n  entities:\n" + "".join(
        f"    E{n}: redact\n" for n in range(20_000)
    ) + "    LAST: {}\n",
    "environments": NAMED + "environments:\n" + "".join(f"  e{n}: {{}}\n" for n in range(60_000)),
    "tests": NAMED + "tests:\n" + "- {given: {}, expect: {action: keep}}\n" * 20_000,
    "unknown keys": NAMED + "".join(f"k{n}: 1\n" for n in range(60_000)),
    "one long word": NAMED + f"extra: {'x' * 900_000}\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BIG)
def test_no_file_takes_long(name: str) -> None:
    """As large as a file may be, and whatever is in it: taken or refused within seconds."""
    assert len(BIG[name]) < MAX_BYTES
    begin = time.process_time()
    with contextlib.suppress(PolicyError):
        loaded(BIG[name])
    assert time.process_time() - begin < 10


def test_two_large_files_are_joined_in_no_time(tmp_path: Path) -> None:
    """A policy of a thousand rules over another of a thousand, each changed; and in an environment once more."""
    (tmp_path / "base.yaml").write_text(NAMED + _rules(1024))
    text = f"{NAMED}extends: base.yaml\n" + _rules(1024, ", ttl: 1d")
    inner = _rules(1024, ", ttl: 2d").replace("\n", "\n    ")
    (tmp_path / "mine.yaml").write_text(f"{text}environments:\n  big:\n    {inner}\n")
    begin = time.process_time()
    assert {str(rule.ttl) for rule in load(tmp_path / "mine.yaml", environment="big").rules.rules} == {"2d"}
    assert time.process_time() - begin < 10


def test_a_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    """What is too long is refused by its length, with letters cut in two and whatever comes after."""
    for content in (b"#" * (10 << 20), "ä".encode() * (5 << 20), b"a: " + "€".encode() * (4 << 20), b"[" * (10 << 20)):
        (tmp_path / "big.yaml").write_bytes(content)
        with pytest.raises(PolicyError, match=r"big\.yaml: is over 1 MiB, split it"):
            load(tmp_path / "big.yaml")


def test_a_file_without_end_is_refused() -> None:
    """What is no file, and would be read for ever, is read no further than a policy can be long."""
    with pytest.raises(PolicyError, match="is over 1 MiB"):
        load(Path("/dev/zero"))
