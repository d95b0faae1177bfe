"""`securemem tenant list|move`."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem import Residue, SecureMemory
from securemem.cli.app import app

URL = "sqlite:///home.db"


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a second server."""
    (tmp_path / "securemem.toml").write_text(f'url = "{URL}"\n[servers]\nsecond = "sqlite:///second.db"\n')


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tenant", *arguments], env={"COLUMNS": "200"})


def _objects(done: Result) -> list[Any]:
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _write(tenant: str, *users: str) -> None:
    async def write() -> None:
        async with SecureMemory.open(URL, tenant=tenant) as memory:
            for user in users:
                await memory.session("s", user_id=user).add("user", "hello")

    asyncio.run(write())


def _read(tenant: str) -> list[str]:
    async def read() -> list[str]:
        async with SecureMemory.open(URL, tenant=tenant) as memory:
            return [info.user_id async for info in memory.sessions()]

    return asyncio.run(read())


def test_a_tenant_is_moved_and_listed() -> None:
    """`move` says what went where and what is left, `list` where each tenant lies."""
    _write("acme", "ann", "bob")
    _write("other", "cleo")
    day = (datetime.now(UTC) + timedelta(days=9)).date()
    [said] = _objects(_run("move", "acme", "--to", "second", "--backups-until", f"{day}", "--json"))
    copies = "sealed copies in backups of server 'default', from before its tenant was moved away from it"
    until = f"{day + timedelta(days=1)}T00:00:00+00:00"
    assert said == {
        "tenant": "acme",
        "from": "default",
        "to": "second",
        "sessions": 2,
        "records": 2,
        "residue": [{"what": copies, "until": until}],
    }
    listed = {each["tenant"]: each for each in _objects(_run("list", "--json"))}
    assert listed["acme"] == {"tenant": "acme", "server": "second", "moving_to": None, "leaving": None}
    assert listed["other"]["server"] == "default"
    assert _read("acme") == ["ann", "bob"]
    assert _read("other") == ["cleo"]


def test_people_are_told_in_words() -> None:
    """Without --json both say it in lines."""
    _write("acme", "ann")
    moved = _run("move", "acme", "--to", "second").stdout
    assert moved.startswith("acme lies on second.\n1 session looked at, 1 record carried over.\nLeft over: sealed")
    assert "with no date" in moved
    assert _run("move", "acme", "--to", "second").stdout == "acme lies on second.\n"
    assert ["acme", "second"] in [line.split() for line in _run("list").stdout.splitlines()]


def test_how_long_a_purge_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that is left is purged for as long as is said."""
    heard = []

    async def purge(_: object, seconds: float) -> list[Residue]:
        heard.append(seconds)
        return []

    monkeypatch.setattr("securemem.backends.sqlite.SqliteBackend.purge", purge)
    _write("acme", "ann")
    assert _run("move", "acme", "--to", "second", "--purge-seconds", "0.5").exit_code == 0
    assert heard == [0.5]


def test_a_move_that_was_interrupted_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way, or was left, is in the list, and the next move ends it."""
    _write("acme", "ann")
    for step, state in (("_settle", "being moved to second"), ("_clean", "leaving default: move it again to end that")):
        with monkeypatch.context() as patch:
            patch.setattr(f"securemem.moving._Mover.{step}", _cut)
            done = _run("move", "acme", "--to", "second")
            assert (done.exit_code, done.stderr) == (3, "securemem: somefile: cut\n")
        assert state in _run("list").stdout
    assert _run("move", "acme", "--to", "second").exit_code == 0
    assert "acme" in _run("list").stdout
    assert "default" not in next(line for line in _run("list").stdout.splitlines() if "acme" in line)


async def _cut(*_: object) -> None:
    raise OSError(5, "cut", "somefile")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--to", "third"), 2, "there is no server 'third'"),
        (("--to", "second", "--backups-until", "2020-01-01"), 2, "has to lie ahead"),
        (("--to", "second", "--backups-until", "soon"), 2, "does not match the format"),
        (("--to", "second", "--purge-seconds", "nan"), 2, "purge_seconds has to be a number"),
        ((), 2, "--to"),
        (("--to", "second", "--tenant", "other"), 2, "no such option"),
    ],
)
def test_what_cannot_be(arguments: tuple[str, ...], code: int, message: str) -> None:
    """A server that is not named and a date that cannot be are usage errors in one line, and nothing is moved."""
    _write("acme", "ann")
    done = _run("move", "acme", *arguments)
    assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1)
    assert message in done.stderr
    assert {each["server"] for each in _objects(_run("list", "--json"))} == {"default"}


def test_a_damaged_session_is_a_no(tmp_path: Path) -> None:
    """Where a session cannot be verified the answer is no, and the line names its handle and no id."""
    _write("acme", "xenia", "bob")
    with closing(sqlite3.connect(tmp_path / "home.db")) as con:
        con.execute("UPDATE messages SET body = zeroblob(200) WHERE id = (SELECT min(id) FROM messages)")
        con.commit()
    done = _run("move", "acme", "--to", "second")
    assert done.exit_code == 1
    assert "1 of its sessions cannot be moved" in done.stderr
    assert "xenia" not in done.stderr


def test_a_tenant_is_wanted() -> None:
    """`move` makes no tenant, and nor does `list`, which wants no name to show those that are there."""
    _write("acme", "ann")
    done = _run("move", "amce", "--to", "second")
    assert (done.exit_code, "no tenant 'amce'" in done.stderr) == (2, True)
    assert [each["tenant"] for each in _objects(_run("list", "--json"))] == ["acme"]


@pytest.mark.parametrize("command", [["list"], ["move", "acme", "--to", "second"]])
def test_a_store_is_wanted(command: list[str], tmp_path: Path) -> None:
    """Neither command makes a store."""
    done = _run(*command)
    assert (done.exit_code, "securemem init" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["securemem.toml"]
