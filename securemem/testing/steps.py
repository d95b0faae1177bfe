"""Ends a process right before one of its steps, as a machine that fails does: for tests of what was interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any


class Steps:
    """Counts steps, and ends the process before the one that was asked for.

    Attributes:
        count: how many there were.
    """

    def __init__(self, last: int) -> None:
        """Name the step, from 1; 0 for none."""
        self.count = 0
        self._last = last

    def watch(self, where: type, name: str) -> None:
        """Count every call of a method."""
        real: Callable[..., Awaitable[Any]] = getattr(where, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return await real(*arguments, **options)

        setattr(where, name, counted)
