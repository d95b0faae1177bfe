"""Children of a test: started in milliseconds by a process that has everything imported, killed, stopped, listened to.

child = await nursery.start("worker", place=…, ahead=…)
child.kill()
await child.ended()
child.said()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

_PROJECT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.002


async def _until(holds: Callable[[], bool], look: Callable[[], None], seconds: float) -> None:
    over = time.monotonic() + seconds
    while not holds():
        look()
        if time.monotonic() > over:
            raise TimeoutError
        await asyncio.sleep(_POLL_SECONDS)


class Forked:
    """One child.

    Attributes:
        code: with which it ended, -9 where it was killed; None while it lives.
    """

    def __init__(self, nursery: Nursery, pid: int, said: Path) -> None:
        """Take what `Nursery.start` knows of it."""
        self.pid = pid
        self.code: int | None = None
        self._nursery = nursery
        self._said = said

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        self._nursery.listen()
        return self.code is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended gets none."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, wherever it is."""
        self.signal(signal.SIGKILL)

    async def ended(self, seconds: float = _PATIENCE_SECONDS) -> int:
        """Wait for its end, so long at most; gives its code."""
        await _until(lambda: self.code is not None, self._nursery.listen, seconds)
        assert self.code is not None
        return self.code

    def said(self) -> list[Any]:
        """Give what it has said so far; a line that was cut off was not said."""
        text = self._said.read_bytes() if self._said.exists() else b""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def errors(self) -> str:
        """Give what it wrote to standard error."""
        path = Path(f"{self._said}.err")
        return path.read_text() if path.exists() else ""


class Nursery:
    """Starts children. The process that forks them outlives an event loop, and so serves many tests."""

    def __init__(self) -> None:
        """Start the process that forks, and wait until it is ready."""
        self.folder = Path()
        self._count = 0
        self._children: dict[int, Forked] = {}
        self._started: dict[str, Forked] = {}
        self._lines = b""
        command = [sys.executable, "-m", "tests.retention_workers.forks"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_PROJECT)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        assert json.loads(self._output.readline()) == {"ready": True}, "the process that forks did not start"
        os.set_blocking(self._output.fileno(), False)

    def use(self, folder: Path) -> Self:
        """Name the folder for what children say from now on."""
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        return self

    def listen(self) -> None:
        """Take in which children have started and ended."""
        while read := self._output.read():
            *whole, self._lines = (self._lines + read).split(b"\n")
            for line in map(json.loads, whole):
                if "name" in line:
                    self._children[line["pid"]] = child = Forked(self, line["pid"], self.folder / line["name"])
                    self._started[line["name"]] = child
                else:
                    self._children.pop(line["pid"]).code = line["code"]

    async def start(self, act: str, /, **arguments: Any) -> Forked:
        """Start a child that does one of `children.ACTS`."""
        self._count += 1
        name = f"{act}{self._count}"
        order = {"name": name, "said": str(self.folder / name), "act": act, "arguments": arguments}
        self._input.write(json.dumps(order).encode() + b"\n")
        self._input.flush()
        await _until(lambda: name in self._started, self.listen, _PATIENCE_SECONDS)
        return self._started.pop(name)

    def close(self) -> None:
        """End it, and all children with it."""
        self._input.close()
        self._process.wait()
        self._output.close()
