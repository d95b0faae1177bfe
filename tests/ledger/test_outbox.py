"""The outbox in each kind of place: queued with somebody's act, told once, and destroyed with the last answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from securemem import ConflictError
from securemem.errors import InvalidInputError
from securemem.ledger.leases import Leases
from securemem.ledger.outbox import Attempt, NoticeKind, Outbox, RequestKey, Sealed, again, drop, queue, rewrap
from securemem.ledger.store import Ledger

from .acts import TENANT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

REQUEST = b"\x07" * 16
KEY = RequestKey(REQUEST, TENANT, NoticeKind.ERASURE.value, 1, b"wrapped", 1000, 9000)
NOTICES = [Sealed(name, f"{name.upper()}_URL", f"for {name}".encode(), 5000) for name in ("crm", "mail")]
TOLD = Attempt(2000, is_acknowledged=True, status=200, next_at=None)


async def put(ledger: Ledger, key: RequestKey = KEY) -> None:
    """Queue the notices."""
    await ledger.transact(lambda connection, tables: queue(connection, tables, key, NOTICES))


async def record(ledger: Ledger, recipient: str, attempt: Attempt) -> None:
    """Write down an attempt, in nobody's lease."""
    outbox = Outbox(ledger, TENANT)
    [due] = await outbox.due(99_999, 9, among=[(REQUEST, recipient)])
    await outbox.record(due, attempt, Leases(ledger, TENANT, seconds=60).fence({}))


async def test_what_is_queued_is_due(ledger: Ledger) -> None:
    """Notices come back with their key once it is time, so many of each recipient; another tenant sees none."""
    await put(ledger)
    outbox = Outbox(ledger, TENANT)
    assert await outbox.due(999, 9) == []
    found = await outbox.due(1000, 9)
    assert [(each.key, each.recipient, each.body) for each in found] == [
        (KEY, "crm", b"for crm"),
        (KEY, "mail", b"for mail"),
    ]
    assert await outbox.due(1000, 0) == []
    assert await outbox.due(1000, 9, among=[(REQUEST, "other")]) == []
    assert await Outbox(ledger, b"\x09" * 16).due(1000, 9) == []


async def test_queueing_is_part_of_a_transaction(ledger: Ledger) -> None:
    """What fails after it in the same transaction leaves nothing queued; the same request is queued once."""

    async def fail(connection: AsyncConnection, tables: Tables) -> None:
        await queue(connection, tables, KEY, NOTICES)
        raise ConflictError("somebody else was first")

    with pytest.raises(ConflictError):
        await ledger.transact(fail)
    assert await Outbox(ledger, TENANT).answers(REQUEST) == (None, [])
    await put(ledger)
    await put(ledger, KEY._replace(wrapped=b"another"))
    key, answers = await Outbox(ledger, TENANT).answers(REQUEST)
    assert (key, len(answers)) == (KEY, 2)


async def retried(ledger: Ledger, now: int, **ends: int) -> int:
    """Let what was given up be sent again."""
    return await ledger.transact(lambda connection, tables: again(connection, tables, REQUEST, now, ends))


async def test_the_last_answer_destroys_the_key(ledger: Ledger) -> None:
    """One of two leaves the key; the second takes it, and what it sealed, and nothing is due."""
    await put(ledger)
    await record(ledger, "crm", TOLD)
    outbox = Outbox(ledger, TENANT)
    key, answers = await outbox.answers(REQUEST)
    assert key is not None
    assert (key.wrapped, [each.acked_at for each in answers]) == (b"wrapped", [2000, None])
    await record(ledger, "mail", TOLD)
    key, answers = await outbox.answers(REQUEST)
    assert key is not None
    assert (key.wrapped, [each.acked_at for each in answers]) == (None, [2000, 2000])
    assert await outbox.due(99_999, 9) == []
    with pytest.raises(InvalidInputError):
        await retried(ledger, 3000)


async def test_last_answers_at_once(ledger: Ledger, other: Ledger) -> None:
    """Two workers that write down the last two answers at the same moment destroy the key."""
    await put(ledger)
    await asyncio.gather(record(ledger, "crm", TOLD), record(other, "mail", TOLD))
    key, _ = await Outbox(ledger, TENANT).answers(REQUEST)
    assert key is not None
    assert key.wrapped is None


async def test_what_was_given_up_can_be_sent_again(ledger: Ledger) -> None:
    """A given-up notice is not due, keeps its key, and has the time that it is given, however often it is retried."""
    await put(ledger)
    await record(ledger, "crm", TOLD)
    await record(ledger, "mail", Attempt(5000, is_acknowledged=False, status=410, next_at=None))
    outbox = Outbox(ledger, TENANT)
    assert await outbox.due(99_999, 9) == []
    _, [_, mail] = await outbox.answers(REQUEST)
    assert (mail.given_up_at, mail.status, mail.attempts) == (5000, 410, 1)
    for now in (6000, 7000):
        assert [await retried(ledger, now, mail=now + 4000) for _ in range(2)] == [1, 0]
        [due] = await outbox.due(now, 9)
        assert (due.recipient, due.ack_by, due.key.wrapped) == ("mail", now + 4000, b"wrapped")
        await record(ledger, "mail", Attempt(now, is_acknowledged=False, status=410, next_at=None))


@pytest.mark.parametrize("how", ["lapse", "forget"])
async def test_a_key_outlives_its_time_by_nothing(ledger: Ledger, how: str) -> None:
    """At its end, or when it is told to, the outbox destroys the key, and gives up what waits."""
    await put(ledger)
    await record(ledger, "crm", TOLD)
    outbox = Outbox(ledger, TENANT)
    if how == "lapse":
        assert await outbox.lapse(8999) == 0
        assert await outbox.lapse(9000) == 1
        assert await outbox.lapse(9001) == 0
    else:
        await outbox.forget(REQUEST, 9000)
    key, [crm, mail] = await outbox.answers(REQUEST)
    assert key is not None
    assert (key.wrapped, crm.given_up_at, mail.given_up_at) == (None, None, 9000)
    await ledger.transact(lambda connection, tables: drop(connection, tables, REQUEST))
    assert await outbox.answers(REQUEST) == (None, [])


async def test_nothing_is_queued_under_a_closed_epoch(ledger: Ledger) -> None:
    """A rotation rewraps what is there; a key that was prepared before it is refused afterwards."""
    await put(ledger)

    async def anew(key: RequestKey) -> bytes:
        return b"anew " + (key.wrapped or b"")

    await rewrap(ledger, 2, anew)
    await rewrap(ledger, 2, anew)
    key, _ = await Outbox(ledger, TENANT).answers(REQUEST)
    assert key == KEY._replace(epoch=2, wrapped=b"anew wrapped")
    late = KEY._replace(request=b"\x08" * 16)
    with pytest.raises(ConflictError, match="closed"):
        await put(ledger, late)
    await put(ledger, late._replace(epoch=2))


async def test_whoever_lost_its_lease_writes_nothing(ledger: Ledger) -> None:
    """A fence that fails leaves the notice as it was."""
    await put(ledger)
    outbox = Outbox(ledger, TENANT)
    due, *_ = await outbox.due(1000, 9)
    with pytest.raises(ConflictError, match="lease"):
        await outbox.record(due, TOLD, Leases(ledger, TENANT, seconds=60).fence({b"x": 1}))
    assert due in await outbox.due(1000, 9)
