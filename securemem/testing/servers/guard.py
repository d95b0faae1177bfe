"""Runs one server and ends it together with whoever asked for it: `python -I -S guard.py PLAN`.

PLAN is JSON: see `Plan`. The guard starts the server, prints its process id and waits for one of two things. The server
ends: so does the guard. Its own standard input ends: it kills the server with everything that it started. One byte
before that end means that the data are still wanted; without it the asker has died, however that came about, and the
server's folder is removed as well. The kernel ends the server if the guard itself is killed (Linux).

It is the only process between a test and a server, so it imports the standard library alone and begins in 20 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

KEEP_DATA = b"k"
_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_GENTLE_SECONDS, _LOCK_SECONDS = 2.0, 1.0


class Plan(NamedTuple):
    """What a guard runs.

    Attributes:
        command: the server's program and its arguments; no secrets, for every process can see them.
        environment: all of the server's environment.
        folder: where it runs, and what is removed when the asker dies.
        log: the file that takes what it prints.
        owner: a file that the asker keeps locked while it lives; its folder is the asker's home.
        account: the user and group that the server runs as, or None for the asker's own.
        largest_file: how many bytes a file may have (RLIMIT_FSIZE), or None.
    """

    command: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    owner: str
    account: tuple[int, int] | None = None
    largest_file: int | None = None


def descendants(pid: int) -> list[int]:
    """Give the processes that a process started, and those that they started; nothing where there is no /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, disks that were mounted there included."""
    mounts = Path("/proc/mounts")
    if mounts.exists():
        places = [Path(line.split()[1]) for line in mounts.read_text(encoding="utf-8").splitlines()]
        for place in places:
            if place.is_relative_to(folder):
                subprocess.run(["umount", "--lazy", str(place)], check=False)  # noqa: S603, S607
    shutil.rmtree(folder, ignore_errors=True)


def lock(owner: Path) -> int | None:
    """Lock the file of a home; None if its owner lives.

    Returns:
        The file's descriptor; the lock goes with it.
    """
    descriptor = os.open(owner, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _prepare(plan: Plan, guard: int) -> None:
    """Do in the server's process what comes before its program."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # after the account has changed, which would undo it
    if os.getppid() != guard:
        os._exit(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails instead of ending the server
    if plan.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.largest_file, resource.RLIM_INFINITY))


def _start(plan: Plan) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    user, group = plan.account or (None, None)
    with Path(plan.log).open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (the test's own server)
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=plan.folder,
            env=plan.environment,
            user=user,
            group=group,
            extra_groups=None if plan.account is None else [],
            preexec_fn=lambda: _prepare(plan, guard),  # noqa: PLW1509  (there is one thread)
        )


def _kill_all() -> None:
    """Kill whatever was started, until nothing is left; children of a process that is gone have become ours."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _remove_home(plan: Plan) -> None:
    """Remove the server's folder, and the asker's home once its lock shows that the asker is gone."""
    remove_folder(Path(plan.folder))
    owner = Path(plan.owner)
    limit = time.monotonic() + _LOCK_SECONDS
    with contextlib.suppress(FileNotFoundError):  # another server's guard has been quicker
        while owner.exists() and lock(owner) is None and time.monotonic() < limit:
            time.sleep(0.05)
        if time.monotonic() < limit:
            remove_folder(owner.parent)


def _end_gently(server: subprocess.Popen[bytes]) -> None:
    """Give the server a moment to take its shared memory with it."""
    for number in (signal.SIGCONT, signal.SIGQUIT):
        server.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(_GENTLE_SECONDS)


def _watch(server: subprocess.Popen[bytes], woken: int) -> bool:
    """Wait for the end of the server or of standard input.

    Returns:
        Whether the asker has died.
    """
    while server.poll() is None:
        ready, _, _ = select.select([sys.stdin.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if sys.stdin.fileno() in ready:
            if os.read(sys.stdin.fileno(), 1) == KEEP_DATA:
                server.kill()
                return False
            _end_gently(server)
            return True
    return False


def main() -> int:
    """Do what the plan says."""
    plan = Plan(**json.loads(sys.argv[1]))
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: None)  # a handler does not outlast exec, as ignoring would
    _prctl(_SET_CHILD_SUBREAPER, 1)
    server = _start(plan)
    print(server.pid, flush=True)  # noqa: T201
    died = _watch(server, woken)
    server.kill()
    _kill_all()
    if died:
        _remove_home(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
