"""A store whose keystore and ledger lie in PostgreSQL: rotated, closed, backed up, erased from, opened again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from securemem import SecureMemory

Open = Callable[..., SecureMemory]


@pytest.fixture
def open_store(postgres_url: str, tmp_path: Path) -> Open:
    """Give what opens a store with its data in a file; other places can be named instead."""
    places = {
        "keystore": f"{postgres_url}?schema=keys",
        "ledger": f"{postgres_url}?schema=decisions",
        "kms": f"file:///{tmp_path}/store.kek",
    }

    def open_store(**others: str) -> SecureMemory:
        return SecureMemory.open(f"sqlite:///{tmp_path}/store.db", **(places | others))  # type: ignore[arg-type]

    return open_store


async def _read(memory: SecureMemory) -> dict[tuple[str, str], list[object]]:
    return {
        (info.user_id, info.session_id): [
            message.content for message in await memory.session(info.session_id, user_id=info.user_id).history()
        ]
        async for info in memory.sessions()
    }


async def _write(memory: SecureMemory) -> dict[tuple[str, str], list[object]]:
    for user in ("ann", "bob", "cleo"):
        for session in ("one", "two"):
            await memory.session(session, user_id=user).add("user", f"{user} {session}")
    await memory.session("one", user_id="ann").add("user", "a word of bob's", user_id="bob")
    return await _read(memory)


async def test_the_life_of_a_store(open_store: Open, tmp_path: Path) -> None:
    """After a rotation, a close with a backup and an erasure the others are read, from the backup too."""
    async with open_store() as memory:
        written = await _write(memory)
        assert len(written) == 6
        assert await memory.keys.rotate() == 2
        assert await _read(memory) == written
        await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    async with open_store() as memory:
        assert await _read(memory) == written
        receipt = await memory.erase_user("bob")
        assert receipt.stores["ledger"]["tombstone"] == 1
        left = {key: value for key, value in written.items() if key[0] != "bob"}
        left["ann", "one"] = ["ann one"]
        assert await _read(memory) == left
        await memory.session("one", user_id="cleo").clear()
        del left["cleo", "one"]
    async with open_store() as memory:
        assert await _read(memory) == left
    async with open_store(keystore=f"sqlite:///{tmp_path}/backup.db") as memory:
        assert await _read(memory) == left, "who was forgotten since is forgotten again"
        assert await memory.session("two", user_id="bob").history() == []


async def test_many_processes_share_them(open_store: Open) -> None:
    """Stores over the same places mint, rotate and erase at once; who was not erased is read by all of them."""
    stores = [open_store() for _ in range(3)]
    for memory in stores:
        await memory.session("first").add("user", "first")

    async def write(memory: SecureMemory, number: int) -> None:
        await memory.session(f"s{number}", user_id=f"u{number % 5}").add("user", f"text {number}")

    await asyncio.gather(
        *(write(stores[number % 3], number) for number in range(30)),
        stores[0].keys.rotate(),
    )
    await asyncio.gather(
        *(write(stores[number % 3], number) for number in range(30, 60)),
        stores[1].keys.rotate(),
        stores[2].erase_user("u0", purge_seconds=0.5),
    )
    await stores[2].erase_user("u0", purge_seconds=0.5)
    expected = {(f"u{number % 5}", f"s{number}"): [f"text {number}"] for number in range(60) if number % 5}
    for memory in stores:
        assert {key: value for key, value in (await _read(memory)).items() if key[0] != "first"} == expected
        await memory.close()
