"""Holds placed by one process while workers of others delete: from the moment that `place` returned, nothing goes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from securemem.model import Change
from securemem.ports import Backend
from securemem.retention import sweep

from .children import clock_at
from .conftest import Scenes
from .crash import Run, Trouble, until_quiet
from .looking import rows_of
from .nursery import Nursery
from .scene import DAY, FIRST, SECOND, VISITOR, tags_of

MANY = Trouble(crews=[(SECOND, 3)], seconds=(0.3, 0.5), kills=False, chats=0, holds=8)
ON_FILES = pytest.mark.parametrize("scenes", ["sqlite"], indirect=True)


def _with(*faults: str) -> Trouble:
    return Trouble(MANY.seconds, MANY.crews, kills=False, chats=0, holds=8, faults=faults)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("scenes", "runs"),
    [
        ("sqlite", 1),
        *(pytest.param(k, 60, marks=pytest.mark.soak) for k in ("sqlite", "postgresql", "redis")),
    ],
    indirect=["scenes"],
)
async def test_a_hold_wins_once_it_is_placed(scenes: Scenes, nursery: Nursery, runs: int) -> None:
    """Whatever workers are at, also such as take their time from judging to deleting."""
    held = 0
    for seed in range(7000, 7000 + runs):
        run = Run(nursery, await scenes.next(seed), seed, _with("lags") if seed % 2 else MANY)
        found = await run.go()
        assert not found, f"seed {seed}, {run.scene.place.url}: {found}"
        held += run.figures()["held"]
    assert held, "nothing was there any more when holds were placed"


@ON_FILES
@pytest.mark.parametrize("user", [VISITOR, "owner"])
async def test_a_hold_moves_what_a_law_keeps_already(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """A session that is marked as kept before the hold is placed, between a worker's judgement and its deed, is moved.

    Found by a run that was killed here: of a guest who was held, a note went, where the session's head had its mark for
    an invoice already.
    """
    place = (await scenes.next(1)).place
    async with place.open(clock_at(0)) as memory:
        chat = memory.session("kept", user_id="owner")
        for text, user_id in (("invoice", None), ("note", VISITOR), ("note", None), ("long", None)):
            await chat.add("user", text, metadata={"tags": tags_of(text)}, user_id=user_id)
    async with place.open(clock_at(FIRST * DAY)) as memory:
        real, placed = sweep.swap_all, False  # type: ignore[attr-defined]

        async def late(backend: Backend, changes: Sequence[Change]) -> list[bytes | None]:
            nonlocal placed
            if not placed:
                placed = True
                await memory.holds.place(user, reason_code="CASE-1")
            found: list[bytes | None] = await real(backend, changes)
            return found

        monkeypatch.setattr(sweep, "swap_all", late)
        await until_quiet(memory)
        keys = await (await memory.host.ready()).keyring.find("owner", "kept")
        assert keys is not None
        assert set(await rows_of(memory, keys.handle.hex())) == ({1, 2, 4} if user == VISITOR else {1, 2, 3, 4})


@ON_FILES
async def test_a_hold_that_loses_is_found(scenes: Scenes, nursery: Nursery) -> None:
    """Control: workers that skip the compare-and-swap delete what a hold was placed on meanwhile."""
    kinds: set[str] = set()
    for seed in range(10):
        run = Run(nursery, await scenes.next(seed), seed, _with("overwrites"))
        kinds |= {finding.kind for finding in await run.go()}
        if "hold broken" in kinds:
            break
    assert "hold broken" in kinds
