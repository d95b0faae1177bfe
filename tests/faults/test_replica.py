"""A standby that lags, or is gone: it never serves who was erased, nor less than what was written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from securemem import SecureMemory, UserErasedError
from securemem.keys.unwrapped import SessionKeys
from securemem.model import Tail
from securemem.nearby import Pages, _Absence
from securemem.testing.servers import PostgresServer
from securemem.testing.servers.replica import PostgresReplica

from .store import at_port, faulty, open_store, with_options

pytestmark = pytest.mark.servers

HASTE = {"timeout": 0.3, "patience": 0.6}


class Place(NamedTuple):
    """One database on both, and where a store's keys lie."""

    standby: PostgresReplica
    url: str
    replica: str
    folder: Path

    def open(self, **options: Any) -> SecureMemory:
        """Name the store that reads by the standby."""
        return open_store(self.url, self.folder, replica=self.replica, **options)

    async def rows(self) -> int:
        """Count the rows that lie on the standby."""
        connection = await asyncpg.connect(at_port(self.url, self.standby.port))
        try:
            count: int = await connection.fetchval("SELECT count(*) FROM messages")
            return count
        finally:
            await connection.close()


@pytest.fixture
def place(postgres_replica: PostgresReplica, tmp_path: Path) -> Iterator[Place]:
    """Give a new database on both."""
    url = postgres_replica.primary.create_database()
    postgres_replica.catch_up()
    yield Place(postgres_replica, url, with_options(at_port(url, postgres_replica.port), **HASTE), tmp_path)
    postgres_replica.resume_replay()
    postgres_replica.catch_up()
    postgres_replica.primary.drop_database(url)


class Asked:
    """Counts what the standby was asked, and how often that was what was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Watch every store that is opened from now on."""
        self.standby = 0
        self.primary = 0
        real = Pages.tail

        async def tail(
            pages: Pages, keys: SessionKeys, limit: int, before: int | None, *, least: int | None
        ) -> Tail | None:
            asked: list[str] = []
            for name, store in (("standby", pages._replica), ("primary", pages._backend)):
                self._watch(store, name, asked)
            found = await real(pages, keys, limit, before, least=least)
            if asked:
                setattr(self, asked[-1], getattr(self, asked[-1]) + 1)
            return found

        monkeypatch.setattr(Pages, "tail", tail)

    @staticmethod
    def _watch(store: object, name: str, asked: list[str]) -> None:
        real = type(store).tail  # type: ignore[attr-defined]

        async def tail(session: bytes, limit: int, before: int | None = None) -> Tail:
            asked.append(name)
            found: Tail = await real(store, session, limit, before)
            return found

        store.tail = tail  # type: ignore[attr-defined]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Give the counts of whose answers were given."""
    return Asked(monkeypatch)


async def _fill(place: Place, memory: SecureMemory, count: int = 5) -> list[str]:
    texts = [f"message {number}" for number in range(count)]
    for text in texts:
        await memory.session("s", user_id="alice").add("user", text)
    await asyncio.to_thread(place.standby.catch_up)
    return texts


async def _texts(memory: SecureMemory) -> list[str]:
    return [str(message.content) for message in await memory.session("s", user_id="alice").history()]


async def _served(memory: SecureMemory) -> list[str]:
    """Read as somebody who goes on with what they have open; who was forgotten is an error, or nothing."""
    try:
        return await _texts(memory)
    except UserErasedError:
        return []


async def test_reads_go_to_the_standby(place: Place, asked: Asked) -> None:
    """A standby that keeps up gives every page, to its writer and to others."""
    async with place.open() as memory, place.open() as other:
        texts = await _fill(place, memory)
        before = asked.primary
        assert await _texts(memory) == await _texts(other) == texts
        assert asked.standby >= 2
        assert asked.primary == before


async def test_an_erased_user_is_never_served(place: Place, asked: Asked) -> None:
    """While the standby still has everything, a forgotten person is gone at once, warm caches or not."""
    async with place.open() as eraser, place.open() as warm, place.open() as idle:
        texts = await _fill(place, eraser)
        open_handle = warm.session("s", user_id="alice")
        assert [message.content for message in await open_handle.history()] == texts
        assert await _texts(eraser) == texts
        await asyncio.to_thread(place.standby.pause_replay)
        await eraser.erase_user("alice")
        assert await place.rows() == len(texts), "the standby has caught up: this shows nothing"
        reads = asked.standby
        for _ in range(3):
            for memory in (eraser, warm, idle):
                assert await _served(memory) == []
        with pytest.raises(UserErasedError):
            await open_handle.history()
        assert asked.standby + asked.primary > reads
        async with place.open() as cold:
            assert await _served(cold) == []
        assert [info async for info in warm.sessions(user_id="alice")] == []


