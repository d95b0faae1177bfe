"""The policies that come with the package: each loads, decides what its own tests say, and opens a store."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from securemem import PolicyError, SecureMemory
from securemem.cli.policy.schema import as_text, make_schema
from securemem.policy import shipped, trial
from securemem.policy.document import read
from securemem.policy.load import Loaded, load_whole

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["ccpa", "default", "development", "gdpr", "hipaa", "plain", "strict"]
SCHEMA = "securemem-policy.v1.json"
HEAD = "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: mine}\n"
DAYS = ["2026-11-26T16:00", "2028-02-29T00:00", "2027-03-31T23:59", "2027-01-01T00:00", "2029-12-31T12:30"]


def loaded(name: str) -> Loaded:
    """Load a shipped policy."""
    return load_whole(shipped.file_of(name))


def refused_by_loader(text: str, folder: Path) -> bool:
    """Tell whether the loader refuses a file."""
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_whole(path)
    except PolicyError:
        return True
    return False


def refused_by_schema(text: str) -> bool:
    """Tell whether an editor that goes by the schema would mark a file."""
    return not jsonschema.Draft202012Validator(make_schema()).is_valid(read(text, "mine.yaml").data)


def example() -> str:
    """Give the running example of docs/retention.md, its first block of YAML."""
    text = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
    return text.split("```yaml\n", 1)[1].split("```", 1)[0]


def failed(policy: Loaded, now: str) -> list[trial.Outcome]:
    """Run a policy's tests at a moment; give those that fail."""
    moment = int(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp() * 1000)
    return [each for each in trial.run(policy.file.tests, policy.policy.rules, moment) if not each.passed]


def test_these_are_shipped() -> None:
    """Each is found by its name."""
    assert shipped.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_is_found_and_has_nothing_odd(name: str) -> None:
    """It is in force under its own name and digest, and a reader of its file is warned of nothing."""
    policy = loaded(name)
    assert policy.warnings == []
    assert (shipped.find(name).name, shipped.find(name).sha256) == (name, policy.policy.sha256)


@pytest.mark.parametrize("now", DAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_passes_its_tests(name: str, now: str) -> None:
    """Whatever day of the calendar it is."""
    assert loaded(name).file.tests
    assert failed(loaded(name), now) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_is_tested(name: str) -> None:
    """Each rule is for the record of some test, and is what some test expects to decide."""
    policy = loaded(name)
    rules = {rule.id for rule in policy.policy.rules.rules}
    outcomes = trial.run(policy.file.tests, policy.policy.rules, 1_800_000_000_000)
    assert frozenset().union(*(outcome.matched for outcome in outcomes)) == rules
    assert rules <= {case.expect.rule for case in policy.file.tests}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_speaks_to_its_reader(name: str) -> None:
    """It begins with what it is, and names the schema that editors check it by."""
    lines = shipped.file_of(name).read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# yaml-language-server: $schema=./{SCHEMA}"
    assert lines[2].startswith(f"# {name}: ")
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "strict"])
async def test_a_store_opens_under_a_shipped_policy(name: str) -> None:
    """Without a model: its engine is the one that needs none, and finds all that the policy looks for."""
    async with SecureMemory.open("memory://", policy=name) as memory:
        chat = memory.session("order", user_id="alice", tags=("scratch",))
        await chat.add("user", "My card is 4111 1111 1111 1111.", metadata={"tags": ["invoice"]})
        [message] = await chat.history()
    assert ("4111" in message.content) == (name == "plain")


