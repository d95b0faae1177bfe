"""The audit by `memory.audit` and by its commands: verified, carried away, put down elsewhere; and who tampered."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem import ConfigurationError, IntegrityError, SecureMemory
from securemem.cli.app import app
from securemem.crypto.merkle import Frontier
from securemem.crypto.note import open_checkpoint
from securemem.crypto.signing import from_pem

URL = "sqlite:///store.db"
SINK = "file:///audit.notes"


def run(*arguments: str, sink: str | None = SINK, url: str = URL) -> Result:
    """Run a command on the store in this folder."""
    environment = {"SECUREMEM_URL": url, "COLUMNS": "120"} | ({"SECUREMEM_AUDIT_SINK": sink} if sink else {})
    return CliRunner().invoke(app, [*arguments], env=environment)


def answer(*arguments: str, code: int = 0, sink: str | None = SINK) -> Any:
    """Run a command for machines; gives the one object that it says."""
    done = run(*arguments, "--json", sink=sink)
    assert done.exit_code == code, done.output
    assert "alice" not in done.output
    [line] = done.stdout.splitlines()
    return json.loads(line)


@pytest.fixture
async def audited() -> None:
    """Leave a store in this folder that has four events, which nobody has put down yet."""
    async with SecureMemory.open(URL) as memory:
        await memory.session("s", user_id="alice").add("user", "Hi")
        await more(memory)


async def more(memory: SecureMemory) -> None:
    """Do what is audited, four times."""
    for _ in range(2):
        await memory.restrict_user("alice", actor="officer:robert")
        await memory.lift_restriction("alice")


def test_a_checkpoint_is_put_down_and_verified(audited: None) -> None:
    """Once for what is new; the chain holds against it, by the store's key and by one that was kept."""
    made = answer("audit", "checkpoint")
    assert made["size"] == 4
    assert answer("audit", "checkpoint") == {"size": None}
    found = answer("audit", "verify")
    assert found == {"valid": True, "events": 4, "root": made["root"], "checkpoints": 1, "last": 4}
    assert run("receipt", "key", "--out", "key.pem").exit_code == 0
    assert answer("audit", "verify", "--key", "key.pem", "--checkpoints", "audit.notes", sink=None) == found
    assert answer("audit", "verify", "--checkpoints", SINK, sink=None) == found
    assert answer("audit", "verify", sink=None)["checkpoints"] == 0
    assert "would not show" in run("audit", "verify", sink=None).stdout
    assert "as it was written" in run("audit", "verify").stdout


def test_what_is_not_there_is_said(audited: None, tmp_path: Path) -> None:
    """A file, a key, a sink that are not there or cannot be are a matter of usage; a sink that is away is not."""
    (tmp_path / "noise.pem").write_bytes(b"\xff\x00")
    for arguments, sink, code in (
        (("verify", "--checkpoints", "gone.notes"), None, 2),
        (("verify", "--key", "gone.pem"), None, 2),
        (("verify", "--key", "noise.pem"), None, 2),
        (("checkpoint",), None, 2),
        (("checkpoint",), "ftp://host", 2),
        (("checkpoint",), "file:///nowhere/audit.notes", 3),
        (("checkpoint",), "http://127.0.0.1:1", 3),
    ):
        done = run("audit", *arguments, sink=sink)
        assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1), done.output


def test_a_worker_puts_checkpoints_down(audited: None) -> None:
    """Without being told; one that cannot be put down is told, and the pass is done all the same."""
    assert run("worker", "--once").exit_code == 0
    assert answer("audit", "verify")["checkpoints"] == 1
    done = run("worker", "--once", "--json", sink="file:///nowhere/audit.notes")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, len(said)) == (0, 2)
    assert "cannot be" in said[0]["error"]
    assert run("worker", "--once", sink="ftp://host").exit_code == 2


