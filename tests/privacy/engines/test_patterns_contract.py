"""The engine `patterns` keeps its port's contract."""

from __future__ import annotations

import pytest

from securemem.ports import PIIEngine
from securemem.testing import PIIEngineContract
from securemem.testing.engine import MakeEngine

from .asking import engine_of


class TestPatterns(PIIEngineContract):
    """Addresses as the example."""

    @pytest.fixture
    def make_engine(self) -> MakeEngine:
        """Give the engine with all regions."""

        def make() -> PIIEngine:
            return engine_of()

        return make

    @pytest.fixture
    def example(self) -> tuple[str, str, str]:
        """Give a mail address in a sentence."""
        return "Write to ada@example.org, please.", "ada@example.org", "EMAIL_ADDRESS"
