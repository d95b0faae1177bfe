"""The command line: its answers, its exit codes, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from securemem import KMSUnavailableError, SecureMemory
from securemem.cli.app import app

URL = "sqlite:///store.db"
RUN = [sys.executable, "-c", "from securemem.cli import main; main()"]
HEAVY = ("presidio_analyzer", "spacy", "redis", "asyncpg", "sqlalchemy", "alembic", "rich", "fastapi")
SECRET = "the parcel goes to Kungsgatan"
NEED_A_STORE = [
    ["doctor"],
    ["sweep"],
    ["session", "list"],
    ["session", "show", "order", "--user", "alice"],
    ["session", "clear", "order", "--user", "alice"],
    ["user", "erase", "alice", "--yes"],
    ["keys", "status"],
    ["keys", "rotate"],
    ["keys", "close-epoch", "--without-backup"],
    ["receipt", "key"],
]


def run(*arguments: str, url: str = URL) -> Result:
    """Run a command on the store in this folder."""
    return CliRunner().invoke(app, [*arguments], env={"SECUREMEM_URL": url, "COLUMNS": "80"})


def objects(done: Result) -> list[Any]:
    """Give the objects on standard output, which holds nothing else."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(user: str = "alice", *contents: Any, session: str = "order", **options: Any) -> None:
    """Add messages to a session of the store in this folder."""

    async def write() -> None:
        async with SecureMemory.open(URL) as memory:
            for content in contents or (SECRET, "Noted."):
                await memory.session(session, user_id=user).add("user", content, **options)

    asyncio.run(write())


def assert_says_one_line(done: Result, code: int, *told: str) -> None:
    """Check that a command ended with a code and one line on standard error that holds no id and no content."""
    assert done.exit_code == code, done.output
    [line] = done.stderr.splitlines()
    assert line.startswith("securemem: ")
    assert all(part in line for part in told), line
    assert not any(private in line for private in ("alice", "bob", SECRET, "Traceback"))


# Starting


def test_help_imports_nothing_heavy() -> None:
    """`--help` takes in no detector, server driver, ORM or renderer, and no more of the library than its name does."""
    script = f"""
import sys, securemem
before = set(sys.modules)
from securemem.cli import main
sys.argv = ["securemem", *sys.argv[1:]]
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
    print(sorted(name for name in set(sys.modules) - before if "cryptography" in name), file=sys.stderr)
"""
    shown = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=True)
    assert shown.stderr.splitlines() == ["[]", "[]"]
    assert "forgetting with a receipt" in " ".join(shown.stdout.split())
    control = subprocess.run(
        [sys.executable, "-c", script, "init", "--url", URL], capture_output=True, text=True, check=True
    )
    assert "'sqlalchemy'" in control.stderr
    assert "'rich'" in control.stderr


def test_every_command_has_json_and_help() -> None:
    """Each command explains itself, and takes --json."""
    for command in [["demo"], ["init"], ["receipt", "verify"], *(each[:2] for each in NEED_A_STORE if each)]:
        name = command[:1] if command[0] in ("doctor", "sweep") else command
        shown = run(*name, "--help")
        assert shown.exit_code == 0
        assert "--json" in shown.stdout, name


def test_the_documents_name_every_command_that_purges() -> None:
    """docs/cli.md names those that take `--purge-seconds`, and no other."""
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    [named] = [line for line in page.splitlines() if "take `--purge-seconds" in line]
    assert set(re.findall("`([a-z -]+)`", named.partition(" take ")[0])) == set(_purging(typer.main.get_command(app)))


def _purging(command: Any, *above: str) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from _purging(below, *above, name)
    if any(option.name == "purge_seconds" for option in command.params):
        yield " ".join(above)


