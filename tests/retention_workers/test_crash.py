"""Workers killed with SIGKILL at random: nothing deleted twice, nothing past its time left, no hold broken."""

from __future__ import annotations

from collections import Counter

import pytest

from .conftest import Scenes
from .crash import Run, Trouble
from .nursery import Nursery

SEEDS = [thousand + more for thousand in (1000, 2000, 3000, 4000) for more in (0, 125)]
SHARES = [
    ("sqlite", 2, 1),
    ("postgresql", 1, 1),
    ("redis", 1, 1),
    *(pytest.param("sqlite", 125, seed, marks=pytest.mark.soak) for seed in SEEDS),
    *(
        pytest.param(kind, 100, seed, marks=pytest.mark.soak)
        for kind in ("postgresql", "redis")
        for seed in (5000, 6000)
    ),
]
MORE = 9
"""So many more runs there are, where on a busy machine nobody came so far as to be killed in the midst of something."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("scenes", "runs", "seed"), SHARES, indirect=["scenes"])
async def test_killed_workers_finish_what_they_began(
    scenes: Scenes, nursery: Nursery, runs: int, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two, then eight workers, killed and stopped at random under chatting and holds, leave what has to be there."""
    total = Counter[str]()
    for number in range(seed, seed + runs + MORE):
        if number >= seed + runs and total["kills"] and total["reported"]:
            break
        run = Run(nursery, await scenes.next(number), number, Trouble())
        found = await run.go()
        assert not found, f"run {number - seed + 1} of {runs}, seed {number}, {run.scene.place.url}: {found}"
        total += run.figures()
        with capsys.disabled():
            if runs > 10 and (number - seed + 1) % 25 == 0:
                print(f"\nseed {seed}, {number - seed + 1} runs: {dict(total)}", flush=True)  # noqa: T201
    assert total["kills"], "nobody was killed"
    assert total["reported"], "nobody took anything out before being killed"
