"""kill -9 within `policy apply` and the placing or release of a hold: a second try ends as an undisturbed one."""

from __future__ import annotations

import asyncio
import random
from typing import Any, NamedTuple

import pytest

from securemem import InvalidInputError, SecureMemory
from securemem.ledger.audit import Audit, EventKind
from securemem.ledger.holds import Holds
from securemem.ledger.leases import Leases

from .children import LEASE, clock_at
from .conftest import Scenes
from .crash import CLOSED_HEADS, until_quiet
from .looking import look
from .nursery import Nursery
from .scene import DAY, SECOND, STRICTER, Scene

AHEAD = SECOND * DAY
ON_FILES = pytest.mark.parametrize("scenes", ["sqlite"], indirect=True)


class End(NamedTuple):
    """How a store ends."""

    records: set[tuple[str, int]]
    visible: dict[tuple[str, str], list[str] | None]
    held: set[str]
    in_force: bytes | None


async def _argument(memory: SecureMemory, act: str) -> str:
    """Prepare an act; gives what it is done with."""
    if act == "apply":
        plan = await memory.retention.plan()
        assert plan.token
        return plan.token
    return (await memory.holds.place("ann", reason_code="CASE-1")).id if act == "release" else "ann"


async def _try(memory: SecureMemory, act: str, argument: str) -> None:
    """Do it once more."""
    if act == "apply":
        await memory.retention.apply(argument, actor="ops", purge_seconds=0)
    elif act == "place":
        await memory.holds.place(argument, reason_code="CASE-9", actor="dpo")
    else:
        try:
            await memory.holds.release(argument, actor="dpo")
        except InvalidInputError as exc:
            assert "was released" in str(exc)  # noqa: PT017  (it was through)


async def _end(scene: Scene, act: str, argument: str) -> End:
    """Do it, and let workers go through; and check what the audit has to know."""
    async with scene.place.open(clock_at(AHEAD), STRICTER) as memory:
        await _try(memory, act, argument)
        deployment = await memory.host.ready()
        events = [event.kind for event in await Audit(deployment.ledger).events()]
        holds = await Holds(deployment.ledger, deployment.keyring.tenant).active()
        assert events.count(EventKind.HOLD) >= len({hold.person for hold in holds}), "the audit knows of no hold"
        assert (EventKind.RELEASE in events) is (act == "release"), "a hold was released, and the audit does not know"
        assert (EventKind.APPLY in events) is (act == "apply")
    await asyncio.sleep(LEASE)
    async with scene.place.open(clock_at(AHEAD + CLOSED_HEADS), STRICTER) as memory:
        await until_quiet(memory)
    async with scene.place.open(clock_at(AHEAD + 2 * CLOSED_HEADS), STRICTER) as memory:
        await until_quiet(memory)
        sight = await look(memory)
        assert sight.counted == len(sight.records)
        assert not sight.stray
        assert not sight.unfinished
        _, in_force = await (await memory.host.ready()).office.keeper.gate.in_force()
        return End(sight.records, sight.visible, {hold.handle for hold in await memory.holds.list()}, in_force)


async def _killed(nursery: Nursery, scene: Scene, act: str, last: int) -> tuple[str, list[Any], int]:
    """Let a child do it, and die before a step; gives the argument, what it said, and its code."""
    async with scene.place.open(clock_at(AHEAD), STRICTER) as memory:
        argument = await _argument(memory, act)
    child = await nursery.start("do", place=scene.place, ahead=AHEAD, act=act, argument=argument, last=last)
    code = await child.ended()
    assert child.errors() == ""
    return argument, child.said(), code


@ON_FILES
@pytest.mark.timeout(900)
@pytest.mark.parametrize("act", ["apply", "place", "release"])
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.soak)])
async def test_a_second_try_ends_as_an_undisturbed_one(
    scenes: Scenes, nursery: Nursery, act: str, *, every: bool
) -> None:
    """Killed before any of its steps and done again, an act has done what it does at once, and the audit knows."""
    scenes.copies = 1000  # the same store each time, handles and all
    measured = await scenes.next(1)
    argument, [steps], _ = await _killed(nursery, measured, act, 0)
    undisturbed = await _end(measured, act, argument)
    few = sorted(random.Random(act).sample(range(1, steps + 1), 1))
    for step in range(1, steps + 1) if every else few:
        scene = await scenes.next(1)
        argument, said, code = await _killed(nursery, scene, act, step)
        assert (said, code) == ([], -9)
        assert await _end(scene, act, argument) == undisturbed, f"{act}, killed before step {step} of {steps}"


@ON_FILES
async def test_what_others_were_at_is_looked_at_again(scenes: Scenes) -> None:
    """Sessions whose leases a killed worker had when a stricter policy came go by it, though their heads do not say so.

    A head says when to look by the policy under which it was written.
    """
    scene = await scenes.next(1)
    async with scene.place.open(clock_at(AHEAD)) as memory:
        await until_quiet(memory)
        some = sorted({session for session, _ in (await look(memory)).records})[:9]
    async with scene.place.open(clock_at(AHEAD), STRICTER) as memory:
        deployment, token = await memory.host.ready(), await _argument(memory, "apply")
        await Leases(deployment.ledger, deployment.keyring.tenant, seconds=2).take(
            [bytes.fromhex(each) for each in some]
        )
        await memory.retention.apply(token, purge_seconds=0)
        assert {session for session, _ in (await look(memory)).records} >= set(some)
        await asyncio.sleep(2)
        await until_quiet(memory)
        left = {scene.written[place].kind for place in (await look(memory)).records}
        assert left == {"invoice"}