def test_misuse_is_one_line_without_what_was_typed() -> None:
    """A wrong command line ends with 2, and a stray id is not repeated."""
    assert_says_one_line(run("user", "erase", "x", "alice"), 2, "too many arguments", "securemem user erase --help")
    assert_says_one_line(run("alice"), 2, "no such command")
    assert_says_one_line(run("session", "show"), 2, "Missing argument 'SESSION'")
    assert_says_one_line(run("session", "show", "alice", "--limit", "-1"), 2, "--limit")
    assert_says_one_line(run("keys"), 2, "securemem keys --help")
    assert run().exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        ["user", "rectify", "alice", "order", "1", "--from", "missing"],
        ["restore", "missing"],
        ["policy", "scan", "missing"],
        ["receipt", "verify", "missing", "--key", "missing"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_not_there_is_misuse(command: list[str]) -> None:
    """Whatever a command reads it for, the code is 2; a disk that fails is 3 as before."""
    written()
    assert_says_one_line(run(*command), 2, "missing", "No such file")


@pytest.mark.parametrize(
    "command",
    [["--help"], ["user", "export", "alice"], ["session", "list"], ["status", "--json"], ["user", "erase", "alice"]],
    ids=" ".join,
)
def test_a_reader_that_has_gone_ends_it_quietly(command: list[str], tmp_path: Path) -> None:
    """Where nobody reads the output the code is that of SIGPIPE and nothing is said; the control has a reader."""
    written()
    more = ["--url", URL] if command != ["--help"] else []
    more += ["--receipt", "r.json"] if "erase" in command else []
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run([*RUN, *command, *more], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")
    if "erase" in command:
        assert json.loads((tmp_path / "r.json").read_text())["receipt"]["handle"]
        return
    read = subprocess.run([*RUN, *command, *more], capture_output=True, text=True, check=True)
    assert (bool(read.stdout), read.stderr) == (True, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_defect(closed: str, tmp_path: Path) -> None:
    """With standard streams closed a command does its work, and no file of the store takes their place."""
    written()
    line = f'"$@" {closed}'
    for command in (["status"], ["user", "erase", "alice"]):
        called = ["sh", "-c", line, "sh", *RUN, *command, "--url", URL]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert bool(done.stdout) is (">&-" not in closed.split())
    assert objects(run("session", "list", "--json")) == []
    assert b"Erased" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_the_status_says_whose_its_numbers_are() -> None:
    """People and sessions are those of all tenants, and say so; holds and requests are of the one that is named."""
    written()
    run("hold", "place", "alice", "--reason-code", "CASE-1")
    asyncio.run(_in_tenant("acme"))
    lines = dict(line.strip().split(None, 1) for line in run("status", "--tenant", "acme").stdout.splitlines())
    assert (lines["people"], lines["sessions"]) == ("2 in all tenants", "2 in all tenants")
    assert lines["legal"].split() == ["holds", "0"]
    assert lines["last"].split() == ["worker", "never"]


async def _in_tenant(tenant: str) -> None:
    async with SecureMemory.open(URL, tenant=tenant) as memory:
        await memory.session("s", user_id="bob").add("user", "x")


def test_a_format_goes_nowhere_but_to_an_export(tmp_path: Path) -> None:
    """A format with a page alone is misuse, and no page is made; with a file for it, both are."""
    written()
    page = ["user", "export", "alice", "--html", "page.html", "--format", "openai"]
    assert_says_one_line(run(*page), 2, "--format", "--out")
    assert not (tmp_path / "page.html").exists()
    assert run(*page, "--out", "said.jsonl").exit_code == 0
    assert json.loads((tmp_path / "said.jsonl").read_text().splitlines()[0])["messages"]
    assert (tmp_path / "page.html").exists()


# Where the store is


def test_init_makes_a_store_and_names_its_files() -> None:
    """`init` makes the four files, the KEK for its owner alone, and finds them there the second time."""
    made = run("init", "--json")
    [said] = objects(made)
    assert (made.exit_code, said["created"], made.stderr) == (0, True, "")
    paths = {entry["store"]: Path(entry["path"]) for entry in said["files"]}
    assert set(paths) == {"data", "keystore", "ledger", "kek"}
    assert all(path.exists() for path in paths.values())
    assert paths["kek"].stat().st_mode & 0o777 == 0o600
    assert objects(run("init", "--json"))[0]["created"] is False
    told = run("init").stdout
    assert "there already, and opens" in told
    assert all(str(path) in told for path in paths.values())


@pytest.mark.parametrize("command", NEED_A_STORE, ids=" ".join)
def test_no_command_makes_a_store_that_is_not_there(command: list[str], tmp_path: Path) -> None:
    """Without a store each ends with 2 and writes nothing; once there is one, each ends well."""
    assert_says_one_line(run(*command), 2, "securemem init")
    assert list(tmp_path.iterdir()) == []
    written()
    assert run(*command, "--json").exit_code == 0


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    """A file of no bytes is not taken for a store, and stays as it is."""
    (tmp_path / "store.db").touch()
    assert_says_one_line(run("session", "list"), 2, "securemem init", "URL names another place")
    assert (tmp_path / "store.db").stat().st_size == 0


def test_something_else_is_no_store(tmp_path: Path) -> None:
    """A directory or another program's file is named as such, and stays as it is."""
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "letter.db").write_text("Dear Ada")
    for name in ("folder.db", "letter.db"):
        assert_says_one_line(run("session", "list", url=f"sqlite:///{name}"), 2, name, "not a SecureMem store")
        assert_says_one_line(run("init", url=f"sqlite:///{name}"), 2, name)
    assert (tmp_path / "letter.db").read_text() == "Dear Ada"


@pytest.mark.parametrize(("name", "ending"), [("keystore", "keys"), ("ledger", "ledger")])
def test_a_missing_part_is_named(name: str, ending: str, tmp_path: Path) -> None:
    """Where keystore or ledger are gone, a command says which, and does not put an empty one there."""
    written()
    (tmp_path / f"store.{ending}.db").unlink()
    assert_says_one_line(run("session", "list"), 2, name, f"store.{ending}.db", "restore it")
    assert not (tmp_path / f"store.{ending}.db").exists()


def test_a_missing_part_of_data_on_a_server_is_named(tmp_path: Path) -> None:
    """The same where only keystore and ledger are files, before the server is asked."""
    written()
    apart = ["--keystore", "sqlite:///store.keys.db", "--ledger", "sqlite:///typo.db"]
    nobody = "postgresql://127.0.0.1:1/nobody"
    assert_says_one_line(run("doctor", *apart, url=nobody), 2, "ledger", "typo.db", "name the right one")
    assert not (tmp_path / "typo.db").exists()
    apart[1], apart[3] = "sqlite:///typo.db", "sqlite:///store.ledger.db"
    assert_says_one_line(run("doctor", *apart, url=nobody), 2, "keystore", "typo.db", "name the right one")


def test_a_store_is_named_by_options_or_environment(tmp_path: Path) -> None:
    """--url is stronger than SECUREMEM_URL; with neither, the line says what to give; memory:// is refused."""
    written()
    assert objects(run("session", "list", "--json", "--url", URL, url="sqlite:///other.db"))
    assert_says_one_line(run("session", "list", url="sqlite:///other.db"), 2, "other.db")
    assert_says_one_line(run("session", "list", url=""), 2, "SECUREMEM_URL")
    assert_says_one_line(run("init", url="memory://"), 2, "memory://")


def test_keystore_ledger_and_kms_can_lie_apart(tmp_path: Path) -> None:
    """The three are taken from their options, and nothing of them lies beside the data."""
    apart = tmp_path / "apart"
    apart.mkdir()
    where = ["--keystore", f"sqlite:///{apart}/k.db", "--ledger", f"sqlite:///{apart}/l.db", "--kms"]
    where.append(f"file:///{apart}/k.kek")
    assert run("init", *where).exit_code == 0
    assert {path.name for path in tmp_path.glob("store*")} == {"store.db"}
    assert objects(run("doctor", "--json", *where))[0]["ok"] is True


def test_tenants_see_nothing_of_each_other() -> None:
    """Another tenant's sessions are not listed."""
    written()
    made = run("init", "--tenant", "other").stdout
    assert "there already; the tenant other is new in it" in made
    again = objects(run("init", "--tenant", "other", "--json"))[0]
    assert (again["created"], again["tenant_created"]) == (False, False)
    assert len(objects(run("session", "list", "--json"))) == 1
    assert objects(run("session", "list", "--json", "--tenant", "other")) == []


@pytest.mark.parametrize("command", NEED_A_STORE, ids=" ".join)
def test_no_command_makes_a_tenant_that_is_not_there(command: list[str]) -> None:
    """With a mistyped tenant each ends with 2, says its name, and makes none; `init` makes it, and then each works."""
    written()
    before = _tenants()
    if command != ["doctor"]:
        assert_says_one_line(run(*command, "--tenant", "defualt"), 2, "no tenant 'defualt'", "init --tenant")
    else:
        assert run(*command, "--tenant", "defualt").exit_code == 1
    assert _tenants() == before == ["default"]
    assert run("init", "--tenant", "defualt").exit_code == 0
    assert _tenants() == ["default", "defualt"]
    done = run(*command, "--tenant", "defualt", "--json")
    assert "no tenant" not in done.output
    assert done.exit_code == (1 if command[:2] in (["session", "show"], ["session", "clear"]) else 0)


def _tenants() -> list[str]:
    with closing(sqlite3.connect("store.keys.db")) as con:
        return sorted(name.partition("\x1f")[2] for (name,) in con.execute("SELECT name FROM tenants"))


# Sessions


def test_sessions_are_listed() -> None:
    """`session list` gives every session, or one user's; a table for people."""
    written("alice")
    written("bob")
    found = objects(run("session", "list", "--json"))
    assert [(each["session_id"], each["user_id"], each["messages"]) for each in found] == [
        ("order", "alice", 2),
        ("order", "bob", 2),
    ]
    assert [each["user_id"] for each in objects(run("session", "list", "--user", "bob", "--json"))] == ["bob"]
    assert "alice" in run("session", "list").stdout


def test_messages_are_shown() -> None:
    """`session show` gives the newest messages, oldest first, word for word."""
    written("alice", SECRET, [{"type": "text", "text": "hello"}], "Bye.")
    shown = objects(run("session", "show", "order", "--user", "alice", "--json", "--limit", "2"))
    assert [(each["seq"], each["content"]) for each in shown] == [(2, [{"type": "text", "text": "hello"}]), (3, "Bye.")]
    assert SECRET in run("session", "show", "order", "--user", "alice").stdout


def test_another_users_session_is_not_there() -> None:
    """Asked for under another user, or none, the session is not there: 1, and nothing on standard output."""
    written()
    for user in (["--user", "bob"], []):
        done = run("session", "show", "order", *user)
        assert_says_one_line(done, 1, "no such session")
        assert done.stdout == ""
    assert run("session", "show", "order", "--user", "alice").exit_code == 0


def test_a_message_cannot_steer_the_terminal() -> None:
    """Control characters and markup in what was stored are shown, not obeyed; JSON has them escaped."""
    written("alice", "a\x1b[2Jb\x9bc [red]d[/red]\nnext")
    shown = run("session", "show", "order", "--user", "alice").stdout
    assert "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c [red]d[/red]" in shown
    assert "\x1b" not in run("session", "show", "order", "--user", "alice", "--json").stdout


def test_clear_destroys_one_session() -> None:
    """`session clear` takes that session, and leaves the others of the same person."""
    written(session="order")
    written(session="second")
    assert objects(run("session", "clear", "order", "--user", "alice", "--json")) == [{"cleared": True}]
    assert [each["session_id"] for each in objects(run("session", "list", "--json"))] == ["second"]
    assert_says_one_line(run("session", "clear", "order", "--user", "alice"), 1, "no such session")


def test_a_changed_record_is_an_answer_of_no(tmp_path: Path) -> None:
    """One changed bit ends `show` with 1 and names the record; nothing of the session is printed."""
    written()
    with closing(sqlite3.connect(tmp_path / "store.db")) as con, con:
        number, body = con.execute("SELECT id, body FROM messages WHERE id & 4294967295 = 1").fetchone()
        changed = body[:80] + bytes([body[80] ^ 1]) + body[81:]
        con.execute("UPDATE messages SET body = ? WHERE id = ?", (changed, number))
    done = run("session", "show", "order", "--user", "alice", "--json")
    assert_says_one_line(done, 1, "record 1")
    assert done.stdout == ""


# Erasure and receipts


def test_a_script_is_taken_at_its_word() -> None:
    """Without a terminal nobody is asked: the person is erased, with --yes or without, and a receipt is printed."""
    written()
    written("bob")
    [document] = objects(run("user", "erase", "alice", "--json"))
    assert document["receipt"]["stores"]["data"]["records"] == 2
    assert [each["user_id"] for each in objects(run("session", "list", "--json"))] == ["bob"]
    assert "Nothing is held" in run("user", "erase", "alice", "--yes").stdout


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_on_a_terminal_it_asks(answer: str, code: int, left: int) -> None:
    """On a terminal a no leaves the person, a yes forgets them; the question has no id in it."""
    written()
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*RUN, "user", "erase", "alice", "--url", URL],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, f"{answer}\n".encode())
        _, said = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code, said
    assert "Forget this person" in said
    assert "alice" not in said
    assert len(objects(run("session", "list", "--json"))) == left


