"""A ledger's backup is a ledger, and is put where there is none, all of it at once; on each kind of place."""

from __future__ import annotations

from pathlib import Path

import pytest

from securemem import ConfigurationError
from securemem.ledger.acts import Act, ActKind
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.holds import Holds
from securemem.ledger.store import Ledger

from .acts import DEPLOYMENT, PERSON, TENANT, begin


async def _fill(ledger: Ledger) -> None:
    act = await begin(ledger, ActKind.ERASE, b"s" * 16, b"t" * 16)
    await ledger.finish(act.counter, at=2000, receipt={"a": 1})
    await begin(ledger, ActKind.CLEAR, b"u" * 16)
    await Holds(ledger, TENANT).place(PERSON, None, reason="CASE-1", at=3000)
    await Audit(ledger).write(
        *(Event(EventKind.HOLD, TENANT, PERSON, None, b"p" * 32, at, records=at + 1) for at in range(2500))
    )


async def _everything(ledger: Ledger) -> list[object]:
    holds, audit = Holds(ledger, TENANT), Audit(ledger)
    acts: list[Act] = await ledger.acts()
    return [await ledger.peek(), acts, await ledger.acts(unfinished=True), await holds.active(), await audit.events()]


@pytest.fixture(params=["file", "postgres"])
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a place for a ledger beside the one that is copied."""
    if request.param == "file":
        return str(tmp_path / "copied.db")
    url: str = request.getfixturevalue("postgres_url")
    return f"{url}{'&' if '?' in url else '?'}schema=copied"


async def test_a_copy_is_put_where_there_is_none(ledger: Ledger, copied: str, tmp_path: Path) -> None:
    """Whatever kind of place it comes from and goes to, every row is there, and numbers go on above those there are."""
    await _fill(ledger)
    path = tmp_path / "backup.db"
    await ledger.backup(path)
    assert path.stat().st_mode & 0o777 == 0o600
    there = Ledger(copied)
    await there.adopt(DEPLOYMENT, path)
    assert not path.exists()
    assert await _everything(there) == await _everything(ledger)
    assert (await begin(there, ActKind.CLEAR)).counter == (await ledger.acts())[-1].counter + 1
    await Audit(there).write(Event(EventKind.RELEASE, TENANT, PERSON, None, b"p" * 32, 1))
    assert len(await Audit(there).events()) == 2501
    await there.aclose()


async def test_a_copy_is_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """It opens as one in a file."""
    await _fill(ledger)
    await ledger.backup(tmp_path / "backup.db")
    copy = Ledger(str(tmp_path / "backup.db"))
    await copy.create(DEPLOYMENT)
    assert await _everything(copy) == await _everything(ledger)
    await copy.aclose()


async def test_where_a_copy_is_not_put(ledger: Ledger, copied: str, place: str, tmp_path: Path) -> None:
    """Not onto a ledger, nor one of another deployment, nor what is no ledger; what is there stays."""
    await _fill(ledger)
    before = await _everything(ledger)
    path = tmp_path / "backup.db"
    await ledger.backup(path)
    again, there = Ledger(place), Ledger(copied)
    with pytest.raises(ConfigurationError):
        await again.adopt(DEPLOYMENT, path)
    with pytest.raises(ConfigurationError, match="deployment"):
        await there.adopt(b"another's number", path)
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no ledger"):
        await there.adopt(DEPLOYMENT, path)
    assert await there.peek() is None
    assert await _everything(ledger) == before
    await again.aclose()
    await there.aclose()


async def test_memory_is_not_copied(tmp_path: Path) -> None:
    """What is gone with the process has no backup, and takes none over."""
    ledger = Ledger(":memory:")
    await ledger.create(DEPLOYMENT)
    for call in (ledger.backup(tmp_path / "a.db"), ledger.adopt(DEPLOYMENT, tmp_path / "a.db")):
        with pytest.raises(ConfigurationError, match="memory"):
            await call
    await ledger.aclose()
