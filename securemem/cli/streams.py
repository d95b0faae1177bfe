"""The standard streams of the command line: those that are closed, and a reader that has gone.

Files that are opened while a standard stream is closed would take its number, and be written into by whoever means the
stream; so nothing else is opened before `make_whole`.
"""

from __future__ import annotations

import os
import sys

READER_GONE = 141
"""What a shell says of a command that SIGPIPE ended."""


def make_whole() -> None:
    """Put /dev/null in the place of streams that are closed, and let none fail for a character it does not know."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (for as long as the process)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def hang_up() -> int:
    """Let what nobody reads go nowhere, so that Python does not complain of it at its end; gives the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return READER_GONE