def _wait_until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process waits for a line: Python takes no note of a Ctrl-C in the moment right before it does."""
    stat, asleep = Path(f"/proc/{process.pid}/stat"), 0
    while asleep < 5:
        state = stat.read_text().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.02)


def _at_a_terminal(*command: str, prompt: str, typed: str) -> tuple[int, str]:
    """Run a command and type something when it waits for a line; gives its exit code and what it says."""
    ours, theirs = pty.openpty()
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    run_it = [sys.executable, "-c", take, *RUN, *command, "--url", URL]
    said = b""
    try:
        with subprocess.Popen(
            run_it, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            while prompt.encode() not in said:
                said += os.read(ours, 1024)
            _wait_until_asleep(process)
            os.write(ours, typed.encode())
            try:
                process.wait(timeout=20)
            finally:
                process.kill()
            with contextlib.suppress(OSError):  # nobody has the terminal open any more
                while more := os.read(ours, 1024):
                    said += more
    finally:
        os.close(ours)
    return process.returncode, said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(("typed", "code", "told"), [("\x03", 130, "interrupted"), ("n\n", 1, "nothing was done")])
def test_an_interruption_needs_no_answer(typed: str, code: int, told: str) -> None:
    """Ctrl-C at the question ends the command at once and the person is left, as a no does."""
    written()
    ended, said = _at_a_terminal("user", "erase", "alice", prompt="?", typed=typed)
    assert ended == code
    assert said.endswith(f"securemem: {told}\n")
    assert len(objects(run("session", "list", "--json"))) == 1


@pytest.mark.parametrize(("typed", "code", "told"), [("\x03", 130, "interrupted"), ("\x04", 2, "no passphrase")])
def test_no_passphrase_is_typed(typed: str, code: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and Ctrl-D where a passphrase is asked for end the command at once, in one line."""
    written()
    monkeypatch.delenv("SECUREMEM_PASSPHRASE", raising=False)
    monkeypatch.setenv("SECUREMEM_KMS", "passphrase:///secret.kek")
    ended, said = _at_a_terminal("session", "list", prompt="KEK file: ", typed=typed)
    assert ended == code
    assert said.splitlines()[-1].startswith(f"securemem: {told}")


