"""Until when what is left will last: by the store's own word, by the operator's, or nobody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from securemem import InvalidInputError, Receipt, Residue, SecureMemory
from securemem.cli.app import app
from securemem.ledger.moves import Move
from securemem.model import ResidueKind
from securemem.residue import Lasting, latest
from tests.conftest import FakeClock

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
STATED = Lasting(backups=35 * DAY, memory=7 * DAY)
COPY = Residue("data", "an archive", kind=ResidueKind.COPY)
FREED = Residue("data", "freed memory", kind=ResidueKind.MEMORY)
KEK = Residue("kms", "backups of the keystore", kind=ResidueKind.COPY)
CACHED = Residue("process", "cached keys", NOW + timedelta(minutes=5))


def _dates(*residue: Residue, lasting: Lasting = STATED) -> list[datetime | None]:
    return [each.until for each in lasting.dated(residue, NOW)]


def test_the_operators_statement_dates_copies_and_memory() -> None:
    """Copies and freed memory end as the operator states, from the deletion on, and the residue says whose word."""
    assert _dates(COPY, FREED, KEK, CACHED) == [NOW + 35 * DAY, NOW + 7 * DAY, NOW + 35 * DAY, CACHED.until]
    for before, after in zip((COPY, FREED), STATED.dated([COPY, FREED], NOW), strict=True):
        assert after.what == f"{before.what} (the date is the operator's statement)"
    assert _dates(COPY, lasting=Lasting(backups=timedelta(0))) == [NOW]


def test_what_nobody_states_has_no_date() -> None:
    """Without a statement about backups copies have none, without one about memory that has none; no word is added."""
    assert _dates(COPY, FREED, lasting=Lasting(memory=DAY)) == [None, NOW + DAY]
    assert _dates(COPY, FREED, lasting=Lasting(backups=DAY)) == [NOW + DAY, None]
    assert Lasting().dated([COPY, FREED, KEK, CACHED], NOW) == [COPY, FREED, KEK, CACHED]


def test_a_stores_own_word_stands() -> None:
    """A date that a store gives stays, and what lies in the store without one is not the operator's to date."""
    told = Residue("data", "an archive", NOW + DAY, ResidueKind.COPY)
    left = Residue("keystore", "a locked file")
    assert STATED.dated([told, left], NOW) == [told, left]


def test_a_copy_ages_from_when_its_store_is_clean() -> None:
    """A copy made while something is left in the store holds that too: it begins then, and has no date without one."""
    dated, undated = Residue("data", "the log", NOW + DAY), Residue("keystore", "a locked file")
    assert _dates(COPY, dated, KEK) == [NOW + 36 * DAY, NOW + DAY, NOW + 35 * DAY]
    assert _dates(COPY, undated, KEK) == [NOW + 35 * DAY, None, None]
    assert _dates(COPY, dated, Residue("data", "a large table")) == [None, NOW + DAY, None]


def test_of_several_servers_the_last_counts() -> None:
    """What several servers have left is named once, until the last is past it; one without a date leaves none."""
    one, later = Residue("data", "the snapshot", NOW), Residue("data", "the snapshot", NOW + DAY)
    assert latest([one, COPY, later, one]) == [later, COPY]
    assert latest([one, Residue("data", "the snapshot"), later]) == [Residue("data", "the snapshot")]


def test_a_moves_copies_age_from_its_end() -> None:
    """Copies at a server that a tenant has left begin to age when it was cleaned, and are named until they are gone."""
    log = Residue("data", "kept log", kind=ResidueKind.COPY)
    move = Move(1, b"t", "one", "two", NOW - 9 * DAY, cleaned_at=NOW - 2 * DAY, residue=(log,))
    assert [each.until for each in move.left(NOW, STATED)] == [NOW + 33 * DAY] * 2
    assert move.left(NOW + 33 * DAY, STATED) == []
    assert [each.until for each in move.left(NOW, Lasting())] == [None, None]
    under_way = Move(1, b"t", "one", "two", NOW - 9 * DAY)
    assert [each.until for each in move.left(NOW, STATED)] != [each.until for each in under_way.left(NOW, STATED)]
    assert _dates(*under_way.left(NOW, STATED)) == [None, None]


