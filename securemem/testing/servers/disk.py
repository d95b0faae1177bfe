"""A disk of a few megabytes for a server's data, that a test fills and frees."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from securemem.testing.servers.guard import remove_folder
from securemem.testing.servers.home import Account, new_folder

_BLOCK = b"\0" * 65_536


class SmallDisk:
    """A file system in memory, mounted for as long as its context lasts; only root may (Linux).

    Who is not root takes `Server.limit_files`.

    Attributes:
        path: where it is mounted; give it to a server as `data`.
    """

    def __init__(self, megabytes: int, account: Account | None = None) -> None:
        """Say how large it is and who owns it: a server's account."""
        self.path = new_folder("disk", account)
        self._megabytes = megabytes
        self._account = account

    def __enter__(self) -> Self:
        """Mount it.

        Raises:
            PermissionError: this machine does not let us.
        """
        owner = "" if self._account is None else f",uid={self._account.uid},gid={self._account.gid}"
        options = f"size={self._megabytes}m,mode=0700{owner}"
        command = ["mount", "-t", "tmpfs", "-o", options, "securemem", str(self.path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise PermissionError(f"a small disk could not be mounted: {done.stderr.strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unmount it; what was on it is gone."""
        remove_folder(self.path)

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_BLOCK)
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()
