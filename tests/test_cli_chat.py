"""`securemem chat`: as lines through a pipe, and with somebody at a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory
from securemem.cli.chat.screen import _Flow

URL = "sqlite:///store.db"
RUN = [sys.executable, "-c", "from securemem.cli import main; main()", "chat", "--url", URL]
MODEL = """
import asyncio


async def echo(messages):
    said = [message["content"] for message in messages]
    if said[-1] == "think":
        await asyncio.sleep(60)
    if said[-1] == "fail":
        raise ValueError
    for word in f"echo: {said[-1]} \\x1b[31m of {len(said)}".split(" "):
        yield word + " "


async def lookup(messages):
    return {}[messages[-1]["content"]]


not_a_function = 7
"""
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x01|\x02")


@pytest.fixture(autouse=True)
def model(tmp_path: Path) -> str:
    """Put a model of one's own into the folder, and give its name."""
    (tmp_path / "mine.py").write_text(MODEL, "utf-8")
    return "mine.py:echo"


def piped(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give lines to the command, and what became of it."""
    environment = {**os.environ, "COLUMNS": "80"}
    command = [*RUN, *arguments]
    return subprocess.run(
        command, input=lines, capture_output=True, text=True, check=False, timeout=60, env=environment
    )


def history(session: str = "chat", user: str | None = None) -> list[Any]:
    """Read what the store in the folder remembers."""

    async def read() -> list[Any]:
        async with SecureMemory.open(URL) as memory:
            return [message.content for message in await memory.session(session, user_id=user).history()]

    return asyncio.run(read())


def test_lines_are_answered_and_remembered(model: str) -> None:
    """Each line is a message; a second run goes on where the first ended; nothing steers the terminal."""
    done = piped("Hello\n\n", "--model", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "echo: Hello \N{REPLACEMENT CHARACTER}[31m of 2 \n"
    done = piped("Again\n", "--model", model, "--instruction", "")
    assert "of 3" in done.stdout
    assert len(history()) == 4


def test_machines_read_json(model: str) -> None:
    """With `--json` every answer and every message is an object on a line of its own, and nothing else is said."""
    done = piped("Hello\n/remember Be formal\n/history\n", "--model", model, "--json", "--user", "alice")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["role"] for each in objects] == ["assistant", "user", "assistant", "system"]
    assert history(user="alice")[0] == "Hello"


def test_orders_are_carried_out(model: str) -> None:
    """A branch goes on from all that was said and is forgotten alone; what is no order is said to be none."""
    lines = (
        "Hello\n/branch two\nAgain\n/forget\n/history\n/session chat\n/history 1\n/history x\n/nope\n/help\n/branch\n"
    )
    done = piped(lines, "--model", model)
    assert (done.returncode, done.stderr) == (0, "")
    for said in (
        "Going on in a copy of the conversation: two of chat.",
        "of 4",
        "Forgotten: its key is destroyed",
        "Nothing was said here yet.",
        "Going on with chat of chat",
        "/history takes a number.",
        "There is no such order",
        "/branch takes a name.",
        "/remember TEXT",
    ):
        assert said in done.stdout
    assert history("two", "chat") == []
    assert len(history()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--model"),
        (["--model", "none.py:echo"], 2, "there is no file none.py"),
        (["--model", "mine.py:none"], 2, "no function none"),
        (["--model", "mine.py:not_a_function"], 2, "no function"),
        (["--model", "gpt-4"], 2, "OPENAI_API_KEY"),
        (["--model", "mine.py:echo", "--session", ""], 2, "session_id"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], code: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage is exit code 2, with one line that says what to do and nothing of what was typed."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    done = piped("secret words\n", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_an_endpoint_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is exit code 3, and nothing is remembered."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    done = piped("Hello\n", "--model", "some-model")
    assert (done.returncode, done.stdout) == (3, "")
    assert history() == []


@pytest.mark.parametrize(("function", "kind"), [("echo", "ValueError"), ("lookup", "KeyError")])
def test_a_model_that_raises_is_told_in_a_line(function: str, kind: str) -> None:
    """Through a pipe it ends with 3, and a line with the kind and the place of the error, but not what was said."""
    done = piped("fail\n", "--model", f"mine.py:{function}")
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert re.fullmatch(rf"securemem: the model raised {kind} in mine\.py:\d+", line)
    assert history() == []


def test_a_file_that_cannot_be_run_is_told_in_a_line(tmp_path: Path) -> None:
    """A model's file with an error in it is misuse, and not a defect."""
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = piped("Hello\n", "--model", "broken.py:model")
    assert (done.returncode, done.stderr) == (
        2,
        "securemem: broken.py cannot be imported: ZeroDivisionError in broken.py:1\n",
    )


class Terminal:
    """Somebody at a terminal."""

    def __init__(self, *arguments: str) -> None:
        """Start a chat there."""
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", "LINES": "30"}
        # The leader of a new session takes the terminal that it opens first for its own, so that Ctrl-C reaches it.
        opening = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(theirs)]
        self._process = subprocess.Popen([*opening, *RUN, *arguments], env=environment, start_new_session=True)
        os.close(theirs)
        self.raw = ""

    @property
    def shown(self) -> str:
        """All that was shown, without what colours it."""
        return _SEQUENCE.sub("", self.raw).replace("\r", "")

    def wait_for(self, text: str, *, since: int = 0) -> None:
        """Wait until something is shown."""
        deadline = time.monotonic() + 60
        while text not in self.shown[since:]:
            assert time.monotonic() < deadline, self.shown
            self._read()

    def wait_for_prompt(self) -> None:
        """Wait until something can be typed: a Ctrl-D or Ctrl-C that comes earlier is taken otherwise."""
        deadline = time.monotonic() + 60
        while not self.shown.endswith("\nyou    "):
            assert time.monotonic() < deadline, self.shown
            self._read()

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            read = os.read(self._ours, 65536)
        except OSError:
            return False
        self.raw += read.decode(errors="replace")
        return bool(read)

    def type(self, keys: str) -> int:
        """Type keys; gives how much was shown until then."""
        before = len(self.shown)
        os.write(self._ours, keys.encode())
        return before

    def leave(self, key: str) -> int:
        """Press a key at the prompt until they have left, and give the exit code.

        Python waits on through a Ctrl-C that comes after the prompt is shown and before it waits for what is typed.
        """
        deadline = time.monotonic() + 60
        pressed = 0.0
        while self._read():
            assert time.monotonic() < deadline, self.shown
            if time.monotonic() > pressed + 1:
                self.type(key)
                pressed = time.monotonic()
        os.close(self._ours)
        return self._process.wait(timeout=60)

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def terminal(model: str) -> Iterator[Terminal]:
    """Give somebody at a terminal, in a conversation of alice's."""
    terminal = Terminal("--model", model, "--user", "alice", "--session", "order")
    yield terminal
    terminal.stop()


