"""COMMITs that PostgreSQL carries out and whose answer is lost: what they wrote is there once, and answered as done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from securemem import InvalidInputError
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.requests import OPEN, Requests, Row
from securemem.ledger.standing import Standing
from securemem.ledger.store import Ledger
from securemem.testing.faultproxy import FaultProxy
from tests.faults.store import faulty

from .acts import DEPLOYMENT, PERSON, TENANT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.home import Work
    from securemem.ledger.schema import Tables

T = TypeVar("T")

ROW = Row(b"\x07" * 16, TENANT, "access", "gdpr", PERSON, "received", received_at=1, due_at=9)


class Unheard(Ledger):
    """A ledger that does not hear of the first COMMIT of any call."""

    def __init__(self, place: str, proxy: FaultProxy) -> None:
        super().__init__(place)
        self._proxy = proxy
        self.tries = 0

    async def transact(self, work: Work[T]) -> T:
        """Do some work, with the answer to the first COMMIT lost."""
        self.tries = 0

        async def cut(connection: AsyncConnection, tables: Tables) -> T:
            done = await work(connection, tables)
            self.tries += 1
            if self.tries == 1:
                self._proxy.replies.cut_after(0)
            return done

        return await super().transact(cut)


@pytest.fixture
async def unheard(postgres_url: str) -> AsyncIterator[Unheard]:
    """Give such a ledger."""
    async with faulty(postgres_url) as (proxy, line):
        ledger = Unheard(line, proxy)
        await ledger.create(DEPLOYMENT)
        yield ledger
        await ledger.aclose()


def event(at: int) -> Event:
    """Give an event of a moment."""
    return Event(EventKind.HOLD, TENANT, PERSON, None, bytes(32), at)


async def test_events(unheard: Unheard) -> None:
    """Events are in the chain once, by the numbers that were given; one like another is written beside it."""
    audit = Audit(unheard)
    assert await audit.write(event(0), event(1)) == [1, 2]
    assert unheard.tries == 2
    assert await audit.write(event(1)) == [3]
    assert await audit.events() == [event(0), event(1), event(1)]


async def test_policies(unheard: Unheard) -> None:
    """A policy is put once; one like it is put beside it."""
    standing = Standing(unheard, TENANT)
    for count in (1, 2):
        await standing.put(b"p" * 32, "{}", actor=None, at=1, applied=True)
        assert unheard.tries == 2
        assert len(await standing.all()) == count


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (None, {"state": "acknowledged", "changed_at": 2}),
        (OPEN, {"state": "verified", "verified_at": 2, "paused_at": None, "changed_at": 2}),
        (OPEN, {"extended_at": 2, "due_at": 20, "changed_at": 2}),
    ],
    ids=["acknowledge", "verify", "extend"],
)
async def test_requests(unheard: Unheard, where: frozenset[str] | None, values: dict[str, Any]) -> None:
    """A request that was moved is moved, with its event and what belongs to it; asked again it stands elsewhere."""
    requests = Requests(unheard, TENANT)
    belongs: list[int] = []
    await requests.add(ROW, event(0))

    async def also(_: AsyncConnection, __: Tables) -> None:
        belongs.append(unheard.tries)
        if len(belongs) > 1:
            raise InvalidInputError("this was done before")

    moved = await requests.move(ROW, event(2), where=where, also=also, **values)
    assert unheard.tries == 2
    assert moved == ROW._replace(**values) == await requests.find(ROW.id)
    assert belongs == [0]
    assert await Audit(unheard).events() == [event(0), event(2)]
    if where is None:
        assert await requests.move(ROW, event(3), **values) is None


async def test_what_somebody_else_moved(unheard: Unheard) -> None:
    """Where somebody else was quicker it is theirs, however often the answer is asked for."""
    requests = Requests(unheard, TENANT)
    await requests.add(ROW, event(0))
    values: dict[str, Any] = {"state": "acknowledged", "changed_at": 2}
    assert await requests.move(ROW, event(1), **values) is not None
    assert await requests.move(ROW, event(2), **values) is None
    assert unheard.tries == 2
    assert await Audit(unheard).events() == [event(0), event(1)]
