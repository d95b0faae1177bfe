"""Faults on the line of the keystore and the ledger, and in the middle of an erasure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from securemem import BackendUnavailableError, SecureMemory
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import PostgresServer

from .store import Writer, check, faulty, open_store, with_options

pytestmark = pytest.mark.servers

TIMEOUT, PATIENCE = 0.6, 2.0
HASTE = {"timeout": TIMEOUT, "patience": PATIENCE}


async def _fails_in_time(call: object, proxy: FaultProxy) -> None:
    """See a call fail by its time limit, with the name of the server that did not answer."""
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError, match=rf"127\.0\.0\.1:{proxy.port}"):
        await call  # type: ignore[misc]
    assert time.monotonic() - began < 2 * PATIENCE


async def test_a_keystore_that_does_not_answer(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """While the keystore is away, sessions in use go on and new ones fail in time; when it is back, so are they."""
    async with faulty(postgres_server.create_database()) as (proxy, line):
        keystore = with_options(line, **HASTE)
        async with open_store(postgres_url, tmp_path, keystore=keystore) as memory:
            writer = Writer(memory, "warm")
            await writer.add()
            proxy.replies.delay = 30
            await writer.add()
            await writer.read()
            assert not writer.failed
            await _fails_in_time(memory.session("cold").add("user", "hello"), proxy)
            proxy.heal()
            await memory.session("cold").add("user", "hello")
            assert [message.content for message in await memory.session("cold").history()] == ["hello"]


async def test_a_ledger_that_does_not_answer(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """An erasure whose ledger does not answer fails in time, with nothing erased; when it is back, it is done."""
    async with faulty(postgres_server.create_database()) as (proxy, line):
        async with open_store(postgres_url, tmp_path, ledger=line):
            pass  # made with all the time that this takes
        ledger = with_options(line, **HASTE)
        async with open_store(postgres_url, tmp_path, ledger=ledger) as memory:
            writer = Writer(memory, "s")
            await writer.add()
            proxy.replies.delay = 30
            await _fails_in_time(memory.erase_user("s"), proxy)
            proxy.heal()
            assert len(await memory.session("s").history()) == 1
            await memory.erase_user("s")
            assert await memory.session("s").history() == []


async def test_an_erasure_through_a_line_that_fails(data_url: str, tmp_path: Path) -> None:
    """An erasure whose line is cut is an error or done; asked for again it is done, and it spares all others."""
    async with faulty(data_url) as (proxy, url), open_store(url, tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(4)]
        for _ in range(3):
            await asyncio.gather(*(writer.add() for writer in writers))
        spoiler = asyncio.create_task(_spoil(proxy))
        with contextlib.suppress(BackendUnavailableError):  # the line fails while what it left on disk is removed
            await memory.erase_user("w0", purge_seconds=1.0)
        spoiler.cancel()
        proxy.heal()
        assert proxy.accepted >= 3, "the line did not fail"
        await memory.erase_user("w0", purge_seconds=1.0)
        assert await memory.session("w0").history() == []
        assert await _rows(memory) == 9
    await check(data_url, tmp_path, writers[1:])


async def _spoil(proxy: FaultProxy) -> None:
    for _ in range(10):
        proxy.replies.cut_after(0)
        await asyncio.sleep(0.02)
    proxy.heal()


async def _rows(memory: SecureMemory) -> int:
    """Count what the store holds, by its sessions."""
    return sum([info.messages async for info in memory.sessions()])
