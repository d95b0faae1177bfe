"""Sessions that a store has dropped at their end by itself, as Redis does: lawful then, and noticed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import pytest
import redis
from msgspec.structs import replace

from securemem import SecureMemory
from securemem.errors import ReorderedError
from securemem.model import NEVER, Change, HeadFlag

if TYPE_CHECKING:
    from tests.conftest import FakeClock

TTL = 3600.0
Sessions: TypeAlias = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Keep what goes with the data in the test's folder."""
    monkeypatch.setenv("SECUREMEM_HOME", str(tmp_path))


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """Give a plain client that blocks."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def sessions(raw: redis.Redis, redis_prefix: str) -> Sessions:
    """Give a function that finds the keys of the store's sessions."""
    return lambda: [name.decode() for name in raw.scan_iter(f"{redis_prefix}{{*}}")]


@pytest.fixture
def drop(raw: redis.Redis, sessions: Sessions) -> Callable[[], None]:
    """Give a function that drops the store's sessions, as the server does at their end."""

    def drop() -> None:
        assert raw.delete(*sessions())

    return drop


async def _one_session(memory: SecureMemory) -> None:
    await memory.session("s", user_id="alice").add("user", "hello")


async def test_the_server_is_told_when_a_session_ends(
    redis_store_url: str, raw: redis.Redis, sessions: Sessions, clock: FakeClock
) -> None:
    """A session whose messages all end expires a day after the last of them; one message without an end lifts that."""
    clock.now = clock.now.replace(year=2090)
    async with SecureMemory.open(redis_store_url, clock=clock) as memory:
        session = memory.session("s", user_id="alice")
        await session.add("user", "short", ttl=TTL)
        [name] = sessions()
        end = int(clock().timestamp() + TTL + 24 * 3600)
        assert raw.expiretime(name) == end
        await session.add("user", "longer", ttl=2 * TTL)
        assert raw.expiretime(name) == end + TTL
        await session.add("user", "for good")
        assert raw.expiretime(name) == -1


async def test_the_end_is_moved_by_the_hour(
    redis_store_url: str, raw: redis.Redis, sessions: Sessions, clock: FakeClock
) -> None:
    """Appends within an hour leave the native end where it is, which is never before a day after the last message's."""
    clock.now = clock.now.replace(year=2090, minute=10)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        ends = []
        for _ in range(6):
            await _one_session(memory)
            [name] = sessions()
            ends.append(raw.expiretime(name))
            assert 0 <= ends[-1] - (clock().timestamp() + TTL + 24 * 3600) < 3600
            clock.advance(15 * 60)
    assert [end - ends[0] for end in ends] == [0, 0, 0, 0, 3600, 3600]


async def _flag(memory: SecureMemory, flags: int, until: int | None) -> None:
    """Set the head's flags, as who holds a session or lets it go does."""
    deployment = await memory.host.ready()
    keys = await deployment.keyring.find("alice", "s")
    assert keys is not None
    raw, _ = await deployment.backend.tail(keys.handle, 0)
    head = keys.head.decode(raw)
    new = keys.head.encode(replace(head, version=head.version + 1, flags=flags))
    assert await deployment.backend.swap(Change(keys.handle, raw, new, until=until)) is None


@pytest.mark.parametrize("until", [NEVER, None])
async def test_what_is_kept_does_not_expire(
    redis_store_url: str, raw: redis.Redis, sessions: Sessions, clock: FakeClock, until: int | None
) -> None:
    """A kept session has no expiry, from the hold itself or at the latest from the next append, and nothing goes."""
    clock.now = clock.now.replace(year=2090)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL, max_messages=2) as memory:
        for _ in range(2):
            await _one_session(memory)
        [name] = sessions()
        end = int(clock().timestamp() + TTL + 24 * 3600)
        assert raw.expiretime(name) == end
        await _flag(memory, HeadFlag.KEEP | HeadFlag.RESTRICTED, until)
        assert raw.expiretime(name) == (-1 if until == NEVER else end)
        for count in (3, 4):
            await _one_session(memory)
            assert raw.expiretime(name) == -1
            assert raw.llen(name) == count + 1
        clock.advance(TTL + 1)
        assert (await memory.sweep()).records == 0
        assert raw.llen(name) == 5
        await _flag(memory, 0, None)
        assert (await memory.sweep()).sessions == 1, "a control: without the flag all that is due goes"
        assert raw.llen(name) == 1, "its head alone is left"


async def test_a_dropped_session_begins_anew(
    redis_store_url: str, sessions: Sessions, drop: Callable[[], None], clock: FakeClock
) -> None:
    """After its end a session that is gone reads as empty, and what is appended then is under a key of its own."""
    clock.now = clock.now.replace(year=2090)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        await _one_session(memory)
        [old] = sessions()
        drop()
        clock.advance(TTL + 1)
        session = memory.session("s", user_id="alice")
        assert await session.history() == []
        said = await session.add("user", "again")
        assert said.seq == 1
        assert [message.content for message in await session.history()] == ["again"]
        assert len([name for name in sessions() if name != old]) == 1


async def test_another_process_finds_it_dropped(
    redis_store_url: str, drop: Callable[[], None], clock: FakeClock
) -> None:
    """So it is for a process that knows of the session only by the floor in the keystore."""
    clock.now = clock.now.replace(year=2090)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        await _one_session(memory)
    drop()
    clock.advance(TTL + 1)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        session = memory.session("s", user_id="alice")
        assert await session.history() == []
        await session.add("user", "again")
        assert [message.content for message in await session.history()] == ["again"]


async def test_a_session_that_is_gone_too_early(
    redis_store_url: str, drop: Callable[[], None], clock: FakeClock
) -> None:
    """The control: before its end a missing session is an error, in the process that saw it and in another one."""
    clock.now = clock.now.replace(year=2090)
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        await _one_session(memory)
        drop()
        clock.advance(TTL - 1)
        with pytest.raises(ReorderedError):
            await memory.session("s", user_id="alice").history()
    async with SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as memory:
        for use in (memory.session("s", user_id="alice").history, lambda: _one_session(memory)):
            with pytest.raises(ReorderedError):
                await use()


async def test_two_begin_it_anew(redis_store_url: str, drop: Callable[[], None], clock: FakeClock) -> None:
    """Two processes that find it dropped at the same time share the session that comes of it."""
    clock.now = clock.now.replace(year=2090)
    async with (
        SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as one,
        SecureMemory.open(redis_store_url, clock=clock, ttl=TTL) as two,
    ):
        await _one_session(one)
        assert len(await two.session("s", user_id="alice").history()) == 1
        drop()
        clock.advance(TTL + 1)
        await _one_session(one)
        await _one_session(two)
        for memory in (one, two):
            assert len(await memory.session("s", user_id="alice").history()) == 2
