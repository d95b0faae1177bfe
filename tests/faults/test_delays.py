"""A line that is slow, and one that is so slow that it counts as dead: time limits, the circuit, and the way back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from securemem import BackendUnavailableError, SecureMemory, remote
from securemem.testing.faultproxy import FaultProxy

from .store import Writer, check, faulty, open_store, with_options

pytestmark = pytest.mark.servers

TIMEOUT, PATIENCE = 0.3, 1.0
HASTE = {"timeout": TIMEOUT, "patience": PATIENCE}
CIRCUIT_SECONDS = 2.0
SHORTER = 0.5
GREAT_HASTE = {"timeout": 0.15, "patience": 0.4}


@pytest.fixture
def short_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let circuits be open for a quarter of their time."""
    assert remote._OPEN_SECONDS == CIRCUIT_SECONDS
    monkeypatch.setattr(remote, "_OPEN_SECONDS", SHORTER)


async def test_fifty_milliseconds(data_url: str, tmp_path: Path) -> None:
    """With 50 ms each way all goes on as ever, sixteen at once in the time of a few."""
    async with faulty(data_url) as (proxy, url), open_store(url, tmp_path) as memory:
        proxy.requests.delay = proxy.replies.delay = 0.05
        writers = [Writer(memory, f"w{number}") for number in range(16)]
        await writers[0].add()
        began = time.monotonic()
        await writers[0].add()
        assert time.monotonic() - began >= 0.1, "the delay did not strike"
        await asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.gather(*(writer.read() for writer in writers))
        assert time.monotonic() - began < 6
        assert not any(writer.failed for writer in writers)
    await check(data_url, tmp_path, writers)


async def _seconds(memory: SecureMemory, proxy: FaultProxy, secret: str) -> float:
    """Make a call that fails; give how long that took."""
    began = time.monotonic()
    with pytest.raises(BackendUnavailableError) as caught:
        await memory.session("s").history()
    said = str(caught.value)
    assert f"127.0.0.1:{proxy.port}" in said
    assert not secret or secret not in said
    return time.monotonic() - began


async def test_thirty_seconds(data_url: str, tmp_path: Path) -> None:
    """A reply that takes 30 s fails in `patience`; after three the circuit is open; all is well when the delay ends."""
    secret = data_url.partition("@")[0].rpartition(":")[2] if "@" in data_url else ""
    async with faulty(data_url) as (proxy, url), open_store(with_options(url, **HASTE), tmp_path) as memory:
        writer = Writer(memory, "s")
        await writer.add()
        proxy.replies.delay = 30
        waited = [await _seconds(memory, proxy, secret) for _ in range(3)]
        assert min(waited) > PATIENCE - TIMEOUT
        assert max(waited) < PATIENCE * 1.25
        assert max([await _seconds(memory, proxy, secret) for _ in range(20)]) < 0.05
        proxy.heal()
        assert await _seconds(memory, proxy, secret) < 0.05, "the circuit is open for its whole time"
        await asyncio.sleep(CIRCUIT_SECONDS)
        await writer.read()
        for _ in range(3):
            await writer.add()
        assert not writer.failed
    await check(data_url, tmp_path, [writer])


async def test_one_is_let_through_to_see(data_url: str, tmp_path: Path, short_circuit: None) -> None:
    """While the server stays away, one call at a time tries it, and the others fail at once."""
    async with faulty(data_url) as (proxy, url), open_store(with_options(url, **GREAT_HASTE), tmp_path) as memory:
        await Writer(memory, "s").add()
        proxy.replies.delay = 30
        for _ in range(3):
            await _seconds(memory, proxy, "")
        await asyncio.sleep(SHORTER)
        waited = sorted(await asyncio.gather(*(_seconds(memory, proxy, "") for _ in range(8))))
        assert waited[-1] > 0.2
        assert waited[-2] < 0.1


async def test_writers_through_an_outage(data_url: str, tmp_path: Path, short_circuit: None) -> None:
    """Sixteen writers that run into an outage fail, fast in the end, and write again after it; nothing is doubled."""
    async with faulty(data_url) as (proxy, url), open_store(with_options(url, **GREAT_HASTE), tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(16)]
        await asyncio.gather(*(writer.add() for writer in writers))
        proxy.replies.hold()
        for _ in range(3):
            await asyncio.gather(*(writer.add() for writer in writers))
        assert all(len(writer.failed) == 3 for writer in writers)
        proxy.cut()
        proxy.heal()
        await asyncio.sleep(SHORTER + 0.1)
        await writers[0].add()  # the one that is let through to see
        for _ in range(3):
            await asyncio.gather(*(writer.add() for writer in writers))
        assert all(len(writer.failed) == 3 for writer in writers)
    await check(data_url, tmp_path, writers)
