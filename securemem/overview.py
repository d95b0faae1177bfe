"""What there is in a store and what waits there, in numbers: what an operator looks at first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from securemem.compose import Deployment
from securemem.ledger.standing import Standing
from securemem.model import from_milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A store in numbers, at one moment.

    Attributes:
        people: how many have keys, in all tenants of the keystore.
        sessions: how many have keys, likewise.
        epoch: of the KEK that is open.
        holds: how many legal holds stand in the tenant.
        requests: how many requests of people are open.
        overdue: how many of these should have been answered.
        next_due: until when the next one has to be; None where none is open.
        interrupted: how many acts of destruction are not through, in all tenants.
        last_pass: when a worker last went through; None where none ever did.
    """

    people: int
    sessions: int
    epoch: int
    holds: int
    requests: int
    overdue: int
    next_due: datetime | None
    interrupted: int
    last_pass: datetime | None


async def overview(deployment: Deployment) -> Overview:
    """Look at an open store."""
    office, keyring, now = deployment.office, deployment.keyring, deployment.clock()
    people, sessions = await keyring.keystore.counts()
    requests = await office.requesting.list(within=None, everything=False)
    last = await Standing(deployment.ledger, keyring.tenant).last_pass()
    return Overview(
        people=people,
        sessions=sessions,
        epoch=keyring.open_epoch,
        holds=len(await office.holding.standing()),
        requests=len(requests),
        overdue=sum(request.due_at < now and not request.paused for request in requests),
        next_due=min((request.due_at for request in requests if not request.paused), default=None),
        interrupted=len(await deployment.ledger.acts(unfinished=True)),
        last_pass=from_milliseconds(last.at) if last is not None else None,
    )


async def caveats(deployment: Deployment) -> list[str]:
    """Say of an open store what works and could hurt one day."""
    office = deployment.office
    idle = await office.keeper.caveat()
    found = [*deployment.caveats, *office.telling.caveats()]
    if await office.closing.is_overdue():
        found.append(
            "keystore backups open people who were erased longer ago than the policy promises: run `securemem "
            "worker --keystore-backups`, or `securemem keys close-epoch`"
        )
    return found if idle is None else [*found, idle]
