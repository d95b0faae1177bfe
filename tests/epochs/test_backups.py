"""Keystore backups: those from before a close open nobody, the one that it takes opens the living and none else."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from securemem import BackendUnavailableError, ConfigurationError, NotReadyError, SecureMemory, WrongKeyError
from securemem.keys import backup
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.kms.file import FileKms

from .store import copy_files, everything, everything_cold, fill, states


async def test_a_backup_from_before_opens_nobody(memory: SecureMemory, tmp_path: Path) -> None:
    """Keystore and data as they were before the rewrap, with the KEK file of after the close: nobody is opened."""
    await fill(memory)
    old, control = tmp_path / "old", tmp_path / "control"
    copy_files(tmp_path, old, ".db", ".keys.db", ".ledger.db")
    copy_files(tmp_path, control, ".db", ".keys.db", ".ledger.db", ".kek")
    await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    copy_files(tmp_path, old, ".kek")
    with pytest.raises(WrongKeyError):
        await everything_cold(old)
    keystore, kms = SqliteKeystore(str(old / "store.keys.db")), FileKms(old / "store.kek")
    stamp = await keystore.open()
    assert stamp is not None
    await kms.open(stamp.deployment, create=False)
    for _, row in await keystore.users_under(99, 99):
        with pytest.raises(WrongKeyError):
            await kms.unwrap(row.epoch, row.wrapped[19:], context=b"any")
    await keystore.aclose()
    assert len(await everything_cold(control)) == 6, "the control: with the old KEK the copy opens everybody"


async def test_a_backup_from_the_close_opens_the_living_only(memory: SecureMemory, tmp_path: Path) -> None:
    """The backup that `close_epoch` takes opens the living with old data, and none who were erased before."""
    written = await fill(memory)
    old = tmp_path / "old"
    copy_files(tmp_path, old, ".db")
    await memory.erase_user("bob")
    await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    copy_files(tmp_path, old, ".kek", ".ledger.db")
    shutil.copy2(tmp_path / "backup.db", old / "store.keys.db")
    keystore = SqliteKeystore(str(old / "store.keys.db"))
    await keystore.open()
    assert await keystore.counts() == (2, 4)
    await keystore.aclose()
    living = {key: value for key, value in written.items() if key[0] != "bob"}
    living["ann", "one"] = [text for text in living["ann", "one"] if text != "a word of bob's"]
    assert await everything_cold(old) == living


async def test_a_backup_from_before_an_erasure_brings_nobody_back(memory: SecureMemory, tmp_path: Path) -> None:
    """Old data and an old keystore of the same epoch, with today's ledger: who was erased since is erased again."""
    await fill(memory)
    copy_files(tmp_path, tmp_path / "old", ".db", ".keys.db")
    await memory.erase_user("bob")
    copy_files(tmp_path, tmp_path / "old", ".ledger.db", ".kek")
    found = await everything_cold(tmp_path / "old")
    assert {user for user, _ in found} == {"ann", "cleo"}
    assert "a word of bob's" not in found["ann", "one"]


async def test_no_close_without_a_backup(memory: SecureMemory, tmp_path: Path) -> None:
    """Without a backup, or with one that exists already, nothing is destroyed."""
    written = await fill(memory)
    with pytest.raises(NotReadyError, match="backup"):
        await memory.keys.close_epoch()
    assert await states(memory) == [(1, "open", 3, True)]
    taken = tmp_path / "taken.db"
    taken.write_text("something else")
    with pytest.raises(ConfigurationError, match="exists already"):
        await memory.keys.close_epoch(backup=taken)
    assert taken.read_text() == "something else"
    assert all(kek for _, _, _, kek in await states(memory))
    assert await everything_cold(tmp_path) == written


async def test_a_backup_that_fails_leaves_the_store_usable(
    memory: SecureMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a backup that failed half-way nothing is destroyed, later writes are seen, and the next one works."""
    written = await fill(memory)

    def fail(con: sqlite3.Connection) -> str:
        return str(con.execute("SELECT fails FROM nowhere"))

    with monkeypatch.context() as patch:
        patch.setattr(backup, "digest_of", fail)
        with pytest.raises(BackendUnavailableError, match="cannot be used"):
            await memory.keys.close_epoch(backup=tmp_path / "first.db")
    assert all(kek for _, _, _, kek in await states(memory))
    await memory.erase_user("bob")
    assert {user for user, _ in await everything(memory)} == {"ann", "cleo"}
    await memory.keys.close_epoch(backup=tmp_path / "second.db")
    assert (await everything_cold(tmp_path)).keys() == {key for key in written if key[0] != "bob"}


async def test_a_backup_that_reads_back_otherwise_is_removed(
    memory: SecureMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that does not hold what the keystore does is not left for anybody to rely on; nothing is destroyed."""
    await fill(memory)
    monkeypatch.setattr(backup, "_read_back", lambda _: "something else")
    with pytest.raises(NotReadyError, match="does not hold"):
        await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()
    assert all(kek for _, _, _, kek in await states(memory))
