"""KEK epochs: what is stored stays readable through every rotation, and old keystore backups open nobody."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from securemem import NotReadyError, SecureMemory, WrongKeyError
from securemem.keys import epochstore
from securemem.keys.keystore import Keystore
from securemem.kms.file import FileKms

Everything = dict[tuple[str, str], list[object]]


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db"


def _copy(source: Path, target: Path, *endings: str) -> None:
    """Copy a store's files as they lie, the write-ahead logs with them."""
    target.mkdir(exist_ok=True)
    for ending in endings:
        for suffix in ("", "-wal", "-shm"):
            file = source / f"store{ending}{suffix}"
            (target / file.name).unlink(missing_ok=True)
            if file.exists():
                shutil.copy2(file, target / file.name)


async def _fill(memory: SecureMemory) -> Everything:
    """Write two sessions of each of three people, one with a guest in it, and give all that was written."""
    for user in ("ann", "bob", "cleo"):
        for name in ("one", "two"):
            session = memory.session(name, user_id=user)
            for number in range(3):
                await session.add("user", f"{user} {name} {number}")
    await memory.session("one", user_id="ann").add("user", "a word of bob's", user_id="bob")
    return await _everything(memory)


async def _everything(memory: SecureMemory) -> Everything:
    return {
        (info.user_id, info.session_id): [
            message.content for message in await memory.session(info.session_id, user_id=info.user_id).history()
        ]
        async for info in memory.sessions()
    }


async def _everything_cold(folder: Path) -> Everything:
    async with SecureMemory.open(_url(folder)) as memory:
        return await _everything(memory)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[SecureMemory]:
    """Give an open store."""
    async with SecureMemory.open(_url(tmp_path)) as memory:
        yield memory


@pytest.fixture
async def other(tmp_path: Path, memory: SecureMemory) -> AsyncIterator[SecureMemory]:
    """Give another store object over the same files, as another process would have."""
    await memory.session("first").add("user", "so that the files are there")
    await memory.session("first").clear()
    async with SecureMemory.open(_url(tmp_path)) as other:
        yield other


async def _states(memory: SecureMemory) -> list[tuple[int, str, int, bool]]:
    return [(each.epoch, each.state, each.users, each.kek) for each in await memory.keys.status()]


async def test_a_rotation_moves_every_key(memory: SecureMemory) -> None:
    """After `rotate` the new epoch is open, the old one sealed with nobody under it and its KEK alive."""
    await _fill(memory)
    assert await _states(memory) == [(1, "open", 3, True)]
    assert await memory.keys.rotate() == 2
    assert await _states(memory) == [(1, "sealed", 0, True), (2, "open", 3, True)]


async def test_close_epoch_rotates_where_there_is_one(memory: SecureMemory, tmp_path: Path) -> None:
    """`close_epoch` on the only epoch rotates first; then all older ones are destroyed, their KEKs gone."""
    await _fill(memory)
    assert await memory.keys.close_epoch(backup=tmp_path / "backup.db") == [1]
    assert await _states(memory) == [(1, "destroyed", 0, False), (2, "open", 3, True)]
    await memory.keys.rotate()
    await memory.keys.rotate()
    assert await memory.keys.close_epoch(without_backup=True) == [2, 3]
    assert [state for _, state, _, _ in await _states(memory)] == ["destroyed"] * 3 + ["open"]


async def test_readable_before_during_and_after(memory: SecureMemory, other: SecureMemory, tmp_path: Path) -> None:
    """Everything is read by the one that rotates, by another with warm caches, and by a cold one, at every step."""
    written = await _fill(memory)
    assert await _everything(other) == written
    for number in range(3):
        await memory.keys.rotate()
        for everything in (await _everything(memory), await _everything(other), await _everything_cold(tmp_path)):
            assert everything == written
        await memory.keys.close_epoch(backup=tmp_path / f"backup{number}.db")
        for everything in (await _everything(memory), await _everything(other), await _everything_cold(tmp_path)):
            assert everything == written


async def test_readable_and_writable_while_keys_move(memory: SecureMemory, other: SecureMemory) -> None:
    """While one rotates and closes, another reads, appends, begins sessions and forgets people, and never fails."""
    written = await _fill(memory)
    done = asyncio.Event()

    async def use(name: str) -> int:
        turns = 0
        while not done.is_set():
            turns += 1
            await other.session("own", user_id=name).add("user", f"{turns}")
            await other.session(f"own {turns}", user_id=name).add("user", "new session")
            await other.session("x", user_id=f"{name} {turns}").add("user", "new user")
            if turns % 3 == 0:
                await other.erase_user(f"{name} {turns}")
            history = await other.session("own", user_id=name).history(limit=1)
            assert [message.content for message in history] == [f"{turns}"]
        return turns

    async def move() -> None:
        for _ in range(4):
            await memory.keys.rotate()
            await memory.keys.close_epoch(without_backup=True)
        done.set()

    turns, _, _ = await asyncio.gather(use("dora"), use("ed"), move())
    now = await _everything(memory)
    assert {key: value for key, value in now.items() if key in written} == written
    assert now["dora", "own"] == [f"{turn}" for turn in range(1, turns + 1)]
    assert {key for key in now if key[0].startswith("dora ")} == {
        (f"dora {turn}", "x") for turn in range(1, turns + 1) if turn % 3
    }


