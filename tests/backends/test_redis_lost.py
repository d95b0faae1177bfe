"""What a Redis store makes of answers that are lost: a change is made once, and nobody gets another's reply."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from securemem.backends.redis import RedisBackend
from securemem.errors import BackendUnavailableError
from securemem.model import Change, Tail
from securemem.redis import Command, RedisServer
from securemem.testing import servers
from securemem.testing.backend.hooks import handle, newest_first, rows, write
from securemem.testing.faultproxy import FaultProxy

MANY = 40


@pytest.fixture
async def other(redis_server: servers.RedisServer, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """Give an open store over the same data, with no proxy before it."""
    backend = RedisBackend(redis_server.url, {}, prefix=redis_prefix)
    await backend.open()
    yield backend
    await backend.aclose()


async def test_an_append_whose_answer_was_lost(backend: RedisBackend, proxy: FaultProxy) -> None:
    """An append that was made and not answered is not made again, and is said to be made."""
    session = handle()
    head = await write(backend, session, 1, 3)
    proxy.replies.cut_after(0)
    assert await backend.swap(Change(session, head, b"next", rows=rows(3, 5), trim=(1, 2), due=7)) is None
    assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(2, 5)))


@pytest.mark.parametrize("heads", [False, True])
async def test_a_deletion_whose_answer_was_lost(
    backend: RedisBackend, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, *, heads: bool
) -> None:
    """Rows that a deletion took count, though nobody heard of it; where there are none the count is none."""
    call = RedisServer.call

    async def loses(server: RedisServer, key: bytes, command: Command) -> tuple[Any, bool]:
        if command[0] == b"EVALSHA":
            proxy.replies.cut_after(0)
        answer = await call(server, key, command)
        assert answer[1] == (command[0] == b"EVALSHA")
        return answer

    session = handle()
    head = await write(backend, session, 1, 6)
    monkeypatch.setattr(RedisServer, "call", loses)
    assert await backend.delete([session], heads=heads) == 5
    assert await backend.delete([session], heads=heads) == 0
    monkeypatch.undo()
    assert await backend.tail(session, 9) == Tail(b"" if heads else head, [])


async def test_a_page_that_was_asked_for_ahead(backend: RedisBackend) -> None:
    """What gives a page that was asked for ahead gives what a read does, before a seq and from the head."""
    session = handle()
    await write(backend, session, 1, 9)
    for before in (None, 5):
        asked = backend.prefetch(session, 3, before)
        assert asked is not None
        assert await asked == await backend.tail(session, 3, before)


async def test_a_page_whose_answer_was_lost(
    backend: RedisBackend, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A page whose answer was lost is asked for anew; where nobody wants it any more, nobody hears of that."""
    session = handle()
    head = await write(backend, session, 1, 9)
    proxy.replies.cut_after(0)
    asked, left = backend.prefetch(session, 9), backend.prefetch(session, 9)
    assert asked is not None
    assert left is not None
    assert await asked == Tail(head, newest_first(rows(1, 9)))
    del left
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


async def test_nothing_is_asked_for_ahead_without_a_connection(backend: RedisBackend) -> None:
    """Where no connection is open nothing is asked for, for a page that is only wanted sooner."""
    await backend.aclose()
    assert backend.prefetch(handle(), 9) is None


async def test_half_an_answer(backend: RedisBackend, proxy: FaultProxy) -> None:
    """A connection that ends within a reply costs another try, and no reply is read as another's."""
    session = handle()
    head = await write(backend, session, 1, 50)
    proxy.replies.cut_after(100)
    assert await backend.tail(session, 99) == Tail(head, newest_first(rows(1, 50)))
    assert await backend.tail(session, 1) == Tail(head, [(49, b"row 49")])


async def test_a_batch_whose_answers_were_lost_in_part(backend: RedisBackend, proxy: FaultProxy) -> None:
    """Of a batch some of whose answers came, every change is made once."""
    heads = {session: await write(backend, session, 1, 3) for session in (handle() for _ in range(MANY))}
    proxy.replies.cut_after(53)  # of five bytes each
    changes = [Change(session, head, b"next", rows=rows(3, 5)) for session, head in heads.items()]
    assert await asyncio.gather(*(backend.swap(change) for change in changes)) == [None] * MANY
    for session in heads:
        assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(1, 5)))


