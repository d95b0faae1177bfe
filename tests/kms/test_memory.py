"""The KMS in memory passes the contract."""

from __future__ import annotations

import pytest

from securemem.kms.memory import MemoryKms
from securemem.testing import KmsContract
from securemem.testing.kms import ConnectKms


class TestMemoryKms(KmsContract):
    """Its KEKs live in the object, so that every connection is that object."""

    @pytest.fixture
    def connect(self) -> ConnectKms:
        """Give the one object."""
        kms = MemoryKms()
        return lambda: kms
