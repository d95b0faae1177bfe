"""`securemem policy scan`: what would be found and treated, for people and for machines; nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from securemem.cli.app import app

from .policies import CARD, EMAIL

MINE = """apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: mine}
pii:
  entities: {EMAIL_ADDRESS: pseudonymise, CREDIT_CARD: block}
rules: []
"""


def scan(text: str | bytes, *options: str) -> Result:
    """Scan standard input."""
    return CliRunner().invoke(app, ["policy", "scan", "-", *options], input=text, env={"COLUMNS": "80"})


def objects(done: Result) -> list[dict[str, object]]:
    """Give the objects on standard output, which holds nothing else."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_json_lines_have_an_object_each() -> None:
    """Offsets are in code points of `content`; what would be stored stands beside them."""
    lines = [{"content": f"🙂 {CARD}", "other": 1}, {"content": "nothing"}, {"content": {"card": [CARD]}}]
    done = scan("\n".join(map(json.dumps, lines)), "--json")
    assert objects(done) == [
        {
            "spans": [{"start": 2, "end": 21, "entity": "CREDIT_CARD", "treatment": "redact"}],
            "content": "🙂 [CREDIT_CARD]",
        },
        {"spans": [], "content": "nothing"},
        {
            "spans": [{"start": 0, "end": 19, "entity": "CREDIT_CARD", "treatment": "redact", "leaf": 1}],
            "content": {"card": ["[CREDIT_CARD]"]},
        },
    ]
    assert done.exit_code == 0


def test_a_text_has_an_object_a_line() -> None:
    """What reaches over lines, as a private key does, has a part in each of them."""
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7" * 3 + "\n-----END RSA PRIVATE KEY-----"
    found = objects(scan(f"card {CARD}\n\n{key}\n", "--json"))
    assert [[(span["start"], span["end"]) for span in line["spans"]] for line in found] == [  # type: ignore[attr-defined]
        [(5, 24)],
        [],
        [(0, 31)],
        [(0, 51)],
        [(0, 29)],
    ]


def test_a_policy_of_ones_own_is_taken(tmp_path: Path) -> None:
    """A file with parts that are not carried out yet is looked at too; what it blocks has no content."""
    (tmp_path / "mine.yaml").write_text(MINE)
    lines = [json.dumps({"content": content}) for content in (EMAIL, f"{EMAIL} {CARD}")]
    mail, card = objects(scan("\n".join(lines), "--json", "--policy", "mine.yaml"))
    assert mail["content"] == "[EMAIL_ADDRESS_1]"
    assert "content" not in card
    assert [span["treatment"] for span in card["spans"]] == ["pseudonymise", "block"]  # type: ignore[attr-defined]


def test_a_person_sees_it_too(tmp_path: Path) -> None:
    """The text, what becomes of it, and how often what was found."""
    (tmp_path / "text").write_text(f"pay by {CARD}\n")
    done = CliRunner().invoke(app, ["policy", "scan", "text"], env={"COLUMNS": "80"})
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        f"pay by {CARD}",
        "→ pay by [CREDIT_CARD]",
        "",
        "CREDIT_CARD  redact  1",
    ]
    assert "Nothing that policy 'default' looks for." in scan("hello").stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"\xff\xfe", "not UTF-8"),
        ('{"content": "a"}\n{"text": "b"}', "line 2"),
        ('{"content": "a"}\nplain', "line 2"),
    ],
)
def test_input_that_is_none_is_a_usage_error(given: str | bytes, says: str) -> None:
    """It says which line, not what stands there."""
    done = scan(given, "--json")
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A missing file and a wrong policy end with one line that names them."""
    done = CliRunner().invoke(app, ["policy", "scan", "none.txt"])
    assert (done.exit_code, done.stderr) == (2, "securemem: none.txt: No such file or directory\n")
    (tmp_path / "bad.yaml").write_text("apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {nme: x}\n")
    done = scan("x", "--policy", "bad.yaml")
    assert done.exit_code == 2
    assert done.stderr == "securemem: bad.yaml:3:12: 'nme' is not known here, did you mean 'name'?\n"


def test_names_are_found_by_the_strict_policy(rampart: Path) -> None:
    """With the model installed, the shipped policy `strict` finds people and places too."""
    [found] = objects(
        scan(json.dumps({"content": "Hi, I am Sarah Connor and I live in Leeds."}), "--json", "--policy", "strict")
    )
    assert found["content"] == "Hi, I am [PERSON_1] and I live in [LOCATION_1]."


def test_the_strict_policy_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model it is refused with the command that brings it."""
    monkeypatch.setenv("SECUREMEM_MODELS", str(tmp_path))
    done = scan("x", "--policy", "strict")
    assert done.exit_code == 2
    assert "securemem models install rampart" in done.stderr
