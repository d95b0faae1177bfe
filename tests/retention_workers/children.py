"""What the children of a test do: work as a retention worker, chat, place holds, apply a policy.

Each takes `say`, and opens its own store. Time is the machine's, moved on by so many milliseconds.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from securemem import SecureMemory
from securemem.compose import Deployment
from securemem.errors import ConflictError, UserRestrictedError
from securemem.ledger.leases import Leases
from securemem.ledger.store import Ledger
from securemem.model import Change
from securemem.ports import Backend
from securemem.retention import sweep
from securemem.retention.sweep import Orders
from securemem.sqlitefile import SqliteFile
from securemem.testing.steps import Steps

from .scene import KINDS, STRICTER, Place, tags_of

Say = Callable[[object], None]


def clock_at(ahead: int) -> Callable[[], datetime]:
    """Give a clock that is so many milliseconds ahead of the machine's."""
    return lambda: datetime.now(UTC) + timedelta(milliseconds=ahead)


LEASE = 0.3
"""Seconds that the leases of an applied policy last here."""

# A worker


async def work(
    say: Say,
    *,
    place: list[Any],
    ahead: int,
    lease: float,
    passes: int | None = None,
    wait: float = 0.01,
    faults: Sequence[str] = (),
) -> None:
    """Go through again and again as a worker does, and say what was taken out, batch by batch."""
    async with Place(*place).open(clock_at(ahead)) as memory:
        deployment = await memory.host.ready()
        _shorten(deployment, lease)
        _watch(deployment, say)
        for fault in faults:
            FAULTS[fault](deployment)

        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

        async def pace(records: int) -> bool:
            if records:
                say({"took": records})
            return not stopping.is_set()

        say("open")
        count = 0
        while not stopping.is_set() and (passes is None or count < passes):
            count += 1
            gentle, purges = random.random() < 0.5, random.random() < 0.05
            await memory.retention.work(pace=pace, gentle=gentle, purge_seconds=0.0 if purges else None)
            await asyncio.sleep(wait)


def _shorten(deployment: Deployment, lease: float) -> None:
    """Let leases run out soon."""
    run = deployment.office.sweep.run

    async def shortened(orders: Orders | None = None, *, purge_seconds: float | None) -> Any:
        return await run(replace(orders or Orders(), lease_seconds=lease), purge_seconds=purge_seconds)

    deployment.office.sweep.run = shortened  # type: ignore[method-assign]


def _watch(deployment: Deployment, say: Say) -> None:
    """Say which sessions are about to be destroyed, and what came of it."""
    expire = deployment.destruction.expire

    async def watched(sessions: Sequence[tuple[bytes, int]], **options: Any) -> Any:
        named = sorted(session.hex() for session, _ in sessions)
        say({"deciding": named})
        try:
            outcome = await expire(sessions, **options)
        except ConflictError:
            say({"lost": named})
            raise
        say({"through": named})
        return outcome

    deployment.destruction.expire = watched  # type: ignore[method-assign]


# What a worker must not be: the controls


def _swap_by(swapped: Callable[[Backend, Change], Awaitable[bytes | None]]) -> None:
    """Let the sweep make its changes in another way, one by one."""

    async def swap_all(backend: Backend, changes: Sequence[Change]) -> list[bytes | None]:
        return [await swapped(backend, change) for change in changes]

    sweep.swap_all = swap_all  # type: ignore[attr-defined]


def _overwrite(_: Deployment) -> None:
    """Skip the compare-and-swap: whatever head stands is the one that was expected. And take a while."""

    async def forced(backend: Backend, change: Change) -> bytes | None:
        await asyncio.sleep(0.02)
        while True:
            head, _ = await backend.tail(change.session, 0)
            if await backend.swap(msgspec.structs.replace(change, expected=head)) is None:
                return None

    _swap_by(forced)


def _lag(_: Deployment) -> None:
    """Take a while from the judgement to the deed."""

    async def late(backend: Backend, change: Change) -> bytes | None:
        await asyncio.sleep(0.02)
        return await backend.swap(change)

    _swap_by(late)


