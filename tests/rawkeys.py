"""Watches raw keys, for tests that none is left in memory."""

from __future__ import annotations

import pytest

from securemem.crypto.secret import RawKey


def watch(patch: pytest.MonkeyPatch) -> list[RawKey]:
    """Give a list that has every raw key that is made from now on."""
    made: list[RawKey] = []
    begin = RawKey.__init__

    def noted(key: RawKey, material: bytes | bytearray) -> None:
        begin(key, material)
        made.append(key)

    patch.setattr(RawKey, "__init__", noted)
    return made


def assert_wiped(made: list[RawKey]) -> None:
    """Check that every key of a list was wiped, and that there is one."""
    assert made
    for key in made:
        with pytest.raises(ValueError, match="wiped"):
            key.expose_secret()
