"""The commands of retention: plan, apply, explain, worker and hold; their answers, exit codes and discretion."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem import SecureMemory, UserRestrictedError
from securemem.cli.app import app

URL = "sqlite:///store.db"
RUN = [sys.executable, "-c", "from securemem.cli import main; main()"]
SECRET = "the parcel goes to Kungsgatan"
HEAD = "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: mine}\n"
SCRATCH = "rules:\n  - {id: scratch, match: {tag: scratch}, ttl: 1d}\n"
TAGGED: dict[str, Any] = {"metadata": {"tags": ["scratch"]}}


def run(*arguments: str, policy: str | None = "mine.yaml") -> Result:
    """Run a command on the store in this folder, under the policy in it."""
    environment = {"SECUREMEM_URL": URL, "COLUMNS": "120"} | ({"SECUREMEM_POLICY": policy} if policy else {})
    return CliRunner().invoke(app, [*arguments], env=environment)


def answer(*arguments: str, code: int = 0) -> Any:
    """Run a command for machines; gives the one object that it says."""
    done = run(*arguments, "--json")
    assert done.exit_code == code, done.output
    [line] = done.stdout.splitlines()
    return json.loads(line)


def policy(more: str = "", rules: str = SCRATCH) -> None:
    """Write the policy in this folder."""
    Path("mine.yaml").write_text(HEAD + more + rules, encoding="utf-8")


def filled(*, days: float = 2, under: str | None = "mine.yaml", sessions: int = 1) -> None:
    """Write messages of some days ago: in each session one that a rule is for, and one that none is for."""

    async def write() -> None:
        moment = datetime.now(UTC) - timedelta(days=days)
        async with SecureMemory.open(URL, policy=under, clock=lambda: moment) as memory:
            for number in range(sessions):
                chat = memory.session(f"order-{number}", user_id="alice")
                await chat.add("user", SECRET, **TAGGED)
                await chat.add("user", SECRET)

    asyncio.run(write())


def left() -> list[int]:
    """Give how many records lie in each session."""

    async def look() -> list[int]:
        async with SecureMemory.open(URL, policy="default") as memory:
            return [info.messages async for info in memory.sessions()]

    return asyncio.run(look())


def assert_says_one_line(done: Result, code: int, *told: str) -> None:
    """Check that a command ended with a code and one line on standard error that holds no id and no content."""
    assert done.exit_code == code, done.output
    [line] = done.stderr.splitlines()
    assert line.startswith("securemem: ")
    assert all(part in line for part in told), line
    assert not any(private in line for private in ("alice", "order-", SECRET, "Traceback"))


@pytest.fixture(autouse=True)
def _policy(isolated: None) -> None:
    policy()


def test_a_plan_is_applied_by_its_hash() -> None:
    """`plan` changes nothing and says what would be done; `apply` with its hash does it, and leaves nothing."""
    filled()
    plan = answer("policy", "plan")
    assert (plan["records"], plan["rules"]["scratch"]["now"], plan["irreversible_from"]) == (2, 1, None)
    assert left() == [2]
    shown = run("policy", "plan")
    assert shown.exit_code == 0
    assert "scratch" in shown.stdout
    assert "securemem policy apply" in shown.stdout
    report = answer("policy", "apply", plan["hash"], "--actor", "dpo:a")
    assert (report["records"], report["refusal"]) == (1, "")
    assert left() == [1]
    assert answer("policy", "plan")["rules"]["defaults"]["now"] == 0


@pytest.mark.parametrize("wrong", ["", "1-2-3", "nonsense", "alice"])
def test_a_hash_of_nothing_is_refused(wrong: str) -> None:
    """Exit 1, one line that does not repeat it, and nothing is deleted."""
    filled()
    assert_says_one_line(run("policy", "apply", wrong), 1, "no plan of this policy")
    assert left() == [2]


def test_a_second_person_is_waited_for() -> None:
    """Until somebody else applies it too, `apply` ends with 1 and says so, in JSON as well."""
    filled(under="default")
    policy("safety: {two_person: [ttl_shortened]}\n")
    for actor, code in (("dpo:a", 1), ("dpo:a", 1), ("dpo:b", 0)):
        assert left() == [2]
        report = answer("policy", "apply", answer("policy", "plan")["hash"], "--actor", actor, code=code)
        assert bool(report["refusal"]) == bool(code)
    assert left() == [1]


def test_a_message_is_explained() -> None:
    """Which rule, which deadline and why; what is not there is 2, and repeats no id."""
    filled()
    found = answer("policy", "explain", "order-0", "1", "--user", "alice")
    assert (found["action"], found["rule"], found["matching"]) == ("delete", "scratch", ["scratch"])
    assert found["deadline"]
    told = run("policy", "explain", "order-0", "2", "--user", "alice")
    assert (told.exit_code, "keep" in told.stdout, SECRET in told.stdout) == (0, True, False)
    assert_says_one_line(run("policy", "explain", "order-0", "9", "--user", "alice"), 2, "no such message")
    assert_says_one_line(run("policy", "explain", "order-0", "1"), 2, "no such message")


def test_a_worker_goes_through_once() -> None:
    """`worker --once` takes out what is over and says so; under `plan_only` nothing, and why."""
    filled(under="default")
    policy("safety: {after_change: plan_only}\n")
    said = answer("worker", "--once")
    assert (said["records"], left()) == (0, [2])
    assert "policy plan" in said["refusal"]
    policy()
    said = answer("worker", "--once")
    assert (said["records"], said["oldest_expired_age"], left()) == (1, 0.0, [1])
    assert "nothing is past its time" in run("worker", "--once").stdout


def test_a_worker_says_for_how_long_something_is_over() -> None:
    """What may not be deleted is over since the policy's deadline, in seconds."""
    policy("safety: {max_delete: {records: 0, percent: 0}}\n")
    filled(days=3)
    said = answer("worker", "--once")
    assert (said["records"], said["waiting"]) == (0, 1)
    assert 2 * 86400 <= said["oldest_expired_age"] <= 2 * 86400 + 3700