async def _until_its_answer_is_lost(other: RedisBackend, session: bytes, proxy: FaultProxy) -> None:
    """Wait until the server has made the change, and its answer has come as far as the proxy."""
    head = b""
    while head != b"mine" or not proxy.replies.swallowed:
        head, _ = await other.tail(session, 1)


async def test_others_wrote_after_a_lost_answer(backend: RedisBackend, other: RedisBackend, proxy: FaultProxy) -> None:
    """An append that was made counts as made, though another has moved the head since."""
    session = handle()
    head = await write(backend, session, 1, 3)
    proxy.replies.swallow()
    append = asyncio.create_task(backend.swap(Change(session, head, b"mine", rows=rows(3, 4))))
    await _until_its_answer_is_lost(other, session, proxy)
    assert await other.swap(Change(session, b"mine", b"theirs", rows=rows(4, 5))) is None
    proxy.heal()
    assert await append is None
    assert await other.tail(session, 9) == Tail(b"theirs", newest_first(rows(1, 5)))


async def test_it_cannot_be_told(backend: RedisBackend, other: RedisBackend, proxy: FaultProxy) -> None:
    """Where an append's rows are gone by the time it is asked for, that is said, and nothing is made."""
    session = handle()
    head = await write(backend, session, 1, 3)
    proxy.replies.swallow()
    append = asyncio.create_task(backend.swap(Change(session, head, b"mine", rows=rows(3, 4))))
    await _until_its_answer_is_lost(other, session, proxy)
    assert await other.swap(Change(session, b"mine", b"theirs", rows=rows(4, 6), trim=(1, 4))) is None
    proxy.heal()
    with pytest.raises(BackendUnavailableError, match="cannot be told whether it was made"):
        await append
    assert await other.tail(session, 9) == Tail(b"theirs", newest_first(rows(4, 6)))


async def test_a_conflict_that_was_never_sent(backend: RedisBackend, other: RedisBackend, proxy: FaultProxy) -> None:
    """A change whose first tries never reached the server is an ordinary conflict, also where no row tells."""
    session = handle()
    head = await write(backend, session, 1, 3)
    proxy.cut(reset=True)
    proxy.refuse()
    await _until_the_cut_shows(backend, session)
    append = asyncio.create_task(backend.swap(Change(session, head, b"mine", rows=rows(3, 4))))
    await asyncio.sleep(0.1)
    assert await other.swap(Change(session, head, b"theirs", trim=(1, 3))) is None
    await proxy.accept()
    assert await append == b"theirs"


async def _until_the_cut_shows(backend: RedisBackend, session: bytes) -> None:
    """Have the store find out that its connections are dead."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(backend.tail(session, 1), 0.1)


async def test_silence(backend: RedisBackend, proxy: FaultProxy) -> None:
    """A server that takes everything and answers nothing is given up within the patience, and found again after it."""
    session = handle()
    head = await write(backend, session, 1, 3)
    proxy.replies.swallow()
    with pytest.raises(BackendUnavailableError, match="did not answer within"):
        await asyncio.wait_for(backend.tail(session, 9), 6)
    proxy.heal()
    assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))


async def test_a_lane_that_hangs_does_not_hold_up_the_rest(backend: RedisBackend, proxy: FaultProxy) -> None:
    """What waits behind calls that get no answer is tried again with them, and all get through."""
    heads = {session: await write(backend, session, 1, 3) for session in (handle() for _ in range(MANY))}
    proxy.replies.swallow()
    calls = [asyncio.create_task(backend.tail(session, 9)) for session in heads]
    await asyncio.sleep(0.3)
    proxy.heal()
    tails = await asyncio.wait_for(asyncio.gather(*calls), 6)
    assert tails == [Tail(head, newest_first(rows(1, 3))) for head in heads.values()]
