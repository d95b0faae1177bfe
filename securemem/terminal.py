"""How a line is waited for at a terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interruption:
    """Whether Ctrl-C was the answer."""

    came: bool = False


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let Ctrl-C end the wait for a line: a loop that runs would take note of it, and act once the line is there."""
    interruption = Interruption()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interruption.came = True
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():  # which alone hears of it
        yield interruption
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