@contextmanager
def working(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Give a worker in a process of its own, that is gone in the end."""
    command = [*RUN, "worker", "--url", URL, "--policy", "mine.yaml", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told(number: signal.Signals) -> None:
    """After its pass, while it waits for the next: with 0, at once, and not a word on standard error."""
    filled()
    with working("--interval", "3600") as worker:
        assert worker.stdout is not None
        assert json.loads(worker.stdout.readline())["records"] == 1
        worker.send_signal(number)
        begun = time.monotonic()
        out, err = worker.communicate(timeout=60)
        assert (worker.returncode, out, err) == (0, "", "")
        assert time.monotonic() - begun < 20


def test_a_worker_ends_after_its_batch() -> None:
    """Told to end in the middle of a pass that its rate slows down, it does, and leaves the rest to the next."""
    filled(sessions=70)
    with working("--rate", "0.5", "--interval", "3600") as worker:
        deadline = time.monotonic() + 60
        while sum(left()) == 140:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=60)
        assert (worker.returncode, err) == (0, "")
        done = json.loads(out)["records"]
        assert done == 140 - sum(left()) == 32
    assert answer("worker", "--once")["records"] == 70 - done


def test_holds_are_placed_listed_and_released() -> None:
    """In words and for machines; what is held is not read meanwhile; what is no hold is 2."""
    filled(days=0.1)
    hold = answer("hold", "place", "alice", "--reason-code", "CASE-1")
    assert (hold["reason_code"], hold["session"]) == ("CASE-1", None)
    assert answer("hold", "list") == hold
    assert "CASE-1" in run("hold", "list").stdout

    async def read() -> int:
        async with SecureMemory.open(URL, policy="default") as memory:
            return len(await memory.session("order-0", user_id="alice").history())

    with pytest.raises(UserRestrictedError):
        asyncio.run(read())
    assert_says_one_line(run("session", "clear", "order-0", "--user", "alice"), 1, "legal hold")
    assert_says_one_line(run("session", "show", "order-0", "--user", "alice"), 1, "held or restricted")
    assert answer("hold", "release", hold["id"])["id"] == hold["id"]
    assert asyncio.run(read()) == 2
    hold = answer("hold", "place", "alice", "--reason-code", "CASE-2")
    assert_says_one_line(run("user", "erase", "alice", "--yes"), 1, "legal hold")
    answer("hold", "release", hold["id"])
    assert asyncio.run(read()) == 0, "the erasure waited for this"
    assert run("hold", "list", "--json").stdout == ""
    assert "No hold stands" in run("hold", "list").stdout
    for wrong in (hold["id"], "alice", "00" * 16):
        assert_says_one_line(run("hold", "release", wrong), 2)
    assert_says_one_line(run("hold", "place", "alice", "--session", "order-9", "--reason-code", "C"), 2)
    assert_says_one_line(run("hold", "place", "nobody", "--reason-code", "C"), 2, "nothing is held")


def test_the_ids_of_a_listed_hold_can_be_copied() -> None:
    """On 80 columns each id stands on one line in one piece, however long the reason; the control releases by it."""
    filled()
    session = answer("hold", "place", "alice", "--session", "order-0", "--reason-code", "CASE-1")
    person = answer("hold", "place", "alice", "--reason-code", "R" * 64)
    shown = run("hold", "list").stdout.splitlines()
    for copied in (session["id"], person["id"], person["handle"], session["session"]):
        assert any(line.endswith(copied) for line in map(str.rstrip, shown)), shown
    assert answer("hold", "release", person["id"])["id"] == person["id"]


@pytest.mark.parametrize(
    "command",
    [
        ["policy", "plan"],
        ["policy", "apply", "1-2-3"],
        ["policy", "explain", "s", "1"],
        ["worker", "--once"],
        ["hold", "place", "alice", "--reason-code", "C"],
        ["hold", "release", "00"],
        ["hold", "list"],
    ],
    ids=" ".join,
)
def test_each_needs_a_store_and_a_policy_that_is_right(command: list[str], tmp_path: Path) -> None:
    """No command makes a store; none goes by a policy that is wrong or not there; each explains itself."""
    assert_says_one_line(run(*command), 2, "securemem init")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.yaml"}
    filled()
    policy("defaults: {tll: 1d}\n")
    assert_says_one_line(run(*command), 2)
    assert_says_one_line(run(*command, policy="missing.yaml"), 2)
    shown = run(*command[: 1 if command[0] == "worker" else 2], "--help")
    assert shown.exit_code == 0
    assert "--json" in shown.stdout
