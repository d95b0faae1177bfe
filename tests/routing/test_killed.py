"""kill -9 of who moves a tenant: everybody goes on, and the next move ends what was begun."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from securemem import SecureMemory
from securemem.model import HOME
from securemem.testing.processes import Child, Ended
from tests.routing.conftest import MOST, SECOND, Stage, everything

MOVE = str(Path(__file__).parents[1] / "processes" / "move.py")
PEOPLE = ("ann", "bob", "cleo")


def _mover(stage: Stage, server: str, last: int) -> Child:
    child = Child(MOVE, stage.urls[HOME], json.dumps(stage.options), server, str(last))
    child.release()
    return child


async def _fill(stage: Stage) -> None:
    async with stage.open() as memory:
        for user in PEOPLE:
            for session in ("one", "two"):
                await memory.session(session, user_id=user).add("user", f"{user} {session}")
        await memory.session("two", user_id="cleo").add("user", "a word of ann's", user_id="ann")


async def _go_on(memory: SecureMemory, told: dict[tuple[str, str], list[str]], number: int) -> None:
    """Use the store after a mover was killed: read all, write everywhere, begin, clear and erase."""
    assert await everything(memory) == told
    for (user, session), texts in told.items():
        await memory.session(session, user_id=user).add("user", f"after {number}")
        texts.append(f"after {number}")
    for user in ("bob", f"new {number}"):
        await memory.session(f"begun {number}", user_id=user).add("user", "hello")
        told.setdefault((user, f"begun {number}"), []).append("hello")
    await memory.session("passing", user_id="bob").add("user", "hello")
    await memory.session("passing", user_id="bob").clear()
    if number == 0:
        await memory.erase_user("ann")
        for key in [key for key in told if key[0] == "ann"]:
            del told[key]
        told["cleo", "two"] = [text for text in told["cleo", "two"] if text != "a word of ann's"]
    assert await everything(memory) == told


async def _through(stage: Stage, ended: Ended) -> None:
    """Check that a mover was killed, or had been quicker."""
    assert ended.errors == ""
    assert ended.lines[0] == "begun"
    assert (ended.code, len(ended.lines)) in ((-9, 1), (0, 2))


async def _told(stage: Stage) -> dict[tuple[str, str], list[str]]:
    async with stage.open() as memory:
        return await everything(memory)


async def _killed_at(stage: Stage, warm: SecureMemory, steps: list[int]) -> None:
    """Kill one mover after the other, use the store in between, and end the move."""
    told = await _told(stage)
    for number, step in enumerate(steps):
        await _through(stage, _mover(stage, SECOND, step).finish())
        await _go_on(warm, told, number)
    await _end(stage, warm, told)


async def _end(stage: Stage, warm: SecureMemory, told: dict[tuple[str, str], list[str]]) -> None:
    """Move the tenant once more, undisturbed, and find everything in its place."""
    async with stage.open() as new:
        assert await everything(new) == told
        await new.tenants.move(SECOND)
        assert await everything(new) == await everything(warm) == told
    [place] = await warm.tenants.list()
    assert (place.server, place.moving_to, place.leaving) == (SECOND, None, None)
    assert set(await stage.copy(SECOND)) == set(await stage.handles())
    assert await stage.count(HOME) == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.soak)])
async def test_who_is_killed_within_a_move_is_followed(stage: Stage, kills: int) -> None:
    """After a kill before any step all is there and can be written, and the next move ends it."""
    await _fill(stage)
    draw = random.Random(stage.urls[HOME][:6])
    async with stage.open(max_messages=MOST) as warm:
        await everything(warm)
        if kills == 2:
            await _killed_at(stage, warm, sorted(draw.sample(range(2, 45), kills)))
            return
        for step in range(1, kills + 1):
            await _killed_at(stage, warm, [step])
            await warm.tenants.move(HOME)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.soak)])
async def test_who_is_killed_at_any_moment_is_followed(stage: Stage, kills: int) -> None:
    """The same for a process that is killed from outside at random moments, and killed again when it goes on."""
    await _fill(stage)
    draw = random.Random(stage.urls[HOME][:6])
    told = await _told(stage)
    async with stage.open(max_messages=MOST) as warm:
        for number in range(kills):
            child = _mover(stage, SECOND, 0)
            assert child.listen() == "begun"
            time.sleep(draw.uniform(0.03, 0.25))
            child.kill()
            await _go_on(warm, told, number)
        await _end(stage, warm, told)
