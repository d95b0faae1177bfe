"""The shipped policy `plain`: it says nothing about personal data and time, and no other is carried out yet."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from securemem import ConfigurationError, SecureMemory
from securemem.policy import Policy, resolve
from securemem.policy.shipped import folder


def test_plain_has_no_pii_and_no_rules() -> None:
    """The file is YAML of our kind, named `plain`, and holds neither a PII engine nor a rule."""
    document = yaml.safe_load((folder() / "plain.yaml").read_text(encoding="utf-8"))
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


@pytest.mark.parametrize("named", [None, "plain"])
def test_plain_is_given_by_name_and_by_default(named: str | None) -> None:
    """Its digest is the file's, as it stands in receipts; a policy that is loaded already is taken as it is."""
    policy = resolve(named)
    assert policy == Policy("plain", hashlib.sha256((folder() / "plain.yaml").read_bytes()).hexdigest())
    assert resolve(policy) is policy


@pytest.mark.parametrize("named", ["default", "gdpr", "plain.yaml", "PLAIN", "", "./policies/plain.yaml"])
def test_no_other_policy_is_half_carried_out(named: str, tmp_path: Path) -> None:
    """What this version cannot carry out is refused when the store is named, before a file is made."""
    with pytest.raises(ConfigurationError, match="policy"):
        SecureMemory.open(f"sqlite:///{tmp_path}/store.db", policy=named)
    assert list(tmp_path.iterdir()) == []


async def test_a_receipt_names_the_policy(url: str) -> None:
    """The policy in force and its digest stand in what is signed."""
    async with SecureMemory.open(url, policy="plain") as memory:
        receipt = await memory.erase_user("nobody")
    assert receipt.statement["policy"] == {"name": "plain", "sha256": resolve("plain").sha256}
