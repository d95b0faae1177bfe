"""One server process, held by its guard: stopped, killed, paused; it never outlives this process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from signal import Signals

from securemem.testing.servers import guard

_ASK_AGAIN_SECONDS = 0.25


class GuardedProcess:
    """A server's process from its start to its end."""

    def __init__(self, plan: guard.Plan) -> None:
        """Start it; whether it works shows later."""
        self._guard = subprocess.Popen(  # noqa: S603  (our own interpreter and file)
            [sys.executable, "-I", "-S", guard.__file__, json.dumps(plan._asdict())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        said = self._guard.stdout.readline() if self._guard.stdout is not None else b""
        if not said:
            self._close()
            raise RuntimeError(f"{plan.command[0]} could not be started")
        self.pid = int(said)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._guard.poll() is None

    def send(self, number: Signals) -> None:
        """Send a signal to the server alone."""
        if self.alive:
            _signal(self.pid, number)

    def stop(self, number: Signals, patience: float) -> None:
        """Ask it to end, and kill it when that takes longer than `patience` seconds.

        It is asked again and again: Redis refuses while it writes its first append-only file.
        """
        limit = time.monotonic() + patience
        while self.alive and time.monotonic() < limit:
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(_ASK_AGAIN_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and all that it started with SIGKILL, and wait until all are gone; its files stay."""
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                self._guard.stdin.write(guard.KEEP_DATA)
                self._guard.stdin.close()
        self._close()

    def pause(self) -> None:
        """Stop it where it is, with all that it started; its connections stay open."""
        self.send(Signals.SIGSTOP)  # itself first: it starts no more
        for pid in guard.descendants(self.pid):
            _signal(pid, Signals.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in guard.descendants(self.pid):
            _signal(pid, Signals.SIGCONT)
        self.send(Signals.SIGCONT)

    def _close(self) -> None:
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._guard.wait()


def _signal(pid: int, number: Signals) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
