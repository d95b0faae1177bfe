"""What the tests of epochs write, and how they read it back."""

from __future__ import annotations

import shutil
from pathlib import Path

from securemem import SecureMemory

Everything = dict[tuple[str, str], list[object]]


def url(folder: Path) -> str:
    """Name the store in a folder."""
    return f"sqlite:///{folder}/store.db"


def copy_files(source: Path, target: Path, *endings: str) -> None:
    """Copy a store's files as they lie, the write-ahead logs with them."""
    target.mkdir(exist_ok=True)
    for ending in endings:
        for suffix in ("", "-wal", "-shm"):
            file = source / f"store{ending}{suffix}"
            (target / file.name).unlink(missing_ok=True)
            if file.exists():
                shutil.copy2(file, target / file.name)


async def fill(memory: SecureMemory) -> Everything:
    """Write two sessions of each of three people, one with a guest in it, and give all that was written."""
    for user in ("ann", "bob", "cleo"):
        for name in ("one", "two"):
            session = memory.session(name, user_id=user)
            for number in range(3):
                await session.add("user", f"{user} {name} {number}")
    await memory.session("one", user_id="ann").add("user", "a word of bob's", user_id="bob")
    return await everything(memory)


async def everything(memory: SecureMemory) -> Everything:
    """Read every session of everybody."""
    return {
        (info.user_id, info.session_id): [
            message.content for message in await memory.session(info.session_id, user_id=info.user_id).history()
        ]
        async for info in memory.sessions()
    }


async def everything_cold(folder: Path) -> Everything:
    """Read it all by a store that has nothing in memory yet."""
    async with SecureMemory.open(url(folder)) as memory:
        return await everything(memory)


async def states(memory: SecureMemory) -> list[tuple[int, str, int, bool]]:
    """Give (epoch, state, users, whether its KEK lives) of every epoch."""
    return [(each.epoch, each.state, each.users, each.kek) for each in await memory.keys.status()]
