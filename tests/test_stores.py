"""The three stores and the KEK file belong together, and what was restored is brought up to date at open."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from securemem import (
    BackendUnavailableError,
    ConfigurationError,
    NotReadyError,
    SecureMemory,
    Session,
)

PARTS = {"data": "store.db", "keystore": "store.keys.db", "ledger": "store.ledger.db", "kek": "store.kek"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder in which `file_url` names a store."""
    return tmp_path


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def _write(url: str, *users: str, **settings: Any) -> None:
    async with SecureMemory.open(url, **settings) as memory:
        for user in users:
            await memory.session("s", user_id=user).add("user", f"of {user}")


async def _read(url: str, user: str, **settings: Any) -> list[Any]:
    async with SecureMemory.open(url, **settings) as memory:
        return await _texts(memory.session("s", user_id=user))


async def _erase(url: str, user: str) -> None:
    async with SecureMemory.open(url) as memory:
        await memory.erase_user(user)


def _keep(folder: Path, *parts: str) -> Path:
    """Copy parts of a closed store; `_restore` puts them back."""
    backup = folder / "backup"
    backup.mkdir()
    for part in parts:
        shutil.copy2(folder / PARTS[part], backup)
    return backup


def _restore(folder: Path) -> None:
    for file in (folder / "backup").iterdir():
        shutil.copy2(file, folder)


async def test_the_four_files_lie_together(file_url: str, folder: Path) -> None:
    """A file URL puts keystore, ledger and KEK beside the data, the KEK for its owner alone; closing leaves no logs."""
    await _write(file_url, "alice")
    assert sorted(path.name for path in folder.iterdir()) == sorted(PARTS.values())
    assert stat.S_IMODE((folder / "store.kek").stat().st_mode) == 0o600
    assert await _read(file_url, "alice") == ["of alice"]


@pytest.mark.parametrize("part", ["data", "keystore", "ledger"])
async def test_a_file_of_something_else(file_url: str, folder: Path, part: str) -> None:
    """A text file in the place of a store is refused and stays as it was; another store's file of another kind too."""
    await _write(file_url, "alice")
    other = PARTS["keystore" if part == "data" else "data"]
    for content in (b"Dear diary, " * 200, (folder / other).read_bytes()):
        (folder / PARTS[part]).write_bytes(content)
        with pytest.raises(ConfigurationError):
            await _read(file_url, "alice")
        assert (folder / PARTS[part]).read_bytes() == content


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_of_another_deployment(file_url: str, folder: Path, part: str) -> None:
    """One file of another store among the others is refused, nothing changes, and the right one opens again."""
    await _write(file_url, "alice")
    (folder / "other").mkdir()
    await _write(f"sqlite:///{folder}/other/store.db", "alice")
    _keep(folder, part)
    shutil.copy2(folder / "other" / PARTS[part], folder)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ConfigurationError, match="deployment"):
        await _read(file_url, "alice")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    _restore(folder)
    assert await _read(file_url, "alice") == ["of alice"]


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_table_of_another_deployment(request: pytest.FixtureRequest, folder: Path, store: str) -> None:
    """A deployment's table beside another's is refused before a message is taken, and the other one opens as before."""
    url = request.getfixturevalue({"sqlite": "file_url", "postgresql": "postgres_url"}[store])
    (folder / "other").mkdir()
    mine, theirs = (
        {
            "keystore": f"sqlite:///{place}/store.keys.db",
            "ledger": f"sqlite:///{place}/store.ledger.db",
            "kms": f"file:///{place}/store.kek",
        }
        for place in (folder, folder / "other")
    )
    await _write(url, "alice", **mine)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"belongs to deployment [0-9a-f]{32}"):
            await _write(url, "bob", table_name="third", **theirs)
    assert await _read(url, "alice", **mine) == ["of alice"]
    assert await _read(url, "alice", table_name="second", **mine) == []


