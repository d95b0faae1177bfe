"""What is cut off between two transactions of the ledger: what was done is in the audit, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from securemem import BackendUnavailableError, SecureMemory
from securemem.ledger.audit import EventKind
from securemem.ledger.holds import Holds, Kind
from securemem.ledger.store import Ledger

from .store import add, events, opened

if TYPE_CHECKING:
    from tests.conftest import FakeClock

Deed = Callable[[SecureMemory, str], Awaitable[object]]
DEEDS: dict[str, Deed] = {
    "place": lambda memory, _: memory.holds.place("alice", reason_code="CASE-2"),
    "release": lambda memory, hold: memory.holds.release(hold),
    "restrict": lambda memory, _: memory.restrict_user("alice"),
    "lift": lambda memory, _: memory.lift_restriction("alice"),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_what_is_cut_off_is_in_the_audit_if_it_was_done(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    """Whichever transaction fails, there is an event for each hold and restriction, and for each end of one."""
    for number in count(1):
        async with opened(file_url, clock, "plain", tenant=f"{deed} {number}") as memory:
            await add(memory.session("s", user_id="alice"), "x")
            hold = await memory.holds.place("alice", reason_code="CASE-1")
            if deed == "lift":
                await memory.restrict_user("alice")
            with monkeypatch.context() as patch:
                patch.setattr(Ledger, "transact", _failing_at(number))
                try:
                    await DEEDS[deed](memory, hold.id)
                    is_done = True
                except BackendUnavailableError:
                    is_done = False
            deployment = await memory.host.ready()
            tenant = deployment.keyring.tenant
            holds = Holds(deployment.ledger, tenant)
            every, standing = await holds.all(), await holds.active(None)
            told = Counter(event.kind for event in await events(memory) if event.tenant == tenant)
            for kind, placed, ended in (
                (Kind.HOLD, EventKind.HOLD, EventKind.RELEASE),
                (Kind.RESTRICTION, EventKind.RESTRICTION, EventKind.LIFT),
            ):
                here = sum(each.kind == kind for each in every)
                assert (told[placed], told[ended]) == (here, here - sum(each.kind == kind for each in standing)), number
            if is_done:
                break
    assert number > 2, "something was cut off"


def _failing_at(number: int) -> Callable[[Ledger, Any], Awaitable[Any]]:
    """Give transactions of which the n-th fails."""
    calls, transact = count(1), Ledger.transact

    async def failing(ledger: Ledger, work: Any) -> Any:
        if next(calls) == number:
            raise BackendUnavailableError("the ledger does not answer")
        return await transact(ledger, work)

    return failing
