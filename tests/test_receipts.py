"""A receipt proves that the erasure is in the audit, and is checked offline, by SecureMem and by a script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from securemem import IntegrityError, SecureMemory
from securemem.crypto.signing import Signer, dsse_sign, to_pem
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.model import Residue
from securemem.rights.receipt import PAYLOAD_TYPE, Receipt, issue, verify_receipt

SCRIPT = Path(__file__).parents[1] / "docs" / "verify_receipt.py"
HANDLE, TENANT = b"h" * 16, b"t" * 16


async def proven(memory: SecureMemory, *, person: bytes = HANDLE) -> tuple[Receipt, Signer]:
    """Give a receipt that proves its event, among others, and who signed it."""
    deployment = await memory.host.ready()
    audit, signer = Audit(deployment.ledger), deployment.keyring.signer
    event = Event(EventKind.ERASE, TENANT, person, None, bytes(32), 1)
    for at in range(5):
        await audit.write(event._replace(at=at))
    [number] = await audit.write(event._replace(session=bytes(16), records=7))
    await audit.write(event)
    receipt = issue(
        signer,
        receipt_id="ab" * 16,
        handle=HANDLE,
        tenant=TENANT,
        state="SHREDDED",
        at=datetime(2026, 11, 5, tzinfo=UTC),
        stores={"data": {"records": 7}},
        residue=[Residue("kms", "backups")],
        policy={"name": "plain", "sha256": "00"},
        inclusion=await audit.proof(number),
    )
    return receipt, signer


def by_script(folder: Path, document: dict[str, Any], signer: Signer) -> subprocess.CompletedProcess[str]:
    """Check a receipt by the script of the documents, with nothing of SecureMem on the path."""
    (folder / "receipt.json").write_text(json.dumps(document))
    (folder / "key.pem").write_text(to_pem(signer.public_key))
    line = [sys.executable, "-P", str(SCRIPT), "receipt.json", "key.pem"]
    return subprocess.run(line, cwd=folder, env={}, capture_output=True, text=True, check=False)


async def test_a_receipt_proves_its_event(memory: SecureMemory, tmp_path: Path) -> None:
    """The command's check and the script's hold, and the script says what the receipt does."""
    receipt, signer = await proven(memory)
    receipt.verify(signer.public_key)
    assert verify_receipt(json.loads(json.dumps(receipt.to_json())), signer.public_key)["audit"]["number"] == 6
    checked = by_script(tmp_path, receipt.to_json(), signer)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert json.loads(checked.stdout) == receipt.statement


async def test_the_script_checks_a_receipt_of_an_erasure(file_url: str, tmp_path: Path) -> None:
    """One that `erase_user` gave, which proves its own event."""
    async with SecureMemory.open(file_url) as memory:
        await memory.session("s", user_id="alice").add("user", "Hi")
        receipt = await memory.erase_user("alice")
        assert receipt.statement["audit"]["event"]["kind"] == "erase"
        checked = by_script(tmp_path, receipt.to_json(), (await memory.host.ready()).keyring.signer)
    assert (checked.returncode, checked.stderr) == (0, "")


def _number(audit: dict[str, Any]) -> None:
    audit["number"] += 1


def _size(audit: dict[str, Any]) -> None:
    audit["size"] = 4


def _path(audit: dict[str, Any]) -> None:
    audit["path"][0] = "00" * 32


def _cut(audit: dict[str, Any]) -> None:
    audit["path"].pop()


def _root(audit: dict[str, Any]) -> None:
    audit["root"] = "00" * 32


def _before(audit: dict[str, Any]) -> None:
    audit["before"] = "00" * 32


def _at(audit: dict[str, Any]) -> None:
    audit["event"]["at"] += 1


def _records(audit: dict[str, Any]) -> None:
    audit["event"]["records"] = 8


def _person(audit: dict[str, Any]) -> None:
    audit["event"]["person"] = "00" * 16


def _event(audit: dict[str, Any]) -> None:
    del audit["event"]


@pytest.mark.parametrize(
    "alter",
    [_number, _size, _path, _cut, _root, _before, _at, _records, _person, _event],
    ids=lambda each: each.__name__,
)
async def test_a_proof_that_proves_nothing_is_refused(
    file_url: str, tmp_path: Path, alter: Callable[[dict[str, Any]], None]
) -> None:
    """Even where it was signed so; and what was altered after it was signed as well."""
    async with SecureMemory.open(file_url) as memory:
        receipt, signer = await proven(memory)
    document = receipt.to_json()
    alter(document["receipt"]["audit"])
    with pytest.raises(IntegrityError, match="altered"):
        verify_receipt(document, signer.public_key)
    assert by_script(tmp_path, document, signer).returncode != 0
    document["dsse"] = dsse_sign(signer, PAYLOAD_TYPE, document["receipt"])
    with pytest.raises(IntegrityError, match=r"in the (tree|audit)"):
        verify_receipt(document, signer.public_key)
    assert by_script(tmp_path, document, signer).returncode != 0


async def test_a_proof_of_somebody_elses_event_is_refused(file_url: str, tmp_path: Path) -> None:
    """An erasure of another person's is no proof, though it is in the tree."""
    async with SecureMemory.open(file_url) as memory:
        receipt, signer = await proven(memory, person=b"o" * 16)
    with pytest.raises(IntegrityError, match="somebody else"):
        receipt.verify(signer.public_key)
    checked = by_script(tmp_path, receipt.to_json(), signer)
    assert checked.returncode != 0
    assert "somebody else" in checked.stderr


async def test_another_key_is_refused_by_the_script(file_url: str, tmp_path: Path) -> None:
    """As by the command; and so is a receipt whose signature was altered."""
    async with SecureMemory.open(file_url) as memory, SecureMemory.open("memory://") as other:
        receipt, signer = await proven(memory)
        stranger = (await other.host.ready()).keyring.signer
    assert by_script(tmp_path, receipt.to_json(), stranger).returncode != 0
    document = json.loads(json.dumps(receipt.to_json()))
    signature = document["dsse"]["signatures"][0]["sig"]
    document["dsse"]["signatures"][0]["sig"] = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert by_script(tmp_path, document, signer).returncode != 0
