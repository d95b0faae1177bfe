"""The ledger in a file, or in memory: handles only, what is no ledger is refused, and no cancelled call destroys it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from securemem import BackendUnavailableError, ConfigurationError, SecureMemory
from securemem.ledger.acts import ActKind
from securemem.ledger.file import MEMORY
from securemem.ledger.store import Ledger

from .acts import DEPLOYMENT, begin


async def test_a_counter_is_never_used_twice(tmp_path: Path) -> None:
    """Counters go on rising, also over a row that is not there any more."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    await ledger.create(DEPLOYMENT)
    await begin(ledger, ActKind.CLEAR)
    with closing(sqlite3.connect(ledger.place)) as con:
        con.execute("DELETE FROM acts")
        con.commit()
    assert (await begin(ledger, ActKind.CLEAR)).counter == 2
    await ledger.aclose()


async def test_there_is_nothing_but_handles_in_it(file_url: str, tmp_path: Path) -> None:
    """After acts of every kind no id, tag or text is in the ledger's bytes; the handles are, so that a search finds."""
    async with SecureMemory.open(file_url) as memory:
        for number in range(3):
            chat = memory.session(f"order-{number}-canary", user_id="alice-canary", tags=["tag-canary"])
            await chat.add("user", "text-canary", user_id="guest-canary", metadata={"key-canary": 1})
        await chat.clear()
        await memory.session("short-canary", user_id="bob-canary").add("user", "x", ttl=0.001)
        await memory.sweep()
        handle = (await memory.erase_user("alice-canary")).handle
        await memory.erase_user("guest-canary")
        raw = b"".join(path.read_bytes() for path in tmp_path.glob("store.ledger.db*"))
    assert b"canary" not in raw
    assert bytes.fromhex(handle) in raw


async def test_a_file_of_something_else(tmp_path: Path) -> None:
    """Another database, or no database, is refused and left as it was."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE theirs (x)")
    for content in (path.read_bytes(), b"Dear diary, " * 200):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError):
            await Ledger(str(path)).peek()
        assert path.read_bytes() == content


async def test_a_newer_file(tmp_path: Path) -> None:
    """A ledger that a newer version has migrated is refused when it is opened."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    await ledger.create(DEPLOYMENT)
    await ledger.aclose()
    with closing(sqlite3.connect(ledger.place)) as con:
        con.execute("UPDATE alembic_version SET version_num = '9999'")
        con.commit()
    with pytest.raises(ConfigurationError, match="newer"):
        await Ledger(ledger.place).peek()


async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """A ledger that cannot be made is an error of ours."""
    with pytest.raises((BackendUnavailableError, ConfigurationError)):
        await Ledger(str(tmp_path / "no" / "ledger.db")).create(DEPLOYMENT)


async def test_a_call_that_is_cancelled() -> None:
    """Wherever a call is cancelled a ledger in memory keeps what it has; what was begun is through before it closes."""
    ledger = Ledger(MEMORY)
    await ledger.create(DEPLOYMENT)
    act = await begin(ledger, ActKind.CLEAR)
    for steps in range(30):
        call = asyncio.create_task(begin(ledger, ActKind.CLEAR))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert (await ledger.acts())[0] == act
    call = asyncio.create_task(begin(ledger, ActKind.CLEAR))
    await asyncio.sleep(0)
    call.cancel()
    await ledger.aclose()
    await asyncio.wait([call])
    assert asyncio.all_tasks() == {asyncio.current_task()}
