"""Children of a test: started in milliseconds by a process that has everything imported, killed, stopped, listened to.

async with Nursery(folder) as nursery:
    child = await nursery.start("worker", place=…, now=…)
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
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PROJECT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 60.0


class Forked:
    """One child."""

    def __init__(self, pid: int, said: Path) -> None:
        """Take what `Nursery.start` knows of it."""
        self.pid = pid
        self._said = said
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return not self._code.done()

    def note_end(self, code: int) -> None:
        """Know that it ended."""
        self._code.set_result(code)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended gets none."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, wherever it is."""
        self.signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for its end; gives its code, -9 where it was killed."""
        return await asyncio.wait_for(asyncio.shield(self._code), _PATIENCE_SECONDS)

    def said(self) -> list[Any]:
        """Give what it has said so far; a line that was cut off was not said."""
        text = self._said.read_bytes() if self._said.exists() else b""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def errors(self) -> str:
        """Give what it wrote to standard error."""
        path = Path(f"{self._said}.err")
        return path.read_text() if path.exists() else ""


class Nursery:
    """Starts children."""

    def __init__(self, folder: Path) -> None:
        """Name the folder for what children say."""
        self._folder = folder
        self._count = 0
        self._children: dict[int, Forked] = {}
        self._starting: dict[str, asyncio.Future[Forked]] = {}

    async def __aenter__(self) -> Self:
        """Start the process that forks."""
        self._folder.mkdir(exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.retention_workers.forks",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_PROJECT,
        )
        assert await self._line() == {"ready": True}, "the process that forks did not start"
        self._listening = asyncio.create_task(self._listen())
        return self

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        return json.loads(line) if line else None

    async def _listen(self) -> None:
        while (line := await self._line()) is not None:
            if "name" in line:
                child = self._children[line["pid"]] = Forked(line["pid"], self._folder / line["name"])
                self._starting.pop(line["name"]).set_result(child)
            else:
                self._children.pop(line["pid"]).note_end(line["code"])

    async def start(self, act: str, **arguments: Any) -> Forked:
        """Start a child that does one of `children.ACTS`."""
        self._count += 1
        name = f"{act}{self._count}"
        started: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._starting[name] = started
        order = {"name": name, "said": str(self._folder / name), "act": act, "arguments": arguments}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await started

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and all children with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening
