"""`securemem policy validate|test|diff|schema`: what they say to people and to machines, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem.cli.app import app
from securemem.policy import find
from securemem.policy.shipped import folder

HEAD = "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: mine, version: 3}\n"
RULES = """defaults: {ttl: 90d}
rules:
  - {id: scratch, match: {session_tag: scratch}, ttl: 24h}
  - {id: invoices, match: {tag: invoice}, keep_for: 7y, keep_basis: {article: gdpr-17-3-b}}
"""
TESTS = """tests:
  - {given: {session_tag: scratch, age: 25h}, expect: {action: delete, rule: scratch}}
"""
FAILING = "  - {given: {tags: [a, b], age: 1d}, expect: {action: delete}}\n"


def run(*arguments: str, **environment: str) -> Result:
    """Run a command in this folder."""
    return CliRunner().invoke(app, ["policy", *arguments], env={"COLUMNS": "80"} | environment)


def lines(done: Result) -> list[str]:
    """Give the lines on standard output, without the blanks that fill columns."""
    return [line.rstrip() for line in done.stdout.splitlines()]


def document(done: Result) -> Any:
    """Give the one object on standard output, which holds nothing else."""
    [line] = done.stdout.splitlines()
    return json.loads(line)


def written(text: str, name: str = "mine.yaml") -> str:
    """Write a policy into this folder; give its name."""
    Path(name).write_text(text, encoding="utf-8")
    return name


# validate


def test_a_policy_that_is_right_is_a_line() -> None:
    """Its name, version, how much is in it, and its digest, whole."""
    done = run("validate", written(HEAD + RULES + TESTS))
    assert done.exit_code == 0
    assert lines(done) == [f"mine, version 3: 2 rules, 1 test, sha256 {find('mine.yaml').sha256}"]
    assert done.stderr == ""


def test_a_shipped_policy_is_named() -> None:
    """Machines are told the same of it."""
    sha256 = find("gdpr").sha256
    assert document(run("validate", "gdpr", "--json")) == {
        "valid": True,
        "name": "gdpr",
        "version": 1,
        "rules": 4,
        "tests": 20,
        "environments": [],
        "sha256": sha256,
        "warnings": [],
    }


def test_what_is_wrong_is_said_with_its_place() -> None:
    """On standard output and in one line, however wide the terminal: editors and `grep` go by it."""
    long = "a" * 40 + "/mine.yaml"
    Path(long).parent.mkdir()
    done = run("validate", written(HEAD + "defaults:\n  tll: 90d\n", long), COLUMNS="40")
    assert (done.exit_code, lines(done)) == (1, [f"{long}:5:3: 'tll' is not known here, did you mean 'ttl'?"])
    assert done.stderr == "securemem: the policy is wrong\n"


def test_a_machine_is_told_what_is_wrong_in_parts() -> None:
    """File, line, column, what and hint."""
    done = run("validate", written(HEAD + "defaults:\n  tll: 90d\n"), "--json")
    what, hint = "'tll' is not known here", "did you mean 'ttl'?"
    error = {"file": "mine.yaml", "line": 5, "column": 3, "what": what, "hint": hint}
    assert (done.exit_code, document(done)) == (1, {"valid": False, "error": error, "warnings": []})


def test_what_steers_a_terminal_is_not_printed() -> None:
    """A file that comes from elsewhere cannot write over what is said of it."""
    done = run("validate", written(HEAD + '"\\x1b[2Jgone": 1\n'))
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_what_is_odd_is_a_warning() -> None:
    """It is marked as one, and the policy is right all the same."""
    text = HEAD + "rules: [{id: a, match: {entity: URL}, ttl: 1d}]\n"
    done = run("validate", written(text))
    warning, summary = lines(done)
    assert warning == "mine.yaml:4:17: warning: rule 'a' can never match, URL is not among pii.entities"
    assert summary.startswith("mine, version 3: 1 rule, 0 tests, sha256 ")
    assert done.exit_code == 0
    [odd] = document(run("validate", "mine.yaml", "--json"))["warnings"]
    assert odd["line"] == 4
    assert odd["what"] == "rule 'a' can never match"


@pytest.mark.parametrize(
    ("pii", "warned"),
    [
        ("{engine: presidoi, entities: {PERSON: redact}}", ["presidoi", "did you mean 'presidio'?"]),
        ("{engine: spacy-xl, entities: {PERSON: redact}}", ["spacy-xl", "accurate, ner, patterns, presidio"]),
        ("{entities: {CREDIT_CRAD: redact}}", ["CREDIT_CRAD", "did you mean 'CREDIT_CARD'?"]),
        ("{entities: {PERSON: redact}}", ["PERSON", "another engine does"]),
        ("{engine: accurate, entities: {PERSN: redact}}", ["PERSN", "did you mean 'PERSON'?"]),
        ("{engine: presidio, entities: {US_BANK_NUMBR: redact}}", ["US_BANK_NUMBR", "did you mean 'US_BANK_NUMBER'?"]),
        ("{engine: presidio, entities: {US_BANK_NUMBER: redact, PERSON: mask, SECRET: block}}", []),
        ("{engine: ner, entities: {LOCATION: redact, US_SSN: redact}}", []),
        ("{engine: presidio, entities: {BADGE: redact}, options: {registry: mine.yaml}}", []),
    ],
)
def test_what_no_engine_finds_is_a_warning(pii: str, warned: list[str]) -> None:
    """An engine that nobody brings and an entity that it does not find are warned of; what is found is not."""
    done = run("validate", written(HEAD + f"pii: {pii}\n"))
    *warnings, _ = lines(done)
    assert len(warnings) == (1 if warned else 0), warnings
    assert all(part in warnings[0] for part in warned)
    assert done.exit_code == 0


ENVIRONMENTS = HEAD + "defaults: {ttl: 9d}\nbounds: {max_ttl: 10d}\nenvironments: {test: {defaults: {ttl: 90d}}}\n"


@pytest.mark.parametrize(("options", "warned"), [((), 1), (("--environment", "test"), 1)])
def test_every_environment_is_checked(options: tuple[str, ...], warned: int) -> None:
    """What is odd in one of them alone is said too, and once."""
    done = run("validate", written(ENVIRONMENTS), "--json", *options)
    assert [each["what"] for each in document(done)["warnings"]] == ["90d is beyond max_ttl"] * warned


def test_an_environment_is_one_that_is_there() -> None:
    """It may be named by the variable that stores are opened by; one that is not there is wrong."""
    by_option = document(run("validate", written(ENVIRONMENTS), "--json", "--environment", "test"))
    by_variable = document(run("validate", "mine.yaml", "--json", SECUREMEM_ENVIRONMENT="test"))
    assert by_option == by_variable
    assert by_option["sha256"] != document(run("validate", "mine.yaml", "--json"))["sha256"]
    assert run("validate", "mine.yaml", "--environment", "tset").exit_code == 1


@pytest.mark.parametrize("command", [("validate", "nix"), ("test", "nix"), ("diff", "nix", "gdpr")])
def test_a_policy_that_is_not_there_is_a_usage_error(command: tuple[str, ...]) -> None:
    """One line says which there are."""
    done = run(*command)
    assert done.exit_code == 2
    assert "ccpa, default, development, gdpr, hipaa, plain, strict" in done.stderr
    assert done.stdout == ""


# test


def test_tests_that_pass_are_counted_with_the_rules_they_touch() -> None:
    """A rule that none of them touches is named."""
    done = run("test", written(HEAD + RULES + TESTS))
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines(done) == [
        "1 test passed.",
        "1 of 2 rules tested:",
        "  scratch   1 test",
        "  invoices  no test touches it",
    ]


def test_a_test_that_fails_says_why() -> None:
    """What was given, expected and decided, and the reason; the exit code is 1."""
    done = run("test", written(HEAD + RULES + TESTS + FAILING))
    assert (done.exit_code, done.stderr) == (1, "securemem: 1 of 2 tests failed\n")
    assert lines(done) == [
        "Test 2: tags: [a, b], age: 1d",
        "  expected  delete",
        "  decided   keep by defaults: ttl 90d of the defaults",
        "",
        "1 test failed, 1 passed.",
        "1 of 2 rules tested:",
        "  scratch   1 test",
        "  invoices  no test touches it",
    ]


def test_a_machine_is_told_of_every_test() -> None:
    """One object: each test, and how many touch each rule."""
    done = run("test", written(HEAD + RULES + TESTS + FAILING), "--json")
    found = document(done)
    assert done.exit_code == 1
    assert (found["policy"], found["tests"], found["failed"]) == ("mine", 2, 1)
    assert (found["rules"], found["untested"]) == ({"scratch": 1, "invoices": 0}, ["invoices"])
    assert found["results"][0] == {
        "number": 1,
        "given": {"session_tag": "scratch", "age": "25h"},
        "expected": {"action": "delete", "rule": "scratch"},
        "decided": {"action": "delete", "rule": "scratch", "why": "over: ttl 24h"},
        "passed": True,
        "matched": ["scratch"],
    }
    assert found["results"][1]["passed"] is False


def test_a_policy_without_tests_says_so() -> None:
    """That is no failure."""
    done = run("test", written(HEAD + RULES))
    assert (done.exit_code, lines(done)) == (0, ["The policy has no tests. None of its 2 rules is tested."])
    assert lines(run("test", written(HEAD))) == ["The policy has no tests."]


def test_a_test_may_pass_in_one_environment_alone() -> None:
    """Tests are run against the policy as it is there."""
    text = HEAD + RULES + TESTS + "environments: {slow: {rules: [{id: scratch, ttl: 48h}]}}\n"
    assert run("test", written(text)).exit_code == 0
    assert run("test", "mine.yaml", "--environment", "slow").exit_code == 1


def test_a_policy_that_is_wrong_has_no_tests() -> None:
    """It is a usage error, with its place."""
    done = run("test", written(HEAD + "tests: [{given: {}}]\n"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("securemem: mine.yaml:4:")


# diff


def test_what_changes_is_said_part_by_part() -> None:
    """Lives, keeps and rules by their own words, all else by what stood there and what stands there now."""
    old = HEAD + "pii: {entities: {URL: redact}}\n" + RULES
    new = (HEAD.replace("3", "4") + "pii: {entities: {URL: keep}}\nerasure: {targets: {key: 1h}}\n" + RULES).replace(
        "24h", "12h"
    )
    new = new.replace("  - {id: invoices,", "  - {id: bills,").replace("ttl: 90d", "ttl: 100d")
    done = run("diff", written(old, "old.yaml"), written(new, "new.yaml"), COLUMNS="200")
    keep = "match {tag: invoice}, keep_for 7y, basis {article: gdpr-17-3-b}"
    assert (done.exit_code, done.stderr) == (0, "")
    assert [" ".join(line.split()) for line in lines(done)] == [
        "mine 3 → mine 4",
        "ttl lengthened defaults.ttl 90d → 100d",
        "ttl shortened rule scratch: ttl 24h → 12h",
        f"rule removed rule invoices gone: {keep}",
        f"rule added rule bills new: {keep}",
        "changed pii.entities.URL redact → keep",
        "changed erasure.targets.key none → 1h",
    ]
    found = document(run("diff", "old.yaml", "new.yaml", "--json"))
    assert [found["old"]["version"], found["new"]["version"]] == [3, 4]
    assert found["differences"][1] == {
        "kind": "ttl_shortened",
        "what": "rule scratch: ttl",
        "before": "24h",
        "after": "12h",
    }


def test_a_keeps_basis_is_compared() -> None:
    """Article and law are told."""
    old = written(HEAD + RULES, "old.yaml")
    new = written(HEAD + RULES.replace("gdpr-17-3-b", "gdpr-17-3-e"), "new.yaml")
    assert document(run("diff", old, new, "--json"))["differences"] == [
        {
            "kind": "changed",
            "what": "rule invoices: basis",
            "before": "{article: gdpr-17-3-b}",
            "after": "{article: gdpr-17-3-e}",
        }
    ]


def test_what_only_reads_otherwise_is_no_difference() -> None:
    """Comments, tests, an owner and the order of rules decide nothing."""
    old = written(HEAD + RULES, "old.yaml")
    first, second = RULES.splitlines(keepends=True)[2:]
    new = written("# mine\n" + HEAD + RULES.replace(first + second, second + first) + TESTS, "new.yaml")
    done = run("diff", old, new)
    assert (done.exit_code, lines(done)) == (0, ["mine 3 → mine 3", "Nothing that decides anything has changed."])
    assert document(run("diff", old, new, "--json"))["differences"] == []


# schema


def test_the_schema_is_printed_as_it_is_shipped() -> None:
    """Byte by byte, for it may be put into a file; with --json in one line."""
    done = run("schema", COLUMNS="20")
    text = (folder() / "securemem-policy.v1.json").read_text(encoding="utf-8")
    assert (done.exit_code, done.stdout) == (0, text)
    assert document(run("schema", "--json")) == json.loads(text)


# scan

ON_WRITE = (
    HEAD
    + """pii: {entities: {EMAIL_ADDRESS: pseudonymise}}
