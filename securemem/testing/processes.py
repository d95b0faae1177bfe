"""Processes for tests: started, held at the line, let go together, listened to, and killed.

writers = [start_writer(Plan(...)) for _ in range(4)]
release(*writers)                     # all open the store at the same moment
acknowledged = [writer.finish() for writer in writers]
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, NamedTuple

from securemem.testing.writer import Plan

_PATIENCE_SECONDS = 120.0


class Ended(NamedTuple):
    """What a process said before it ended, line by line, its exit code and what it wrote to standard error."""

    lines: list[Any]
    code: int
    errors: str


class Child:
    """A Python process that says `"ready"`, waits for a line, and then says JSON, a line at a time."""

    def __init__(self, *arguments: str) -> None:
        """Start it and wait until it is ready."""
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter, with what the test gives)
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = self.listen()
        if first != "ready":
            raise RuntimeError(f"the process did not get ready: {self.finish().errors}")

    def release(self) -> None:
        """Let it go."""
        if self._process.stdin is not None:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def listen(self) -> Any:
        """Wait for its next line; None if it has ended."""
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        return json.loads(line) if line else None

    def kill(self) -> Ended:
        """End it with SIGKILL, wherever it is, and give what it had said; a line that was cut off was not said."""
        self._process.send_signal(signal.SIGKILL)
        return self.finish()

    def finish(self) -> Ended:
        """Wait for its end."""
        try:
            said, errors = self._process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        lines = [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith("\n")]
        return Ended(lines, self._process.returncode, errors)


def start_writer(plan: Plan) -> Child:
    """Start a process that does what a plan says once it is released."""
    return Child("-m", "securemem.testing.writer", plan.to_json())


def release(*children: Child) -> None:
    """Let several go at the same moment."""
    for child in children:
        child.release()