def test_a_receipt_is_written_and_verifies(tmp_path: Path) -> None:
    """The receipt in a file verifies by the store's key, and offline by the key in a file with no store at all."""
    written()
    assert run("user", "erase", "alice", "--yes", "--receipt", "r.json").exit_code == 0
    assert run("receipt", "key", "--out", "key.pem").exit_code == 0
    assert objects(run("receipt", "verify", "r.json", "--json"))[0]["valid"] is True
    for path in tmp_path.glob("store*"):
        path.unlink()
    assert objects(run("receipt", "verify", "r.json", "--key", "key.pem", "--json"))[0]["valid"] is True
    assert_says_one_line(run("receipt", "verify", "r.json"), 2, "securemem init")


def test_the_receipts_file_is_new_or_nobody_is_erased(tmp_path: Path) -> None:
    """A file that is there is not overwritten, and the person is still there."""
    written()
    (tmp_path / "r.json").write_text("mine")
    assert_says_one_line(run("user", "erase", "alice", "--yes", "--receipt", "r.json"), 2, "nothing was done")
    assert (tmp_path / "r.json").read_text() == "mine"
    assert len(objects(run("session", "list", "--json"))) == 1


def _altered(document: dict[str, Any]) -> Any:
    document["receipt"]["stores"]["data"]["records"] += 1
    return document


