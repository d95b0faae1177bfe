"""What tests of agents share: the memory of each kind, as an application would name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

Config = dict[str, Any]
KINDS = ["memory", "sqlite", "postgres", "redis"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what goes with data on a server in the test's folder, and no key of anybody's for a model."""
    monkeypatch.setenv("SECUREMEM_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give the name of each kind."""
    found: str = request.param
    return found


@pytest.fixture
def config_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Config]:
    """Give what names a store of a kind that is only this test's."""

    def give(kind: str) -> Config:
        if kind == "sqlite":
            return {"db_path": str(tmp_path / "conversations.db"), "table_name": "agent_memory"}
        if kind == "postgres":
            return {"url": request.getfixturevalue("postgres_url"), "table_name": "agent_memory"}
        if kind == "redis":
            url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("redis_prefix")
            return {"client": redis.Redis.from_url(url, decode_responses=True), "ttl": 3600, "prefix": prefix}
        return {}

    return give


@pytest.fixture
def config(kind: str, config_of: Callable[[str], Config]) -> Config:
    """Give what names a store of each kind."""
    return config_of(kind)
