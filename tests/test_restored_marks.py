"""Holds and restrictions are acts that the stamps follow: a store that was restored from before one has it again."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from securemem import LegalHoldError, SecureMemory, UserRestrictedError
from securemem.ledger.acts import ActKind
from securemem.marks import Marks

FILES = {"data": "store.db", "keystore": "store.keys.db"}


async def _act(memory: SecureMemory, what: str) -> None:
    if what == "hold":
        await memory.holds.place("alice", reason_code="CASE-1")
    elif what == "release":
        [hold] = await memory.holds.list()
        await memory.holds.release(hold.id)
    elif what == "restrict":
        await memory.restrict_user("alice")
    else:
        await memory.lift_restriction("alice")


async def _is_seen(memory: SecureMemory) -> bool:
    try:
        return [message.content for message in await memory.session("s", user_id="alice").history()] == ["of alice"]
    except UserRestrictedError:
        return False


def _counters(folder: Path) -> set[int]:
    found = set()
    queries = dict.fromkeys(FILES.values(), "SELECT counter FROM securemem_stamp")
    queries["store.ledger.db"] = "SELECT max(counter) - count(*) FILTER (WHERE done_at IS NULL) FROM acts"
    for file, query in queries.items():
        with closing(sqlite3.connect(folder / file)) as con:
            found.add(con.execute(query).fetchone()[0])
    return found


@pytest.mark.parametrize("parts", [("data",), ("keystore",), ("data", "keystore")], ids="+".join)
@pytest.mark.parametrize("acts", [("hold",), ("hold", "release"), ("restrict",), ("restrict", "lift")], ids="+".join)
async def test_what_was_decided_since_holds_again(
    file_url: str, tmp_path: Path, parts: tuple[str, ...], acts: tuple[str, ...]
) -> None:
    """Whichever store is restored from before a hold or a restriction, or from before its end, is as it was decided."""
    *before, last = acts
    async with SecureMemory.open(file_url) as memory:
        await memory.session("s", user_id="alice").add("user", "of alice")
        for act in before:
            await _act(memory, act)
    (tmp_path / "backup").mkdir()
    for part in parts:
        shutil.copy2(tmp_path / FILES[part], tmp_path / "backup")
    async with SecureMemory.open(file_url) as memory:
        await _act(memory, last)
    assert _counters(tmp_path) == {len(acts)}
    for part in parts:
        shutil.copy2(tmp_path / "backup" / FILES[part], tmp_path)
    async with SecureMemory.open(file_url) as memory:
        assert await _is_seen(memory) is (last in ("release", "lift"))
        if last == "hold":
            with pytest.raises(LegalHoldError):
                await memory.erase_user("alice")
    assert _counters(tmp_path) == {len(acts)}


@pytest.mark.parametrize("acts", [("hold",), ("hold", "release"), ("restrict",), ("restrict", "lift")], ids="+".join)
async def test_what_was_interrupted_is_ended_at_the_next_opening(
    file_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acts: tuple[str, ...]
) -> None:
    """Where whoever decided died before the heads were marked, they are marked when the store is opened next."""
    *before, last = acts

    async def died(*_: object, **__: object) -> bool:
        raise ArithmeticError

    async with SecureMemory.open(file_url) as memory:
        await memory.session("s", user_id="alice").add("user", "of alice")
        for act in before:
            await _act(memory, act)
        with monkeypatch.context() as patch:
            patch.setattr(Marks, "move", died)
            with pytest.raises(ArithmeticError):
                await _act(memory, last)
        [left] = await (await memory.host.ready()).ledger.acts(unfinished=True)
        assert left.kind is ActKind(last)
    async with SecureMemory.open(file_url) as memory:
        assert await _is_seen(memory) is (last in ("release", "lift"))
    assert _counters(tmp_path) == {len(acts)}
