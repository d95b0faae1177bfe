"""Nothing comes back, and nothing is kept or gone that should not be, in whatever order it all happens."""

from __future__ import annotations

import asyncio
import os

import pytest

from securemem.errors import SecureMemError
from securemem.policy import Policy

from .faulty import FAULTS, faulty
from .play import Scene, play, play_in_memory, scenes
from .world import PSEUDONYMS, RULES, MemoryWorld, in_memory, opened_twice

SHARE = range(40)
WITHIN = 80
FEW = range(2)
SOAK = int(os.environ.get("SECUREMEM_TEST_INTERLEAVINGS", "100000"))


async def _found(world: MemoryWorld, every: list[Scene], seed: int) -> list[str]:
    try:
        return await asyncio.wait_for(play_in_memory(world, every, seed), 60)
    except (SecureMemError, TimeoutError) as exc:
        return [f"{type(exc).__name__}: {exc}"]


@pytest.mark.parametrize("rules", [RULES, PSEUDONYMS], ids=["plain", "pseudonyms"])
async def test_any_order(rules: Policy) -> None:
    """A seeded share of what the soak does, in memory, with two processes and one that reads from a replica."""
    async with in_memory(rules) as world:
        every = await scenes(world, 16)
        assert {seed: faults for seed in SHARE if (faults := await _found(world, every, seed))} == {}


@pytest.mark.servers
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "redis"], indirect=True)
async def test_any_order_on_each_backend(url: str) -> None:
    """The same on a file and on servers, which two processes have open."""
    async with opened_twice(url) as world:
        assert {seed: faults for seed in FEW if (faults := await asyncio.wait_for(play(world, seed), 60))} == {}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_found(name: str) -> None:
    """Control: with a step of the erasure left out, some of the first seeds find what comes of it."""
    async with in_memory(PSEUDONYMS if "pseudonyms" in name else RULES) as world:
        every = await scenes(world, 12)
        with faulty(name):
            for seed in range(WITHIN):
                if await _found(world, every, seed):
                    return
    pytest.fail(f"{WITHIN} seeds did not find that {name}")


@pytest.mark.soak
@pytest.mark.timeout(36_000)
async def test_any_order_at_length() -> None:
    """100,000 orders, or as many as SECUREMEM_TEST_INTERLEAVINGS says, half of them with pseudonyms."""
    for rules, seeds in ((RULES, range(0, SOAK, 2)), (PSEUDONYMS, range(1, SOAK, 2))):
        async with in_memory(rules) as world:
            every = await scenes(world, 64)
            assert {seed: faults for seed in seeds if (faults := await _found(world, every, seed))} == {}