def test_somebody_talks_at_a_terminal(terminal: Terminal) -> None:
    """They are greeted, answered, told what went wrong, and asked before anything is destroyed; Ctrl-D leaves."""
    terminal.wait_for("A new conversation: order of alice.")
    since = terminal.type("Hello\n")
    terminal.wait_for("of 2", since=since)
    since = terminal.type("/branch order\n")
    terminal.wait_for("Not done: a session of this id exists", since=since)
    since = terminal.type("/forget\n")
    terminal.wait_for("[y/N]", since=since)
    since = terminal.type("n\n")
    terminal.wait_for("Nothing was destroyed.", since=since)
    since = terminal.type("/forget\n")
    terminal.wait_for("[y/N]", since=since)
    since = terminal.type("y\n")
    terminal.wait_for("Forgotten", since=since)
    terminal.wait_for_prompt()
    assert terminal.leave("\x04") == 0
    assert "\x1b[31m of" not in terminal.raw
    assert history("order", "alice") == []


def test_ctrl_c_stops_an_answer_and_then_the_chat(terminal: Terminal) -> None:
    """A first one stops what the model is at, which is not remembered; at the prompt it leaves."""
    terminal.wait_for("A new conversation")
    since = terminal.type("think\n")
    terminal.wait_for("⠋", since=since)
    since = terminal.type("\x03")
    terminal.wait_for("Stopped, and not remembered.", since=since)
    since = terminal.type("Hello\n")
    terminal.wait_for("of 2", since=since)
    terminal.wait_for_prompt()
    assert terminal.leave("\x03") == 0
    assert len(history("order", "alice")) == 2


def test_an_answer_is_broken_between_words() -> None:
    """However a text is cut into pieces, its lines are as wide as they may be, and below each other."""
    text = "one two three four five\nsix  seven eighteighteight nine \n\nten"
    expected = None
    for size in (1, 3, len(text)):
        flow = _Flow(10)
        shown = "".join(flow.feed(text[start : start + size]) for start in range(0, len(text), size)) + flow.end()
        assert expected in (None, shown)
        expected = shown
    lines = str(expected).split("\n" + " " * 7)
    assert lines == ["one two", "three four", "five", "six  seven", "eighteighteight", "nine", "", "ten"]


def test_a_talk_goes_on_after_a_model_that_raised(terminal: Terminal) -> None:
    """The error is one line, nothing of that turn is remembered, and the next message is answered."""
    terminal.wait_for("A new conversation: order of alice.")
    since = terminal.type("fail\n")
    terminal.wait_for("Not done: the model raised ValueError in mine.py:", since=since)
    since = terminal.type("Hello\n")
    terminal.wait_for("of 2", since=since)
    terminal.wait_for_prompt()
    assert terminal.leave("\x04") == 0
    assert [text for text in history("order", "alice") if "fail" in text] == []
