"""Checkpoints in a file that is only ever appended to (`file:///relative.notes`, `file:////absolute.notes`).

It stands apart when it lies on another machine's disk, or may only be appended to (`chattr +a`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from securemem.crypto.note import notes_in
from securemem.errors import BackendUnavailableError

_CUT = b" (this was cut off)\n\n"


class FileSink:
    """Notes in one file, each followed by an empty line; of any number of logs."""

    def __init__(self, path: Path) -> None:
        """Name the file, which the first checkpoint makes."""
        self._path = path

    async def put(self, origin: str, size: int, note: str) -> None:  # noqa: ARG002  (both stand in the note)
        """As `ports.AuditSink`."""
        await asyncio.to_thread(self._append, note)

    async def notes(self, origin: str, limit: int | None = None) -> list[str]:
        """As `ports.AuditSink`."""
        found = notes_in(await asyncio.to_thread(self._read), origin)
        return found if limit is None else found[-limit:]

    def _append(self, note: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # What a crash cut off is left, for nothing is ever taken away, and made what no note could be.
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - 2))
                torn = length > 0 and file.read(2) != b"\n\n"
                file.write((_CUT if torn else b"") + note.encode() + b"\n")
                os.fsync(file.fileno())
        except OSError as exc:
            raise BackendUnavailableError(
                f"the checkpoint file {self._path} cannot be written: {exc.strerror}"
            ) from exc

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as exc:
            raise BackendUnavailableError(f"the checkpoint file {self._path} cannot be read: {exc.strerror}") from exc
