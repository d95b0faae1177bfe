"""The Redis backend passes the contract, and does what only Redis can get wrong."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from msgspec.structs import replace

from securemem.backends.memory import MemoryBackend
from securemem.backends.redis import GRACE_SECONDS, RedisBackend
from securemem.errors import ConfigurationError, InvalidInputError
from securemem.model import NEVER, Change, Tail
from securemem.testing import BackendContract
from securemem.testing.backend.hooks import Connect, handle, newest_first, rows, write

SESSION = bytes(range(16))
KEY = "{000102030405060708090a0b0c0d0e0f}"
LATER = int(1000 * time.time()) + 86_400_000
"""A moment, in milliseconds, that comes after the tests."""


class TestRedis(BackendContract):
    """The contract on a prefix of its own."""

    @pytest.fixture
    def connect(self, redis_url: str, redis_prefix: str) -> Connect:
        """Give adapters over one new prefix."""
        return lambda: RedisBackend(redis_url, {}, prefix=redis_prefix)


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """Give a plain client that blocks."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def backend(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """Give an open store."""
    backend = RedisBackend(redis_url, {}, prefix=redis_prefix)
    await backend.open()
    yield backend
    await backend.aclose()


async def test_the_format_of_a_list(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """A frozen vector: rows oldest first, then next and due as eight bytes big-endian, and the head."""
    change = Change(SESSION, b"", b"HEAD", rows=[(5, b"five"), (6, b"six")], due=0x0102030405060708)
    assert await backend.swap(change) is None
    element = bytes.fromhex("0000000000000007 0102030405060708 48454144")
    assert raw.lrange(redis_prefix + KEY, 0, -1) == [b"five", b"six", element]
    assert await backend.swap(Change(SESSION, b"HEAD", b"", due=NEVER)) is None
    assert raw.lindex(redis_prefix + KEY, -1) == bytes.fromhex("0000000000000007 0000000000000000")


async def test_a_list_that_was_written_before(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """The same vector the other way round: what lies there is read, paged, found due and built on."""
    element = bytes.fromhex("0000000000000007 0000000000000064 48454144")
    raw.rpush(redis_prefix + KEY, b"five", b"six", element)
    assert await backend.tail(SESSION, 9) == Tail(b"HEAD", [(6, b"six"), (5, b"five")])
    assert await backend.tail(SESSION, 1, 6) == Tail(b"HEAD", [(5, b"five")])
    assert await backend.due(100, 9) == [SESSION]
    assert await backend.swap(Change(SESSION, b"HEAD", b"NEXT", rows=[(7, b"seven")])) is None
    assert raw.lindex(redis_prefix + KEY, -1) == bytes.fromhex("0000000000000008 0000000000000064 4e455854")


@pytest.mark.parametrize(
    "element",
    [b"", b"short", bytes(15), b"SM, a row that is no head at all", b"\x00\x00\x00\x01\x00\x00\x00\x00" + bytes(8)],
)
async def test_what_is_no_head_is_given_as_it_lies(
    backend: RedisBackend, raw: redis.Redis, redis_prefix: str, element: bytes
) -> None:
    """An element that is none of ours comes as the head, with no rows, and is never built on; a deletion takes it."""
    raw.rpush(redis_prefix + KEY, b"row", element)
    for tail in (await backend.tail(SESSION, 9), await backend.tail(SESSION, 9, 5)):
        assert tail == Tail(element, [])
    for expected in (b"", element, element[16:]):
        assert await backend.swap(Change(SESSION, expected, b"head", rows=rows(1, 3))) == element
    assert raw.lrange(redis_prefix + KEY, 0, -1) == [b"row", element]
    assert await backend.due(10**15, 9) == []
    assert await backend.delete([SESSION], heads=False) == 2
    assert raw.exists(redis_prefix + KEY) == 0


async def test_random_changes_come_to_the_same(backend: RedisBackend) -> None:
    """Any course of appends, stubs and trims leaves just what the store in memory has."""
    chance = random.Random(7)
    for _ in range(12):
        model, session, head, first, following = MemoryBackend(), handle(), b"", 1, 1
        for turn in range(25):
            count = chance.choice((0, 1, 2, 3, 40))
            put = {seq: b"new %d %d" % (turn, seq) for seq in range(following, following + count)}
            if following > first:
                put |= {chance.randrange(first, following): b"stub %d" % turn for _ in range(chance.randrange(4))}
            bound = chance.randrange(first, following + count + 1) if chance.random() < 0.4 else first
            order = list(put.items())
            chance.shuffle(order)
            change = Change(session, head, b"head %d" % turn, rows=order, trim=(first, bound))
            assert await backend.swap(change) is None
            assert await model.swap(replace(change, rows=sorted(order))) is None
            head, first, following = change.head, bound, following + count
            before = chance.randrange(1, following + 3)
            for asked in ((99, None), (chance.randrange(9), None), (chance.randrange(99), before)):
                expected = await model.tail(session, *asked)
                assert await backend.tail(session, *asked) == expected


async def test_rows_that_begin_past_the_next(backend: RedisBackend) -> None:
    """A change that takes all rows there are may put its own further on; the highest seqs are in reach."""
    session = handle()
    head = await write(backend, session, 1, 4)
    assert await backend.swap(Change(session, head, b"b", rows=rows(9, 12), trim=(1, 4))) is None
    assert await backend.tail(session, 9) == Tail(b"b", newest_first(rows(9, 12)))
    last = 2**32 - 2
    assert await backend.swap(Change(session, b"b", b"c", rows=[(last, b"last")], trim=(1, last))) is None
    assert await backend.tail(session, 9) == Tail(b"c", [(last, b"last")])


@pytest.mark.parametrize(
    ("put", "trim"),
    [
        (rows(6, 7), (0, 0)),
        (rows(1, 2), (0, 0)),
        ([(2, b"stub"), *rows(7, 8)], (0, 0)),
        ([], (3, 4)),
        (rows(7, 8), (2, 4)),
    ],
    ids=["above", "below", "above, with a stub", "a hole", "more trimmed than asked"],
)
async def test_a_gap_is_refused(backend: RedisBackend, put: list[tuple[int, bytes]], trim: tuple[int, int]) -> None:
    """A change that would part a session's rows is refused, and nothing of it is made."""
    session = handle()
    head = await write(backend, session, 2, 5)
    with pytest.raises(InvalidInputError, match="gap"):
        await backend.swap(Change(session, head, b"next", rows=put, trim=trim, due=5))
    assert await backend.tail(session, 9) == Tail(head, newest_first(rows(2, 5)))
    assert await backend.due(10, 9) == []


