"""What servers for tests have in common: a port and a folder of their own, and an end."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

import redis

from securemem.testing.servers.guard import Plan, descendants, remove_folder
from securemem.testing.servers.home import Account, new_folder, owner_file
from securemem.testing.servers.process import GuardedProcess

HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections: a server that was killed finds its port free again."""
_PORT_TRIES = 20
_START_SECONDS, _STOP_SECONDS = 60.0, 30.0
_POLL_SECONDS = 0.01
_LOG_TAIL = 2_000


class Tls(NamedTuple):
    """Files of a server's certificate, in PEM.

    Attributes:
        certificate: for 127.0.0.1 and localhost.
        key: its private key, without a password.
        authority: the certificate that signed it, which clients are given.
    """

    certificate: Path
    key: Path
    authority: Path


class ServerFailedError(RuntimeError):
    """A server did not start; the message ends in its log."""


def free_port() -> int:
    """Give a port that nobody listens on just now."""
    while True:
        port = secrets.choice(_PORTS)  # tests seed `random`, and would all begin with the same
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def wait_until(reached: Callable[[], bool], what: str, *, patience: float = 30.0) -> None:
    """Ask again and again until it is so.

    Args:
        reached: tells whether it is so; a server that does not answer yet may raise a connection's error.
        what: what is waited for.
        patience: seconds.

    Raises:
        TimeoutError: it took longer.
    """
    limit = time.monotonic() + patience
    while not _tolerant(reached):
        if time.monotonic() > limit:
            raise TimeoutError(f"within {patience:g} s it did not come about that {what}")
        time.sleep(_POLL_SECONDS)


def _tolerant(reached: Callable[[], bool]) -> bool:
    try:
        return reached()
    except (OSError, redis.ConnectionError):
        return False


def _limit(pid: int, soft: int) -> None:
    """Limit a process, and then those that it has started; what it starts later has its limit."""
    limits = (soft, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    for each in descendants(pid):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            resource.prlimit(each, resource.RLIMIT_FSIZE, limits)


class Server(ABC):
    """A server on 127.0.0.1 for as long as its context lasts.

    Its methods block. They may be called on an event loop, which then waits; where clients on the same loop must not
    wait, call them by `asyncio.to_thread`.

    Attributes:
        folder: holds its data, settings and log.
        port: where it listens: the same before and after a restart.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[Signals] = Signals.SIGTERM

    def __init__(self, account: Account | None = None) -> None:
        """Make its folder.

        Args:
            account: who runs it; None for ourselves.
        """
        self.host = HOST
        self.port = 0
        self._largest_file: int | None = None
        self._account = account
        self.folder = new_folder(self.name, account)
        self._process: GuardedProcess | None = None
        self._log_start = 0

    @abstractmethod
    def _command(self) -> list[str]:
        """Give its program and arguments; called before every start, when the port is known."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Tell whether the process that was just started takes connections."""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and remove its data."""
        self.close()

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Start it and wait until it takes connections; on the same port if it has run before.

        Raises:
            ServerFailedError: it did not start.
        """
        if self.port:
            self._launch()
            return
        for remaining in reversed(range(_PORT_TRIES)):
            self.port = free_port()
            try:
                self._launch()
            except ServerFailedError as exc:
                if "already in use" not in str(exc) or not remaining:
                    self.port = 0
                    raise
            else:
                return

    def stop(self) -> None:
        """End it in good order; its data stay."""
        if self._process is not None:
            self._process.stop(self.stop_signal, _STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End it and all its processes with SIGKILL; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again on the same data and port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it with SIGSTOP: it takes connections and bytes, and answers nothing."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.resume()

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None:
            self._process.resume()
        self.stop()
        remove_folder(self.folder)

    def log(self) -> str:
        """Give what it has printed since its latest start."""
        with self._log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    def write(self, path: Path, text: str) -> None:
        """Write a file that the server's account alone can read."""
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        if self._account is not None:
            os.chown(path, *self._account)

    def limit_files(self, count: int | None) -> None:
        """Let none of its files grow past so many bytes, from now on and over restarts; None lifts that (Linux).

        Writing more fails with EFBIG, where a disk that is full says ENOSPC (`SmallDisk`).
        """
        self._largest_file = count
        soft = resource.RLIM_INFINITY if count is None else count
        if self._process is None:
            return
        pid = self.pid
        user, group = self._account or (None, None)
        subprocess.run(  # who is not the server's account may not do it, root included
            ["true"],  # noqa: S607  (what counts is done before it)
            check=True,
            user=user,
            group=group,
            extra_groups=None if self._account is None else [],
            preexec_fn=lambda: _limit(pid, soft),
        )

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _launch(self) -> None:
        self._log_start = self._log_file.stat().st_size if self._log_file.exists() else 0
        self._process = GuardedProcess(
            Plan(
                command=self._command(),
                environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                folder=str(self.folder),
                log=str(self._log_file),
                owner=str(owner_file()),
                account=self._account,
                largest_file=self._largest_file,
            )
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if not self.running or time.monotonic() > limit:
                raise ServerFailedError(f"{self.name} did not start:\n{self.log()[-_LOG_TAIL:]}")
            time.sleep(_POLL_SECONDS)
