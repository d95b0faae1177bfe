"""Whose a store is: one event loop's, in one process."""

from __future__ import annotations

import asyncio
import os

from securemem.errors import ConfigurationError


class Belonging:
    """Belongs to the process that it is made in, and to the first event loop that uses it."""

    __slots__ = ("_loop", "_process")

    def __init__(self) -> None:
        """Belong to this process."""
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Refuse another process, or another event loop.

        Raises:
            ConfigurationError: this is one.
        """
        if os.getpid() != self._process:
            raise ConfigurationError("this store was opened before a fork: open one in the process that uses it")
        running = asyncio.get_running_loop()
        if self._loop is not running:
            if self._loop is not None:
                raise ConfigurationError("this store belongs to another event loop: open one in each")
            self._loop = running
