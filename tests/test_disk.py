"""A disk that is full: the error says that nothing was written, what is there is readable, and with room it goes on."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from securemem import BackendUnavailableError, Message, SecureMemory

KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder with room for 1 MiB: a file system of its own where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        yield folder
        return
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def _limit_pages(memory: SecureMemory, pages: int) -> None:
    """Where nothing could be mounted, let SQLite itself refuse to grow: the same error, from the same statement."""
    backend = (await memory.host.ready()).backend
    await backend._file.write_one(  # type: ignore[attr-defined]
        lambda con: con.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    )


async def _make_room(memory: SecureMemory, folder: Path) -> None:
    """Give the disk room again."""
    if os.path.ismount(folder):
        subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
    else:
        await _limit_pages(memory, 1_000_000)


async def _fill(memory: SecureMemory, folder: Path) -> list[str]:
    """Add until there is no room; gives what was acknowledged."""
    if not os.path.ismount(folder):
        await _limit_pages(memory, 100)
    chat = memory.session("s", user_id="alice")
    said: list[str] = []
    try:
        for number in range(1000):
            await chat.add("user", f"{number}:" + "x" * 4 * KIB)
            said.append(f"{number}:" + "x" * 4 * KIB)
    except BackendUnavailableError as error:
        assert re.search(r"full.*nothing was written", str(error))  # noqa: PT017
        return said
    pytest.fail("1000 messages of 4 KiB went into 1 MiB")


async def test_a_full_disk(small_disk: Path) -> None:
    """What was acknowledged is there, the refused append is not, reading works, and with room so does writing."""
    async with SecureMemory.open(f"sqlite:///{small_disk}/store.db", max_messages=1000) as memory:
        said = await _fill(memory, small_disk)
        assert len(said) > 10
        chat = memory.session("s", user_id="alice")
        assert [message.content for message in await chat.history(1000)] == said
        with pytest.raises(BackendUnavailableError, match="full"):
            await chat.add_many([Message("user", "y" * 4 * KIB)] * 100)
        assert [message.content for message in await chat.history(1000)] == said
        await _make_room(memory, small_disk)
        await chat.add("user", "room again")
        assert [message.content for message in await chat.history(1000)] == [*said, "room again"]
    async with SecureMemory.open(f"sqlite:///{small_disk}/store.db") as memory:
        chat = memory.session("s", user_id="alice")
        assert [message.content for message in await chat.history(1000)] == [*said, "room again"]


async def test_one_append_too_large_does_not_take_others_down(small_disk: Path) -> None:
    """Of appends that share a commit only the one for which there is no room fails."""
    async with SecureMemory.open(f"sqlite:///{small_disk}/store.db") as memory:
        if not os.path.ismount(small_disk):
            await _limit_pages(memory, 100)
        chats = [memory.session(f"s{number}", user_id="alice") for number in range(6)]
        for chat in chats:
            await chat.add("user", "before")
        sizes = [10, 10, 4096 * KIB, 10, 10, 10]
        answers = await asyncio.gather(
            *(chat.add("user", "x" * size) for chat, size in zip(chats, sizes, strict=True)), return_exceptions=True
        )
        failed = [number for number, answer in enumerate(answers) if isinstance(answer, BackendUnavailableError)]
        assert failed == [2]
        assert [len(await chat.history()) for chat in chats] == [2, 2, 1, 2, 2, 2]
        await _make_room(memory, small_disk)


async def test_a_person_can_be_erased_from_a_full_disk(small_disk: Path) -> None:
    """An erasure either frees the room itself, or says that the disk is full and is carried through later."""
    url = f"sqlite:///{small_disk}/store.db"
    async with SecureMemory.open(url, max_messages=1000) as memory:
        await _fill(memory, small_disk)
        try:
            await memory.erase_user("alice")
        except BackendUnavailableError as error:
            assert "full" in str(error)  # noqa: PT017
        await _make_room(memory, small_disk)
    async with SecureMemory.open(url) as memory:
        await memory.erase_user("alice")
        assert await memory.session("s", user_id="alice").history() == []
        assert await (await memory.host.ready()).keyring.keystore.counts() == (0, 0)
