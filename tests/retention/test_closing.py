"""After an erasure the KEK's epoch is closed within the policy's time, by the workers that know where backups go."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from securemem import ConfigurationError, IntegrityError, KMSUnavailableError, NotReadyError, SecureMemory
from securemem.keys import backup
from securemem.ledger.audit import EventKind, rule_name
from securemem.retention.keeper import Pace
from securemem.retention.sweep import SweepReport
from securemem.retention.worker import Rhythm, Worker

from .store import HOUR, add, events, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PROMISING = policy("erasure:\n  targets: {key: 1h}\n")
PROMISED = 1 * HOUR


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for backups."""
    made = tmp_path / "backups"
    made.mkdir()
    return made


async def test_a_damaged_session_keeps_no_epoch_open(
    file_url: str, tmp_path: Path, clock: FakeClock, folder: Path
) -> None:
    """It is told, and whoever was erased is out of reach in time all the same."""
    async with opened(file_url, clock, PROMISING) as memory:
        await memory.session("s", user_id="bob").add("user", "hello", ttl=60)
        await _erase(memory, "alice")
    with closing(sqlite3.connect(tmp_path / "store.db")) as con:
        con.execute("UPDATE messages SET body = zeroblob(200) WHERE id & 4294967295 = 1")
        con.commit()
    clock.advance(PROMISED)
    async with opened(file_url, clock, PROMISING) as memory:
        with pytest.raises(IntegrityError):
            await memory.retention.work(keystore_backups=folder)
        assert await _states(memory) == ["destroyed", "open"]


async def _states(memory: SecureMemory) -> list[str]:
    return [epoch.state for epoch in await memory.keys.status()]


async def _erase(memory: SecureMemory, name: str) -> None:
    await add(memory.session("s", user_id=name), "hello")
    await memory.erase_user(name)


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
async def test_an_epoch_is_closed_after_an_erasure(url: str, clock: FakeClock, folder: Path) -> None:
    """When half of the time is over, with one backup that opens the living; without an erasure never."""
    async with opened(url, clock, PROMISING) as memory:
        await add(memory.session("s", user_id="bob"), "hello")
        clock.advance(10 * PROMISED)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 0
        await _erase(memory, "alice")
        clock.advance(PROMISED / 2 - 1)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 0
        clock.advance(1)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 1
        assert await _states(memory) == ["destroyed", "open"]
        [first] = folder.iterdir()
        assert await texts(memory.session("s", user_id="bob")) == ["hello"]
        clock.advance(10 * PROMISED)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 0
        await _erase(memory, "carol")
        clock.advance(PROMISED)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 1
        [second] = folder.iterdir()
        assert first != second


async def test_who_breaks_the_promise_is_told(file_url: str, clock: FakeClock, folder: Path) -> None:
    """Without a folder no worker closes anything; `caveats` says so once the time is over, and until it is done."""
    async with opened(file_url, clock, PROMISING) as memory:

        async def is_told() -> bool:
            return any("keystore backups open people" in caveat for caveat in await memory.caveats())

        await _erase(memory, "alice")
        clock.advance(PROMISED)
        await memory.retention.work()
        assert not await is_told()
        clock.advance(1)
        await memory.retention.work()
        assert await is_told()
        await memory.keys.rotate()
        assert await is_told()
        await memory.retention.work(keystore_backups=folder)
        assert not await is_told()
        assert await _states(memory) == ["destroyed", "open"]


async def test_workers_at_once_close_once(file_url: str, clock: FakeClock, folder: Path) -> None:
    """One of them has the lease; the others leave it alone."""
    async with opened(file_url, clock, PROMISING) as memory, opened(file_url, clock, PROMISING) as other:
        await _erase(memory, "alice")
        clock.advance(PROMISED)
        reports = await asyncio.gather(
            *(each.retention.work(keystore_backups=folder, purge_seconds=None) for each in (memory, other, memory))
        )
        assert sum(report.closed_epochs for report in reports) == 1
        assert len(await _states(memory)) == 2


async def test_a_backup_that_cannot_be_read_closes_nothing(
    file_url: str, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older KEK stays, and the next pass tries again."""
    async with opened(file_url, clock, PROMISING) as memory:
        await _erase(memory, "alice")
        clock.advance(PROMISED)
        with monkeypatch.context() as patch:
            patch.setattr(backup, "take", _unreadable)
            with pytest.raises(NotReadyError):
                await memory.retention.work(keystore_backups=folder)
        assert "destroyed" not in await _states(memory)
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 1


async def test_a_kms_that_refuses_is_asked_again_quietly(
    file_url: str, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a KEK could not be destroyed, its end is in the audit once, and there is one backup."""
    async with opened(file_url, clock, PROMISING) as memory:
        await _erase(memory, "alice")
        clock.advance(PROMISED)
        with monkeypatch.context() as patch:
            patch.setattr((await inside(memory)).keyring.kms, "destroy_epoch", _refused)
            for _ in range(3):
                with pytest.raises(KMSUnavailableError):
                    await memory.retention.work(keystore_backups=folder)
                clock.advance(1)
        assert len(list(folder.iterdir())) == 1
        assert (await memory.retention.work(keystore_backups=folder)).closed_epochs == 1
        assert len(list(folder.iterdir())) == 1
        assert await _ends(memory) == [rule_name("1")]
        await memory.keys.close_epoch(without_backup=True)
        assert await _ends(memory) == [rule_name("1"), rule_name("2")]


async def _ends(memory: SecureMemory) -> list[bytes | None]:
    return [event.rule for event in await events(memory) if event.kind is EventKind.CLOSE_EPOCH]


async def _refused(_: int) -> None:
    raise KMSUnavailableError("the KMS does not let this happen")


async def _unreadable(*_: object) -> str:
    raise NotReadyError("what was read back is not what is here")


async def test_a_worker_outlives_its_folder(file_url: str, clock: FakeClock, folder: Path) -> None:
    """While the folder is gone passes say so, and all else is done; the epoch is closed when it is back."""
    said: list[SweepReport | Exception] = []
    async with opened(file_url, clock, PROMISING) as memory:
        await _erase(memory, "alice")
        clock.advance(PROMISED)
        folder.rmdir()

        async def work(pace: Pace, seconds: float | None) -> SweepReport:
            return await memory.retention.work(pace=pace, purge_seconds=seconds, keystore_backups=folder)

        def say(done: SweepReport | Exception) -> None:
            said.append(done)
            folder.mkdir(exist_ok=True)
            if not isinstance(done, Exception):
                worker.stop()

        worker = Worker(work, Rhythm(interval=0.01), say=say)
        await asyncio.wait_for(worker.run(), 30)
        assert await _states(memory) == ["destroyed", "open"]
    [gone, done] = said
    assert isinstance(gone, ConfigurationError)
    assert isinstance(done, SweepReport)
    assert done.closed_epochs == 1
