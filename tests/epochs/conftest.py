"""Stores for the tests of epochs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from securemem import SecureMemory

from .store import url


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[SecureMemory]:
    """Give an open store."""
    async with SecureMemory.open(url(tmp_path)) as memory:
        yield memory


@pytest.fixture
async def other(tmp_path: Path, memory: SecureMemory) -> AsyncIterator[SecureMemory]:
    """Give another store object over the same files, as another process would have."""
    await memory.session("first").add("user", "so that the files are there")
    await memory.session("first").clear()
    async with SecureMemory.open(url(tmp_path)) as other:
        yield other
