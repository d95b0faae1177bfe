"""Erasure of a person (GDPR Art. 17): everything of theirs is destroyed, and a receipt says what is left.

    the person is looked up → holds (what is held waits) → act, request, event and what recipients are told in one
    transaction → destruction → receipt

What a law demands is preserved and out of sight; what a hold is on stays until its release, which goes on with this.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from securemem.crypto.pae import pae
from securemem.destruction import Destruction
from securemem.ending import Outcome
from securemem.errors import LegalHoldError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import UserRow
from securemem.ledger.acts import Act
from securemem.ledger.audit import Event, EventKind
from securemem.ledger.holds import Hold, Kind, select_holds
from securemem.ledger.leases import Fence
from securemem.ledger.outbox import NoticeKind
from securemem.ledger.requests import RequestKind, Requests, RequestState, Row, select_requests
from securemem.ledger.store import Ledger
from securemem.model import HANDLE_BYTES, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.residue import Lasting
from securemem.rights.deadlines import TERMS
from securemem.rights.kept import Held, Kept
from securemem.rights.notice import Notices
from securemem.rights.receipt import Receipt
from securemem.rights.rest import Left, Rest
from securemem.rights.telling import Telling
from securemem.rights.told import standing_of, state_after
from securemem.together import meanwhile

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

ANY_LAW = "gdpr"
"""The law that a request is made under where neither the policy nor the caller names one: few give less time."""

_ROUNDS = 2
"""How often somebody is erased whom a writer brings back while it is under way."""

_WAITING = frozenset({RequestState.VERIFIED, RequestState.PREFLIGHT, RequestState.EXECUTING})


class _LookFirst(Exception):  # noqa: N818  (it is no error)
    """Something is held, or waits: that has to be looked at before anything is decided."""


class Erasure:
    """Erases people from one tenant."""

    def __init__(
        self,
        destruction: Destruction,
        keyring: Keyring,
        ledger: Ledger,
        clock: Clock,
        policy: Policy,
        *,
        kept: Kept,
        rest: Rest,
        telling: Telling,
        lasting: Lasting,
    ) -> None:
        """Take the rooms that it needs, and what the operator states of copies."""
        self._kept = kept
        self._destruction = destruction
        self._keyring = keyring
        self._ledger = ledger
        self._requests = Requests(ledger, keyring.tenant)
        self._clock = clock
        self._policy = policy
        self._rest = rest
        self._telling = telling
        self._lasting = lasting
        self._interrupted: dict[str, tuple[Act, Row]] = {}
        self._unclaimed: dict[bytes, Receipt] = {}
        self._one_at_a_time = asyncio.Lock()

    async def erase(
        self,
        user_id: str,
        *,
        purge_seconds: float,
        begun: Callable[[], None] = lambda: None,
    ) -> Receipt:
        """Erase a person; of somebody who is not known the receipt says that nothing is held.

        Once it is decided, a failure is followed by the rest of the same act, here or when the store is opened; who
        came back meanwhile is erased once more, and who comes back after that has come to stay. The receipt is the next
        call's too, until it `was_given`.

        Args:
            user_id: the person.
            purge_seconds: as `Destruction.carry_out`.
            begun: is called once it is known that it can be, before anything is decided.

        Raises:
            LegalHoldError: a hold is on something of it, which waits for its release; the rest was erased.
        """
        async with self._one_at_a_time:
            receipt = None
            interrupted = self._interrupted.get(user_id)
            if interrupted is not None:
                act, request = interrupted
                # How far it came nobody knows: it is gone on with as whoever finds it in the ledger does.
                receipt, _ = await self._finish(replace(act, standing=None), request, purge_seconds)
                del self._interrupted[user_id]
            done: bytes | None = None
            for _ in range(_ROUNDS):
                row = await self._keyring.find_user(user_id)
                if row is None or row.handle == done:
                    break
                decided = await self._decide_at_once(row, user_id, begun)
                if decided is None:
                    _, queued = await self._held(row.handle)
                    begun()
                    decided = await self._decide(row.handle, row.generation, queued, user_id=user_id)
                act, request = self._interrupted[user_id] = decided
                receipt, request = await self._finish(act, request, purge_seconds)
                del self._interrupted[user_id]
                is_held = request.state == RequestState.PREFLIGHT
                if is_held and await self._kept.of_person(row.handle):
                    raise _on_hold(row.handle, request, "what it is on was kept; the rest was erased")
                # A hold that was released in between has left something to erase.
                done = row.handle if not is_held else None
            receipt = receipt or self._unclaimed.get(self._caller(user_id))
            if receipt is None:
                nothing = Outcome(purged={"data", "keystore"})
                return await self._rest.receipt(nothing, Left([], [], [], None), self._policy, self._lasting)
            self._unclaimed[self._caller(user_id)] = receipt
            return receipt

    def was_given(self, user_id: str, receipt: Receipt) -> None:
        """Let go of a receipt, whose caller has it: who stops waiting at the last moment has not."""
        if self._unclaimed.get(self._caller(user_id)) is receipt:
            del self._unclaimed[self._caller(user_id)]

    def _caller(self, user_id: str) -> bytes:
        """Give what a receipt is kept by that nobody was given yet."""
        return self._keyring.keyed_hash(pae(b"securemem/unclaimed/1", user_id.encode()))

    async def _decide_at_once(self, row: UserRow, user_id: str, begun: Callable[[], None]) -> tuple[Act, Row] | None:
        """Decide to erase a person in one transaction; None where something may be held or wait, and is to be seen."""

        async def fence(connection: AsyncConnection, tables: Tables) -> None:
            tenant = self._keyring.tenant
            if await select_holds(connection, tables, tenant, Kind.HOLD):
                raise _LookFirst
            if await select_requests(connection, tables, tenant, states=_WAITING, person=row.handle):
                raise _LookFirst
            begun()

        try:
            return await self._decide(row.handle, row.generation, None, user_id=user_id, fence=fence)
        except _LookFirst:
            return None

    async def _decide(
        self,
        person: bytes,
        generation: int,
        queued: Row | None,
        *,
        user_id: str | None = None,
        fence: Fence | None = None,
    ) -> tuple[Act, Row]:
        """Decide to erase a person, for a request that was queued, or for one that the caller makes by this."""
        request = queued or self._request(person)
        event = self._event(EventKind.ERASE, person)
        moved: dict[str, Any] = {"state": RequestState.EXECUTING.value, "act": None, "changed_at": event.at}
        besides = (
            self._requests.adding(request._replace(**moved), event)
            if queued is None
            else self._requests.moving(request.id, event, **moved)
        )

        async def decide(notices: Notices) -> Act:
            async def all_of_it(connection: AsyncConnection, tables: Tables, counter: int) -> None:
                await besides(connection, tables, counter)
                await notices.write(connection, tables)

            return await self._destruction.decide(person, generation, fence=fence, besides=all_of_it)

        act = await self._telling.with_notices(request.id, person, NoticeKind.ERASURE, decide, user_id=user_id)
        return act, request._replace(**moved | {"act": act.counter})

    async def _held(self, person: bytes) -> tuple[Held, Row | None]:
        """Give what of a person is held, and the request that waits for it, or was interrupted.

        Raises:
            LegalHoldError: everything is.
        """

        async def work(connection: AsyncConnection, tables: Tables) -> tuple[list[Row], list[Hold]]:
            tenant = self._keyring.tenant
            requests = await select_requests(connection, tables, tenant, states=_WAITING, person=person)
            return requests, await select_holds(connection, tables, tenant, Kind.HOLD)

        requests, holds = await self._ledger.transact(work)
        queued = [each for each in requests if each.kind == RequestKind.ERASURE]
        held = await self._kept.of_person(person, holds)
        if not held.whole:
            return held, queued[0] if queued else None
        request = queued[0] if queued else await self._queue(person)
        await self._kept.refuse(person)
        raise _on_hold(person, request, "nothing was erased")

    async def _queue(self, person: bytes) -> Row:
        """Write a request down that waits for the release of a hold."""
        request = self._request(person)
        await self._requests.add(request, self._event(EventKind.REQUEST, person))
        return request

    def _request(self, person: bytes) -> Row:
        """Give the request that a caller makes for somebody whom they have verified."""
        now, at = self._clock(), to_milliseconds(self._clock())
        regime = self._policy.regimes[0] if self._policy.regimes else ANY_LAW
        return Row(
            secrets.token_bytes(HANDLE_BYTES),
            self._keyring.tenant,
            RequestKind.ERASURE.value,
            regime,
            person,
            RequestState.PREFLIGHT.value,
            received_at=at,
            due_at=to_milliseconds(TERMS[regime].due(now)),
            verified_at=at,
            changed_at=at,
        )

    async def go_on(self, request: Row, *, purge_seconds: float | None) -> Row:
        """Go on with a verified request from wherever it is; one that has to wait waits on."""
        async with self._one_at_a_time:
            found = await self._requests.find(request.id)
            if found is None or found.person is None:
                return await self._nothing_held(request)
            if found.state == RequestState.EXECUTING and found.act is not None:
                [act, *_] = await self._ledger.acts(after=found.act - 1)
                _, done = await self._finish(act, found, purge_seconds)
                return done
            return await self._begin(found, found.person, purge_seconds)

    async def _begin(self, request: Row, person: bytes, purge_seconds: float | None) -> Row:
        row = await self._keyring.keystore.user_row(person)
        if row is None:
            return await self._nothing_held(request)
        held = await self._kept.of_person(person)
        if held.whole or (held and request.act is not None):
            if request.state == RequestState.PREFLIGHT:
                return request
            at = self._now()
            waits = await self._requests.move(request, None, state=RequestState.PREFLIGHT.value, changed_at=at)
            return waits or request
        act, request = await self._decide(person, row.generation, request)
        _, request = await self._finish(act, request, purge_seconds)
        return request

    async def _nothing_held(self, request: Row) -> Row:
        """Answer a request about somebody of whom nothing is held, or not any more."""
        at = self._now()
        event = self._event(EventKind.COMPLETE, request.person)
        done: dict[str, Any] = {"state": RequestState.COMPLETE.value, "changed_at": at, "done_at": at}
        return await self._requests.move(request, event, **done) or request

    async def _finish(self, act: Act, request: Row, purge_seconds: float | None) -> tuple[Receipt, Row]:
        outcome = await self._destruction.carry_out(act, purge_seconds=None)
        looking = self._rest.after(outcome, request=request.id)
        if purge_seconds is None:
            rest = await looking
        else:
            _, rest = await meanwhile(self._destruction.purge(outcome, purge_seconds), looking)
        receipt = await self._rest.receipt(outcome, rest, self._policy, self._lasting)
        at = to_milliseconds(receipt.at)
        held = bool(outcome.held) or (act.user is not None and bool(await self._kept.of_person(act.user, rest.holds)))
        preserved = bool(rest.parts)
        standing = standing_of(rest.answers, self._policy.recipients)
        state = RequestState.PREFLIGHT if held else state_after(standing, is_kept=preserved)
        done_at = None if state in (RequestState.PREFLIGHT, RequestState.AWAITING) else at
        values: dict[str, Any] = {"state": state.value, "changed_at": at, "done_at": done_at}
        if preserved:
            values["basis"] = self._rest.basis(act, rest)
        event = self._event(EventKind.COMPLETE, act.user) if state is RequestState.COMPLETE else None
        # Where another act carries the request out by now, that one says how it ends: a hold may have spared something.
        besides = self._requests.moving(request.id, event, by=act.counter, **values)
        await self._ledger.finish(act.counter, at=at, receipt=receipt.to_json(), besides=besides)
        return receipt, await self._requests.find(request.id) or request._replace(**values)

    async def receipt_of(self, request: Row) -> dict[str, Any] | None:
        """Give the receipt of a request that was carried out, as JSON; None where there is none.

        Once no backup of the keystore opens what was erased, it is another one, which says so.
        """
        text = await self._requests.receipt(request.act) if request.act is not None else None
        if request.act is None or text is None:
            return None
        document: dict[str, Any] = json.loads(text)
        closed = await self._rest.closed(document, self._lasting)
        if closed is None:
            return document
        await self._requests.keep_receipt(request.act, closed.to_json())
        return closed.to_json()

    def _event(self, kind: EventKind, person: bytes | None) -> Event:
        return Event(kind, self._keyring.tenant, person, None, self._policy.digest, self._now())

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _on_hold(person: bytes, request: Row, what: str) -> LegalHoldError:
    name = request.id.hex()
    return LegalHoldError(
        f"data of person {person.hex()}: a legal hold is on it, and its release finishes request {name}; {what}",
        request=name,
    )
