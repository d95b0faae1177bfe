"""Where the test vectors of others lie: beside the project, read in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_WYCHEPROOF = Path(__file__).resolve().parents[3] / "shared" / "vectors"

Vectors = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def wycheproof() -> Vectors:
    """Give the reader of C2SP/wycheproof files: the groups of `<name>_test.json`."""

    def groups(name: str) -> list[dict[str, Any]]:
        path = _WYCHEPROOF / f"{name}_test.json"
        if not path.exists():
            pytest.skip(f"the Wycheproof vectors are not part of the project: {path} is absent")
        found: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
        return found

    return groups
