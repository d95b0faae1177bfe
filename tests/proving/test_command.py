"""`securemem prove-erasure`: its answers, its exit codes, and that it cleans up when it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from securemem import SecureMemory, sqlitefile
from securemem.cli.app import app
from securemem.cli.prove import _table
from securemem.proving.place import Look, Missed, Place
from securemem.proving.prove import Proof
from securemem.proving.scan import Scan

URL = "sqlite:///store.db"
INTERRUPTED = 130
_SLOW = """
import asyncio, signal, sys
from securemem.proving import prove

async def search(*_, **__):
    print("searching", flush=True)
    await asyncio.sleep(60)

prove.Proving._search = search
signal.signal(signal.SIGINT, signal.{interrupt})  # whatever started the tests
from securemem.cli import main
main()
"""


def run(*arguments: str, url: str = URL) -> Result:
    """Run the command on the store in this folder."""
    return CliRunner().invoke(app, ["prove-erasure", *arguments], env={"SECUREMEM_URL": url, "COLUMNS": "120"})


@pytest.fixture
def store() -> None:
    """Make a store in this folder, with a message of somebody real."""

    async def write() -> None:
        async with SecureMemory.open(URL) as memory:
            await memory.session("order", user_id="alice").add("user", "hello")

    asyncio.run(write())


def counts() -> tuple[int, int]:
    """Give how many people and sessions have keys."""
    with closing(sqlite3.connect("store.keys.db")) as con:
        row: tuple[int, int] = con.execute(
            "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions)"
        ).fetchone()
    return row


@pytest.mark.usefixtures("store")
def test_a_store_is_proven() -> None:
    """Exit 0, a table of the places with what was searched, and only the real person left."""
    done = run()
    assert done.exit_code == 0, done.output
    assert "Proven: nothing of the erased is left" in done.stdout
    assert all(place in done.stdout for place in ("data files", "keystore files", "ledger files", "not looked at"))
    assert counts() == (1, 1)


async def _unread(_: Scan, __: Missed) -> None:
    """Read nothing."""


@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_table_breaks_paths_and_no_words(columns: int) -> None:
    """At 60 columns what a place came to is whole, and its path is there to the last character."""
    path = f"/srv/{'long/' * 20}store.keys.db"
    place = Place("keystore", "files", path, _unread)
    looks = (Look(place, 110_600), Look(place, why="its processes may not be read by this user"))
    console = Console(width=columns)
    with console.capture() as printed:
        console.print(_table(Proof(looks, 1, 0, 1, 1, 1, ())))
    lines = printed.get().splitlines()
    assert {"clean", "looked", "processes"} <= set(printed.get().split())
    assert path in "".join(line.split(" ")[1] for line in lines if line.startswith(" ") and line.strip())


@pytest.mark.usefixtures("store")
def test_it_is_said_as_json(tmp_path: Path) -> None:
    """One object: whether it is proven, each place with bytes, time, control and state, and what receipts name."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text("nothing\n")
    done = run("--json", "--also", str(tmp_path / "logs"), "--no-memory")
    assert done.exit_code == 0, done.output
    [document] = [json.loads(line) for line in done.stdout.splitlines()]
    assert document["proven"] is True
    assert document["control"]["forms"] == document["control"]["found"]
    places: dict[str, dict[str, Any]] = {f"{each['store']} {each['what']}": each for each in document["places"]}
    assert list(places) == ["data answers", "data files", "keystore files", "ledger files", "kms files", "also files"]
    assert all(each["state"] == "clean" and each["bytes"] and not each["found"] for each in places.values())
    assert [each["control"] for each in places.values()] == [True, True, True, False, False, False]
    assert {each["store"] for each in document["residue"]} == {"process", "kms"}


@pytest.mark.usefixtures("store")
def test_what_is_left_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """With overwriting off and no purge it exits with 1, and one line names the places."""
    settings = sqlitefile._settings

    def without_overwriting(con: sqlite3.Connection) -> None:
        settings(con)
        con.execute("PRAGMA secure_delete = OFF")

    monkeypatch.setattr(sqlitefile, "_settings", without_overwriting)
    monkeypatch.setattr(sqlitefile, "_rewrite", lambda con: True)
    done = run("--json")
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("securemem: something of the erased was found: ")
    assert "data files" in line
    assert "keystore files" in line
    assert "canary" not in done.stdout + done.stderr
    assert json.loads(done.stdout)["proven"] is False


@pytest.mark.parametrize(
    ("arguments", "url", "code"),
    [
        (["--also", "nowhere"], URL, 2),
        ([], "sqlite:///other.db", 2),
        ([], "memory://", 2),
        (["--policy", "nothing"], URL, 2),
        (["--no-memory"], "postgresql://127.0.0.1:1/none?patience=0.1", 3),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_cannot_be(arguments: list[str], url: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path or a store that is not there is a usage error, a server that does not answer is unavailable; one line."""
    monkeypatch.setenv("SECUREMEM_KEYSTORE", "" if code != 3 else "sqlite:///store.keys.db")
    monkeypatch.setenv("SECUREMEM_LEDGER", "" if code != 3 else "sqlite:///store.ledger.db")
    monkeypatch.setenv("SECUREMEM_KMS", "" if code != 3 else "file:///store.kek")
    done = run(*arguments, url=url)
    assert done.exit_code == code, done.output
    assert len(done.stderr.splitlines()) == 1
    assert counts() == (1, 1)


@pytest.mark.parametrize(
    ("told", "interrupt"),
    [
        (signal.SIGTERM, "default_int_handler"),
        (signal.SIGTERM, "SIG_IGN"),  # as in the background of a shell's script
        (signal.SIGINT, "default_int_handler"),
    ],
)
@pytest.mark.usefixtures("store")
def test_it_cleans_up_when_it_is_told_to_end(told: signal.Signals, interrupt: str) -> None:
    """SIGTERM and Ctrl-C in the middle of a search end it with 130, and no canary is left."""
    command = [sys.executable, "-c", _SLOW.format(interrupt=interrupt), "prove-erasure", "--url", URL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "searching\n"
        assert counts() == (3, 4)
        process.send_signal(told)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (INTERRUPTED, "securemem: interrupted\n")
    assert counts() == (1, 1)


@pytest.mark.usefixtures("store")
def test_what_a_killed_run_left_is_erased_by_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGKILL canaries stay; a run an hour later erases them, and one before that leaves them to the other."""
    command = [sys.executable, "-c", _SLOW.format(interrupt="default_int_handler"), "prove-erasure", "--url", URL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "searching\n"
        process.kill()
    assert counts() == (3, 4)
    assert run("--no-memory").exit_code == 0
    assert counts() == (3, 4)
    monkeypatch.setattr("securemem.proving.register.STALE_SECONDS", 0.0)
    assert run("--no-memory").exit_code == 0
    assert counts() == (1, 1)
