"""The memory of other processes on this machine as a place, as far as this process may read it (Linux, /proc)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from securemem.proving.place import Missed, Reading, UnseenError
from securemem.proving.scan import BLOCK_BYTES, Scan

_PROC = Path("/proc")
_CHANGED, _SHARED = "rw", "s"
_NO_MEMORY = frozenset({"[vvar]", "[vsyscall]", "[vvar_vclock]"})


def is_here(number: int, *words: str) -> bool:
    """Tell whether a process of this number runs here, whose command line holds one of some words."""
    try:
        line = (_PROC / str(number) / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return False
    return any(word in line for word in words)


def parent_of(number: int) -> int:
    """Give the number of a process's parent; 0 where that cannot be told."""
    try:
        status = (_PROC / str(number) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")), 0)


def folder_of(number: int) -> Path | None:
    """Give the folder that a process works in; None where that cannot be told."""
    try:
        return (_PROC / str(number) / "cwd").readlink()
    except OSError:
        return None


def children_of(number: int) -> list[int]:
    """Give the numbers of a process's children."""
    return [int(each.name) for each in _PROC.iterdir() if each.name.isdecimal() and parent_of(int(each.name)) == number]


def of_memory(number: int, *, children: bool = False) -> Reading:
    """Give what reads the memory of a process.

    Args:
        number: of the process.
        children: whether that of its children is read too; what they share with it is read once.
    """

    async def read(scan: Scan, missed: Missed) -> None:
        stop = threading.Event()
        try:
            seen = await asyncio.to_thread(_read, number, scan, stop, shared=True)
            for child in children_of(number) if children else ():
                await asyncio.to_thread(_read, child, scan, stop, shared=False)
        except OSError as exc:
            raise UnseenError(f"this process may not read its memory ({exc.strerror})") from exc
        finally:
            stop.set()
        if not seen:
            missed.append("nothing of it can be read")

    return read


def _read(number: int, scan: Scan, stop: threading.Event, *, shared: bool) -> int:
    """Read a process's memory; gives how many bytes."""
    seen = 0
    try:
        memory = os.open(_PROC / str(number) / "mem", os.O_RDONLY)
    except FileNotFoundError:
        return 0  # it has ended
    try:
        for start, end in _regions(number, shared=shared):
            for at in range(start, end, BLOCK_BYTES):
                if stop.is_set():
                    return seen
                try:
                    data = os.pread(memory, min(BLOCK_BYTES, end - at), at)
                except (OSError, OverflowError):
                    break  # unmapped meanwhile, or a device's
                scan.feed(data)
                seen += len(data)
            scan.end()
    finally:
        os.close(memory)
    return seen


def _regions(number: int, *, shared: bool) -> Iterator[tuple[int, int]]:
    """Give from where to where there is what the process has written."""
    for line in (_PROC / str(number) / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, rights, *rest = line.split(maxsplit=5)
        name = rest[3] if len(rest) > 3 else ""  # noqa: PLR2004  (offset, device, inode, name)
        if rights.startswith(_CHANGED) and name not in _NO_MEMORY and (shared or _SHARED not in rights):
            start, _, end = span.partition("-")
            yield int(start, 16), int(end, 16)
