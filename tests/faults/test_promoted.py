"""A PostgreSQL primary is killed and its standby promoted: by a URL that names both, all go on by themselves.

Replication is synchronous, as it has to be where nothing that was acknowledged may be lost. Where it is not, whoever
saw what was lost is told by a `ReorderedError`, and never given a history with a silent gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from securemem import ReorderedError, SecureMemory, UserRestrictedError
from securemem.backends.postgres import PostgresBackend
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import PostgresServer, wait_until
from securemem.testing.servers.postgres import execute, fetch_value, run_blocking
from securemem.testing.servers.replica import PostgresReplica

from .store import Writer, at_port, check, check_refused, open_store, texts, with_options

pytestmark = pytest.mark.servers

OWN, SHARED = 6, 3
PATIENCE: dict[str, float | str] = {"target_session_attrs": "read-write", "timeout": 2, "patience": 30}
SENDERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"


class Pair(NamedTuple):
    """A primary and its standby, and one database on both."""

    primary: PostgresServer
    standby: PostgresReplica
    database: str

    @property
    def url(self) -> str:
        """The URL that names both, the primary first."""
        return self.by(self.primary.port)

    @property
    def new(self) -> str:
        """The URL of the one that takes over."""
        return at_port(self.database, self.standby.port)

    def by(self, port: int) -> str:
        """Give the URL that names what is at a port in the primary's place, and the standby."""
        both = at_port(self.database, port).replace(f":{port}/", f":{port},127.0.0.1:{self.standby.port}/")
        return with_options(both, **PATIENCE)

    def wait_for_the_standby(self, names: str) -> None:
        """Let every commit wait for the standbys of these names, `*` for any; none if empty."""
        admin = self.primary.admin_url()
        run_blocking(execute(admin, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'"))
        run_blocking(execute(admin, "SELECT pg_reload_conf()"))
        wanted, query = "sync" if names else "async", "SELECT sync_state FROM pg_stat_replication"
        wait_until(lambda: run_blocking(fetch_value(admin, query)) == wanted, f"replication is {wanted}")

    def wait_for_rows(self, count: int) -> None:
        """Wait until so many rows can be read on the standby."""
        query = "SELECT count(*) FROM messages"
        wait_until(lambda: run_blocking(fetch_value(self.new, query)) == count, "the standby has all rows")

    def cut_off(self) -> None:
        """Let the standby hear nothing more: what is on its way to it would reach it also after the primary's end."""
        self.standby.pause()
        run_blocking(execute(self.primary.admin_url(), SENDERS))

    def take_over(self) -> None:
        """Kill the primary, and promote what is left."""
        self.primary.kill()
        self.standby.resume()
        self.standby.promote()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Give a primary that acknowledges nothing which its standby has not got, and that standby."""
    with PostgresServer() as primary, PostgresReplica(primary) as standby:
        pair = Pair(primary, standby, primary.create_database())
        pair.wait_for_the_standby("*")
        standby.catch_up()
        yield pair


async def _with_pauses(writer: Writer, over: asyncio.Event) -> None:
    """Append until it is over, and let others who write to the same session have their turns."""
    while not over.is_set():
        await writer.add()
        await asyncio.sleep(0.05)


async def _each_has_said(more: int, writers: list[Writer]) -> None:
    """Wait until each writer was acknowledged so many more."""
    wanted = [(writer, len(writer.said) + more) for writer in writers]
    await asyncio.to_thread(
        wait_until, lambda: all(len(writer.said) >= count for writer, count in wanted), "each writer got its turns"
    )


async def test_in_mid_append(pair: Pair, tmp_path: Path) -> None:
    """When the primary is killed in mid-append all writers wait for the standby and go on: nothing fails or is lost."""
    async with open_store(pair.url, tmp_path) as one, open_store(pair.url, tmp_path) as two:
        own = [Writer(one, f"w{number}") for number in range(OWN)]
        together = [Writer((one, two)[number % 2], f"s{number}", "shared") for number in range(SHARED)]
        writers, over = own + together, asyncio.Event()
        work = asyncio.gather(
            *(writer.add_until(over) for writer in own), *(_with_pauses(writer, over) for writer in together)
        )
        await _each_has_said(3, writers)
        await asyncio.to_thread(pair.primary.kill)
        await asyncio.sleep(1.0)
        before = sum(len(writer.said) for writer in writers)
        await asyncio.sleep(0.2)
        assert sum(len(writer.said) for writer in writers) == before, "appends go on without a primary"
        await asyncio.to_thread(pair.standby.promote)
        await _each_has_said(3, writers)
        over.set()
        await work
        assert [str(error) for writer in writers for error in writer.errors] == []
        assert not any(writer.failed for writer in writers)
        assert min(writer.longest for writer in writers) > 0.8, "somebody was not held up: no failover was needed"
    await check(pair.new, tmp_path, writers)


async def test_answers_that_died_with_the_primary(pair: Pair, tmp_path: Path, settled: list[bool]) -> None:
    """Appends that were replicated but never acknowledged are found made by the new primary, and not made again."""
    async with FaultProxy("127.0.0.1", pair.primary.port) as proxy:
        # One connection: it knows the statement already, whose reply is held as well.
        async with open_store(with_options(pair.by(proxy.port), pool_size=1), tmp_path) as memory:
            writers = [Writer(memory, f"w{number}") for number in range(OWN)]
            await asyncio.gather(*(writer.add() for writer in writers))
            proxy.replies.hold()
            work = asyncio.gather(*(writer.add() for writer in writers))
            await asyncio.to_thread(pair.wait_for_rows, 2 * OWN)
            proxy.refuse()
            proxy.cut()
            await asyncio.to_thread(pair.take_over)
            await work
            assert settled == [True] * OWN
            assert [list(writer.said) for writer in writers] == [[1, 2]] * OWN
        await check(pair.new, tmp_path, writers)


async def test_appends_that_died_with_the_primary(pair: Pair, tmp_path: Path, settled: list[bool]) -> None:
    """Appends that waited for the standby when both were parted are acknowledged once the new primary has them."""
    async with open_store(pair.url, tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(OWN)]
        await asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.to_thread(pair.cut_off)
        work = asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.sleep(0.3)
        assert not work.done()
        assert [len(writer.said) for writer in writers] == [1] * OWN, "acknowledged without the standby"
        await asyncio.to_thread(pair.take_over)
        await work
        assert True not in settled
        assert [list(writer.said) for writer in writers] == [[1, 2]] * OWN
    await check(pair.new, tmp_path, writers)


async def test_what_was_not_replicated_is_not_hidden(pair: Pair, tmp_path: Path) -> None:
    """Control: without synchronous replication an acknowledged append is lost, and who saw it is told."""
    pair.wait_for_the_standby("")
    async with open_store(pair.url, tmp_path) as memory:
        writer = Writer(memory, "only")
        await writer.add()
        await asyncio.to_thread(pair.standby.catch_up)
        await asyncio.to_thread(pair.cut_off)
        await writer.add()
        assert list(writer.said) == [1, 2]
        await asyncio.to_thread(pair.take_over)
        with pytest.raises(ReorderedError, match="rolled back"):
            await memory.session("only").history()
        with pytest.raises(ReorderedError, match="rolled back"):
            await writer.add()
    with pytest.raises(ReorderedError):
        await check(pair.new, tmp_path, [writer])


async def test_an_old_primary_that_comes_back(pair: Pair, tmp_path: Path) -> None:
    """A primary that was thought dead and is named first again is refused by who has seen more, reader and writer."""
    async with open_store(pair.url, tmp_path) as memory:
        writer = Writer(memory, "only")
        await writer.add()
        await asyncio.to_thread(pair.take_over)
        await writer.add()
    await asyncio.to_thread(pair.primary.start)
    async with open_store(pair.url, tmp_path) as memory:
        for use in (memory.session("only").history(), memory.session("only").add("user", "on top of a gap")):
            with pytest.raises(ReorderedError):
                await use
    await check(pair.new, tmp_path, [writer])


async def _hold_without_the_standby(pair: Pair, placing: SecureMemory) -> None:
    """Place a hold on what is on both servers, of which the standby never hears before it takes over."""
    pair.wait_for_the_standby("")
    await placing.session("held").add("user", "evidence")
    await asyncio.to_thread(pair.standby.catch_up)
    await asyncio.to_thread(pair.cut_off)
    await placing.holds.place("held", reason_code="court")
    await asyncio.to_thread(pair.take_over)


async def test_a_hold_that_a_failover_undid(pair: Pair, tmp_path: Path) -> None:
    """Whoever has the store open is refused, who placed it and another; who opens it anew places it."""
    async with open_store(pair.url, tmp_path) as placing, open_store(pair.url, tmp_path) as other:
        await texts(other, "held")
        await _hold_without_the_standby(pair, placing)
        await check_refused(pair.url, tmp_path, placing, other)


async def test_a_failover_while_a_hold_is_placed(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that the new primary lacks, and that count as it does, are set once more before the hold is through."""
    persist, over = PostgresBackend.persist, iter([True])

    async def replaced(backend: PostgresBackend, seconds: float) -> None:
        await persist(backend, seconds)
        if next(over, False):
            await asyncio.to_thread(pair.take_over)

    async with open_store(pair.url, tmp_path) as memory:
        pair.wait_for_the_standby("")
        for session in ("one", "two"):
            await memory.session(session, user_id="alice").add("user", "evidence")
        await asyncio.to_thread(pair.standby.catch_up)
        await asyncio.to_thread(pair.cut_off)
        monkeypatch.setattr(PostgresBackend, "persist", replaced)
        await memory.holds.place(user_id="alice", reason_code="court")
    async with open_store(pair.url, tmp_path) as memory:
        for session in ("one", "two"):
            with pytest.raises(UserRestrictedError):
                await memory.session(session, user_id="alice").history()


async def test_where_nobody_looks_it_is_hidden(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: unseen, what was held is read by who has the store open and did not place it."""
    monkeypatch.setattr(PostgresBackend, "hold_against", lambda _, __: None)
    async with open_store(pair.url, tmp_path) as placing, open_store(pair.url, tmp_path) as other:
        await texts(other, "held")
        await _hold_without_the_standby(pair, placing)
        assert await texts(other, "held") == ["evidence"]