rules:
  - {id: health, match: {tag: health}, on_write: {redact: [EMAIL_ADDRESS], mask: [PHONE_NUMBER]}}
  - {id: care, match: {tag: health, purpose: care}, on_write: {keep: [EMAIL_ADDRESS]}}
  - {id: paid, match: {entity: CREDIT_CARD, session_tag: shop}, on_write: {block: [CREDIT_CARD]}}
"""
)


@pytest.mark.parametrize(
    ("options", "email", "phone"),
    [
        ((), "pseudonymise", "keep"),
        (("--tag", "other", "--tag", "health"), "redact", "mask"),
        (("--session-tag", "health"), "redact", "mask"),
        (("--tag", "health", "--purpose", "care"), "keep", "mask"),
    ],
)
def test_a_scan_treats_as_rules_say(options: tuple[str, ...], email: str, phone: str) -> None:
    """What it is told of a text decides which rules are for it, the most specific first."""
    Path("text").write_text("sarah@example.com or +44 20 7946 0958\n", encoding="utf-8")
    done = run("scan", "text", "--json", "--policy", written(ON_WRITE), *options)
    assert [span["treatment"] for span in document(done)["spans"]] == [email, phone]


def test_a_scan_goes_by_what_it_found() -> None:
    """A rule for what is found in a text is for that text."""
    Path("text").write_text(json.dumps({"content": "4111 1111 1111 1111"}), encoding="utf-8")
    found = document(run("scan", "text", "--json", "--policy", written(ON_WRITE), "--session-tag", "shop"))
    assert [span["treatment"] for span in found["spans"]] == ["block"]
    assert "content" not in found
    assert document(run("scan", "text", "--json", "--policy", "mine.yaml"))["content"] == "4111 1111 1111 1111"


def test_a_scan_says_something_of_every_line() -> None:
    """Of JSON Lines the nth object is of the nth line, blank ones among them."""
    Path("said.jsonl").write_text('{"content": "a@b.com"}\n\n  \n{"content": "plain"}\n')
    found = [json.loads(line) for line in run("scan", "said.jsonl", "--json", "--policy", "gdpr").stdout.splitlines()]
    assert [len(each["spans"]) for each in found] == [1, 0, 0, 0]
    assert found[1] == found[2] == {"spans": []}
    assert found[3]["content"] == "plain"
