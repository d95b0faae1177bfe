"""Plays one seed: a few things begin at once, are done step by step in the seed's order, and all is looked at."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import NamedTuple

from .deeds import DEEDS, SESSIONS, Deed, Stage, add, erase, hold, restrict
from .look import faults_at_the_end, faults_while_held
from .told import Kind, Span, Told
from .world import MemoryWorld, Snapshot, World, drawn_from

_CANCELLED = 0.1
_WARMED = 0.5
_THOROUGH = 1 / 16


async def set_up(stage: Stage) -> None:
    """Say a few things, some of which are past their time by now; now and then something is held or restricted."""
    rng = stage.rng
    for person in stage.people:
        for session in SESSIONS:
            for _ in range(rng.choice((0, 1, 2))):
                kind = Kind.SCRATCH if rng.random() < 0.15 else None
                await add(stage, (person, session), kind, process=0)
    for deed, share in ((hold, 0.3), (restrict, 0.1)):
        if rng.random() < share:
            await deed(stage)
    stage.world.clock.pass_scratch()


async def warm(stage: Stage) -> None:
    """Let processes read some sessions, whose keys and heads they have at hand from then on."""
    for number in range(len(stage.world.processes)):
        for place in [(person, session) for person in stage.people for session in SESSIONS]:
            if stage.rng.random() < _WARMED:
                await asyncio.gather(stage.handle(number, place).history(), return_exceptions=True)


async def race(stage: Stage) -> None:
    """Do a few things at once, an erasure among them."""
    rng = stage.rng
    deeds = [erase, *rng.choices(list(DEEDS), list(DEEDS.values()), k=rng.randint(2, 5))]

    async def chain(some: list[Deed]) -> None:
        for deed in some:
            await deed(stage)

    chains = [deeds[number::4] for number in range(min(4, len(deeds)))]
    tasks = [asyncio.create_task(chain(each)) for each in chains]
    if rng.random() < _CANCELLED:
        tasks.append(asyncio.create_task(_cancel(stage, tasks[-1], rng.randrange(60))))
    await stage.world.turns.run(tasks, rng)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _cancel(stage: Stage, task: asyncio.Task[None], after: int) -> None:
    for _ in range(after):
        await stage.world.turns.turn()
    task.cancel()


async def settle(stage: Stage) -> list[str]:
    """Let a worker pass a while later, look, release every hold, let a worker pass again, and look at everything."""
    worker = stage.world.processes[0]
    stage.world.clock.pass_grace()
    await worker.retention.work(purge_seconds=0)
    standing_holds = await worker.holds.list()
    faults = await faults_while_held(stage) if standing_holds else []
    for standing in standing_holds:
        began = stage.told.now()
        await worker.holds.release(standing.id)
        for each in stage.told.holds:
            if each.id in (standing.id, ""):
                each.ending = Span(began, stage.told.now(), "done")
    if standing_holds:
        await worker.retention.work(purge_seconds=0)
    thorough = stage.rng.random() < _THOROUGH
    return faults + await faults_at_the_end(stage, thorough=thorough)


class Scene(NamedTuple):
    """Where runs in memory begin: stores that were set up, and what was said in them."""

    stores: Snapshot
    told: Told


async def scenes(world: MemoryWorld, count: int) -> list[Scene]:
    """Set up so many."""
    blank, found = world.snapshot(), []
    for number in range(count):
        rng = random.Random(f"scene {number}")
        with drawn_from(rng):
            world.restore(blank)
            await world.begin()
            stage = Stage(world, Told(), rng)
            await set_up(stage)
            found.append(Scene(world.snapshot(), stage.told))
    return found


async def play_in_memory(world: MemoryWorld, every: list[Scene], seed: int) -> list[str]:
    """Play a seed; gives what was wrong."""
    rng = random.Random(seed)
    with drawn_from(rng):
        scene = rng.choice(every)
        world.restore(scene.stores)
        await world.begin()
        stage = Stage(world, copy.deepcopy(scene.told), rng)
        await warm(stage)
        await race(stage)
        return await settle(stage)


async def play(world: World, seed: int) -> list[str]:
    """Play a seed in stores that go on, with people of its own; gives what was wrong."""
    stage = Stage(world, Told(), random.Random(seed), mark=f"{seed}-")
    await set_up(stage)
    await warm(stage)
    await race(stage)
    return await settle(stage)