def _share_leases(_: Deployment) -> None:
    """Ignore whose a lease is."""

    async def all_of(_: Leases, names: Sequence[bytes]) -> dict[bytes, int]:
        return dict.fromkeys(names, 1)

    async def nothing(*_: Any) -> None:
        """Fail never."""

    Leases.take = all_of  # type: ignore[assignment,method-assign]
    Leases.fence = lambda _self, _taken: nothing  # type: ignore[assignment,method-assign]


def _ignore_holds(deployment: Deployment) -> None:
    """Know of no hold."""

    async def none(*_: Any, **__: Any) -> list[Any]:
        return []

    deployment.office.sweep._holds.active = none  # type: ignore[method-assign]


def _run_ahead(deployment: Deployment) -> None:
    """Go by a clock that is wrong by a year."""
    clock = deployment.clock
    deployment.office.sweep._clock = lambda: clock() + timedelta(days=365)


def _loiter(deployment: Deployment) -> None:
    """Take a while before a decision."""
    expire = deployment.destruction.expire

    async def late(sessions: Any, **options: Any) -> Any:
        await asyncio.sleep(0.2)
        return await expire(sessions, **options)

    deployment.destruction.expire = late  # type: ignore[method-assign]


def _keep_silent(deployment: Deployment) -> None:
    """Write nothing down."""

    async def nothing(*_: Any) -> list[int]:
        """Write nothing."""
        return []

    deployment.office.sweep._audit.write = nothing  # type: ignore[method-assign]


FAULTS: Mapping[str, Callable[[Deployment], None]] = {
    "overwrites": _overwrite,
    "shares leases": _share_leases,
    "ignores holds": _ignore_holds,
    "lags": _lag,
    "runs ahead": _run_ahead,
    "loiters": _loiter,
    "keeps silent": _keep_silent,
}


# Others


async def chat(
    say: Say,
    *,
    place: list[Any],
    ahead: int,
    name: str,
    sessions: list[list[Any]],
    day: int,
    appends: int | None = None,
) -> None:
    """Append to sessions, now and then read one, and say what is going to be added, and then what was acknowledged.

    That is: user, session, handle, seq, text, seconds.
    """
    draw = random.Random(name)
    async with Place(*place).open(clock_at(ahead)) as memory:
        keyring = (await memory.host.ready()).keyring
        say("open")
        number = 0
        while appends is None or number < appends:
            number += 1
            user, session, scratch = draw.choice(sessions)
            kind = draw.choice(["long", "note", "own", "month"])
            text = f"{kind}:{day}:{name}.{number}"
            _, ttl = KINDS[kind]
            shared = memory.session(session, user_id=user, tags=("scratch",) if scratch else ())
            began = time.monotonic()
            say({"adding": text})
            message = await shared.add("user", text, metadata={"tags": tags_of(kind)}, ttl=ttl)
            keys = keyring.held.sessions.get((user, session)) or await keyring.find(user, session)
            at = keys.handle.hex() if keys is not None else None
            say([user, session, at, message.seq, text, round(time.monotonic() - began, 4)])
            if draw.random() < 0.2:
                await _read(memory, *draw.choice(sessions)[:2])
            await asyncio.sleep(draw.uniform(0, 0.01))


async def _read(memory: SecureMemory, user: str, session: str) -> None:
    try:
        await memory.session(session, user_id=user).history(limit=1000)
    except UserRestrictedError:
        return


STEPS: list[tuple[type, str]] = [(SqliteFile, "write"), (Ledger, "transact")]


async def do(say: Say, *, place: list[Any], ahead: int, act: str, argument: str, last: int) -> None:
    """Apply a plan, or place or release a hold, and die before the n-th step (0: never); says how many there were."""
    async with Place(*place).open(clock_at(ahead), STRICTER) as memory:
        _shorten(await memory.host.ready(), LEASE)
        counter = Steps(last)
        for where, name in STEPS:
            counter.watch(where, name)
        if act == "apply":
            await memory.retention.apply(argument, actor="ops", purge_seconds=0)
        elif act == "place":
            await memory.holds.place(argument, reason_code="CASE-9", actor="dpo")
        else:
            await memory.holds.release(argument, actor="dpo")
        say(counter.count)


ACTS: Mapping[str, Callable[..., Coroutine[Any, Any, None]]] = {"worker": work, "chat": chat, "do": do}
