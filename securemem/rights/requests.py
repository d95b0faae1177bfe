"""Requests of people (GDPR Art. 12 to 21, and other laws): received, verified, carried out or refused, in time.

    received → acknowledged → verified → preflight → planned → executing → awaiting → complete | partial
                                                                       refused, from wherever nothing was done yet

Nothing of the person's is touched before `verified`. An erasure, a restriction and an objection are carried out from
there; access, portability and rectification are planned, and done by whoever answers for it, who says so (`complete`).
Every step is durable, and a process that dies is followed by whoever goes on: a worker, a release, the next call.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from securemem.errors import ConflictError, InvalidInputError
from securemem.interrupted import GRACE_SECONDS
from securemem.keys.keyring import Keyring
from securemem.ledger.audit import Event, EventKind
from securemem.ledger.outbox import NoticeKind
from securemem.ledger.requests import OPEN, UNTOUCHED, Also, RequestKind, Requests, RequestState, Row
from securemem.ledger.store import Ledger
from securemem.model import HANDLE_BYTES, from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.residue import PURGE_SECONDS
from securemem.rights.awaiting import Awaiting
from securemem.rights.deadlines import TERMS
from securemem.rights.erase import ANY_LAW, Erasure
from securemem.rights.notice import Notices
from securemem.rights.restrict import Restricting
from securemem.rights.telling import Telling

VERIFICATION = timedelta(days=30)
"""How long it may be taken for known that the person themselves asked, before anything is begun."""
MAX_BASIS = 32

_WAITING = frozenset({RequestState.RECEIVED, RequestState.ACKNOWLEDGED})
_BY_HAND = frozenset({RequestKind.ACCESS, RequestKind.PORTABILITY, RequestKind.RECTIFICATION})
_CARRIED_OUT = frozenset({RequestState.VERIFIED, RequestState.PREFLIGHT, RequestState.EXECUTING})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as callers see it.

    Attributes:
        id: in hex.
        kind: "access", "erasure", "rectification", "restriction", "portability" or "objection".
        regime: the law: "gdpr", "ukgdpr", "ccpa", "lgpd" or "hipaa".
        state: as the module says.
        handle: the person's, in hex; empty where nothing was held of them.
        received_at: when it came.
        due_at: until when it has to be answered.
        confirm_by: until when its receipt has to be confirmed; None where the law has no time for that, or it was.
        verified_at: when it was known that the person themselves asks.
        extended: whether its time was extended.
        paused: whether its clock stands still.
        basis: the article by which it was refused, or by which a part is kept.
        same_as: the id of the request that was first to ask for the same.
        done_at: when it was answered.
    """

    id: str
    kind: str
    regime: str
    state: str
    handle: str
    received_at: datetime
    due_at: datetime
    confirm_by: datetime | None
    verified_at: datetime | None
    extended: bool
    paused: bool
    basis: str | None
    same_as: str | None
    done_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Request:
        """Give a request as callers see it."""
        received = from_milliseconds(row.received_at)
        confirm = TERMS[row.regime].confirm_by(received) if row.state == RequestState.RECEIVED else None
        return cls(
            row.id.hex(),
            row.kind,
            row.regime,
            row.state,
            row.person.hex() if row.person is not None else "",
            received,
            from_milliseconds(row.due_at),
            confirm,
            _moment(row.verified_at),
            row.extended_at is not None,
            row.paused_at is not None,
            row.basis,
            row.same_as.hex() if row.same_as is not None else None,
            _moment(row.done_at),
        )


