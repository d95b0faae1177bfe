"""The policies that come with the package, and how one is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from securemem import ConfigurationError, SecureMemory
from securemem.errors import PolicyError
from securemem.policy import find, resolve
from securemem.policy.load import load
from securemem.policy.shipped import AT_HAND, folder

PLAIN = "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: mine}\n"


def test_plain_has_no_pii_and_no_rules() -> None:
    """The file is YAML of our kind, named `plain`, and holds neither a PII engine nor a rule."""
    document = yaml.safe_load((folder() / "plain.yaml").read_text(encoding="utf-8"))
    del document["tests"]
    assert document == {
        "apiVersion": "securemem/v1",
        "kind": "RetentionPolicy",
        "metadata": {"name": "plain", "version": 1},
    }


def test_every_shipped_policy_is_yaml_under_its_own_name() -> None:
    """Each file in the folder parses, and its metadata names it as the file does."""
    files = list(folder().glob("*.yaml"))
    assert [yaml.safe_load(path.read_text(encoding="utf-8"))["metadata"]["name"] for path in files] == [
        path.stem for path in files
    ]


@pytest.mark.parametrize(("asked", "name"), [(None, "default"), ("default", "default"), ("plain", "plain")])
def test_a_policy_is_given_by_name(asked: str | None, name: str) -> None:
    """Its digest is the file's, as it stands in receipts; a policy that is loaded already is taken as it is."""
    policy = resolve(asked)
    assert (policy.name, policy.sha256) == (name, hashlib.sha256((folder() / f"{name}.yaml").read_bytes()).hexdigest())
    assert resolve(policy) is policy


@pytest.mark.parametrize("name", sorted(AT_HAND))
def test_what_is_at_hand_equals_its_file(name: str) -> None:
    """Two policies are known without reading YAML; they are what their files say."""
    assert resolve(name) == load(folder() / f"{name}.yaml")


@pytest.mark.parametrize("named", ["none", "plain.yaml", "PLAIN", "", "./policies/none.yaml", "a" * 5000, "a\0b", "."])
def test_an_unknown_policy_is_refused(named: str, tmp_path: Path) -> None:
    """A name that nobody knows is refused when the store is named, before a file is made."""
    with pytest.raises(ConfigurationError, match="policy"):
        SecureMemory.open(f"sqlite:///{tmp_path}/store.db", policy=named)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_with_rules_is_taken(tmp_path: Path) -> None:
    """A file with rules and bounds opens a store, as it stands; one with a mistake in them opens none."""
    path = tmp_path / "policy.yaml"
    path.write_text(PLAIN + "bounds: {max_ttl: 1y}\nrules: [{id: scratch, match: {tag: scratch}, ttl: 24h}]\n")
    SecureMemory.open(f"sqlite:///{tmp_path}/store.db", policy=path)
    assert [rule.id for rule in find(path).rules.rules] == ["scratch"]
    path.write_text(path.read_text().replace("24h", "24 hours"))
    with pytest.raises(PolicyError, match="'24 hours' is no duration, did you mean '24h'"):
        SecureMemory.open(f"sqlite:///{tmp_path}/store.db", policy=path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_policy_is_found_for_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SECUREMEM_ENVIRONMENT` names what is different here; one that is unknown is refused, an empty one is none."""
    path = tmp_path / "policy.yaml"
    path.write_text(PLAIN + "defaults: {ttl: 90d}\nenvironments: {staging: {defaults: {ttl: 7d}}}\n")
    found = {}
    for name in ("", "staging"):
        monkeypatch.setenv("SECUREMEM_ENVIRONMENT", name)
        found[name] = find(path)
    assert {name: str(policy.rules.ttl) for name, policy in found.items()} == {"": "90d", "staging": "7d"}
    assert found[""].sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != found["staging"].sha256
    monkeypatch.setenv("SECUREMEM_ENVIRONMENT", "stagging")
    with pytest.raises(PolicyError, match="there is no environment 'stagging', did you mean 'staging'"):
        find(path)


async def test_a_receipt_names_the_policy(url: str) -> None:
    """The policy in force and its digest stand in what is signed."""
    async with SecureMemory.open(url, policy="plain") as memory:
        receipt = await memory.erase_user("nobody")
    assert receipt.statement["policy"] == {"name": "plain", "sha256": resolve("plain").sha256}