async def test_new_keys_by_who_believes_in_the_old_epoch(
    memory: SecureMemory, other: SecureMemory, tmp_path: Path
) -> None:
    """Who has not heard of the new epoch mints under it all the same: nothing is wrapped under a sealed one."""
    await _fill(memory)
    await _fill(other)
    await memory.keys.rotate()
    await other.session("late", user_id="ann").add("user", "a new session of a known person")
    await memory.keys.rotate()
    await other.session("late", user_id="new").add("user", "a new person")
    await memory.keys.rotate()
    await other.session("one", user_id="cleo").add("user", "a new guest", user_id="guest")
    assert {epoch: users for epoch, _, users, _ in await _states(memory)} == {1: 0, 2: 0, 3: 0, 4: 6}
    await memory.keys.close_epoch(without_backup=True)
    await other.session("last", user_id="newer").add("user", "after the old one is gone")
    for everything in (await _everything(memory), await _everything(other), await _everything_cold(tmp_path)):
        assert everything["ann", "late"] == ["a new session of a known person"]
        assert everything["new", "late"] == ["a new person"]
        assert everything["cleo", "one"][-1] == "a new guest"
        assert everything["newer", "last"] == ["after the old one is gone"]


async def test_no_session_is_begun_twice_across_epochs(memory: SecureMemory, other: SecureMemory) -> None:
    """A person and a session that are looked up by their old tags are the same ones, not new ones."""
    written = await _fill(memory)
    await memory.keys.rotate()
    await other.session("one", user_id="bob").add("user", "more")
    assert (await _everything(memory)).keys() == written.keys()


async def test_a_backup_from_before_opens_nobody(memory: SecureMemory, tmp_path: Path) -> None:
    """Keystore and data as they were before the rewrap, with the KEK file of after the close: nobody is opened."""
    await _fill(memory)
    old, control = tmp_path / "old", tmp_path / "control"
    _copy(tmp_path, old, ".db", ".keys.db", ".ledger.db")
    _copy(tmp_path, control, ".db", ".keys.db", ".ledger.db", ".kek")
    await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    _copy(tmp_path, old, ".kek")
    with pytest.raises(WrongKeyError):
        await _everything_cold(old)
    keystore, kms = Keystore(str(old / "store.keys.db")), FileKms(old / "store.kek")
    stamp = await keystore.open()
    assert stamp is not None
    await kms.open(stamp.deployment, create=False)
    for _, row in await keystore.users_under(99, 99):
        with pytest.raises(WrongKeyError):
            await kms.unwrap(row.epoch, row.wrapped[19:], context=b"any")
    await keystore.aclose()
    assert len(await _everything_cold(control)) == 6, "the control: with the old KEK the copy opens everybody"


async def test_a_backup_from_the_close_opens_the_living_only(memory: SecureMemory, tmp_path: Path) -> None:
    """The backup that `close_epoch` takes opens the living with old data, and none who were erased before."""
    written = await _fill(memory)
    old = tmp_path / "old"
    _copy(tmp_path, old, ".db")
    await memory.erase_user("bob")
    await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    _copy(tmp_path, old, ".kek", ".ledger.db")
    shutil.copy2(tmp_path / "backup.db", old / "store.keys.db")
    keystore = Keystore(str(old / "store.keys.db"))
    await keystore.open()
    assert await keystore.counts() == (2, 4)
    await keystore.aclose()
    living = {key: value for key, value in written.items() if key[0] != "bob"}
    living["ann", "one"] = [text for text in living["ann", "one"] if text != "a word of bob's"]
    assert await _everything_cold(old) == living


async def test_a_backup_from_before_an_erasure_brings_nobody_back(memory: SecureMemory, tmp_path: Path) -> None:
    """Old data and an old keystore of the same epoch, with today's ledger: who was erased since is erased again."""
    await _fill(memory)
    _copy(tmp_path, tmp_path / "old", ".db", ".keys.db")
    await memory.erase_user("bob")
    _copy(tmp_path, tmp_path / "old", ".ledger.db", ".kek")
    everything = await _everything_cold(tmp_path / "old")
    assert {user for user, _ in everything} == {"ann", "cleo"}
    assert "a word of bob's" not in everything["ann", "one"]


