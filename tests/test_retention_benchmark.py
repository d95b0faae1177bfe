"""The retention benchmark: what it fills stores with, what it times, and how it counts that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import retention, retention_chat, retention_plan, retention_worker
from benchmarks.retention_chat import Expired
from benchmarks.retention_stores import GOING, MEMORY, SQLITE, STAYING, fill_expired, messages, new_home
from benchmarks.retention_worker import Passed
from benchmarks.server_places import BACKENDS
from benchmarks.texts import Corpus
from securemem import lane, sqlitefile
from securemem.testing.servers import PostgresServer, RedisServer

CORPUS = Corpus(count=100)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer, redis_server: RedisServer) -> None:
    """Name the servers as a run does."""
    monkeypatch.setenv("BENCHMARKS_POSTGRES_URL", postgres_server.admin_url())
    monkeypatch.setenv("BENCHMARKS_REDIS_URL", redis_server.url)


@pytest.fixture
def _untimed() -> Iterator[None]:
    """Give the transactions of this process back as they were."""
    yield
    sqlitefile.in_transaction = lane.in_transaction  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "stays"), [(0, 0), (1, STAYING), (2, STAYING)])
def test_every_session_has_as_many_messages_past_their_time(number: int, stays: int) -> None:
    """Whichever third it belongs to: forty, and those that stay lie behind them or between them."""
    made = messages(CORPUS, number)
    going = [bool(message.metadata) for message in made]
    assert going.count(True) == GOING
    assert going.count(False) == stays
    if stays:
        assert (going[0], going[-1]) == ((True, False) if number == 1 else (False, True))


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", [SQLITE, *BACKENDS])
async def test_a_pass_takes_out_what_was_filled_in_and_nothing_else(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, while others chat; `measure` looks afterwards."""
    monkeypatch.setattr(retention_chat, "SESSIONS", 4)
    monkeypatch.setattr(retention_chat, "SHARES", 2)
    monkeypatch.setattr(retention_chat, "LEAST_IDLE_SECONDS", 0.5)
    found = await retention_chat.measure(backend, tmp_path / "store", 6, rate=400)
    assert found.passed.records == 6 * GOING
    assert found.passed.done
    assert found.idle
    assert bool(found.passed.locks) is (backend == SQLITE)


@pytest.mark.usefixtures("_untimed")
async def test_the_lock_is_timed_on_the_data_alone(tmp_path: Path) -> None:
    """Neither the keystore's transactions nor reads are counted."""
    times: list[retention_worker.Lock] = []
    async with new_home(SQLITE, tmp_path / "store") as home:
        await fill_expired(home, CORPUS, 3)
        retention_worker.time_locks(str(home.folder / "data.db"), times.append)
        async with home.open() as memory:
            times.clear()
            await memory.session("one").history()
            assert not times
            await memory.session("one").add("user", "hello")
            assert len(times) == 1
            keystore = sqlite3.connect(home.folder / "keys.db")
            assert keystore.execute("SELECT count(*) FROM sessions").fetchone() == (4,)
            keystore.close()


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", [SQLITE, MEMORY, *BACKENDS])
async def test_plans_count_all_records(backend: str, tmp_path: Path) -> None:
    """`measure` refuses a plan that counts others than were filled in."""
    assert len(await retention_plan.measure(backend, tmp_path / "store", 1000)) == retention_plan.REPEATS


def test_figures_have_their_bars() -> None:
    """The lock of SQLite, the turns of the servers."""
    passed = Passed(
        records=10,
        seconds=2.0,
        locks=[retention_worker.Lock(0.003, 0.001), retention_worker.Lock(0.001, 0.001)],
        done=True,
    )
    found = Expired(idle=[0.001] * 100, busy=[0.002] * 100, passed=passed)
    taken = {
        f"{name}.{key}": value for name in (SQLITE, "redis") for key, value in retention.expired(name, found).items()
    }
    bars = {figure.key: (figure.bar, figure.passes(taken[figure.key])) for figure in retention.figures_of(taken)}
    assert bars == {
        "sqlite.pass": (None, True),
        "sqlite.lock": (250, True),
        "sqlite.longest": (5, True),
        "sqlite.worked": (None, True),
        "sqlite.p50": (None, True),
        "sqlite.p99": (None, True),
        "redis.pass": (None, True),
        "redis.p50": (None, True),
        "redis.p99": (1.5, False),
    }
    assert taken["sqlite.lock"].ours == pytest.approx(4.0)
