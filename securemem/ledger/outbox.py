"""The outbox: who has still to be told of a request, and what they are told, sealed.

A notice is sealed under a key of its request's own (`rights.telling`), which the KMS wraps. With the last
acknowledgement of a request the wrapped key and what it sealed are overwritten by nothing, in the same transaction; a
notice that was given up keeps them until the request's `until`, so that it can be sent again.

The keys are under an epoch of the KEK, as those in the keystore are. No transaction spans both stores, so the ledger
keeps a floor: an epoch below which no key is queued any more. A rotation raises it before it rewraps what lies here.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.errors import ConflictError, InvalidInputError
from securemem.ledger.leases import Fence
from securemem.ledger.store import Ledger

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class NoticeKind(enum.StrEnum):
    """What recipients are told of (GDPR Art. 17(2) and 19)."""

    ERASURE = "erasure"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"


class Sealed(NamedTuple):
    """What one recipient is told.

    Attributes:
        recipient: its id in the policy.
        url_env: the environment variable that holds where to send it.
        body: sealed under the request's key.
        ack_by: until when it has to be acknowledged, in milliseconds.
    """

    recipient: str
    url_env: str
    body: bytes
    ack_by: int


class RequestKey(NamedTuple):
    """The key that a request's notices are sealed under.

    Attributes:
        request: the request's id.
        tenant: the tenant's handle.
        kind: what is told.
        epoch: of the KEK that it is wrapped under.
        wrapped: it; None once it was destroyed.
        queued_at: when that was, and
        until: when it is destroyed at the latest, in milliseconds.
    """

    request: bytes
    tenant: bytes
    kind: str
    epoch: int
    wrapped: bytes | None
    queued_at: int
    until: int


class Due(NamedTuple):
    """A notice whose time has come, with its request's key."""

    key: RequestKey
    recipient: str
    url_env: str
    body: bytes
    attempts: int
    ack_by: int


class Attempt(NamedTuple):
    """What came of sending a notice.

    Attributes:
        at: when, in milliseconds.
        is_acknowledged: whether the recipient has it.
        status: what its server answered; None for no answer.
        next_at: when it is sent again; None where it is given up.
    """

    at: int
    is_acknowledged: bool
    status: int | None
    next_at: int | None


class Answer(NamedTuple):
    """How far one recipient of a request is; moments in milliseconds."""

    recipient: str
    attempts: int
    status: int | None
    next_at: int | None
    ack_by: int
    acked_at: int | None
    given_up_at: int | None


async def queue(connection: AsyncConnection, tables: Tables, key: RequestKey, notices: Sequence[Sealed]) -> None:
    """Queue a request's notices in somebody's transaction; a request that has some already keeps those.

    Raises:
        ConflictError: the key is under an epoch that was closed since; prepare the notices again.
    """
    from securemem.ledger.engine import insert_new  # noqa: PLC0415

    if not notices:
        return
    if key.epoch < await _floor(connection, tables, is_raised=False):
        raise ConflictError("the epoch that these notices' key is under was closed: prepare them again")
    insert = insert_new(tables.outbox_keys, connection.dialect.name)
    if not (await connection.execute(insert.values(**key._asdict()))).rowcount:
        return
    rows = [
        {
            "request": key.request,
            "recipient": each.recipient,
            "url_env": each.url_env,
            "sealed": each.body,
            "attempts": 0,
            "next_at": key.queued_at,
            "ack_by": each.ack_by,
        }
        for each in notices
    ]
    await connection.execute(tables.outbox.insert(), rows)


async def select_answers(connection: AsyncConnection, tables: Tables, request: bytes) -> list[Answer]:
    """Give, in somebody's transaction, how far each recipient of a request is."""
    from sqlalchemy import select  # noqa: PLC0415

    box = tables.outbox.c
    query = select(*(box[name] for name in Answer._fields)).where(box.request == request)
    return [Answer(*row) for row in await connection.execute(query.order_by(box.recipient))]