class Requesting:
    """Keeps the requests of one tenant, and carries them out."""

    def __init__(
        self,
        keyring: Keyring,
        ledger: Ledger,
        clock: Clock,
        policy: Policy,
        *,
        erasure: Erasure,
        restricting: Restricting,
        telling: Telling,
        awaiting: Awaiting,
    ) -> None:
        """Take the rooms that it needs, and the policy in force."""
        self._keyring = keyring
        self._requests = Requests(ledger, keyring.tenant)
        self._clock = clock
        self._policy = policy
        self._erasure = erasure
        self._restricting = restricting
        self._telling = telling
        self._awaiting = awaiting

    async def receive(self, kind: str, user_id: str, *, regime: str | None, actor: str | None) -> Request:
        """Write a request down; nothing of the person's is touched.

        Raises:
            InvalidInputError: no such kind, or no such law.
        """
        if kind not in set(RequestKind):
            raise InvalidInputError(f"a request is one of {', '.join(RequestKind)}")
        law = regime or (self._policy.regimes[0] if self._policy.regimes else ANY_LAW)
        if law not in TERMS:
            raise InvalidInputError(f"regime has to be one of {', '.join(TERMS)}")
        person = await self._keyring.find_user(user_id)
        handle = person.handle if person is not None else None
        now = self._clock()
        at = to_milliseconds(now)
        first = await self._first(kind, handle)
        row = Row(
            secrets.token_bytes(HANDLE_BYTES),
            self._keyring.tenant,
            kind,
            law,
            handle,
            RequestState.RECEIVED.value,
            received_at=at,
            due_at=to_milliseconds(TERMS[law].due(now)),
            same_as=first.id if first is not None else None,
            changed_at=at,
        )
        await self._requests.add(row, self._event(EventKind.REQUEST, row, actor))
        return Request.of(row)

    async def _first(self, kind: str, person: bytes | None) -> Row | None:
        """Give the request of the same kind that is under way for a person."""
        if person is None:
            return None
        same = [each for each in await self._requests.all(states=OPEN, person=person) if each.kind == kind]
        return min(same, key=lambda each: each.received_at, default=None)

    async def acknowledge(self, request_id: str, *, actor: str | None) -> Request:
        """Note that its receipt was confirmed to the person."""
        return await self._set(
            request_id,
            EventKind.ACKNOWLEDGE,
            actor,
            where={RequestState.RECEIVED},
            state=RequestState.ACKNOWLEDGED.value,
        )

    async def verify(self, request_id: str, *, actor: str | None, purge_seconds: float = PURGE_SECONDS) -> Request:
        """Note that it is known that the person themselves asks, and carry it out.

        Raises:
            ConflictError: it was verified before, or answered.
        """
        at = self._now()
        verified: dict[str, Any] = {"state": RequestState.VERIFIED.value, "verified_at": at, "paused_at": None}
        row = await self._find(request_id)
        if row.paused_at is not None:
            verified["due_at"] = self._due_after_pause(row)
        where = {*_WAITING, RequestState.VERIFIED}
        row = await self._moved(row, EventKind.VERIFY, actor, where=where, **verified)
        return Request.of(await self._go_on(row, purge_seconds=purge_seconds, actor=actor))

    async def _go_on(self, row: Row, *, purge_seconds: float | None, actor: str | None = None) -> Row:
        """Carry a request out from wherever it is."""
        if row.state == RequestState.VERIFIED and self._is_stale(row):
            raise ConflictError(
                f"request {row.id.hex()} was verified over {VERIFICATION.days} days ago and not begun: verify it again"
            )
        if row.person is None:
            return await self._moved(row, EventKind.COMPLETE, actor, **self._done(RequestState.COMPLETE))
        if row.kind in _BY_HAND:
            return await self._moved(row, None, actor, state=RequestState.PLANNED.value)
        if row.kind == RequestKind.ERASURE:
            return await self._erasure.go_on(row, purge_seconds=purge_seconds)
        person = row.person
        row = await self._moved(row, None, actor, state=RequestState.EXECUTING.value)
        await self._restricting.restrict_person(person, actor=actor)
        return await self._done_here(row, person, NoticeKind.RESTRICTION, actor)

    async def _done_here(self, row: Row, person: bytes, kind: NoticeKind, actor: str | None) -> Row:
        """Answer a request that is done, or let it wait for the recipients, who are told from now on (Art. 19)."""

        async def write(notices: Notices) -> Row:
            if notices.key is not None:
                said = EventKind.COMPLETE if kind is NoticeKind.RECTIFICATION else None
                return await self._moved(row, said, actor, also=notices.write, state=RequestState.AWAITING.value)
            if self._policy.recipients:
                return await self._moved(row, None, actor, **self._done(RequestState.PARTIAL))
            return await self._moved(row, EventKind.COMPLETE, actor, **self._done(RequestState.COMPLETE))

        return await self._telling.with_notices(row.id, person, kind, write)

    def _is_stale(self, row: Row) -> bool:
        return row.verified_at is not None and self._now() - row.verified_at > VERIFICATION // timedelta(milliseconds=1)

    async def complete(self, request_id: str, *, actor: str | None) -> Request:
        """Note that somebody did what a planned request asks for, and told the person.

        Raises:
            ConflictError: it is not planned.
        """
        row = await self._find(request_id)
        if row.kind == RequestKind.RECTIFICATION and row.state == RequestState.PLANNED and row.person is not None:
            return Request.of(await self._done_here(row, row.person, NoticeKind.RECTIFICATION, actor))
        done = self._done(RequestState.COMPLETE)
        return Request.of(await self._moved(row, EventKind.COMPLETE, actor, where={RequestState.PLANNED}, **done))

    async def retry(self, request_id: str) -> Request:
        """Let recipients that were given up be told again.

        Raises:
            InvalidInputError: none was, or their notices were destroyed.
            ConflictError: the request has moved on meanwhile.
        """
        return Request.of(await self._awaiting.retry(await self._find(request_id)))

    async def tell(self) -> int:
        """Tell recipients what is due, and answer the requests that wait for none any more; gives how many."""
        return await self._awaiting.go_on()

    async def refuse(self, request_id: str, *, basis: str, actor: str | None) -> Request:
        """Refuse a request of which nothing was done, by an article.

        Raises:
            InvalidInputError: the basis is none.
            ConflictError: it is being carried out, or was answered.
        """
        if not 0 < len(basis) <= MAX_BASIS or not basis.isascii() or " " in basis:
            raise InvalidInputError(f"basis names an article, such as gdpr-12-5-b, in at most {MAX_BASIS} characters")
        return await self._set(
            request_id,
            EventKind.REFUSE,
            actor,
            where={*UNTOUCHED, RequestState.PLANNED},
            basis=basis,
            **self._done(RequestState.REFUSED),
        )

    async def extend(self, request_id: str, *, actor: str | None) -> Request:
        """Extend its time, once, as far as its law lets; the person has to be told why before it was due.

        Raises:
            ConflictError: it was extended, answered, or is overdue; or its law extends nothing.
        """
        row = await self._find(request_id)
        term, now = TERMS[row.regime], self._now()
        if term.more is None:
            raise ConflictError(f"{row.regime} extends no request's time")
        if row.extended_at is not None:
            raise ConflictError("its time was extended before")
        if now > self._due_after_pause(row):
            raise ConflictError("it was due already, which no notice makes good")
        received = from_milliseconds(row.received_at)
        gained = to_milliseconds(term.due(received, extended=True)) - to_milliseconds(term.due(received))
        values: dict[str, Any] = {"extended_at": now, "due_at": row.due_at + gained}
        return Request.of(await self._moved(row, EventKind.EXTEND, actor, where=OPEN, **values))

    async def pause(self, request_id: str, *, actor: str | None) -> Request:
        """Stop its clock while the person has to say something, where its law has that.

        Raises:
            ConflictError: it stands already, or its law does not let it.
        """
        row = await self._find(request_id)
        if not TERMS[row.regime].pauses:
            raise ConflictError(f"under {row.regime} no clock is stopped")
        if row.paused_at is not None:
            raise ConflictError("its clock stands already")
        return Request.of(await self._moved(row, EventKind.PAUSE, actor, where=OPEN, paused_at=self._now()))

    async def resume(self, request_id: str, *, actor: str | None) -> Request:
        """Let its clock go on.

        Raises:
            ConflictError: it does not stand.
        """
        row = await self._find(request_id)
        if row.paused_at is None:
            raise ConflictError("its clock does not stand")
        values: dict[str, Any] = {"paused_at": None, "due_at": self._due_after_pause(row)}
        return Request.of(await self._moved(row, EventKind.RESUME, actor, where=OPEN, **values))

    def _due_after_pause(self, row: Row) -> int:
        """Give when a request is due whose clock stood until now: later by the days for which it did, whole ones alone.

        What is begun of a day counts for the person, however often the clock is stopped.
        """
        day = timedelta(days=1) // timedelta(milliseconds=1)
        stood = self._now() - (row.paused_at or self._now())
        return row.due_at + stood // day * day

    async def list(self, *, within: timedelta | None, everything: bool) -> list[Request]:
        """Give requests, those that are due first.

        Args:
            within: those alone that are due within so much time, or overdue.
            everything: those too that were answered.
        """
        rows = [row for row in await self._requests.all() if everything or row.done_at is None]
        try:
            last = to_milliseconds(self._clock() + within) if within is not None else None
        except OverflowError:
            last = None  # later than any date
        return [Request.of(row) for row in rows if last is None or (row.due_at <= last and row.paused_at is None)]

    async def show(self, request_id: str) -> tuple[Request, dict[str, Any] | None]:
        """Give a request, and the receipt of what was done where there is one.

        Raises:
            InvalidInputError: there is no request of this id.
        """
        row = await self._find(request_id)
        return Request.of(row), await self._erasure.receipt_of(row)

    async def go_on(self, *, purge_seconds: float | None = PURGE_SECONDS) -> int:
        """Carry on with whatever was interrupted, or waited for a hold that is gone; gives how many were.

        Whoever began is left some time: two who carry out one request at once each count what they did alone.
        """
        count, before = 0, self._now() - GRACE_SECONDS * 1000
        for row in await self._requests.all(states=_CARRIED_OUT):
            if row.state != RequestState.PREFLIGHT and row.changed_at > before:
                continue
            if row.verified_at is not None and not (row.state == RequestState.VERIFIED and self._is_stale(row)):
                with suppress(ConflictError):  # somebody else is at it, and has come further
                    after = await self._go_on(row, purge_seconds=purge_seconds)
                    count += after.state != row.state
        if self._policy.log_retention is not None:
            await self._requests.forget(self._policy.log_retention.before(self._now()))
        return count

    # Inside

    async def _find(self, request_id: str) -> Row:
        try:
            row = await self._requests.find(bytes.fromhex(request_id))
        except (TypeError, ValueError):
            raise InvalidInputError("a request's id is what `receive` gave") from None
        if row is None:
            raise InvalidInputError("there is no request of this id")
        return row

    async def _set(
        self, request_id: str, kind: EventKind, actor: str | None, *, where: set[RequestState], **values: Any
    ) -> Request:
        return Request.of(await self._moved(await self._find(request_id), kind, actor, where=where, **values))

    async def _moved(
        self,
        row: Row,
        kind: EventKind | None,
        actor: str | None,
        *,
        where: set[RequestState] | frozenset[RequestState] | None = None,
        also: Also | None = None,
        **values: Any,
    ) -> Row:
        event = self._event(kind, row, actor) if kind is not None else None
        changed = {"changed_at": self._now()} | values
        moved = await self._requests.move(row, event, where=where, also=also, **changed)
        if moved is None:
            state = (await self._find(row.id.hex())).state
            as_expected = state in where if where else state == row.state
            what = "was changed by somebody else at the same moment" if as_expected else f"is {state} by now"
            raise ConflictError(f"request {row.id.hex()} {what}")
        return moved

    def _done(self, state: RequestState) -> dict[str, Any]:
        return {"state": state.value, "done_at": self._now()}

    def _event(self, kind: EventKind, row: Row, actor: str | None) -> Event:
        who = self._keyring.actor_hash(actor)
        return Event(kind, self._keyring.tenant, row.person, who, self._policy.digest, self._now())

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _moment(milliseconds: int | None) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds is not None else None
