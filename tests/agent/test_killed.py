"""kill -9 while an agent has turns in many sessions: each turn is there whole and in order, or was never had."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory
from securemem.testing.processes import Child

TURNS = str(Path(__file__).parents[1] / "processes" / "turns.py")
TOOL_EVERY = 3


def _expected(turns: int) -> list[tuple[str, str]]:
    """Give what a session holds after so many turns."""
    said: list[tuple[str, str]] = []
    for turn in range(turns):
        said.append(("user", str(turn)))
        if turn % TOOL_EVERY == 0:
            said += [("assistant", ""), ("tool", f"{turn} looked up")]
        said.append(("assistant", f"answer {turn}"))
    return said


async def _held(url: str, sessions: int) -> dict[str, list[tuple[str, Any]]]:
    """Read every session, verified."""
    async with SecureMemory.open(url, policy="plain", max_messages=100_000) as memory:
        names = [f"session-{number}" for number in range(sessions)]
        return {
            name: [(each.role, each.content) for each in await memory.session(name).history(limit=1_000_000)]
            for name in names
        }


def _check(held: dict[str, list[tuple[str, Any]]], acknowledged: dict[str, int], turns: int) -> None:
    """Hold each session to be whole turns, in order, and to have all that was acknowledged."""
    for name, said in held.items():
        had = sum(role == "user" for role, _ in said)
        assert said == _expected(had), f"{name} has half a turn, or turns out of order"
        assert acknowledged.get(name, 0) <= had <= turns, f"{name} lost an acknowledged turn"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
@pytest.mark.parametrize(
    ("sessions", "turns", "kills"), [(16, 10, 3), pytest.param(64, 50, 20, marks=pytest.mark.soak)]
)
def test_a_killed_agent_leaves_whole_turns(url: str, sessions: int, turns: int, kills: int) -> None:
    """Killed again and again at random moments and restarted, it loses no acknowledged turn and leaves no half one."""
    draw, acknowledged = random.Random(4711), dict[str, int]()
    share = sessions * turns // (kills + 2)
    for number in range(kills + 1):
        child = Child(TURNS, url, str(sessions), str(turns), str(number))
        child.release()
        lines: list[Any] = []
        if number < kills:
            lines = [child.listen() for _ in range(draw.randint(1, share))]
            ended = child.kill()
            assert (ended.code, "Traceback" in ended.errors) == (-9, False)
        else:
            ended = child.finish()
            assert (ended.code, ended.lines[-1]) == (0, "done"), ended.errors
        for session, turn in [line for line in [*lines, *ended.lines] if line != "done"]:
            assert turn >= acknowledged.get(session, 0), "a turn was had twice"
            acknowledged[session] = turn + 1
        held = asyncio.run(_held(url, sessions))
        _check(held, acknowledged, turns)
    assert all(said == _expected(turns) for said in held.values())


def test_half_a_turn_would_be_found() -> None:
    """The control: a missing reply, a call without its result, turns out of order and a lost one are all seen."""
    whole = _expected(4)
    broken = [whole[:-1], [*whole[:1], *whole[2:]], [*whole[4:6], *whole[:4], *whole[6:]]]
    for said in broken:
        with pytest.raises(AssertionError, match="half a turn"):
            _check({"s": said}, {"s": 1}, 4)
    with pytest.raises(AssertionError, match="lost an acknowledged turn"):
        _check({"s": _expected(2)}, {"s": 3}, 4)
