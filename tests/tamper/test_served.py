"""Somebody with a server's tables or lists in their hands: what is refused in a file is refused there as well."""

from __future__ import annotations

import contextlib

import asyncpg
import pytest
import redis

from securemem import IntegrityError, SecureMemory
from tests.noting import noting

from .access import HEAD, Rows, at
from .attacks import ATTACKS, Attack
from .store import GROUP, LONG, TRIP, WORK, Store
from .test_rows import refused

_READ = (TRIP, GROUP, LONG)


def _attacked(store: Store, attack: Attack, before: Rows) -> Attack:
    """Change the rows; gives the attack as it shows on this server, which keeps bytes and nothing else."""
    changed = dict(before)
    attack.change(changed, store.loot)
    store.put({row: body if isinstance(body, bytes) else str(body).encode() for row, body in changed.items()})
    assert store.rows() != before
    error, seq = attack.shown(listed=store.listed)
    return attack._replace(error=error, seq=seq)


async def _reads(store: Store, memory: SecureMemory) -> None:
    for number in _READ:
        assert len(await store.chat(number, memory).history()) == (3 if number == GROUP else 8)


async def test_rows(served: Store) -> None:
    """Rows exchanged, removed, injected and put back on a server are refused, by a warm handle and by a cold one."""
    before = served.rows()
    async with served.open() as memory:
        await _reads(served, memory)
    for attack in ATTACKS:
        with noting(attack.name):
            truth = await served.chat(attack.session).history()
            shown = _attacked(served, attack, before)
            handle = served.handle(attack.session)
            await refused(served.chat(attack.session), shown, handle, truth)
            async with served.open() as memory:
                await refused(served.chat(attack.session, memory), shown, handle, truth)
            served.put(before)
            assert await served.chat(attack.session).history() == truth
    async with served.open() as memory:
        await _reads(served, memory)


async def test_nothing_is_appended_to_another_head(served: Store) -> None:
    """Where another head, an older one or none lies on a server, a handle that knows its own appends nothing."""
    chat, before = served.chat(TRIP), served.rows()
    truth = await chat.history()
    for attack in ATTACKS:
        if attack.seq is None and attack.session == TRIP:
            with noting(attack.name):
                shown = _attacked(served, attack, before)
                changed = served.rows()
                with pytest.raises(IntegrityError) as caught:
                    await chat.add("user", "SECRET new")
                assert type(caught.value) is shown.error
                assert caught.value.session == served.handle(TRIP)
                assert served.rows() == changed, "something was written"
                served.put(before)
                assert await chat.history() == truth
    assert (await chat.add("user", "SECRET new")).seq == 9


@pytest.mark.parametrize("served", ["postgresql"], indirect=True)
async def test_the_clear_end_of_a_session(served: Store) -> None:
    """PostgreSQL's own column for where a session ends can hide no record and shows none that is not there."""
    chat, handle = served.chat(TRIP), bytes.fromhex(served.handle(TRIP))
    truth, given = await chat.history(), list[int]()
    con = await asyncpg.connect(served.url)
    for end in (-(2**63), -1, 0, 1, 2, 5, 8, 9, 10, 50, 2**40, 2**63 - 1):
        await con.execute("UPDATE messages_sessions SET next = $2 WHERE session = $1", handle, end)
        async with served.open() as memory:
            for reader in (chat, served.chat(TRIP, memory)):
                with contextlib.suppress(IntegrityError):
                    assert await reader.history() == truth
                    given.append(end)
    await con.close()
    assert given == [9, 9, 10, 10, 50, 50], "a control: where all rows are in sight the whole session is read"


@pytest.mark.parametrize("served", ["redis"], indirect=True)
async def test_every_bit_before_a_head(served: Store) -> None:
    """Redis's own numbers before a head can hide no record: where the session ends, and when it is to be looked at."""
    chat, rows = served.chat(TRIP), served.rows()
    truth, given = await chat.history(), list[int]()
    head = rows[at(TRIP, HEAD)]
    for bit in range(128):
        changed = bytearray(head)
        changed[bit // 8] ^= 1 << bit % 8
        served.put(rows | {at(TRIP, HEAD): bytes(changed)})
        with contextlib.suppress(IntegrityError):
            assert await chat.history() == truth
            given.append(bit)
    assert given == list(range(64, 128)), "a control: when it is to be looked at is nothing that a reader goes by"


@pytest.mark.parametrize("served", ["redis"], indirect=True)
async def test_lists_renamed(served: Store, redis_url: str, redis_prefix: str) -> None:
    """Two lists whose names were exchanged are refused: a head is bound to its session's handle."""
    one, other = (f"{redis_prefix}{{{served.handle(number)}}}" for number in (TRIP, WORK))
    truth = await served.chat(TRIP).history()
    with redis.Redis.from_url(redis_url) as client:
        for turn in range(2):
            for source, target in ((one, "between"), (other, one), ("between", other)):
                client.rename(*(f"{redis_prefix}{name}" if name == "between" else name for name in (source, target)))
            if turn == 0:
                with pytest.raises(IntegrityError) as caught:
                    await served.chat(TRIP).history()
                assert caught.value.session == served.handle(TRIP)
    assert await served.chat(TRIP).history() == truth
