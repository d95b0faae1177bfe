"""A sealed stream in a file: written under another name, flushed, and only then given its own; read as it was sealed.

Whoever dies while it is written leaves no file of its name. `crypto.stream` says what is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from securemem.crypto.secret import RawKey
from securemem.crypto.stream import (
    FRAME_BYTES,
    HEADER_BYTES,
    SEALED_FRAME_BYTES,
    Frames,
    Header,
    parse_header,
    wrapped_length,
)
from securemem.errors import ConfigurationError, CorruptRecordError
from securemem.newfile import check_place, flush, told

_AT_ONCE = 16
"""How many frames are written or read in one go, in a thread."""

Progress = Callable[[int, int], None]
"""Is told how much of how much was done, in whatever is counted."""


class SealedWriter:
    """Writes one backup; `begin` may be called again, to begin anew under another key."""

    def __init__(self, path: Path) -> None:
        """Make the file that becomes `path`, beside it and for its owner alone.

        Raises:
            ConfigurationError: as `check_place`, or it may not be written.
            BackendUnavailableError: the disk is full.
        """
        check_place(path)
        self._path = path
        with told(path):
            number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        self._part = Path(name)
        self._file: BinaryIO = os.fdopen(number, "wb")
        self._waiting = bytearray()
        self._frames: Frames

    async def begin(self, key: RawKey, header: Header) -> None:
        """Write the header, at the file's beginning."""
        raw = header.encode()
        self._frames = Frames(key, raw)
        self._waiting.clear()
        await asyncio.to_thread(self._restart, raw)

    async def write(self, piece: bytes) -> None:
        """Write some of the stream."""
        self._waiting += piece
        if len(self._waiting) > _AT_ONCE * FRAME_BYTES:
            await asyncio.to_thread(self._seal)

    async def finish(self) -> int:
        """Seal what is left, let the disk have it, and give the file its name; gives its size."""
        return await asyncio.to_thread(self._end)

    async def discard(self) -> None:
        """Remove what was not finished; a second call does nothing."""
        await asyncio.to_thread(self._remove)

    # What follows runs in threads.

    def _restart(self, header: bytes) -> None:
        with told(self._path):
            self._file.seek(0)
            self._file.truncate()
            self._file.write(header)

    def _seal(self) -> None:
        """Write whole frames, but for the last one that there is: it may be the stream's last."""
        with told(self._path):
            whole = (len(self._waiting) - 1) // FRAME_BYTES * FRAME_BYTES
            for start in range(0, whole, FRAME_BYTES):
                self._file.write(self._frames.seal(bytes(self._waiting[start : start + FRAME_BYTES]), last=False))
            del self._waiting[:whole]

    def _end(self) -> int:
        self._seal()
        with told(self._path):
            self._file.write(self._frames.seal(bytes(self._waiting), last=True))
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            self._name()
            flush(self._path.parent)
            return size

    def _name(self) -> None:
        try:
            self._path.hardlink_to(self._part)  # unlike a renaming, this takes the place of nothing
        except FileExistsError:
            check_place(self._path)
            raise
        except OSError:  # as file systems say that have no hard links
            check_place(self._path)
            self._part.rename(self._path)
        else:
            self._part.unlink()

    def _remove(self) -> None:
        self._part.unlink(missing_ok=True)
        # What waits in its buffer goes with it: on a full disk it could not be written either.
        with contextlib.suppress(OSError):
            self._file.close()


class SealedReader:
    """Reads one backup, from its beginning, as often as is asked for.

    Attributes:
        path: the file.
        header: what it says of itself; to be believed once a frame was opened.
        size: of the file, in bytes.
    """

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            ConfigurationError: it is not there, may not be read, or is no backup.
        """
        self.path = path
        with told(path), path.open("rb") as file:
            first = file.read(HEADER_BYTES)
            self.size = path.stat().st_size
            try:
                self._raw = first + file.read(wrapped_length(first))
                self.header = parse_header(self._raw)
            except ConfigurationError as exc:
                raise ConfigurationError(f"{path} {exc}") from None

    async def pieces(self, key: RawKey) -> AsyncIterator[bytes]:
        """Give the stream; the last piece comes only if nothing is missing.

        Raises:
            CorruptRecordError: it was cut short, reordered or altered.
        """
        frames = Frames(key, self._raw)
        with told(self.path), self.path.open("rb") as file:
            file.seek(len(self._raw))
            ahead = await asyncio.to_thread(file.read, _AT_ONCE * SEALED_FRAME_BYTES)
            while True:
                sealed, ahead = ahead, await asyncio.to_thread(file.read, _AT_ONCE * SEALED_FRAME_BYTES)
                yield await asyncio.to_thread(self._opened, frames, sealed, last=not ahead)
                if not ahead:
                    return

    def _opened(self, frames: Frames, sealed: bytes, *, last: bool) -> bytes:
        pieces = []
        try:
            for start in range(0, max(len(sealed), 1), SEALED_FRAME_BYTES):
                end = start + SEALED_FRAME_BYTES
                pieces.append(frames.open(sealed[start:end], last=last and end >= len(sealed)))
        except CorruptRecordError as exc:
            raise CorruptRecordError(f"{self.path} {exc}: nothing of it was restored") from None
        return b"".join(pieces)
