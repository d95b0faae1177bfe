"""The SQLite keystore passes the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.testing import KeystoreContract
from securemem.testing.keystore.hooks import Connect


class TestSqliteKeystore(KeystoreContract):
    """Every connection is a new object over one file."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        """Give keystores over one file."""
        return lambda: SqliteKeystore(str(tmp_path / "keys.db"))
