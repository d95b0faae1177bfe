"""Rows of the keystore that were damaged: they open nothing any more, and keep nobody from being forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import BackendUnavailableError, IntegrityError, LegalHoldError, SecureMemory
from securemem.destruction import Destruction
from securemem.keys.unwrapped import Title
from securemem.model import VAULT
from securemem.policy import Policy
from securemem.setapart import preserves
from tests.privacy.policies import EMAIL
from tests.retention.store import INVOICE, INVOICES, add, exported, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

ROWS = {
    "session's key": ("sessions", "wrapped"),
    "session's title": ("sessions", "title"),
    "user's key": ("users", "wrapped"),
    "user's name": ("users", "name"),
}
KEEPING = policy(rules=INVOICES)
PSEUDO = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", INVOICES)


async def _handle(memory: SecureMemory, session_id: str) -> bytes:
    keyring = (await inside(memory)).keyring
    [handle] = [keys.handle async for keys in keyring.sessions("alice") if keys.title.session_id == session_id]
    return handle


def damage(folder: Path, table: str, column: str, handle: bytes) -> None:
    """Change a byte of what is wrapped or sealed for a session, or for whose it is."""
    which = "handle = ?" if table == "sessions" else "user = (SELECT user FROM sessions WHERE handle = ?)"
    with closing(sqlite3.connect(folder / "store.keys.db")) as con, con:
        [(value,)] = con.execute(f"SELECT {column} FROM {table} WHERE {which}", (handle,))
        changed = value[:-1] + bytes([value[-1] ^ 1])
        con.execute(f"UPDATE {table} SET {column} = ? WHERE {which}", (changed, handle))


async def _filled(url: str, clock: FakeClock, mine: Policy | str) -> bytes:
    """Give Alice two sessions, and Bob one; gives the handle of one of hers."""
    async with opened(url, clock, mine) as memory:
        for user, session in (("alice", "a"), ("alice", "b"), ("bob", "c")):
            await add(memory.session(session, user_id=user), f"mail to {EMAIL}")
        return await _handle(memory, "a")


@pytest.mark.parametrize("mine", ["plain", KEEPING], ids=["plain", "keeping"])
@pytest.mark.parametrize("row", ROWS)
async def test_a_damaged_key_keeps_nobody_from_being_erased(
    file_url: str, clock: FakeClock, tmp_path: Path, row: str, mine: Policy | str
) -> None:
    """What cannot be opened is destroyed like all else, nothing is left to do, and everybody opens the store."""
    damage(tmp_path, *ROWS[row], await _filled(file_url, clock, mine))
    async with opened(file_url, clock, mine) as memory:
        with pytest.raises(IntegrityError):
            await texts(memory.session("a", user_id="alice"))
        receipt = await memory.erase_user("alice")
        assert receipt.stores["data"]["records"] == 2
        assert await (await inside(memory)).ledger.acts(unfinished=True) == []
    async with opened(file_url, clock, mine) as memory:
        assert await texts(memory.session("a", user_id="alice")) == []
        assert await texts(memory.session("c", user_id="bob")) == [f"mail to {EMAIL}"]


async def test_a_damaged_vault_takes_nothing_with_it(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """What a law keeps outlives an erasure with its pseudonyms in it, where what they stand for opens no more."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("a", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        vault = await _handle(memory, VAULT)
    damage(tmp_path, *ROWS["session's key"], vault)
    async with opened(file_url, clock, PSEUDO) as memory:
        await memory.erase_user("alice")
        assert await exported(memory, "alice") == ["invoice for [EMAIL_ADDRESS_1]"]


async def test_a_damaged_key_that_a_hold_passes_by(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """Where a hold is on one session, another goes whose key opens no more, and the release finishes the erasure."""
    damaged = await _filled(file_url, clock, "plain")
    async with opened(file_url, clock, "plain") as memory:
        hold = await memory.holds.place("alice", session_id="b", reason_code="CASE-1")
    damage(tmp_path, *ROWS["session's key"], damaged)
    async with opened(file_url, clock, "plain") as memory:
        with pytest.raises(LegalHoldError):
            await memory.erase_user("alice")
    async with opened(file_url, clock, "plain") as memory:
        await memory.holds.release(hold.id)
        assert await (await inside(memory)).keyring.find_user("alice") is None


async def test_a_damaged_key_of_a_session_that_has_nothing(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """In a session that has a key that does not open, and no head, nothing is about to be preserved."""
    await _filled(file_url, clock, KEEPING)
    async with opened(file_url, clock, KEEPING) as memory:
        keys = await (await inside(memory)).keyring.mint("alice", "d", Title("d", 0))
    damage(tmp_path, *ROWS["session's key"], keys.handle)
    async with opened(file_url, clock, KEEPING) as memory:
        await memory.erase_user("alice")
        assert await (await inside(memory)).keyring.find_user("alice") is None


async def test_a_damaged_key_of_what_was_preserved_of_another(
    file_url: str, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's erasure that spares what a hold is on is gone on with, whatever is damaged of somebody else."""
    async with opened(file_url, clock, KEEPING) as memory:
        chat = memory.session("a", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await chat.clear()
        keyring = (await inside(memory)).keyring
        [preserved] = [keys.handle async for keys in keyring.sessions("alice") if preserves(keys.title.session_id)]
        for session in "cd":
            await add(memory.session(session, user_id="bob"), "text")
        await memory.holds.place("bob", session_id="c", reason_code="CASE-1")
        with monkeypatch.context() as patch:
            patch.setattr(Destruction, "carry_out", _killed)
            with pytest.raises(BackendUnavailableError):
                await memory.erase_user("bob")
    damage(tmp_path, *ROWS["session's key"], preserved)
    async with opened(file_url, clock, KEEPING) as memory:
        assert await texts(memory.session("d", user_id="bob")) == []
        assert [each.waits for each in await memory.holds.list()] == [False]


async def _killed(*_: object, **__: object) -> None:
    raise BackendUnavailableError("whoever was at it is not there any more")