def _unsigned(document: dict[str, Any]) -> Any:
    return {"receipt": document["receipt"]}


def _list(document: dict[str, Any]) -> Any:
    return [document]


@pytest.mark.parametrize("change", [_altered, _unsigned, _list])
def test_a_receipt_that_does_not_hold_is_an_answer_of_no(change: Callable[..., Any], tmp_path: Path) -> None:
    """A receipt that was altered, or is none, ends with 1; as it was, with 0."""
    written()
    [document] = objects(run("user", "erase", "alice", "--yes", "--json"))
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document))
    assert run("receipt", "verify", "r.json").exit_code == 0
    path.write_text(json.dumps(change(document)))
    assert_says_one_line(run("receipt", "verify", "r.json"), 1)
    refused = run("receipt", "verify", "r.json", "--json")
    assert (refused.exit_code, objects(refused)[0]["valid"]) == (1, False)


def test_another_stores_key_does_not_verify(tmp_path: Path) -> None:
    """The key of another deployment says no; what is no key at all is a usage error, as is a file that is not there."""
    written()
    run("user", "erase", "alice", "--yes", "--receipt", "r.json")
    run("init", url="sqlite:///other.db")
    run("receipt", "key", "--out", "other.pem", url="sqlite:///other.db")
    assert_says_one_line(run("receipt", "verify", "r.json", "--key", "other.pem"), 1, "signature")
    assert_says_one_line(run("receipt", "verify", "r.json", "--key", "r.json"), 2, "PEM")
    assert_says_one_line(run("receipt", "verify", "gone.json"), 2, "gone.json")
    (tmp_path / "noise.json").write_bytes(b"\xff\x00{")
    assert_says_one_line(run("receipt", "verify", "noise.json"), 1, "no receipt")


