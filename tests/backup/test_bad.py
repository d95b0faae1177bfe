"""A backup that is not whole, not ours, or put where something is: refused, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from securemem import (
    BackendUnavailableError,
    ConfigurationError,
    CorruptRecordError,
    InvalidInputError,
    Message,
    NotReadyError,
    SecureMemory,
    WrongKeyError,
)
from securemem.adapters import make_data
from securemem.crypto.envelope import HEADER_BYTES, MAGIC
from securemem.crypto.head import HEAD_MAGIC
from securemem.crypto.secret import RawKey
from securemem.keys.keyring import Keyring
from securemem.ports import Backend
from securemem.sealedfile import SealedReader

from .place import STORES, Place, fill, read


@pytest.fixture
async def saved(place: Place) -> Place:
    """Give a deployment with backups of all three stores."""
    async with place.open() as memory:
        await fill(memory)
        await memory.session("wide", user_id="frank").add_many([Message("user", "x" * 4000) for _ in range(100)])
        await place.save(memory, *STORES)
    return place


def _everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


async def _refused(place: Place, store: str, error: type[Exception], match: str) -> None:
    """Check that a restore is refused and leaves the place empty for the right backup."""
    with pytest.raises(error, match=match):
        await place.restore(store)


async def _as_stored(place: Place) -> tuple[bytes, bytes]:
    """Give the head and the newest record's header of a session, as they lie in the data store."""
    async with place.open() as memory:
        deployment = await memory.host.ready()
        keys = await deployment.keyring.find("frank", "wide")
        assert keys is not None
        head, [(_, record)] = await deployment.backend.tail(keys.handle, 1)
    return head, record[:HEADER_BYTES]


async def test_a_backup_is_for_its_owner_alone(saved: Place) -> None:
    """Its mode is 0600, nothing else is beside it, and it holds no text, no id, and no head as it lies in the store."""
    head, header = await _as_stored(saved)
    assert (head[:2], header[:2]) == (HEAD_MAGIC, MAGIC), "the control: this is how they begin"
    assert {path.name for path in saved.folder.iterdir()} == {path.name for path in saved.saved.values()}
    for path in saved.saved.values():
        assert path.stat().st_mode & 0o777 == 0o600
        for needle in (b"frank", b"as a guest", b"SQLite format", head, header):
            assert needle not in path.read_bytes()