def change(statement: str) -> None:
    """Change the ledger's file by hand."""
    with closing(sqlite3.connect("store.ledger.db")) as con, con:
        con.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit SET at = at + 1 WHERE number = 2", "event 2 was changed"),
        ("UPDATE audit SET person = 'alice' WHERE number = 2", "event 2 was changed"),
        ("DELETE FROM audit WHERE number = 2", "event 3 was changed, or one before it is missing"),
        ("DELETE FROM audit WHERE number = 4", "event 4 is missing"),
        ("DELETE FROM audit", "event 1 is missing"),
    ],
)
def test_a_change_by_hand_is_an_answer_of_no(audited: None, statement: str, said: str) -> None:
    """The first bad event is named; the control verifies before."""
    run("audit", "checkpoint")
    assert answer("audit", "verify")["valid"] is True
    change(statement)
    refused = answer("audit", "verify", code=1)
    assert refused["valid"] is False
    assert said in refused["reason"]
    assert said in run("audit", "verify").stderr


async def test_everything_put_back_to_an_older_day_shows(audited: None, tmp_path: Path) -> None:
    """All stores at once, so that they agree with each other: what was put down elsewhere is ahead of them."""
    older = tmp_path / "older"
    older.mkdir()
    for path in tmp_path.glob("store*"):
        shutil.copy(path, older)
    async with SecureMemory.open(URL, audit_sink=SINK) as memory:
        await more(memory)
        assert await memory.audit.checkpoint() is not None
        assert (await memory.audit.verify()).events == 8
    for path in tmp_path.glob("store*"):
        path.unlink()
    for path in older.iterdir():
        shutil.copy(path, tmp_path)
    async with SecureMemory.open(URL, audit_sink=SINK) as memory:
        with pytest.raises(IntegrityError, match="event 5 is missing: the chain ends at 4, and a checkpoint of 8"):
            await memory.audit.verify()
        with pytest.raises(IntegrityError, match="event 5 is missing"):
            await memory.audit.checkpoint()


def test_an_export_is_verified_by_whoever_has_the_key(audited: None, tmp_path: Path) -> None:
    """Every event by handles and hashes, and a signed head over them; no id, and of other tenants hashes alone."""

    async def as_another() -> None:
        async with SecureMemory.open(URL, tenant="other") as memory:
            await memory.session("s", user_id="carol").add("user", "Hi")
            await memory.restrict_user("carol")

    asyncio.run(as_another())
    assert run("audit", "export", "--out", "audit.jsonl").exit_code == 0
    assert run("audit", "export", "--out", "audit.jsonl").exit_code == 2
    assert run("receipt", "key", "--out", "key.pem").exit_code == 0
    text = (tmp_path / "audit.jsonl").read_text()
    assert run("audit", "export").stdout == text
    assert not any(word in text for word in ("alice", "robert", "carol", "officer"))
    first, *events, last = [json.loads(line) for line in text.splitlines()]
    assert [each["number"] for each in events] == [1, 2, 3, 4, 5]
    assert ["event" in each for each in events] == [True] * 4 + [False]
    tree = Frontier()
    for each in events:
        tree.append(bytes.fromhex(each["hash"]))
    checkpoint = open_checkpoint(last["note"], first["origin"], from_pem((tmp_path / "key.pem").read_text()))
    assert (checkpoint.size, checkpoint.root, last["root"]) == (5, tree.root(), tree.root().hex())


async def test_the_library_verifies_by_a_key_that_was_kept(audited: None) -> None:
    """As PEM or raw; another store's key finds that the checkpoints are not its own."""
    async with SecureMemory.open(URL, audit_sink=SINK) as memory, SecureMemory.open("memory://") as other:
        await memory.audit.checkpoint()
        pem = await memory.keys.public_key()
        assert (await memory.audit.verify(public_key=pem)) == (await memory.audit.verify(public_key=from_pem(pem)))
        with pytest.raises(IntegrityError, match="not signed by this key"):
            await memory.audit.verify(public_key=await other.keys.public_key())
        with pytest.raises(ConfigurationError, match="SECUREMEM_AUDIT_SINK"):
            await other.audit.checkpoint()


async def test_checkpoints_that_are_none_of_its_own(audited: None, tmp_path: Path) -> None:
    """A file that was named and holds nothing of this audit says nothing good of it."""
    (tmp_path / "other.txt").write_text("hello\n")
    async with SecureMemory.open(URL, audit_sink=SINK) as memory:
        with pytest.raises(IntegrityError, match="no checkpoint"):
            await memory.audit.verify(checkpoints=tmp_path / "other.txt")