@asynccontextmanager
async def _open(url: str | None, **options: Any) -> AsyncIterator[SecureMemory]:
    async with SecureMemory.open(url, **options) as memory:
        await memory.session("s", user_id="alice").add("user", "hello")
        yield memory


async def _erased(url: str | None, **options: Any) -> Receipt:
    async with _open(url, **options) as memory:
        return await memory.erase_user("alice")


@pytest.mark.parametrize("days", [35, 0.5, 0])
async def test_a_receipts_horizon_is_the_latest_date(file_url: str, clock: FakeClock, days: float) -> None:
    """With a statement about backups a receipt has a horizon, the latest date in it, which is signed."""
    receipt = await _erased(file_url, clock=clock, backup_days=days)
    dates = {left.store: left.until for left in receipt.residue}
    process = dates["process"]
    assert process is not None
    assert dates == {"kms": clock.now + timedelta(days=days), "process": process}
    assert receipt.horizon == max(clock.now + timedelta(days=days), process)
    assert receipt.statement["horizon"] == receipt.horizon.isoformat()


async def test_one_unknown_date_leaves_no_horizon(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one residue has no date there is no horizon, whatever the operator states of copies."""

    async def purge(_: object, __: float) -> list[Residue]:
        return [Residue("data", "a locked file")]

    monkeypatch.setattr("securemem.backends.sqlite.SqliteBackend.purge", purge)
    receipt = await _erased(file_url, clock=clock, backup_days=35, memory_days=35)
    assert receipt.horizon is None
    assert {left.store for left in receipt.residue if left.until is None} == {"data"}


async def test_it_is_stated_in_every_place(file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL is stronger than the argument, that than the variable, and that than the file; 0 counts as stated."""

    async def days(url: str | None, **options: Any) -> float:
        horizon = (await _erased(url, clock=clock, **options)).horizon
        assert horizon is not None
        return (horizon - clock.now) / DAY

    Path("securemem.toml").write_text(f'url = "{file_url}"\nbackup_days = 40\n')
    assert await days(None) == 40
    monkeypatch.setenv("SECUREMEM_BACKUP_DAYS", "30.5")
    assert await days(None) == 30.5
    assert await days(None, backup_days=20) == 20
    assert await days(None, backup_days=0) < 1
    assert await days(f"{file_url}?backup_days=10", backup_days=20) == 10


@pytest.mark.parametrize("days", [-1, float("nan"), float("inf"), 36_501, 10**400, True, "soon", "", "1_0d"])
@pytest.mark.parametrize("name", ["backup_days", "memory_days"])
def test_days_that_are_none(file_url: str, name: str, days: Any) -> None:
    """They are refused by name, before anything is opened."""
    with pytest.raises(InvalidInputError, match=f"{name} has to be a number of days, from 0 to 36500"):
        SecureMemory.open(file_url, **{name: days})


def test_the_command_prints_the_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """`user erase` says by whose word a date is, and the horizon; without one, that the operator alone can tell."""
    arguments = ["user", "erase", "alice", "--yes", "--url", "sqlite:///store.db"]
    CliRunner().invoke(app, ["init", "--url", "sqlite:///store.db"])

    async def write() -> None:
        async with _open("sqlite:///store.db"):
            pass

    for stated in ("", "35"):
        asyncio.run(write())
        if stated:
            monkeypatch.setenv("SECUREMEM_BACKUP_DAYS", stated)
        said = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"}).stdout
        assert ("the operator's statement" in said) == bool(stated)
        assert ("none yet: the operator alone can tell" in said) == (not stated)
    asyncio.run(write())
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert document["receipt"]["horizon"] == max(left["until"] for left in document["receipt"]["residue"])
