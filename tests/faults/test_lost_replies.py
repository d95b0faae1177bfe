"""Replies are lost, cut in half or late: every append is made exactly once, every load is whole."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from securemem import Message
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.servers import PostgresServer

from .store import Writer, check, faulty, few_connections, open_store, with_options

pytestmark = pytest.mark.servers

SEED = 20_261
FEW = [40, pytest.param(1000, marks=pytest.mark.soak)]


def _strike(proxy: FaultProxy, chance: random.Random) -> None:
    """Let one fault happen to what is sent next."""
    kind = chance.randrange(5)
    if kind < 2:
        proxy.replies.cut_after(0)
    elif kind == 2:
        proxy.replies.cut_after(chance.randrange(1, 60))
    elif kind == 3:
        proxy.requests.cut_after(chance.randrange(400))
    else:
        proxy.cut(reset=chance.random() < 0.5)


@pytest.mark.parametrize("appends", FEW)
async def test_lost_replies_alone(appends: int, data_url: str, tmp_path: Path, settled: list[bool]) -> None:
    """Where every second append loses its request, its reply or half of one, each is made exactly once."""
    chance = random.Random(SEED)
    async with faulty(data_url) as (proxy, url), open_store(url, tmp_path) as memory:
        writer = Writer(memory, "only")
        await writer.add()
        for number in range(appends):
            proxy.heal()
            if number % 2:
                _strike(proxy, chance)
            await writer.add()
        assert not writer.failed
        assert proxy.accepted > appends // 4
    assert settled.count(True) >= appends // 8, "too few replies were lost for this to show anything"
    await check(data_url, tmp_path, [writer])


@pytest.mark.parametrize("strikes", [15, pytest.param(500, marks=pytest.mark.soak)])
async def test_lost_replies_in_a_crowd(strikes: int, data_url: str, tmp_path: Path, settled: list[bool]) -> None:
    """Sixteen sessions that append at once, in batches, through a line that fails, lose and double nothing."""
    chance = random.Random(SEED)
    async with faulty(data_url) as (proxy, url), open_store(url, tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(16)]

        over = asyncio.Event()
        work = asyncio.gather(*(writer.add_until(over) for writer in writers))
        for _ in range(strikes):
            await asyncio.sleep(chance.uniform(0.05, 0.12))
            _strike(proxy, chance)
        await asyncio.sleep(0.1)
        over.set()
        await work
        assert proxy.accepted > strikes // 2
        assert not any(writer.failed for writer in writers)
    assert True in settled
    await check(data_url, tmp_path, writers)


async def test_swallowed_replies(data_url: str, tmp_path: Path, settled: list[bool]) -> None:
    """Replies that never come, on connections that stay open, are waited for no longer than `timeout`, and settled."""
    async with faulty(data_url) as (proxy, url), open_store(with_options(url, timeout=0.2), tmp_path) as memory:
        writers = [Writer(memory, f"w{number}") for number in range(16)]
        for _ in range(4):  # so that statements are prepared, and what is swallowed is the answer to a change
            await asyncio.gather(*(writer.add() for writer in writers))
        proxy.replies.swallow()
        adds = asyncio.gather(*(writer.add() for writer in writers))
        await asyncio.sleep(0.1)
        proxy.replies.heal()  # what was swallowed stays lost
        await adds
        assert not any(writer.failed for writer in writers)
    assert settled.count(True) >= 1
    await check(data_url, tmp_path, writers)


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.soak)])
async def test_loads_cut_in_half(rounds: int, data_url: str, tmp_path: Path) -> None:
    """A load whose reply is cut anywhere is made again, and whole."""
    chance = random.Random(SEED)
    texts = [f"{number}:" + "x" * 200 for number in range(100)]
    async with open_store(data_url, tmp_path) as memory:
        await memory.session("s").add_many([Message("user", text) for text in texts])
    async with faulty(data_url) as (proxy, url), open_store(url, tmp_path) as memory:
        for _ in range(rounds):
            chat = memory.session("s")
            assert len(await chat.history(limit=1)) == 1
            before, passed = proxy.accepted, proxy.replies.passed
            await chat.history(limit=100)
            whole = proxy.replies.passed - passed
            proxy.replies.cut_after(chance.randrange(whole))
            assert [message.content for message in await chat.history(limit=100)] == texts
            assert proxy.accepted > before


async def test_only_trying_again_doubles(postgres_url: str) -> None:
    """Control: the same lost reply, tried again by the raw driver without a look at a head, doubles the row."""
    plain = await asyncpg.connect(postgres_url)
    await plain.execute("CREATE TABLE said (text text)")
    async with faulty(postgres_url) as (proxy, url):
        for attempt in range(2):
            connection = await asyncpg.connect(url)
            if not attempt:
                proxy.replies.cut_after(0)
            try:
                await connection.execute("INSERT INTO said VALUES ('hello')")
            except (OSError, asyncpg.PostgresError):
                continue
            finally:
                connection.terminate()
    assert await plain.fetchval("SELECT count(*) FROM said") == 2
    await plain.close()


@pytest.mark.parametrize("adds", [15, pytest.param(400, marks=pytest.mark.soak)])
async def test_cancelled_calls(adds: int, data_url: str, tmp_path: Path) -> None:
    """Calls that are cancelled in mid-air leave no reply behind for another's call, and no message twice."""
    chance = random.Random(SEED)
    async with open_store(few_connections(data_url, 2), tmp_path) as memory:
        writers = [Writer(memory, f"w{number}", f"s{number // 2}") for number in range(32)]
        readers = [Writer(memory, f"r{number}") for number in range(8)]

        async def write(writer: Writer) -> None:
            for _ in range(adds):
                await writer.add(chance.uniform(0.0005, 0.01) if chance.random() < 0.5 else None)

        async def read(reader: Writer) -> None:
            for _ in range(adds):
                await reader.add()
                await reader.read()

        await asyncio.gather(*map(write, writers), *map(read, readers))
        failed, said = (sum(len(found) for found in each) for each in _outcomes(writers))
        assert failed > adds, "too few were cancelled"
        assert said > adds, "too few got through"
    await check(data_url, tmp_path, [*writers, *readers])


def _outcomes(writers: list[Writer]) -> tuple[list[list[str]], list[dict[int, str]]]:
    return [writer.failed for writer in writers], [writer.said for writer in writers]


async def test_the_line_of_a_keystore_that_fails(
    postgres_server: PostgresServer, data_url: str, tmp_path: Path
) -> None:
    """A keystore on a server whose replies are lost too makes one key for each session, and nothing is lost."""
    chance = random.Random(SEED)
    async with faulty(postgres_server.create_database()) as (proxy, keystore):
        async with open_store(data_url, tmp_path, keystore=keystore) as memory:
            writers = [Writer(memory, f"w{number}") for number in range(12)]
            for writer in writers:
                _strike(proxy, chance)
                await writer.add()
                proxy.heal()
            assert not any(writer.failed for writer in writers)
            assert (await (await memory.host.ready()).keyring.keystore.counts()) == (12, 12)
        assert proxy.accepted > 6
        assert urlsplit(keystore).port == proxy.port
        async with open_store(data_url, tmp_path, keystore=keystore) as memory:
            for writer in writers:
                [message] = await memory.session(writer.session_id).history()
                assert message.content == writer.said[1]