async def test_an_erased_guest_is_never_served(place: Place) -> None:
    """What a forgotten guest said in a session that goes on is gone at once, though the standby has it still."""
    async with place.open() as eraser, place.open() as warm:
        chat = eraser.session("s", user_id="alice")
        await chat.add("user", "mine")
        await chat.add("user", "theirs", user_id="bob")
        await asyncio.to_thread(place.standby.catch_up)
        assert await _texts(warm) == ["mine", "theirs"]
        await asyncio.to_thread(place.standby.pause_replay)
        await eraser.erase_user("bob")
        assert await _texts(warm) == ["mine"]


async def test_a_guest_who_comes_back_is_read(place: Place) -> None:
    """They have their old handle, for an invoice of theirs is kept, and another key than the standby's rows want."""
    policy = place.folder / "policy.yaml"
    policy.write_text(
        "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: keeping}\nrules:\n"
        "  - {id: invoices, match: {tag: invoice}, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}}\n"
    )
    async with place.open(policy=policy) as eraser, place.open(policy=policy) as warm:
        chat = eraser.session("s", user_id="alice")
        await chat.add("user", "mine")
        await chat.add("user", "theirs", user_id="bob")
        await eraser.session("t", user_id="bob").add("user", "invoice", metadata={"tags": ["invoice"]})
        await asyncio.to_thread(place.standby.catch_up)
        assert await _texts(warm) == ["mine", "theirs"]
        await asyncio.to_thread(place.standby.pause_replay)
        await eraser.erase_user("bob")
        await chat.add("user", "back", user_id="bob")
        assert await _texts(warm) == ["mine", "back"]
        assert await _texts(warm) == ["mine", "back"]


async def test_the_keystore_is_what_stops_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: where the keystore is not asked, the same warm cache serves the erased person from the standby."""
    async with place.open() as eraser, place.open() as warm:
        texts = await _fill(place, eraser)
        assert await _texts(warm) == texts
        await asyncio.to_thread(place.standby.pause_replay)
        await eraser.erase_user("alice")

        async def unasked(
            pages: Pages, keys: SessionKeys, limit: int, before: int | None, *, least: int | None
        ) -> Tail | None:
            assert pages._replica is not None
            return await pages._replica.tail(keys.handle, limit, before)

        monkeypatch.setattr(Pages, "tail", unasked)
        assert await _texts(warm) == texts


async def test_a_cleared_session_is_not_served(place: Place) -> None:
    """A session that was cleared is empty at once, and what is said in it next is all that is read."""
    async with place.open() as memory, place.open() as warm:
        texts = await _fill(place, memory)
        assert await _texts(warm) == texts
        await asyncio.to_thread(place.standby.pause_replay)
        await memory.session("s", user_id="alice").clear()
        assert await place.rows() == len(texts)
        assert await _texts(memory) == await _texts(warm) == []
        await memory.session("s", user_id="alice").add("user", "anew")
        assert await _texts(memory) == await _texts(warm) == ["anew"]


async def test_a_writer_reads_what_it_wrote(place: Place, asked: Asked) -> None:
    """An answer older than what is known is left for the primary's; others see no more than some moment before."""
    async with place.open() as memory, place.open() as other:
        texts = await _fill(place, memory)
        assert await _texts(other) == texts
        await asyncio.to_thread(place.standby.pause_replay)
        for number in range(5):
            texts.append(f"later {number}")
            await memory.session("s", user_id="alice").add("user", texts[-1])
            before = asked.primary
            assert await _texts(memory) == texts
            assert asked.primary > before
            seen = await _texts(other)
            assert seen == texts[: len(seen)]
        # Whoever writes goes by the primary.
        await other.session("s", user_id="alice").add("user", "from another")
        assert await _texts(other) == await _texts(memory) == [*texts, "from another"]


