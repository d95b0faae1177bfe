"""The benchmarks: their options, what they print, and that every store in them keeps what it is given."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity, peers, peers_report, processes, report, server_places, servers, work
from benchmarks.peer import CONTENDERS, Contender, OurPeer, WrongAnswerError, check, open_our_peer
from benchmarks.peers_process import FULL, LENGTHS, OURS, sessions_of
from benchmarks.report import Figure
from benchmarks.server_fence import open_fenced
from benchmarks.server_places import BACKENDS, POSTGRESQL, new_place, open_ours, size_of
from benchmarks.server_stores import open_raw
from benchmarks.stores import PLENTY, Store
from benchmarks.texts import Corpus
from benchmarks.timing import Measured, alone, interleave
from securemem import SecureMemory
from securemem.testing.servers import PostgresServer, RedisServer

ROOT = Path(__file__).parents[1]
CORPUS = Corpus(count=100)


@pytest.fixture
def places(
    monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer, redis_server: RedisServer
) -> Iterator[None]:
    """Name the servers as a run does, and see that nothing is left on them."""
    monkeypatch.setenv("BENCHMARKS_POSTGRES_URL", postgres_server.admin_url())
    monkeypatch.setenv("BENCHMARKS_REDIS_URL", redis_server.url)
    redis_server.flush()
    yield
    with redis_server.client() as client:
        assert not client.dbsize()


def contents(loaded: object) -> list[str]:
    """Give the texts in what any store's `load` gave."""
    assert isinstance(loaded, list)
    return [each["content"] if isinstance(each, dict) else each.content for each in loaded]


async def fill(store: Store, number: int, turns: int) -> list[str]:
    """Append turns to a session, and give all that was said."""
    for turn in range(turns):
        await store.append(number, CORPUS.pair(turn))
    return [content for _, content in CORPUS.run(0, 2 * turns)]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("core", "--processes"),
        ("servers", "--processes"),
        ("peers", "--processes"),
        ("capacity", "--people"),
        ("retention", "--rate"),
        ("agent", "--processes"),
        ("linkage", "--candidates"),
    ],
)
def test_every_benchmark_says_what_it_takes(command: str, option: str) -> None:
    """Its options are there to be read in an environment without the extra `bench`."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert option in done.stdout


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (460, "460 B"), (1_390, "1.39 kB"), (8.05e6, "8.05 MB"), (4.6e12, "4.6 TB")]
)
def test_bytes_in_words(count: float, text: str) -> None:
    """Three figures and a unit."""
    assert capacity.in_bytes(count) == text


def test_capacity_is_linear() -> None:
    """Twice the people need twice of everything."""
    costs = capacity.Costs(**dict.fromkeys((field.name for field in dataclasses.fields(capacity.Costs)), 1e-3))
    parser = argparse.ArgumentParser()
    capacity.add_arguments(parser)
    one, two = (capacity.needed(costs, parser.parse_args(["--people", str(people)])) for people in (1_000, 2_000))
    assert (one["messages"], two["messages"]) == ("1,000,000", "2,000,000")
    assert (one["data in PostgreSQL"], two["data in PostgreSQL"]) == (
        "1 kB and 10 B of heads",
        "2 kB and 20 B of heads",
    )


@pytest.mark.parametrize(("least", "compared", "passes"), [(False, 2.1, False), (False, 1.9, True), (True, 2.1, True)])
def test_a_bar_is_an_upper_or_a_lower_one(least: bool, compared: float, passes: bool) -> None:  # noqa: FBT001
    """`least` turns it round."""
    figure = Figure(key="any", what="any", beside="any", unit="µs", bar=2.0, least=least)
    assert figure.passes(Measured(1.0, 1.0, compared)) is passes


def test_a_missed_bar_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The table says MISS beside the figure and the bar."""
    figure = Figure(key="load", what="load", beside="raw", unit="µs", bar=100, least=True)
    report.show("title", [figure], {"load": Measured(1.0, 99.0, 99.0)})
    printed = capsys.readouterr().out
    assert "≥ 100" in printed
    assert "MISS" in printed


async def test_times_is_how_often_ours_goes_into_theirs() -> None:
    """Ours comes first and the ratio is theirs to ours."""
    variants = {
        "ours": alone(lambda _: asyncio.sleep(0.001), operations=3),
        "theirs": alone(lambda _: asyncio.sleep(0.02), operations=3),
    }
    ours, theirs, times = (await interleave(variants, rounds=3, rng=random.Random(1))).times("ours", "theirs")
    assert theirs > ours
    assert 5 < times < 25


def test_only_figures_that_were_taken_are_shown() -> None:
    """Row level security is none of Redis, and its figures have no row there."""
    taken = {"redis.load", "postgresql.load", "postgresql.append_fenced"}
    assert [(figure.key, figure.bar) for figure in servers.figures_of("redis", taken)] == [("redis.load", 1.4)]
    assert [figure.key for figure in servers.figures_of("postgresql", taken)] == [
        "postgresql.append_fenced",
        "postgresql.load",
    ]