async def test_ten_thousand_rows_in_one_step(backend: RedisBackend) -> None:
    """More rows than Lua can hand over at once go in one change, new, in place, and in part trimmed by it."""
    session, many = handle(), 10_000
    head = await write(backend, session, 1, many + 1)
    assert await backend.tail(session, many) == Tail(head, newest_first(rows(1, many + 1)))
    put = rows(5_000, 2 * many, b"again")
    assert await backend.swap(Change(session, head, b"next", rows=put, trim=(1, 4_000))) is None
    expected = dict(rows(4_000, many + 1)) | dict(put)
    assert await backend.tail(session, 3 * many) == Tail(b"next", newest_first(list(expected.items())))


async def test_a_full_session_is_refused_alone(backend: RedisBackend) -> None:
    """A seq past the last is refused, nothing is written, and the store goes on."""
    session = handle()
    with pytest.raises(InvalidInputError, match="full"):
        await backend.swap(Change(session, b"", b"head", rows=[(2**32 - 1, b"one too many")]))
    assert await backend.tail(session, 9) == Tail(b"", [])
    await write(backend, session, 1, 3)


async def test_the_list_ends_a_grace_after_its_last_record(
    backend: RedisBackend, raw: redis.Redis, redis_prefix: str
) -> None:
    """`until` is set, moved, left alone and lifted, by the millisecond and with the grace; a new list has no end."""
    grace = 1000 * GRACE_SECONDS
    until: list[int | None] = [None, LATER, None, LATER + 5, NEVER, None, LATER + 7]
    ends = [-1, LATER + grace, LATER + grace, LATER + 5 + grace, -1, -1, LATER + 7 + grace]
    for turn, (moment, end) in enumerate(zip(until, ends, strict=True), 1):
        expected = b"%d" % (turn - 1) if turn > 1 else b""
        change = Change(SESSION, expected, b"%d" % turn, rows=rows(turn, turn + 1), until=moment)
        assert await backend.swap(change) is None
        assert raw.pexpiretime(redis_prefix + KEY) == end
    await backend.delete([SESSION], heads=False)
    assert raw.pexpiretime(redis_prefix + KEY) == ends[-1]


