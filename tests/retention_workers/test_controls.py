"""Controls: what the checks of a crash run say where one of the protections is switched off, and only there."""

from __future__ import annotations

import pytest

from .children import clock_at
from .conftest import Scenes
from .crash import Finding, Run, Trouble, hold
from .nursery import Nursery
from .scene import DAY, SECOND, VISITOR

ON_FILES = pytest.mark.parametrize("scenes", ["sqlite"], indirect=True)
CALM = {"kills": False, "chats": 0, "holds": 0, "seconds": (0.2, 0.3), "crews": [(SECOND, 3)]}
TRIES = 60


async def _kinds(scenes: Scenes, nursery: Nursery, wanted: set[str], **trouble: object) -> set[str]:
    """Run until something that was wanted is found; gives what was found in all."""
    kinds: set[str] = set()
    for seed in range(TRIES):
        run = Run(nursery, await scenes.next(seed), seed, Trouble(**(CALM | trouble)))  # type: ignore[arg-type]
        kinds |= {finding.kind for finding in await run.go()}
        if kinds & wanted:
            break
    return kinds


@ON_FILES
@pytest.mark.parametrize(
    ("wanted", "trouble"),
    [
        ({"twice", "reported twice"}, {"faults": ["overwrites", "shares leases"]}),
        ({"lost", "damaged", "texts"}, {"faults": ["overwrites"], "chats": 3, "seconds": (0.5, 0.7)}),
        ({"lost"}, {"faults": ["runs ahead"]}),
        ({"audit"}, {"faults": ["keeps silent"]}),
        ({"left"}, {"finishes": False, "kills": True, "seconds": (0.03, 0.04)}),
    ],
    ids=[
        "no compare-and-swap, no leases",
        "no compare-and-swap, chatting",
        "a wrong clock",
        "no audit",
        "no last pass",
    ],
)
async def test_what_is_switched_off_is_found(
    scenes: Scenes, nursery: Nursery, wanted: set[str], trouble: dict[str, object]
) -> None:
    """Each check finds what it is for."""
    assert await _kinds(scenes, nursery, wanted, **trouble) & wanted


@ON_FILES
@pytest.mark.parametrize("faults", [[], ["ignores holds"]], ids=["as it is", "holds ignored"])
async def test_holds_that_are_ignored_are_found(scenes: Scenes, nursery: Nursery, faults: list[str]) -> None:
    """A guest's words in other people's sessions, which no mark hides, go where a worker asks for no holds."""
    run = Run(nursery, await scenes.next(1), 1, Trouble(**(CALM | {"faults": faults})))  # type: ignore[arg-type]
    async with run.scene.place.open(clock_at(0)) as memory:
        held = await hold(memory, run.scene, VISITOR, None)
    assert held is not None
    assert held.rows
    run.story.held.append(held)
    found = await run.go()
    assert [finding.kind for finding in found] == (["hold broken"] if faults else [])


@ON_FILES
@pytest.mark.parametrize("faults", [["loiters"], ["loiters", "shares leases"]], ids=["as it is", "leases ignored"])
async def test_leases_that_are_ignored_are_found(scenes: Scenes, nursery: Nursery, faults: list[str]) -> None:
    """Two workers who find sessions closed, whose closer was killed, decide about each once, but without leases."""
    run = Run(nursery, await scenes.next(1), 1, Trouble(**(CALM | {"faults": faults, "crews": [(SECOND, 0)]})))  # type: ignore[arg-type]
    async with run.scene.place.open(clock_at(SECOND * DAY)) as memory:
        deployment = await memory.host.ready()
        gone = {session for (session, _), each in run.scene.written.items() if each.is_gone(SECOND)}
        kept = {session for (session, _), each in run.scene.written.items() if not each.is_gone(SECOND)}
        assert gone - kept
        for session in gone - kept:
            raw, _ = await deployment.backend.tail(bytes.fromhex(session), 0)
            closing = deployment.destruction.closing(bytes.fromhex(session), raw)
            assert await deployment.backend.swap(closing) is None
    kinds = {finding.kind for finding in await _without_audit(run)}
    assert kinds == ({"decided twice"} if "shares leases" in faults else set())


async def _without_audit(run: Run) -> list[Finding]:
    """Go, and leave out that nobody wrote down what was closed by hand."""
    return [finding for finding in await run.go() if finding.kind != "audit"]
