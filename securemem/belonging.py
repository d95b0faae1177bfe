"""Whose a store is: one event loop, in one process. It is asked at every call, so it looks for what is quick to see."""

from __future__ import annotations

import asyncio
import os
import threading

from securemem.errors import ConfigurationError


class Belonging:
    """Belongs to the process that it is made in, and to the first event loop that uses it."""

    __slots__ = ("_loop", "_process", "_thread")

    def __init__(self) -> None:
        """Belong to this process."""
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def check(self) -> None:
        """Refuse another process, or another event loop.

        Raises:
            ConfigurationError: this is one.
        """
        if os.getpid() != self._process:
            raise ConfigurationError("this store was opened before a fork: open one in the process that uses it")
        loop = self._loop
        if loop is not None and loop.is_running() and threading.get_ident() == self._thread:
            return  # of the loops in one thread only one runs
        running = asyncio.get_running_loop()
        if loop is not None and loop is not running:
            raise ConfigurationError("this store belongs to another event loop: open one in each")
        self._loop = running
        self._thread = threading.get_ident()