async def again(connection: AsyncConnection, tables: Tables, request: bytes, now: int, ends: Mapping[str, int]) -> int:
    """Let what was given up be sent again, within somebody's transaction; gives how many notices.

    Args:
        connection: of the transaction.
        tables: of the ledger.
        request: the request's id.
        now: in milliseconds.
        ends: until when each recipient has to acknowledge from now on; for others it is when it was.

    Raises:
        InvalidInputError: the request's key was destroyed, so that nobody can be told any more.
    """
    from sqlalchemy import select  # noqa: PLC0415

    key = await _lock(connection, tables, request)
    if key is None or key.wrapped is None:
        raise InvalidInputError("there is nothing to tell of this request any more: its notices were destroyed")
    box = tables.outbox.c
    this = (box.request == request, box.acked_at.is_(None), box.given_up_at.is_not(None))
    given_up = (await connection.execute(select(box.recipient, box.ack_by).where(*this))).all()
    for recipient, ack_by in given_up:
        anew = {"given_up_at": None, "next_at": now, "ack_by": ends.get(recipient, ack_by)}
        await connection.execute(tables.outbox.update().where(*this, box.recipient == recipient).values(**anew))
    return len(given_up)


async def drop(connection: AsyncConnection, tables: Tables, request: bytes) -> None:
    """Remove all that the outbox has of a request, whose own time in the log is over."""
    for table in (tables.outbox, tables.outbox_keys):
        await connection.execute(table.delete().where(table.c.request == request))


class Outbox:
    """The notices of one tenant."""

    def __init__(self, ledger: Ledger, tenant: bytes) -> None:
        """Take the ledger, and the tenant's handle."""
        self._ledger = ledger
        self._tenant = tenant

    async def due(self, now: int, limit: int, *, among: Sequence[tuple[bytes, str]] | None = None) -> list[Due]:
        """Give notices that are to be sent by now, the most overdue first.

        Args:
            now: in milliseconds.
            limit: how many of each recipient.
            among: only these, by request and recipient.
        """

        async def work(connection: AsyncConnection, tables: Tables) -> list[Due]:
            from sqlalchemy import func, select, tuple_  # noqa: PLC0415

            box, keys = tables.outbox.c, tables.outbox_keys.c
            nth = func.row_number().over(partition_by=box.recipient, order_by=(box.next_at, box.request))
            waiting = select(box.request, box.recipient, nth.label("nth")).join(tables.outbox_keys)
            waiting = waiting.where(keys.tenant == self._tenant, keys.wrapped.is_not(None), box.next_at <= now)
            if among is not None:
                waiting = waiting.where(tuple_(box.request, box.recipient).in_(list(among)))
            first = waiting.subquery()
            chosen = (box.request == first.c.request, box.recipient == first.c.recipient, first.c.nth <= limit)
            columns = (*(keys[name] for name in RequestKey._fields), box.recipient, box.url_env)
            query = select(*columns, box.sealed, box.attempts, box.ack_by).select_from(tables.outbox)
            query = query.join(tables.outbox_keys).join(first, chosen[0] & chosen[1]).where(chosen[2])
            size = len(RequestKey._fields)
            rows = await connection.execute(query.order_by(box.next_at, box.request))
            return [Due(RequestKey(*row[:size]), *row[size:]) for row in rows]

        return await self._ledger.transact(work)

    async def record(self, due: Due, attempt: Attempt, fence: Fence) -> None:
        """Write down what came of sending a notice; with the last acknowledgement the request's key is destroyed.

        Raises:
            ConflictError: by the fence; nothing was written.
        """
        request, values = due.key.request, _values(due, attempt)

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            await fence(connection, tables)
            await _lock(connection, tables, request)
            box = tables.outbox.c
            this = (box.request == request, box.recipient == due.recipient, box.acked_at.is_(None))
            await connection.execute(tables.outbox.update().where(*this).values(**values))
            if attempt.is_acknowledged:
                await _destroy_if_told(connection, tables, request, attempt.at)

        await self._ledger.transact(work)

    async def lapse(self, now: int) -> int:
        """Destroy the keys whose time is over, and give up what was not acknowledged; gives how many keys."""

        async def work(connection: AsyncConnection, tables: Tables) -> int:
            from sqlalchemy import select  # noqa: PLC0415

            keys = tables.outbox_keys.c
            over = (keys.tenant == self._tenant, keys.wrapped.is_not(None), keys.until <= now)
            requests = [row[0] for row in await connection.execute(select(keys.request).where(*over))]
            for request in sorted(requests):
                await _lock(connection, tables, request)
                await _destroy(connection, tables, request, now)
            return len(requests)

        return await self._ledger.transact(work)

    async def forget(self, request: bytes, now: int) -> None:
        """Destroy a request's key at once; what was not acknowledged is given up for good."""

        async def work(connection: AsyncConnection, tables: Tables) -> None:
            await _lock(connection, tables, request)
            await _destroy(connection, tables, request, now)

        await self._ledger.transact(work)

    async def answers(self, request: bytes) -> tuple[RequestKey | None, list[Answer]]:
        """Give a request's key, and how far each recipient is; None and nothing where nobody is told of it."""

        async def work(connection: AsyncConnection, tables: Tables) -> tuple[RequestKey | None, list[Answer]]:
            key = (await connection.execute(_key_of(tables, request))).first()
            answers = await select_answers(connection, tables, request)
            return RequestKey(*key) if key is not None else None, answers

        return await self._ledger.transact(work)