# Keys, sweeping, the doctor


def test_keys_are_rotated_and_epochs_closed(tmp_path: Path) -> None:
    """Rotation seals an epoch, closing destroys it, and every message reads as before."""
    written()
    assert objects(run("keys", "rotate", "--json"))[0]["epoch"] == 2
    [status] = objects(run("keys", "status", "--json"))
    assert [(each["state"], each["users"], each["kek"]) for each in status["epochs"]] == [
        ("sealed", 0, True),
        ("open", 1, True),
    ]
    [closed] = objects(run("keys", "close-epoch", "--backup", "keys.bak", "--json"))
    assert (closed["closed"], closed["backup"]) == ([1], "keys.bak")
    assert (tmp_path / "keys.bak").stat().st_size > 0
    assert SECRET in run("session", "show", "order", "--user", "alice").stdout


def test_closing_wants_a_backup_or_a_word(tmp_path: Path) -> None:
    """With neither --backup nor --without-backup, or with both, no epoch is destroyed."""
    written()
    for choice in ([], ["--backup", "keys.bak", "--without-backup"]):
        assert_says_one_line(run("keys", "close-epoch", *choice), 2, "--backup")
    (tmp_path / "keys.bak").write_text("mine")
    assert_says_one_line(run("keys", "close-epoch", "--backup", "keys.bak"), 2, "exists already")
    states = [each["state"] for each in objects(run("keys", "status", "--json"))[0]["epochs"]]
    assert "destroyed" not in states
    assert run("keys", "close-epoch", "--without-backup").exit_code == 0


def test_a_sweep_takes_out_what_is_past_its_time() -> None:
    """`sweep` takes out what has expired, and leaves what has not."""
    written("alice", "soon gone", ttl=0.01)
    written("bob")
    time.sleep(0.05)
    [report] = objects(run("sweep", "--json"))
    assert (report["records"], report["sessions"]) == (1, 1)
    assert [each["user_id"] for each in objects(run("session", "list", "--json"))] == ["bob"]
    assert objects(run("sweep", "--json"))[0]["records"] == 0


def findings(done: Result) -> dict[str, str]:
    """Give the doctor's findings: what was looked at, and how it is."""
    return {each["what"]: each["state"] for each in objects(done)[0]["findings"]}


def test_the_doctor_finds_a_good_store_good() -> None:
    """All is well but that everything lies on one disk, which is a warning."""
    written()
    done = run("doctor", "--json")
    assert (done.exit_code, objects(done)[0]["ok"], done.stderr) == (0, True, "")
    assert {what for what, state in findings(done).items() if state != "ok"} == {"placement"}
    assert "one disk" in run("doctor").stdout


def test_the_doctor_gives_paths_whole(tmp_path: Path) -> None:
    """A path that is longer than the line, into a pipe too, goes on in the next one, and no character is left out."""
    folder = tmp_path / ("a" * 99)
    folder.mkdir()
    url = f"sqlite:///{folder}/store.db"
    assert run("init", url=url).exit_code == 0
    (folder / "store.kek").chmod(0o644)
    told = run("doctor", url=url).stdout
    assert str(folder / "store.kek") in "".join(told.split())
    assert "…" not in told


