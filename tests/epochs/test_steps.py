"""Whoever dies at any step of a rotation or a close is followed by another, and nothing is lost or left open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory, WrongKeyError
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.kms.file import FileKms

from .store import copy_files, everything, everything_cold, fill, states, url


class _DiedError(Exception):
    """Stands for the end of the process at this step."""


def _die(patch: pytest.MonkeyPatch, where: type, name: str, *, after: bool) -> None:
    """Let a method end the process, before or after it does its work."""
    real: Callable[..., Awaitable[Any]] = getattr(where, name)

    async def dying(*arguments: Any, **options: Any) -> Any:
        if after:
            await real(*arguments, **options)
        raise _DiedError

    patch.setattr(where, name, dying)


STEPS = [
    (FileKms, "create_epoch"),
    (SqliteKeystore, "add_epoch"),
    (SqliteKeystore, "add_tenant_key"),
    (SqliteKeystore, "switch_epoch"),
    (SqliteKeystore, "rewrap"),
    (SqliteKeystore, "delete_tenant_keys"),
    (SqliteKeystore, "backup"),
    (FileKms, "destroy_epoch"),
    (SqliteKeystore, "set_destroyed"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("where", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("second", ["rotate", "close_epoch"])
async def test_who_dies_at_a_step_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type, name: str, second: str, *, after: bool
) -> None:
    """Whoever dies at any step of a close leaves everything readable, and another rotation or close ends it well."""
    old = tmp_path / "old"
    async with SecureMemory.open(url(tmp_path)) as memory:
        written = await fill(memory)
        copy_files(tmp_path, old, ".db", ".keys.db", ".ledger.db")
        with monkeypatch.context() as patch:
            _die(patch, where, name, after=after)
            with pytest.raises(_DiedError):
                await memory.keys.close_epoch(backup=tmp_path / "first.db")
    async with SecureMemory.open(url(tmp_path)) as memory:
        assert await everything(memory) == written
        await memory.session("between", user_id="ann").add("user", "it can be written to")
        if second == "rotate":
            await memory.keys.rotate()
            assert await everything(memory) == written | {("ann", "between"): ["it can be written to"]}
        await memory.keys.close_epoch(backup=tmp_path / "second.db")
        assert (1, "destroyed", 0, False) in await states(memory)
    assert await everything_cold(tmp_path) == written | {("ann", "between"): ["it can be written to"]}
    copy_files(tmp_path, old, ".kek")
    with pytest.raises(WrongKeyError):
        await everything_cold(old)