async def test_what_is_past_its_time_is_not_served(place: Place) -> None:
    """The standby's rows end when they end, whatever it has heard of the sweep."""
    async with place.open() as memory, place.open() as other:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", "short", ttl=0.5)
        await chat.add("user", "long")
        await asyncio.to_thread(place.standby.catch_up)
        await asyncio.to_thread(place.standby.pause_replay)
        await asyncio.sleep(0.5)
        assert await _texts(other) == await _texts(memory) == ["long"]
        assert await place.rows() == 2


async def test_a_standby_that_was_killed(tmp_path: Path) -> None:
    """Without the standby reads go on, from the primary, and soon as fast as ever; with it again, from it."""
    with PostgresServer() as primary, PostgresReplica(primary) as standby:
        url = primary.create_database()
        standby.catch_up()
        place = Place(standby, url, with_options(at_port(url, standby.port), **HASTE), tmp_path)
        async with place.open() as memory:
            texts = await _fill(place, memory)
            assert await _texts(memory) == texts
            standby.kill()
            for _ in range(6):
                assert await _texts(memory) == texts
            async with asyncio.timeout(0.25):  # the circuit is open
                assert await _texts(memory) == texts
            standby.start()
            assert await _texts(memory) == texts
        async with place.open() as memory:
            assert await _texts(memory) == texts


async def test_a_standby_that_is_not_there_at_open(place: Place) -> None:
    """A store opens and works where its standby has been gone for long."""
    gone = place._replace(replica=with_options(at_port(place.url, 1), **HASTE))
    async with gone.open() as memory:
        await memory.session("s", user_id="alice").add("user", "hello")
        assert await _texts(memory) == ["hello"]


@pytest.mark.parametrize(("delay", "options"), [(0.01, {}), (0.05, {"timeout": 5})], ids=["default", "timeout"])
async def test_a_standby_that_is_far_away(place: Place, asked: Asked, delay: float, options: dict[str, float]) -> None:
    """One that takes a part of its second to be reached, or of the time that its URL gives it, has the answers."""
    async with faulty(at_port(place.url, place.standby.port)) as (proxy, replica):
        proxy.requests.delay = proxy.replies.delay = delay
        async with place._replace(replica=with_options(replica, **options)).open() as memory:
            texts = await _fill(place, memory)
            async with asyncio.timeout(20):
                while not asked.standby:
                    assert await _texts(memory) == texts
                    await asyncio.sleep(0.1)


async def test_a_standby_that_is_away_costs_no_time(postgres_url: str, tmp_path: Path) -> None:
    """With nobody at its port, under the settings that a store has by default, every read is the primary's at once."""
    async with open_store(postgres_url, tmp_path, replica=at_port(postgres_url, 1)) as memory:
        await memory.session("s", user_id="alice").add("user", "hello")
        async with asyncio.timeout(0.9):
            for _ in range(6):
                assert await _texts(memory) == ["hello"]


async def test_a_silent_standby_is_waited_for_once(postgres_url: str, tmp_path: Path) -> None:
    """Of reads that go on while it is silent, those that have asked it wait a second, and the others not at all."""
    async with faulty(postgres_url) as (proxy, replica), open_store(postgres_url, tmp_path, replica=replica) as memory:
        await memory.session("s", user_id="alice").add("user", "hello")
        assert await _texts(memory) == ["hello"]
        assert proxy.replies.passed, "the standby was not asked: this shows nothing"
        proxy.replies.swallow()
        async with asyncio.timeout(1.5):
            assert await asyncio.gather(*(_texts(memory) for _ in range(3))) == [["hello"]] * 3
        async with asyncio.timeout(0.5):
            for _ in range(6):
                assert await _texts(memory) == ["hello"]


def test_a_standby_is_left_alone_for_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read asks after 2, 4, 8 seconds and so on, after a minute at most; an answer ends it."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    absence, spans = _Absence(), list[float]()
    together = [absence.look(), absence.look()]
    for _ in range(7):
        for look in together:
            assert look is not None
            absence.failed(look)
        began = now
        while (found := absence.look()) is None:
            now += 1
        spans.append(now - began)
        assert absence.look() is None, "a second one asks as well"
        together = [found]
    assert spans == [2, 4, 8, 16, 32, 60, 60]
    absence.over()
    assert absence.look() is not None