async def rewrap(ledger: Ledger, epoch: int, wrapped: Callable[[RequestKey], Awaitable[bytes]]) -> None:
    """Put all tenants' request keys that are under an older epoch under this one, and let no more come under those.

    Args:
        ledger: where they lie.
        epoch: the open one.
        wrapped: wraps a key anew.
    """

    async def read(connection: AsyncConnection, tables: Tables) -> list[RequestKey]:
        from sqlalchemy import select  # noqa: PLC0415

        await _floor(connection, tables, is_raised=True, epoch=epoch)
        keys = tables.outbox_keys.c
        query = select(*(keys[name] for name in RequestKey._fields))
        older = await connection.execute(query.where(keys.epoch < epoch, keys.wrapped.is_not(None)))
        return [RequestKey(*row) for row in older]

    for key in await ledger.transact(read):
        values = {"epoch": epoch, "wrapped": await wrapped(key)}
        await ledger.transact(lambda c, t, key=key, values=values: _replace(c, t, key, values))  # type: ignore[misc]


async def _replace(connection: AsyncConnection, tables: Tables, key: RequestKey, values: dict[str, Any]) -> None:
    keys = tables.outbox_keys
    same = (keys.c.request == key.request, keys.c.wrapped == key.wrapped)
    await connection.execute(keys.update().where(*same).values(**values))


async def _floor(connection: AsyncConnection, tables: Tables, *, is_raised: bool, epoch: int = 0) -> int:
    """Give the floor, which nobody raises before this transaction is through; or raise it, after all who read it."""
    from sqlalchemy import select  # noqa: PLC0415

    from securemem.ledger.engine import insert_new  # noqa: PLC0415

    floor = tables.outbox_floor
    await connection.execute(insert_new(floor, connection.dialect.name), [{"one": 1, "epoch": 0}])
    if is_raised:
        await connection.execute(floor.update().where(floor.c.epoch < epoch).values(epoch=epoch))
    return int((await connection.execute(select(floor.c.epoch).with_for_update(read=True))).scalar_one())


def _key_of(tables: Tables, request: bytes) -> Any:
    from sqlalchemy import select  # noqa: PLC0415

    keys = tables.outbox_keys.c
    return select(*(keys[name] for name in RequestKey._fields)).where(keys.request == request)


async def _lock(connection: AsyncConnection, tables: Tables, request: bytes) -> RequestKey | None:
    """Let one at a time decide whether a request's last recipient has answered."""
    row = (await connection.execute(_key_of(tables, request).with_for_update())).first()
    return RequestKey(*row) if row is not None else None


def _values(due: Due, attempt: Attempt) -> dict[str, Any]:
    values = {"attempts": due.attempts + 1, "status": attempt.status, "next_at": attempt.next_at}
    if attempt.is_acknowledged:
        return values | {"next_at": None, "acked_at": attempt.at, "given_up_at": None, "sealed": None}
    return values | ({"given_up_at": attempt.at} if attempt.next_at is None else {})


async def _destroy_if_told(connection: AsyncConnection, tables: Tables, request: bytes, at: int) -> None:
    from sqlalchemy import func, select  # noqa: PLC0415

    box = tables.outbox.c
    left = select(func.count()).where(box.request == request, box.acked_at.is_(None))
    if (await connection.execute(left)).scalar_one() == 0:
        await _destroy(connection, tables, request, at)


async def _destroy(connection: AsyncConnection, tables: Tables, request: bytes, at: int) -> None:
    keys, box = tables.outbox_keys, tables.outbox
    gone = {"wrapped": None, "destroyed_at": at}
    await connection.execute(keys.update().where(keys.c.request == request, keys.c.wrapped.is_not(None)).values(**gone))
    this: ColumnElement[bool] = box.c.request == request
    await connection.execute(box.update().where(this).values(sealed=None, next_at=None))
    waiting = (this, box.c.acked_at.is_(None), box.c.given_up_at.is_(None))
    await connection.execute(box.update().where(*waiting).values(given_up_at=at))
