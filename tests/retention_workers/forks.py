"""A process that forks others, which have everything imported already: `python -m tests.retention_workers.forks`.

It reads a line of JSON for each child, `{"name": …, "said": FILE, "act": …, "arguments": {…}}`, forks it and writes
`{"name": …, "pid": …}`; once a child has ended it writes `{"pid": …, "code": …}`, a negative code for a signal. What a
child says is in its file, a line of JSON each, written at once; what it writes to standard error in FILE and `.err`.
When the input ends, so do all children.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import asyncpg  # noqa: F401  (for the children, as those below)
import redis.asyncio  # noqa: F401

from securemem import SecureMemory

from .children import ACTS, Say

_POLL_SECONDS = 0.01


def _write(descriptor: int, line: object) -> None:
    os.write(descriptor, json.dumps(line).encode() + b"\n")


def _become(order: dict[str, Any]) -> int:
    """Be the child, in the forked process; gives its exit code."""
    said = os.open(order["said"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    errors = os.open(order["said"] + ".err", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for ours, theirs in ((0, nothing), (1, nothing), (2, errors)):
        os.dup2(theirs, ours)
    say: Say = lambda line: _write(said, line)  # noqa: E731
    try:
        asyncio.run(ACTS[order["act"]](say, **order["arguments"]))
    except Exception as exc:  # noqa: BLE001  (whatever it is, the test is told)
        say({"error": f"{type(exc).__name__}: {exc}", "cause": repr(exc.__cause__)})
        return 1
    return 0


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _become(order)
        finally:
            os._exit(code)
    return pid


async def _warm_up() -> None:
    """Import what opening a store imports late, by doing it."""
    with tempfile.TemporaryDirectory() as folder:
        async with SecureMemory.open(f"sqlite:///{folder}/store.db") as memory:
            await memory.session("s").add("user", "x")
            await memory.holds.place("s", reason_code="WARM")
            await memory.retention.work(purge_seconds=None)


def main() -> None:
    """Fork until the input ends."""
    asyncio.run(_warm_up())
    alive: set[int] = set()
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    _write(1, {"ready": True})
    lines = b""
    while True:
        if selector.select(_POLL_SECONDS if alive else None):
            read = os.read(0, 1 << 16)
            if not read:
                break
            *whole, lines = (lines + read).split(b"\n")
            for line in whole:
                order = json.loads(line)
                pid = _fork(order)
                alive.add(pid)
                _write(1, {"name": order["name"], "pid": pid})
        while alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            alive.discard(pid)
            _write(1, {"pid": pid, "code": os.waitstatus_to_exitcode(status)})
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