def test_a_package_that_is_not_there_is_named_so() -> None:
    """The facts of a run do not need every package."""
    facts = processes.machine("securemem", "no-such-package")
    assert facts["no-such-package"] == "absent"
    assert facts["securemem"] != "absent"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_peers_table_names_who_was_run_and_who_was_not(
    backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every peer has its row, every missing one its reason, and what was done seldom is said."""
    monkeypatch.setenv("COLUMNS", "200")
    whats = ["append", "load", "turn", "turns", *(f"{o}@{n}" for o in ("append", "load") for n in LENGTHS)]
    keys = [contender.key for contender in CONTENDERS[backend]]
    medians = {f"{backend}.{key}.{what}": Measured(100.0, 400.0, 4.0) for key in (OURS, *keys) for what in whats}
    medians[f"{backend}.{keys[0]}.load@10000"] = Measured(100.0, 2e6, 20_000.0)
    peers_report.show(backend, keys, medians, scale=FULL, processes=3)
    peers_report.show_notes({"somebody": "not installed"}, facts={})
    printed = capsys.readouterr().out
    for contender in CONTENDERS[backend]:
        assert contender.name in printed
    assert "x 20,000 *" in printed
    assert "not run: somebody: not installed" in printed


def test_sessions_of_different_lengths_are_different_sessions() -> None:
    """No session is filled twice, and a long one stands alone."""
    numbers = [number for length in LENGTHS for number in sessions_of(length)]
    assert len(numbers) == len(set(numbers))
    assert len(sessions_of(LENGTHS[-1])) == 1


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_peer_that_is_not_installed_has_its_reason(backend: str) -> None:
    """Its import fails when it is tried, and nothing else does."""
    absent = Contender("absent", "Absent", "benchmarks.no_such_peer:open_it")
    assert await peers._obstacle(backend, absent) == "ModuleNotFoundError: No module named 'benchmarks.no_such_peer'"


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("keep", [None, 30])
async def test_raw_and_ours_give_the_same_window(backend: str, keep: int | None, tmp_path: Path) -> None:
    """What is timed side by side does the same work, trimmed or not."""
    async with (
        new_place(backend) as one,
        new_place(backend) as other,
        open_raw(one, keep=keep, ttl=3600.0) as raw,
        open_ours(other, tmp_path, max_messages=keep or PLENTY, ttl=3600.0) as ours,
    ):
        for store in (raw, ours):
            said = await fill(store, 1, turns=30)
            assert contents(await store.load(1)) == said[-20:]
        assert await size_of(one) > 0
        assert await size_of(other) > 0


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ttl", [0.3, 3600.0])
async def test_raw_messages_end(backend: str, ttl: float) -> None:
    """What carries an end is not read after it; before, it is."""
    async with new_place(backend) as place, open_raw(place, ttl=ttl) as raw:
        await raw.append(1, CORPUS.pair(0))
        assert len(contents(await raw.load(1))) == 2
        await asyncio.sleep(0.4)
        assert len(contents(await raw.load(1))) == (2 if ttl > 1 else 0)


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("backend", BACKENDS)
async def test_our_store_passes_the_check_of_peers(backend: str, tmp_path: Path) -> None:
    """What was stored comes back, newest twenty, in order."""
    async with new_place(backend) as place, open_our_peer(place, tmp_path) as ours:
        await check(ours, CORPUS, 1)


class Muddled(OurPeer):
    """A peer that does not keep the order."""

    def texts(self, loaded: Any) -> list[str]:
        """Give the texts the wrong way round."""
        return super().texts(loaded)[::-1]


async def test_a_peer_that_muddles_is_not_timed() -> None:
    """The check of peers goes by the order too."""
    async with SecureMemory.open("memory://") as memory:
        with pytest.raises(WrongAnswerError):
            await check(Muddled(memory), CORPUS, 1)


@pytest.mark.usefixtures("places")
async def test_the_fenced_store_is_fenced(tmp_path: Path) -> None:
    """It works as the role that owns nothing, and its own check finds rows that the role alone does not see."""
    async with new_place(POSTGRESQL) as place, open_fenced(place, tmp_path, max_messages=40, ttl=60.0) as ours:
        said = await fill(ours, 1, turns=2)
        assert contents(await ours.load(1)) == said


@pytest.mark.usefixtures("places")
async def test_an_empty_fenced_store_shows_nothing(tmp_path: Path) -> None:
    """The check wants rows to be there: with none it could not fail."""
    with pytest.raises(RuntimeError, match="row level security does not hold"):
        async with new_place(POSTGRESQL) as place, open_fenced(place, tmp_path, max_messages=40, ttl=60.0):
            assert place.backend == POSTGRESQL


def test_the_rounds_of_workers_reach_every_session() -> None:
    """A stride that is no divisor: no session is left out, whatever their number."""
    for sessions in (1, 4, 40, 200, 256):
        assert {work.session_of(number, sessions) for number in range(sessions)} == set(range(sessions))


def test_processes_are_told_no_url() -> None:
    """A command line shows the passwords in it to everybody."""
    options = argparse.ArgumentParser()
    server_places.add_arguments(options)
    given = options.parse_args(["--backend", "redis", "--redis", "redis://:secret@host:6379"])
    assert server_places.passed_on(given) == ["--backend", "redis"]


def test_without_the_test_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package of the extra is missing, what to install is said instead of a traceback."""
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SystemExit, match=r"need the package asyncpg: run `pip install"):
        runpy.run_module("benchmarks", run_name="__main__")
