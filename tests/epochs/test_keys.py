"""What is stored stays readable through every rotation, for everybody, and new keys go under the open epoch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from securemem import NotReadyError, SecureMemory
from securemem.ledger.audit import Audit, EventKind

from .store import everything, everything_cold, fill, states, url


async def test_a_rotation_moves_every_key(memory: SecureMemory) -> None:
    """After `rotate` the new epoch is open, the old one sealed with nobody under it and its KEK alive."""
    await fill(memory)
    assert await states(memory) == [(1, "open", 3, True)]
    assert await memory.keys.rotate() == 2
    assert await states(memory) == [(1, "sealed", 0, True), (2, "open", 3, True)]


async def test_close_epoch_rotates_where_there_is_one(memory: SecureMemory, tmp_path: Path) -> None:
    """`close_epoch` on the only epoch rotates first; then all older ones are destroyed, their KEKs gone."""
    await fill(memory)
    assert await memory.keys.close_epoch(backup=tmp_path / "backup.db") == [1]
    assert await states(memory) == [(1, "destroyed", 0, False), (2, "open", 3, True)]
    await memory.keys.rotate()
    await memory.keys.rotate()
    assert await memory.keys.close_epoch(without_backup=True) == [2, 3]
    assert [state for _, state, _, _ in await states(memory)] == ["destroyed"] * 3 + ["open"]


async def test_it_is_audited_before_a_kek_is_destroyed(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each KEK's end is an event, durable before the KEK is gone."""
    await fill(memory)
    deployment = await memory.host.ready()

    async def audited() -> int:
        events = await Audit(deployment.ledger).events()
        return [event.kind for event in events].count(EventKind.CLOSE_EPOCH)

    seen, destroy = list[int](), deployment.keyring.kms.destroy_epoch

    async def watched(epoch: int) -> None:
        seen.append(await audited())
        await destroy(epoch)

    monkeypatch.setattr(deployment.keyring.kms, "destroy_epoch", watched)
    await memory.keys.rotate()
    await memory.keys.rotate()
    assert await memory.keys.close_epoch(without_backup=True) == [1, 2]
    assert (seen, await audited()) == ([1, 2], 2)


async def test_readable_before_during_and_after(memory: SecureMemory, other: SecureMemory, tmp_path: Path) -> None:
    """Everything is read by the one that rotates, by another with warm caches, and by a cold one, at every step."""
    written = await fill(memory)
    assert await everything(other) == written
    for number in range(3):
        await memory.keys.rotate()
        for found in (await everything(memory), await everything(other), await everything_cold(tmp_path)):
            assert found == written
        await memory.keys.close_epoch(backup=tmp_path / f"backup{number}.db")
        for found in (await everything(memory), await everything(other), await everything_cold(tmp_path)):
            assert found == written


async def test_readable_and_writable_while_keys_move(memory: SecureMemory, other: SecureMemory) -> None:
    """While one rotates and closes, another reads, appends, begins sessions and forgets people, and never fails."""
    written = await fill(memory)
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
    now = await everything(memory)
    assert {key: value for key, value in now.items() if key in written} == written
    assert now["dora", "own"] == [f"{turn}" for turn in range(1, turns + 1)]
    assert {key for key in now if key[0].startswith("dora ")} == {
        (f"dora {turn}", "x") for turn in range(1, turns + 1) if turn % 3
    }


async def test_new_keys_by_who_believes_in_the_old_epoch(
    memory: SecureMemory, other: SecureMemory, tmp_path: Path
) -> None:
    """Who has not heard of the new epoch mints under it all the same: nothing is wrapped under a sealed one."""
    await fill(memory)
    await fill(other)
    await memory.keys.rotate()
    await other.session("late", user_id="ann").add("user", "a new session of a known person")
    await memory.keys.rotate()
    await other.session("late", user_id="new").add("user", "a new person")
    await memory.keys.rotate()
    await other.session("one", user_id="cleo").add("user", "a new guest", user_id="guest")
    assert {epoch: users for epoch, _, users, _ in await states(memory)} == {1: 0, 2: 0, 3: 0, 4: 6}
    await memory.keys.close_epoch(without_backup=True)
    await other.session("last", user_id="newer").add("user", "after the old one is gone")
    for found in (await everything(memory), await everything(other), await everything_cold(tmp_path)):
        assert found["ann", "late"] == ["a new session of a known person"]
        assert found["new", "late"] == ["a new person"]
        assert found["cleo", "one"][-1] == "a new guest"
        assert found["newer", "last"] == ["after the old one is gone"]


async def test_no_session_is_begun_twice_across_epochs(memory: SecureMemory, other: SecureMemory) -> None:
    """A person and a session that are looked up by their old tags are the same ones, not new ones."""
    written = await fill(memory)
    await memory.keys.rotate()
    await other.session("one", user_id="bob").add("user", "more")
    assert (await everything(memory)).keys() == written.keys()


async def test_two_that_rotate_at_once(memory: SecureMemory, other: SecureMemory, tmp_path: Path) -> None:
    """Of two that rotate at once each succeeds or is told to wait, and everything stays readable."""
    written = await fill(memory)
    outcomes = await asyncio.gather(memory.keys.rotate(), other.keys.rotate(), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert all(isinstance(outcome, int | NotReadyError) for outcome in outcomes)
    await memory.keys.close_epoch(without_backup=True)
    assert await everything(memory) == await everything(other) == written
    assert await everything_cold(tmp_path) == written


async def test_every_tenant_is_moved(tmp_path: Path) -> None:
    """A close by one tenant's store moves the keys of all, those of another table too."""
    options: list[dict[str, str]] = [{"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "table_name": "elsewhere"}]
    stores = [SecureMemory.open(url(tmp_path), **each) for each in options]  # type: ignore[arg-type]
    for number, store in enumerate(stores):
        await store.session("s").add("user", f"store {number}")
    await stores[1].keys.close_epoch(backup=tmp_path / "backup.db")
    for number, store in enumerate(stores):
        assert [message.content for message in await store.session("s").history()] == [f"store {number}"]
        await store.close()
    for number, each in enumerate(options):
        async with SecureMemory.open(url(tmp_path), **each) as store:  # type: ignore[arg-type]
            assert [message.content for message in await store.session("s").history()] == [f"store {number}"]