async def test_a_first_change_may_set_the_end(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """A session may begin with an end, with rows and without; a swap that loses moves none."""
    assert await backend.swap(Change(SESSION, b"", b"head", until=LATER)) is None
    assert raw.pexpiretime(redis_prefix + KEY) == LATER + 1000 * GRACE_SECONDS
    assert await backend.swap(Change(SESSION, b"stale", b"mine", until=NEVER)) == b"head"
    assert raw.pexpiretime(redis_prefix + KEY) == LATER + 1000 * GRACE_SECONDS


@pytest.mark.parametrize("until", [1, 1_000_000])
async def test_what_was_just_written_does_not_expire_at_once(
    backend: RedisBackend, raw: redis.Redis, redis_prefix: str, until: int
) -> None:
    """Where the end is past by the server's clock, the store goes by another: the list stays, and has no end."""
    assert await backend.swap(Change(SESSION, b"", b"a", rows=rows(1, 3), until=LATER)) is None
    assert await backend.swap(Change(SESSION, b"a", b"b", rows=rows(3, 4), until=until)) is None
    assert await backend.tail(SESSION, 9) == Tail(b"b", newest_first(rows(1, 4)))
    assert raw.pexpiretime(redis_prefix + KEY) == -1


async def test_an_ended_list_is_gone(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """What Redis has dropped reads like a session that never was, and may begin anew."""
    assert await backend.swap(Change(SESSION, b"", b"a", rows=rows(1, 3), due=5, until=LATER)) is None
    raw.pexpire(redis_prefix + KEY, 1)
    await asyncio.sleep(0.05)
    assert await backend.tail(SESSION, 9) == Tail(b"", [])
    assert await backend.due(9, 9) == []
    assert await backend.swap(Change(SESSION, b"", b"anew", rows=rows(1, 2))) is None


async def test_prefixes_are_apart(redis_url: str, redis_prefix: str) -> None:
    """Stores of two prefixes see nothing of each other, one within the other and full of wildcards included."""
    names = [redis_prefix, f"{redis_prefix}x:", f"{redis_prefix}*", f"{redis_prefix}[a-z]?\\"]
    stores = [RedisBackend(redis_url, {}, prefix=name) for name in names]
    for number, store in enumerate(stores):
        await store.open()
        change = Change(SESSION, b"", b"head %d" % number, rows=rows(1, number + 2), due=number + 1)
        assert await store.swap(change) is None
    for number, store in enumerate(stores):
        assert await store.tail(SESSION, 9) == Tail(b"head %d" % number, newest_first(rows(1, number + 2)))
        assert await store.due(99, 9) == [SESSION]
        assert await store.due(number, 9) == []
    assert await stores[0].delete([SESSION], heads=True) == 1
    assert [len((await store.tail(SESSION, 9)).rows) for store in stores] == [0, 2, 3, 4]
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("prefix", ["", "{", "a}b", "{tag}:"])
def test_a_prefix_that_cannot_be(redis_url: str, prefix: str) -> None:
    """A prefix is not empty, and has no braces, which keep a session in one place of a cluster."""
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisBackend(redis_url, {}, prefix=prefix)


async def test_keys_that_only_look_like_ours(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """Another program's key under the prefix is no session that is due."""
    for name in (b"{" + b"g" * 32 + b"}", b"{" + b"A" * 32 + b"}"):
        raw.rpush(redis_prefix.encode() + name, b"row", bytes(15) + b"\x01head")
    assert await backend.due(10**15, 9) == []


async def test_due_walks_over_more_than_a_page(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """Among thousands of sessions the most overdue are found, in order."""
    with raw.pipeline(transaction=False) as pipeline:
        for number in range(5_000):
            name = f"{redis_prefix}{{{number.to_bytes(16).hex()}}}"
            pipeline.rpush(name, bytes(8) + (1 + number * 7 % 5_000).to_bytes(8) + b"head")
        pipeline.execute()
    expected = sorted(range(5_000), key=lambda number: number * 7 % 5_000)[:50]
    assert await backend.due(10**15, 50) == [number.to_bytes(16) for number in expected]
    assert len(await backend.due(1_000, 10_000)) == 1_000


async def test_a_server_that_forgot_the_scripts(backend: RedisBackend, raw: redis.Redis) -> None:
    """After SCRIPT FLUSH, as after a restart, single calls and batches go on, each made once."""
    head = await write(backend, session := handle(), 1, 3)
    raw.script_flush()
    assert await backend.swap(Change(session, head, b"next", rows=rows(3, 4))) is None
    assert await backend.tail(session, 9, 3) == Tail(b"next", newest_first(rows(1, 3)))
    raw.script_flush()
    heads = await asyncio.gather(*(write(backend, handle(), 1, 3) for _ in range(64)))
    assert len(heads) == 64


async def test_something_else_under_our_name(backend: RedisBackend, raw: redis.Redis, redis_prefix: str) -> None:
    """A key of another kind is refused with what to do, and is not touched."""
    raw.set(redis_prefix + KEY, "theirs")
    calls = [backend.tail(SESSION, 9), backend.tail(SESSION, 9, 5), backend.swap(Change(SESSION, b"", b"head"))]
    for call in (*calls, backend.delete([SESSION], heads=True)):
        with pytest.raises(ConfigurationError, match="another prefix"):
            await call
    assert raw.get(redis_prefix + KEY) == b"theirs"


async def test_a_cancelled_call_leaves_no_reply_behind(backend: RedisBackend) -> None:
    """Calls that are cancelled in mid-air, alone and in crowds, never give their reply to another."""
    sessions = [handle() for _ in range(20)]
    for number, session in enumerate(sessions):
        assert await backend.swap(Change(session, b"", b"head %d" % number, rows=[(1, b"%d" % number)])) is None
    for turn in range(40):
        tasks = [asyncio.create_task(backend.tail(session, 9)) for session in sessions[: 1 + turn % 20]]
        for _ in range(turn % 4):
            await asyncio.sleep(0)
        tasks[0].cancel()
        tails = await asyncio.gather(*(backend.tail(session, 9) for session in sessions))
        assert tails == [Tail(b"head %d" % number, [(1, b"%d" % number)]) for number in range(20)]
        await asyncio.wait(tasks)
