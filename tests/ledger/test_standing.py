"""Which policy is in force, and when a worker last went through: the newest first, each tenant its own."""

from __future__ import annotations

import asyncio

from securemem.ledger.standing import Pass, Standing
from securemem.ledger.store import Ledger

from .acts import TENANT

OTHER = b"\x09" * 16
POLICY = b"p" * 32


async def test_the_newest_comes_first(ledger: Ledger, other: Ledger) -> None:
    """What was put and proposed comes back as it was written, by any process, in the order in which it came."""
    standing = Standing(ledger, TENANT)
    assert await standing.all() == []
    await standing.put(POLICY, '{"a": "ä"}', actor=None, at=5, applied=True)
    await Standing(other, TENANT).put(bytes(32), "{}", actor=b"a" * 32, at=1, applied=False)
    found = await standing.all()
    assert [each[1:] for each in found] == [
        (bytes(32), "{}", b"a" * 32, 1, False),
        (POLICY, '{"a": "ä"}', None, 5, True),
    ]
    assert found[0].number > found[1].number
    assert type(found[0].applied) is bool


async def test_many_put_at_once(ledger: Ledger, other: Ledger) -> None:
    """None is lost, and each has a number of its own."""
    rooms = [Standing(each, TENANT) for each in (ledger, other)] * 4
    await asyncio.gather(*(room.put(POLICY, "{}", actor=None, at=at, applied=True) for at, room in enumerate(rooms)))
    found = await rooms[0].all()
    assert sorted(each.at for each in found) == list(range(8))
    assert [each.number for each in found] == sorted({each.number for each in found}, reverse=True)


async def test_one_pass_is_kept(ledger: Ledger, other: Ledger) -> None:
    """The last one, with or without something left; none where no worker was there."""
    standing = Standing(ledger, TENANT)
    assert await standing.last_pass() is None
    for done in (Pass(POLICY, 5, 7, None), Pass(bytes(32), 9, 0, 4)):
        await Standing(other, TENANT).went_through(done)
        assert await standing.last_pass() == done


async def test_passes_that_end_at_once_leave_one(ledger: Ledger, other: Ledger) -> None:
    """Whichever of several workers is last, its pass stands alone."""
    rooms = [Standing(each, TENANT) for each in (ledger, other)] * 3
    passes = [Pass(POLICY, at, at, None) for at in range(6)]
    await asyncio.gather(*(room.went_through(done) for room, done in zip(rooms, passes, strict=True)))
    assert await rooms[0].last_pass() in passes


async def test_each_tenant_has_its_own(ledger: Ledger) -> None:
    """Neither policies nor passes of another tenant are seen or replaced."""
    mine, theirs = Standing(ledger, TENANT), Standing(ledger, OTHER)
    await mine.put(POLICY, "{}", actor=None, at=1, applied=True)
    await mine.went_through(Pass(POLICY, 1, 1, None))
    assert await theirs.all() == []
    assert await theirs.last_pass() is None
    await theirs.went_through(Pass(bytes(32), 2, 2, 2))
    assert await mine.last_pass() == Pass(POLICY, 1, 1, None)
