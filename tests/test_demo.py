"""`securemem demo`: what it prints it has checked, so it must be able to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem import IntegrityError, Message, Session
from securemem.cli.app import app
from securemem.cli.demo import files, steps
from securemem.destruction import Destruction

Broken = Callable[[pytest.MonkeyPatch], None]


def run(*arguments: str) -> Result:
    """Run the demo in this process, 80 columns wide."""
    return CliRunner().invoke(app, ["demo", *arguments], env={"COLUMNS": "80"})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_the_whole_story_is_told(temporary: Path) -> None:
    """The demo ends well, tells every step in 80 columns, and leaves nothing behind."""
    done = run()
    assert done.exit_code == 0, done.output
    assert all(title in done.stdout for title, _ in steps.STEPS)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""
    assert list(temporary.iterdir()) == []


def test_as_json_it_is_one_object_a_line(temporary: Path) -> None:
    """With --json each step is an object with its facts, then the receipt, then where it was."""
    lines = [json.loads(line) for line in run("--json", "--drop").stdout.splitlines()]
    assert [line["step"] for line in lines[:-2]] == [title for title, _ in steps.STEPS]
    assert all(line["facts"] for line in lines[:-2])
    assert lines[-2]["receipt"]["state"] == "SHREDDED"
    assert (lines[-1]["kept"], Path(lines[-1]["folder"]).exists()) == (False, False)


def test_a_folder_that_is_kept_holds_what_was_told(tmp_path: Path) -> None:
    """With --keep the store, the backup and a receipt that verifies offline are left in the folder."""
    kept = tmp_path / "kept"
    assert run("--keep", str(kept)).exit_code == 0
    assert {path.name for path in kept.iterdir()} == {
        "backup-from-before.db",
        "receipt-key.pem",
        "receipt.json",
        "store",
    }
    checked = CliRunner().invoke(
        app, ["receipt", "verify", str(kept / "receipt.json"), "--key", str(kept / "receipt-key.pem")]
    )
    assert checked.exit_code == 0


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """The demo does not write into a folder that is in use; the file in it stays as it was."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("Dear Ada")
    refused = run("--keep", str(mine))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert [path.name for path in mine.iterdir()] == ["letter.txt"]


def test_keep_and_drop_exclude_each_other(tmp_path: Path) -> None:
    """Both at once are a usage error, and nothing is made."""
    assert run("--keep", str(tmp_path / "kept"), "--drop").exit_code == 2
    assert not (tmp_path / "kept").exists()


def test_it_stays_in_its_own_folder(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a real store in the environment do not draw the demo into that store."""
    for name, ending in (("URL", "db"), ("KEYSTORE", "keys"), ("LEDGER", "ledger")):
        monkeypatch.setenv(f"SECUREMEM_{name}", f"sqlite:///{tmp_path}/real.{ending}")
    monkeypatch.setenv("SECUREMEM_KMS", f"file:///{tmp_path}/real.kek")
    monkeypatch.setenv("SECUREMEM_TABLE_NAME", "real")
    assert run().exit_code == 0
    assert not list(tmp_path.glob("real*"))


def _reads_something_else(patch: pytest.MonkeyPatch) -> None:
    async def history(*_: Any, **__: Any) -> list[Message]:
        return [Message("user", "something else", seq=1)]

    patch.setattr(Session, "history", history)


def _swallows_errors(patch: pytest.MonkeyPatch) -> None:
    honest = Session.history

    async def history(session: Session, limit: int = 100, before: int | None = None) -> list[Message]:
        try:
            return await honest(session, limit, before)
        except IntegrityError:
            return []

    patch.setattr(Session, "history", history)


def _stores_in_clear(patch: pytest.MonkeyPatch) -> None:
    honest = Session.add_many

    async def add_many(session: Session, messages: list[Message], **named: Any) -> list[Message]:
        store = session._host._assemble.args[0].url.removeprefix("sqlite:///")  # type: ignore[attr-defined]
        Path(store).with_name("debug.log").write_text(str(messages[0].content))
        return await honest(session, messages, **named)

    patch.setattr(Session, "add_many", add_many)


def _does_not_catch_up(patch: pytest.MonkeyPatch) -> None:
    async def catch_up(*_: Any, **__: Any) -> int:
        return 0

    patch.setattr(Destruction, "catch_up", catch_up)


def _opens_nothing_at_all(patch: pytest.MonkeyPatch) -> None:
    async def opened(_: Path, sealed: dict[bytes, Any]) -> dict[bytes, int]:
        return dict.fromkeys(sealed, 0)

    patch.setattr(steps, "opened_by_what_is_left", opened)


def _opens_what_was_erased(patch: pytest.MonkeyPatch) -> None:
    async def opened(_: Path, sealed: dict[bytes, dict[int, bytes]]) -> dict[bytes, int]:
        return {handle: len(records) for handle, records in sealed.items()}

    patch.setattr(steps, "opened_by_what_is_left", opened)


def _search_is_blind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "found", lambda *_: {})


def _flips_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "flip_at", lambda *_: None)


def _pastes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "overwrite", lambda *_: None)


def _restores_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "restore", lambda *_: None)


def _accepts_any_receipt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "verify_receipt", lambda *_: {})


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (_reads_something_else, 0),
        (_stores_in_clear, 0),
        (_search_is_blind, 1),
        (_swallows_errors, 2),
        (_flips_nothing, 2),
        (_pastes_nothing, 3),
        (_restores_nothing, 5),
        (_opens_nothing_at_all, 5),
        (_opens_what_was_erased, 5),
        (_does_not_catch_up, 5),
        (_accepts_any_receipt, 6),
    ],
)
def test_a_check_that_fails_ends_it(
    broken: Broken, told: int, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the demo is about being broken, it tells the steps before, leaves with 1, and cleans up."""
    broken(monkeypatch)
    done = run()
    assert done.exit_code == 1, done.output
    assert [title for title, _ in steps.STEPS if title in done.stdout] == [title for title, _ in steps.STEPS[:told]]
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("securemem: the demo's own check failed")
    assert list(temporary.iterdir()) == []