def test_the_doctor_warns_of_an_epoch_left_open() -> None:
    """After a rotation the sealed epoch is a warning, until it is closed."""
    written()
    run("keys", "rotate")
    assert findings(run("doctor", "--json"))["epoch 1"] == "warning"
    run("keys", "close-epoch", "--without-backup")
    assert findings(run("doctor", "--json"))["epoch 1"] == "ok"


def _open_kek(folder: Path) -> None:
    (folder / "store.kek").chmod(0o644)


def _lost_kek(folder: Path) -> None:
    (folder / "store.kek").unlink()


def _foreign_data(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "store.db")) as con, con:
        con.execute("UPDATE securemem_stamp SET deployment = zeroblob(16)")


def _no_log(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "store.ledger.db")) as con:
        con.execute("PRAGMA journal_mode = DELETE")


def _damaged_keystore(folder: Path) -> None:
    path = folder / "store.keys.db"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_open_kek, "kek"),
        (_lost_kek, "kek"),
        (_foreign_data, "stamps"),
        (_foreign_data, "opening"),
        (_no_log, "ledger"),
        (_damaged_keystore, "keystore"),
    ],
)
def test_the_doctor_names_what_is_wrong(harm: Callable[[Path], None], what: str, tmp_path: Path) -> None:
    """Whatever is wrong is named, and the doctor ends with 1; before the harm it was well."""
    written()
    assert run("doctor").exit_code == 0
    harm(tmp_path)
    done = run("doctor", "--json")
    assert_says_one_line(done, 1, what)
    assert findings(done)[what] == "wrong"
    assert objects(done)[0]["ok"] is False


# Errors


def test_a_store_that_has_to_catch_up_is_unavailable(tmp_path: Path) -> None:
    """With a ledger older than the data every command ends with 3; with the newest one it works."""
    written()
    written("bob")
    shutil.copy(tmp_path / "store.ledger.db", tmp_path / "old")
    run("user", "erase", "alice", "--yes")
    shutil.copy(tmp_path / "store.ledger.db", tmp_path / "new")
    shutil.copy(tmp_path / "old", tmp_path / "store.ledger.db")
    assert_says_one_line(run("session", "list"), 3, "ledger")
    shutil.copy(tmp_path / "new", tmp_path / "store.ledger.db")
    assert len(objects(run("session", "list", "--json"))) == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KMSUnavailableError("the KMS does not answer: try again"), 3, "try again"),
        (OSError(28, "No space left on device", "store.db"), 3, "store.db: No space left on device"),
        (RuntimeError(f"alice said {SECRET}"), 3, "RuntimeError in test_cli.py"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_any_error_is_one_line(error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised leaves as one line and a code; of what nobody foresaw only kind and place are told."""
    written()

    async def sweep(_: SecureMemory, **__: float) -> None:
        raise error

    assert run("sweep").exit_code == 0
    monkeypatch.setattr(SecureMemory, "sweep", sweep)
    assert_says_one_line(run("sweep"), code, told)


def test_as_a_process_it_ends_with_the_same_codes() -> None:
    """The installed command gives 0, 1 and 2 to the shell, and writes no traceback."""
    written()
    for arguments, code in (
        (["session", "list"], 0),
        (["session", "show", "alice"], 1),
        (["session", "list", "alice"], 2),
    ):
        done = subprocess.run([*RUN, *arguments, "--url", URL], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "alice" not in done.stderr


def test_it_speaks_to_a_terminal_without_unicode() -> None:
    """Where standard output cannot say a character, it says another, and goes on."""
    written("alice", "Grüße, 東京")
    done = subprocess.run(
        [*RUN, "session", "show", "order", "--user", "alice", "--url", URL],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"Gr??e" in done.stdout


def test_a_locale_that_cannot_read_an_id_is_named() -> None:
    """Where the locale has no characters for the bytes of an id, what to set is said, and not the id."""
    written()
    command = [*RUN, "session", "show", "order", "--user", "zoë", "--url", URL]
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.endswith("this locale reads what is typed as ascii; set LC_ALL=C.UTF-8 or PYTHONUTF8=1")