async def test_no_close_without_a_backup(memory: SecureMemory, tmp_path: Path) -> None:
    """Without a backup, or with one that exists already, nothing is destroyed."""
    written = await _fill(memory)
    with pytest.raises(NotReadyError, match="backup"):
        await memory.keys.close_epoch()
    assert await _states(memory) == [(1, "open", 3, True)]
    taken = tmp_path / "taken.db"
    taken.write_text("something else")
    with pytest.raises(Exception, match="exists already"):
        await memory.keys.close_epoch(backup=taken)
    assert taken.read_text() == "something else"
    assert all(kek for _, _, _, kek in await _states(memory))
    assert await _everything_cold(tmp_path) == written


async def test_a_backup_that_fails_leaves_the_store_usable(
    memory: SecureMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a backup that failed half-way nothing is destroyed, what is written since is seen, and the next one works."""
    written = await _fill(memory)

    def fail(_: sqlite3.Connection) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(epochstore, "_digest", fail)
        with pytest.raises(Exception, match="cannot be used"):
            await memory.keys.close_epoch(backup=tmp_path / "first.db")
    assert all(kek for _, _, _, kek in await _states(memory))
    await memory.erase_user("bob")
    assert {user for user, _ in await _everything(memory)} == {"ann", "cleo"}
    await memory.keys.close_epoch(backup=tmp_path / "second.db")
    assert (await _everything_cold(tmp_path)).keys() == {key for key in written if key[0] != "bob"}


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
    (Keystore, "add_epoch"),
    (Keystore, "add_tenant_key"),
    (Keystore, "switch_epoch"),
    (Keystore, "rewrap"),
    (Keystore, "backup"),
    (FileKms, "destroy_epoch"),
    (Keystore, "end_epoch"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("where", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("second", ["rotate", "close_epoch"])
async def test_who_dies_at_a_step_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type, name: str, second: str, *, after: bool
) -> None:
    """Whoever dies at any step of a close leaves everything readable, and another rotation or close ends it well."""
    old = tmp_path / "old"
    async with SecureMemory.open(_url(tmp_path)) as memory:
        written = await _fill(memory)
        _copy(tmp_path, old, ".db", ".keys.db", ".ledger.db")
        with monkeypatch.context() as patch:
            _die(patch, where, name, after=after)
            with pytest.raises(_DiedError):
                await memory.keys.close_epoch(backup=tmp_path / "first.db")
    async with SecureMemory.open(_url(tmp_path)) as memory:
        assert await _everything(memory) == written
        await memory.session("between", user_id="ann").add("user", "it can be written to")
        if second == "rotate":
            await memory.keys.rotate()
            assert await _everything(memory) == written | {("ann", "between"): ["it can be written to"]}
        await memory.keys.close_epoch(backup=tmp_path / "second.db")
        assert (1, "destroyed", 0, False) in await _states(memory)
    assert await _everything_cold(tmp_path) == written | {("ann", "between"): ["it can be written to"]}
    _copy(tmp_path, old, ".kek")
    with pytest.raises(WrongKeyError):
        await _everything_cold(old)


async def test_two_that_rotate_at_once(memory: SecureMemory, other: SecureMemory, tmp_path: Path) -> None:
    """Of two that rotate at once each succeeds or is told to wait, and everything stays readable."""
    written = await _fill(memory)
    outcomes = await asyncio.gather(memory.keys.rotate(), other.keys.rotate(), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert all(isinstance(outcome, int | NotReadyError) for outcome in outcomes)
    await memory.keys.close_epoch(without_backup=True)
    assert await _everything(memory) == await _everything(other) == written
    assert await _everything_cold(tmp_path) == written


async def test_every_tenant_is_moved(tmp_path: Path) -> None:
    """A close by one tenant's store moves the keys of all, those of another table too."""
    options: list[dict[str, str]] = [{"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "table_name": "elsewhere"}]
    stores = [SecureMemory.open(_url(tmp_path), **each) for each in options]  # type: ignore[arg-type]
    for number, store in enumerate(stores):
        await store.session("s").add("user", f"store {number}")
    await stores[1].keys.close_epoch(backup=tmp_path / "backup.db")
    for number, store in enumerate(stores):
        assert [message.content for message in await store.session("s").history()] == [f"store {number}"]
        await store.close()
    for number, each in enumerate(options):
        async with SecureMemory.open(_url(tmp_path), **each) as store:  # type: ignore[arg-type]
            assert [message.content for message in await store.session("s").history()] == [f"store {number}"]