@pytest.mark.parametrize("store", ["keystore", "ledger"])
async def test_what_is_unsealed_is_for_its_owner_alone(
    saved: Place, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore makes its file with the mode 0600, which others could have opened had it been given that afterwards."""
    modes: list[int] = []
    pieces = SealedReader.pieces

    async def watched(reader: SealedReader, key: RawKey) -> AsyncIterator[bytes]:
        modes.extend(path.stat().st_mode & 0o777 for path in tmp_path.rglob(".restored.*"))
        async for piece in pieces(reader, key):
            yield piece

    await saved.empty(store)
    monkeypatch.setattr(SealedReader, "pieces", watched)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mask = os.umask(0o022)
    try:
        (tmp_path / "control").touch()
        await saved.restore(store)
    finally:
        os.umask(mask)
    assert (tmp_path / "control").stat().st_mode & 0o777 == 0o644, "the control: others may read what is made anyhow"
    assert modes == [0o600]


@pytest.mark.parametrize("store", STORES)
async def test_cut_short_or_altered(saved: Place, store: str) -> None:
    """Cut at its end, by a byte or by half, or with one byte changed: refused, and then the whole one is restored."""
    path = saved.saved[store]
    whole = path.read_bytes()
    await saved.empty(store)
    changed = bytearray(whole)
    changed[-20] ^= 1
    header = bytearray(whole)
    header[24] ^= 1
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole + b"x", bytes(changed), whole[:200]):
        path.write_bytes(damaged)
        await _refused(saved, store, CorruptRecordError, "cut short or altered")
    path.write_bytes(bytes(header))
    await _refused(saved, store, WrongKeyError, ".")
    for other in (b"", whole[:20], b"Dear diary, " * 50):
        path.write_bytes(other)
        await _refused(saved, store, ConfigurationError, "is no backup")
    path.write_bytes(whole)
    await saved.restore(store)
    async with saved.open() as memory:
        assert len(await read(memory, "frank", "wide")) == 100


@pytest.mark.parametrize("store", STORES)
async def test_onto_what_is_there(saved: Place, store: str) -> None:
    """Where a store is, none is put, and it stays as it was."""
    async with saved.open() as memory:
        await memory.session("s", user_id="frank").add("user", "since")
    await _refused(saved, store, ConfigurationError, ".")
    async with saved.open() as memory:
        assert (await read(memory, "frank"))[-1] == "since"
        assert await read(memory, "alice") == [f"alice {number}" for number in range(3)]


@pytest.mark.parametrize("store", STORES)
async def test_of_another_deployment(saved: Place, store: str, tmp_path: Path) -> None:
    """A backup of another deployment is refused by whose it is."""
    url = f"sqlite:///{tmp_path}/other.db"
    async with SecureMemory.open(url) as other:
        await other.session("s").add("user", "hers")
        saved.saved[store] = saved.folder / "others"
        await other.backup(saved.saved[store], store=store)
    await saved.empty(store)
    await _refused(saved, store, ConfigurationError, "deployment")


@pytest.mark.parametrize("store", ["data", "ledger"])
async def test_what_needs_the_keystore(saved: Place, store: str) -> None:
    """Without its keystore a backup of another store says that it wants that, and puts nothing."""
    await saved.empty(store)
    await saved.empty("keystore")
    await _refused(saved, store, ConfigurationError, "keystore")
    await saved.restore("keystore", store)
    async with saved.open() as memory:
        assert len(await read(memory, "frank", "wide")) == 100


async def test_without_the_kek(saved: Place, tmp_path: Path) -> None:
    """Without the KEK nothing is restored, and the error says what is missing."""
    await saved.empty("keystore")
    kek = tmp_path / "stores" / "store.kek"
    shutil.move(kek, tmp_path / "kek")
    await _refused(saved, "keystore", ConfigurationError, "KEK")
    shutil.move(tmp_path / "kek", kek)
    await saved.restore("keystore")


async def test_of_a_closed_epoch(saved: Place) -> None:
    """A keystore backup opens nobody once its epoch is closed; the data's and the ledger's still open."""
    async with saved.open() as memory:
        await memory.keys.close_epoch(without_backup=True)
        old = saved.saved["keystore"]
        await saved.save(memory, "keystore", name="new ")
        saved.saved["keystore"], new = old, saved.saved["keystore"]
    for store in STORES:
        await saved.empty(store)
    await _refused(saved, "keystore", WrongKeyError, "epoch 1")
    saved.saved["keystore"] = new
    await saved.restore(*STORES)
    async with saved.open() as memory:
        assert len(await read(memory, "frank", "wide")) == 100
        assert (await read(memory, "frank"))[:3] == [f"frank {number}" for number in range(3)]


async def test_the_keystore_alone_of_three(saved: Place) -> None:
    """Where everything is lost, the stores can be restored one after the other; until all are there, none is opened."""
    async with saved.open() as memory:
        await memory.session("held later", user_id="frank").clear()
        await saved.save(memory, *STORES, name="later ")
    for store in STORES:
        await saved.empty(store)
    with pytest.raises(NotReadyError, match="ledger"):
        await saved.restore("keystore")
    report = await saved.restore("ledger")
    assert not report.is_open
    assert (await saved.restore("data")).is_open
    async with saved.open() as memory:
        assert len(await read(memory, "frank", "wide")) == 100


async def test_what_is_no_question(saved: Place, tmp_path: Path) -> None:
    """No such store, two of one store, none, a file that is there, a folder that is not, memory: each says what."""
    async with saved.open() as memory:
        with pytest.raises(InvalidInputError):
            await memory.backup(tmp_path / "a", store="everything")
        with pytest.raises(ConfigurationError, match="exists already"):
            await memory.backup(saved.saved["data"])
        with pytest.raises(ConfigurationError, match="folder"):
            await memory.backup(tmp_path / "no" / "a")
    for paths in ([], [saved.saved["data"]] * 2):
        with pytest.raises(InvalidInputError):
            await SecureMemory.restore(paths, saved.url, **saved.settings)
    with pytest.raises(ConfigurationError):
        await SecureMemory.restore(tmp_path / "none", saved.url, **saved.settings)
    with pytest.raises(ConfigurationError, match="memory"):
        await SecureMemory.restore(saved.saved["data"], "memory://")


@pytest.mark.parametrize("store", STORES)
async def test_a_full_disk(saved: Place, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """Where the disk is full while a backup is written, there is no file of its name and no half one beside it."""
    real: Any = os.fsync

    def full(number: int) -> None:
        if ".part" in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(28, "No space left on device")
        real(number)

    before = _everything(saved.folder)
    async with saved.open() as memory:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(BackendUnavailableError, match="No space left"):
            await memory.backup(saved.folder / "full", store=store)
        monkeypatch.undo()
    assert _everything(saved.folder) == before


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("late", [False, True])
async def test_a_name_that_is_taken_meanwhile(
    saved: Place,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    late: bool,  # noqa: FBT001
) -> None:
    """A file that is made under its name, while it is written or at the last moment, stays, and nothing beside it."""
    path = saved.folder / "taken"
    before = _everything(saved.folder)

    def take(_: int, __: int) -> None:
        path.write_bytes(b"another's")

    def just_before(real: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
        def taken(this: Path, other: Path) -> object:
            take(0, 0)
            return real(this, other)

        return taken

    async with saved.open() as memory:
        if late:
            for way in ("rename", "hardlink_to"):
                monkeypatch.setattr(Path, way, just_before(getattr(Path, way)))
        with pytest.raises(ConfigurationError, match="exists already"):
            await memory.backup(path, store=store, progress=None if late else take)
        monkeypatch.undo()
    assert _everything(saved.folder) == before | {"taken": b"another's"}


async def test_a_file_system_without_hard_links(saved: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup is given its name there too, and is what it would be elsewhere."""
    before = set(_everything(saved.folder))

    def refuse(this: Path, _: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(this))

    async with saved.open() as memory:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
        saved.saved["data"] = saved.folder / "linkless"
        await memory.backup(saved.saved["data"])
        monkeypatch.undo()
    assert set(_everything(saved.folder)) == before | {"linkless"}
    await saved.empty("data")
    await saved.restore("data")


@pytest.mark.parametrize("step", ["backup", "restore", "relearn"])
async def test_a_data_store_that_cannot_be_made(
    saved: Place, step: str, keyrings: list[Keyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a tenant's keys were unwrapped for it already, they are wiped."""
    made = step == "backup"

    def make(*arguments: Any) -> Backend:
        nonlocal made
        if made:
            raise ConfigurationError("there is no such thing here")
        made = True  # to look whether anything is there
        return make_data(*arguments)

    async with saved.open(tenant="another") as memory:
        await memory.session("s").add("user", "hello")
    async with saved.open() as memory:
        await memory.host.ready()
        keyrings.clear()
        monkeypatch.setattr("securemem.compose.make_data", make)
        if step == "backup":
            with pytest.raises(ConfigurationError, match="no such thing"):
                await memory.backup(saved.folder / "new")
    if step != "backup":
        monkeypatch.setattr("securemem.restoring.make_data", make)
        await saved.empty("data" if step == "restore" else "ledger")
        with pytest.raises(ConfigurationError, match="no such thing"):
            await (saved.restore("data") if step == "restore" else saved.restore(accept_older_ledger=True))
    assert keyrings
    for keyring in keyrings:
        with pytest.raises(ValueError, match="wiped"):
            keyring.keyed_hash(b"")
