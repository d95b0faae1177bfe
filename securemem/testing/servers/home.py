"""Where the servers of this process keep their files: one folder, gone when the process ends, however it ends.

The process keeps a file in it locked. A folder whose lock is free belongs to a process that is gone; the next one that
starts a server removes it.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from securemem.testing.servers.guard import lock, remove_folder

_PREFIX = "securemem-servers-"
_OWNER = "owner.lock"
_NEW_SECONDS = 60.0


class Account(NamedTuple):
    """The user and group that a server runs as."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Give who runs a server that refuses root: `nobody` when this is root, else None for ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def reachable(path: Path, account: Account | None) -> bool:
    """Tell whether a server that runs as `account` can get at a folder or run a program."""
    if account is None:
        return os.access(path, os.X_OK)
    place = path.resolve()
    return all(each.stat().st_mode & 0o001 for each in (place, *place.parents))


@functools.cache
def home() -> Path:
    """Give this process's folder; what others left behind is removed first."""
    account = unprivileged()
    base = next(place for place in (Path(tempfile.gettempdir()), Path("/tmp")) if reachable(place, account))  # noqa: S108
    for other in base.glob(f"{_PREFIX}*"):
        if _is_abandoned(other):
            remove_folder(other)
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    lock(made / _OWNER)
    made.chmod(0o755)
    atexit.register(_remove_ours, made, os.getpid())
    return made


def owner_file() -> Path:
    """Give the file that stays locked while this process lives."""
    return home() / _OWNER


def new_folder(name: str, account: Account | None) -> Path:
    """Make an empty folder for one server, that is its account's own."""
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home()))
    if account is not None:
        os.chown(made, *account)
    return made


def _is_abandoned(folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return False
    owner = folder / _OWNER
    if not owner.exists():
        return time.time() - status.st_mtime > _NEW_SECONDS
    descriptor = lock(owner)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _remove_ours(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        remove_folder(folder)
