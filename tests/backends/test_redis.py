"""The Redis backend passes the contract, and does what only Redis can get wrong."""

from __future__ import annotations

import pytest

from securemem.backends.redis import RedisBackend
from securemem.testing import BackendContract
from securemem.testing.backend.hooks import Connect


class TestRedisBackend(BackendContract):
    """Every connection is a new object over one server."""

    @pytest.fixture
    def connect(self, redis_url: str, redis_prefix: str) -> Connect:
        """Give backends over one prefix."""
        return lambda: RedisBackend(redis_url, {}, prefix=redis_prefix)