async def test_a_missing_keystore_is_asked_for(file_url: str, folder: Path) -> None:
    """Data without its keystore says which deployment's it wants, makes no keys, and opens once that is back."""
    await _write(file_url, "alice")
    _keep(folder, "keystore")
    (folder / PARTS["keystore"]).unlink()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"deployment [0-9a-f]{32}.*keystore"):
            await _write(file_url, "bob")
    _restore(folder)
    assert await _read(file_url, "alice") == ["of alice"]


async def test_a_missing_kek_file_is_asked_for(file_url: str, folder: Path) -> None:
    """No KEK is made for keys that are there already; with the file back the store opens."""
    await _write(file_url, "alice")
    _keep(folder, "kek")
    (folder / PARTS["kek"]).unlink()
    with pytest.raises(ConfigurationError, match=r"missing.*restore it"):
        await _write(file_url, "bob")
    assert not (folder / PARTS["kek"]).exists()
    _restore(folder)
    assert await _read(file_url, "alice") == ["of alice"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
async def test_a_kek_file_open_to_others(file_url: str, folder: Path, mode: int) -> None:
    """A KEK file that others can read is refused with what to do; closed again it works."""
    await _write(file_url, "alice")
    (folder / PARTS["kek"]).chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        await _read(file_url, "alice")
    (folder / PARTS["kek"]).chmod(0o600)
    assert await _read(file_url, "alice") == ["of alice"]


async def test_a_ledger_that_is_gone_after_an_act(file_url: str, folder: Path) -> None:
    """Once somebody was forgotten a missing or older ledger is not ready; the right one opens, and they stay gone."""
    await _write(file_url, "alice", "bob")
    before = _keep(folder, "ledger") / PARTS["ledger"]
    await _erase(file_url, "alice")
    newest = (folder / PARTS["ledger"]).read_bytes()
    for content in (None, before.read_bytes()):
        (folder / PARTS["ledger"]).unlink()
        if content is not None:
            (folder / PARTS["ledger"]).write_bytes(content)
        with pytest.raises(NotReadyError, match="ledger"):
            await _read(file_url, "bob")
        (folder / PARTS["ledger"]).write_bytes(newest)
    assert await _read(file_url, "bob") == ["of bob"]
    assert await _read(file_url, "alice") == []


@pytest.mark.parametrize("create", [True, False])
async def test_a_ledger_that_is_gone_before_any_act(file_url: str, folder: Path, create: bool) -> None:  # noqa: FBT001
    """A missing or mistyped one is not made anew, for it has requests and the audit; by the right one all is there."""
    async with SecureMemory.open(file_url) as memory:
        await memory.session("s", user_id="alice").add("user", "of alice")
        await memory.requests.receive("access", "alice")
    _keep(folder, "ledger")
    (folder / PARTS["ledger"]).unlink()
    with pytest.raises(NotReadyError, match=r"store\.ledger\.db is missing.* URL may not be the right one.*restore"):
        await _read(file_url, "alice", create=create)
    assert not (folder / PARTS["ledger"]).exists()
    _restore(folder)
    with pytest.raises(NotReadyError, match=r"typo\.db is missing"):
        await _read(file_url, "alice", create=create, ledger=f"sqlite:///{folder}/typo.db")
    async with SecureMemory.open(file_url, create=create) as memory:
        assert await _texts(memory.session("s", user_id="alice")) == ["of alice"]
        assert len(await memory.requests.list()) == 1


async def test_a_ledger_in_memory_beside_a_file(file_url: str) -> None:
    """It is a new one at each opening, as whoever named it there knows."""
    await _write(file_url, "alice", ledger="memory://")
    assert await _read(file_url, "alice", ledger="memory://", create=False) == ["of alice"]


async def test_a_beginning_that_was_cut_off_before_its_ledger(
    file_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keystore with no tenant yet has the ledger made that whoever began it had not come to."""

    async def killed(*_: object) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as patch:
        patch.setattr("securemem.ledger.store.Ledger.create", killed)
        with pytest.raises(ConnectionAbortedError):
            await _write(file_url, "alice")
    assert (folder / PARTS["keystore"]).exists()
    assert not (folder / PARTS["ledger"]).exists()
    await _write(file_url, "alice")
    assert await _read(file_url, "alice") == ["of alice"]


@pytest.mark.parametrize("parts", [("data",), ("keystore",), ("data", "keystore")], ids="+".join)
@pytest.mark.parametrize("act", ["erase", "clear"])
async def test_nobody_is_restored_from_before_their_erasure(
    file_url: str, folder: Path, parts: tuple[str, ...], act: str
) -> None:
    """Whatever is restored from before it, the erasure or clearing is carried out again at open; others are whole."""
    await _write(file_url, "alice", "bob")
    _keep(folder, *parts)
    async with SecureMemory.open(file_url) as memory:
        if act == "erase":
            await memory.erase_user("alice")
        else:
            await memory.session("s", user_id="alice").clear()
    _restore(folder)
    async with SecureMemory.open(file_url) as memory:
        assert await _texts(memory.session("s", user_id="alice")) == []
        assert await _texts(memory.session("s", user_id="bob")) == ["of bob"]
        users, sessions = await (await memory.host.ready()).keyring.keystore.counts()
        assert (users, sessions) == (1 if act == "erase" else 2, 1)
    assert await _read(file_url, "alice") == []


async def test_a_control_without_the_ledger_brings_them_back(file_url: str, folder: Path) -> None:
    """The same restore, ledger included, does show the erased person: it is the ledger that protects."""
    await _write(file_url, "alice")
    _keep(folder, "data", "keystore", "ledger")
    await _erase(file_url, "alice")
    assert await _read(file_url, "alice") == []
    _restore(folder)
    assert await _read(file_url, "alice") == ["of alice"]


async def test_other_tenants_and_tables_are_caught_up_too(file_url: str, folder: Path) -> None:
    """What was erased in another tenant or table is erased again though this opening is not theirs."""
    elsewhere: list[dict[str, Any]] = [{"tenant": "two"}, {"table_name": "apart"}]
    for settings in ({}, *elsewhere):
        await _write(file_url, "alice", **settings)
    _keep(folder, "data", "keystore")
    for settings in elsewhere:
        async with SecureMemory.open(file_url, **settings) as memory:
            await memory.erase_user("alice")
    _restore(folder)
    async with SecureMemory.open(file_url) as memory:
        assert await (await memory.host.ready()).keyring.keystore.counts() == (1, 1)
    for settings in elsewhere:
        assert await _read(file_url, "alice", **settings) == []
    assert await _read(file_url, "alice") == ["of alice"]


async def test_an_empty_data_store_adopts_the_deployment(file_url: str, folder: Path) -> None:
    """Lost data can begin anew under the same keys."""
    await _write(file_url, "alice")
    (folder / PARTS["data"]).unlink()
    await _write(file_url, "carol")
    assert await _read(file_url, "carol") == ["of carol"]


async def test_what_is_missing_is_said(file_url: str, folder: Path) -> None:
    """Where no store may be made: that none is here, that the data of one was lost, or that its keystore is missing."""
    with pytest.raises(ConfigurationError, match=r"no store here.*securemem init.*URL names another place"):
        await _read(file_url, "alice", create=False)
    await _write(file_url, "alice")
    _keep(folder, "data", "keystore")
    (folder / PARTS["data"]).unlink()
    with pytest.raises(ConfigurationError, match=r"data is empty, and the keystore has keys .*restore its backup"):
        await _read(file_url, "alice", create=False)
    (folder / PARTS["keystore"]).unlink()
    with pytest.raises(ConfigurationError, match=r"deployment [0-9a-f]{32}.*keystore"):
        await _read(file_url, "alice", create=False)
    _restore(folder)
    assert await _read(file_url, "alice", create=False) == ["of alice"]


async def test_a_read_only_file(file_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be written is an error that says so, and nothing in the folder changes."""
    await _write(file_url, "alice")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    may = os.access
    monkeypatch.setattr(  # root may write to anything
        os, "access", lambda path, mode: mode != os.W_OK and may(path, mode)
    )
    with pytest.raises(BackendUnavailableError, match="read-only"):
        await _read(file_url, "alice")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
