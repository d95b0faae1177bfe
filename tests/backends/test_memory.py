"""The memory backend passes the contract."""

from __future__ import annotations

import pytest

from securemem.backends.memory import MemoryBackend
from securemem.testing import BackendContract
from securemem.testing.backend.hooks import Connect


class TestMemoryBackend(BackendContract):
    """Its data live in the object, so that every connection is that object."""

    @pytest.fixture
    def connect(self) -> Connect:
        """Give the one object."""
        backend = MemoryBackend()
        return lambda: backend
