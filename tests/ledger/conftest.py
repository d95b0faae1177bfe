"""A ledger in each kind of place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from securemem.ledger.store import Ledger

from .acts import DEPLOYMENT


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a place for a ledger where none is yet."""
    if request.param == "file":
        return str(tmp_path / "ledger.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def ledger(place: str) -> AsyncIterator[Ledger]:
    """Give a ledger of a deployment."""
    ledger = Ledger(place)
    await ledger.create(DEPLOYMENT)
    yield ledger
    await ledger.aclose()


@pytest.fixture
async def other(place: str, ledger: Ledger) -> AsyncIterator[Ledger]:
    """Give the same one as another process has it."""
    other = Ledger(place)
    await other.create(DEPLOYMENT)
    yield other
    await other.aclose()
