"""Requests that are done here, while recipients have not said so yet: sees them through, and has them told again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from securemem.ending import Outcome
from securemem.errors import ConflictError, InvalidInputError
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Event, EventKind
from securemem.ledger.outbox import again
from securemem.ledger.requests import Also, Requests, RequestState, Row
from securemem.ledger.store import Ledger
from securemem.model import to_milliseconds
from securemem.policy import Policy
from securemem.policy.durations import Duration
from securemem.ports import Clock
from securemem.rights.rest import Rest
from securemem.rights.telling import Telling
from securemem.rights.told import Standing, state_after

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class Awaiting:
    """Sees those of one tenant through."""

    def __init__(
        self, keyring: Keyring, ledger: Ledger, clock: Clock, policy: Policy, *, telling: Telling, rest: Rest
    ) -> None:
        """Take the rooms that it needs, and the policy in force."""
        self._keyring = keyring
        self._clock = clock
        self._policy = policy
        self._requests = Requests(ledger, keyring.tenant)
        self._telling = telling
        self._rest = rest

    async def go_on(self) -> int:
        """Tell recipients what is due, and answer the requests that wait for none any more; gives how many."""
        await self._telling.deliver_due()
        rows = await self._requests.all(states={RequestState.AWAITING})
        return sum([await self._settle(row) for row in rows])

    async def _settle(self, row: Row) -> bool:
        standing = await self._telling.standing(row.id)
        if standing.waiting:
            return False
        kept = row.act is not None and bool((await self._rest.after(Outcome(user=row.person))).parts)
        state = state_after(standing, is_kept=kept or row.basis is not None)
        at = to_milliseconds(self._clock())
        event = Event(EventKind.COMPLETE, self._keyring.tenant, row.person, None, self._policy.digest, at)
        values: dict[str, Any] = {"state": state.value, "changed_at": at, "done_at": at}
        said = event if state is RequestState.COMPLETE else None
        return await self._requests.move(row, said, also=await self._receipt(row, standing), **values) is not None

    async def _receipt(self, row: Row, standing: Standing) -> Also | None:
        """Give what puts the receipt that says how far the recipients came in place of an erasure's first one."""
        text = await self._requests.receipt(row.act) if row.act is not None else None
        if row.act is None or text is None:
            return None
        receipt = await self._rest.told(json.loads(text), standing.residue)
        return self._requests.keeping(row.act, receipt.to_json())

    async def retry(self, row: Row) -> Row:
        """Let recipients that were given up be told again, with as much time as the policy gives them.

        Raises:
            InvalidInputError: none was given up, or their notices were destroyed.
            ConflictError: the request has moved on meanwhile.
        """
        now = to_milliseconds(self._clock())
        ends = {each.id: Duration.of(each.ack_within).after(now) for each in self._policy.notify}

        async def also(connection: AsyncConnection, tables: Tables) -> None:
            if not await again(connection, tables, row.id, now, ends):
                raise InvalidInputError("no recipient of this request was given up")

        values: dict[str, Any] = {"changed_at": now}
        if row.state == RequestState.PARTIAL:
            values |= {"state": RequestState.AWAITING.value, "done_at": None}
        moved = await self._requests.move(row, None, also=also, **values)
        if moved is None:
            raise ConflictError(f"request {row.id.hex()} has moved on meanwhile: look at it again")
        return moved
