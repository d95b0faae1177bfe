"""Files and folders as places: read to their last byte, unpacked where they are compressed as a whole."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import lzma
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import zstandard

from securemem.proving.place import Missed, Reading, UnseenError
from securemem.proving.scan import BLOCK_BYTES, Scan

SQLITE_ENDINGS = ("", "-wal", "-shm", "-journal")
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, RuntimeError)
_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b\x08", gzip.open),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
    (b"\x28\xb5\x2f\xfd", lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)),
)
_ZIP = b"PK\x03\x04"
_START_BYTES = 8


def of_files(find: Callable[[], Iterable[Path]], *, nothing: str = "there is no such file") -> Reading:
    """Give what reads files.

    Args:
        find: gives them, when they are to be read; one that is gone by then is passed over.
        nothing: why nothing was looked at, where there is none.
    """

    async def read(scan: Scan, missed: Missed) -> None:
        stop = threading.Event()
        try:
            seen = await asyncio.to_thread(read_all, find, scan, missed, stop)
        finally:
            stop.set()  # a thread cannot be cancelled
        if not seen:
            raise UnseenError("; ".join(missed) or nothing)

    return read


def of_sqlite(path: Path) -> Reading:
    """Give what reads a SQLite file, its log, and what else SQLite puts beside it."""
    return of_files(lambda: [path.with_name(path.name + ending) for ending in SQLITE_ENDINGS])


def below(path: Path, *, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Give a file, or all files below a folder but for some folders; links to folders are followed."""
    if not path.is_dir():
        yield path
        return
    left_out, been = {each.resolve() for each in without}, set[str]()
    for folder, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in been else sorted(each for each in folders if Path(real, each) not in left_out)
        if real not in been:
            been.add(real)
            yield from (Path(folder, file) for file in sorted(files))


def read_all(find: Callable[[], Iterable[Path]], scan: Scan, missed: Missed, stop: threading.Event) -> int:
    """Read files one after the other; gives how many."""
    seen = 0
    for path in find():
        if stop.is_set():
            break
        try:
            if path.is_file():
                _read(path, scan, missed, stop)
                seen += 1
        except FileNotFoundError:
            continue
        except OSError as exc:
            missed.append(f"{path}: {exc.strerror or type(exc).__name__}")
        finally:
            scan.end()
    return seen


def _read(path: Path, scan: Scan, missed: Missed, stop: threading.Event) -> None:
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
        file.seek(0)
        _feed(file, scan, stop)
        for inner in _unpacked(path, start):
            scan.end()
            try:
                with inner() as stream:
                    _feed(stream, scan, stop)
            except _DAMAGED as exc:
                missed.append(f"{path} cannot be unpacked to its end ({type(exc).__name__})")


def _feed(file: IO[bytes], scan: Scan, stop: threading.Event) -> None:
    while not stop.is_set() and (data := file.read(BLOCK_BYTES)):
        scan.feed(data)


def _unpacked(path: Path, start: bytes) -> Iterator[Callable[[], AbstractContextManager[IO[bytes]]]]:
    """Give what opens the contents of a file that is compressed as a whole."""
    for mark, opened in _PACKED:
        if start.startswith(mark):
            yield partial(_opened, path, opened)
    if start.startswith(_ZIP) and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield partial(archive.open, name)


@contextmanager
def _opened(path: Path, opened: Callable[[Any], Any]) -> Iterator[IO[bytes]]:
    with path.open("rb") as file, closing(opened(file)) as stream:
        yield stream