def test_a_wheel_carries_them() -> None:
    """The folder goes to where they are looked for first, and holds them and the schema."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert [ROOT / place for place in included.values()] == [shipped._FOLDERS[0]]
    assert shipped._FOLDERS[1] == ROOT / next(iter(included))
    assert sorted(path.name for path in (ROOT / "policies").iterdir()) == sorted(
        [SCHEMA, *(f"{name}.yaml" for name in NAMES)]
    )


# The example


def test_the_example_is_one(tmp_path: Path) -> None:
    """The policy that docs/retention.md explains loads, and decides what its tests say, on any day."""
    path = tmp_path / "eu-support.yaml"
    path.write_text(example(), encoding="utf-8")
    policy = load_whole(path)
    assert (policy.policy.name, len(policy.file.tests)) == ("eu-support", 2)
    assert [str(warning).partition(": ")[2] for warning in policy.warnings] == [
        "MEDICAL is never found, it is not among pii.entities"
    ]
    assert [failed(policy, now) for now in DAYS] == [[]] * len(DAYS)


# The schema


def test_the_schema_is_the_models() -> None:
    """The file in the folder is what `securemem policy schema` makes of the types that the loader checks by."""
    path = shipped.folder() / SCHEMA
    assert path.read_text(encoding="utf-8") == as_text(make_schema()) + "\n", (
        "run: securemem policy schema > policies/securemem-policy.v1.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_keys_are_explained() -> None:
    """An editor has something to say of each part, and of each key of those that people write most."""
    parts: dict[str, Any] = make_schema()["$defs"]
    written = ("Metadata", "Defaults", "Bounds", "Pii", "Rule", "Match", "Basis", "Safety", "Access", "Expected")
    unexplained = [
        f"{part}.{key}"
        for part in written
        for key, value in parts[part]["properties"].items()
        if "description" not in value
    ]
    assert unexplained == []
    assert all(made["description"] and "Attributes:" not in made["description"] for made in parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_editors_have_nothing_against_a_shipped_policy(name: str) -> None:
    """The schema takes each."""
    assert not refused_by_schema(shipped.file_of(name).read_text(encoding="utf-8"))


def test_editors_have_nothing_against_the_example() -> None:
    """The schema takes it."""
    assert not refused_by_schema(example())


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "retention: 90d\n",
        HEAD + "defaults: {ttl: 90}\n",
        HEAD + "defaults: {ttl: 90 days}\n",
        HEAD + "defaults: {ttl: -1d}\n",
        HEAD + "defaults: {on_unclassified: delete}\n",
        HEAD + "rules: [{id: a, match: {tags: x}}]\n",
        HEAD + "rules: [{id: a, match: {any: []}}]\n",
        HEAD + "rules: [{id: A, match: {tag: x}}]\n",
        HEAD + "rules: [{id: a}]\n",
        HEAD + "rules: {a: {tag: x}}\n",
        HEAD + "pii: {entities: {URL: shred}}\n",
        HEAD + "pii: {entities: {URL: keep}, regions: [Germany]}\n",
        HEAD + "pii: {entities: {URL: keep}}\nrules: [{id: a, match: {tag: x}, on_write: {shred: [URL]}}]\n",
        HEAD + "requests: {regimes: [gpdr]}\n",
        HEAD + "safety: {max_delete: {percent: 101}}\n",
        HEAD + "tests: [{given: {age: 1d}, expect: {action: erase}}]\n",
        HEAD + "tests: [{given: {}}]\n",
        HEAD + "environments: {test: {defaults: {tll: 1d}}}\n",
        HEAD + "environments: {test: {extends: gdpr}}\n",
        "extends: gdpr\nmetadata: {name: mine}\ndefaults: {ttl: soon}\n",
        "extends: gdpr\nmetadata: {name: mine}\nrules: [{ttl: 1d}]\n",
        HEAD.replace("v1", "v2"),
        HEAD.replace("name", "nam"),
        "",
    ],
)
def test_editors_mark_what_the_loader_refuses(text: str, tmp_path: Path) -> None:
    """A key that is not known, no duration, a word that is none of those that may stand there."""
    assert refused_by_loader(text, tmp_path)
    assert refused_by_schema(text)


@pytest.mark.parametrize(
    "text",
    [
        "extends: gdpr\nmetadata: {name: mine}\nrules: [{id: invoices, keep_for: 11y}]\n",
        HEAD + "environments: {test: {defaults: {ttl: 1d}, pii: {entities: {URL: keep}}}}\n",
        HEAD + "rules: [{id: a, match: {tag: x}, ttl: 2d}]\nenvironments: {test: {rules: [{id: a, ttl: 1d}]}}\n",
    ],
)
def test_editors_take_what_lies_over_another_file(text: str, tmp_path: Path) -> None:
    """What stands in the file below need not be said again."""
    assert not refused_by_loader(text, tmp_path)
    assert not refused_by_schema(text)
