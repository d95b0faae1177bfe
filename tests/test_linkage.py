"""A list of candidate e-mails against all that is left of an erased person; the full size is `benchmarks linkage`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.linkage import Scene, email, prepare
from benchmarks.linkage_attack import Remains

CANDIDATES = 1_500


def linked(remains: Remains, *, old: bool = False) -> set[str]:
    """Give who is found, of a list that holds the erased and the living; in copies from before too where asked."""
    links = remains.links(map(email, range(CANDIDATES)))
    return {link.candidate for link in links if old or not link.old}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Give what is left of somebody, and the copy of the keystore from before."""
    return asyncio.run(prepare(tmp_path_factory.mktemp("linkage"), CANDIDATES))


def test_nothing_that_is_left_links_to_the_erased(scene: Scene) -> None:
    """With every file and every key the attack finds those who live on, and neither the erased nor a stranger."""
    assert linked(scene.remains) == scene.living
    assert scene.erased in map(email, range(CANDIDATES))
    assert len(scene.remains.keys) > 20
    assert scene.remains.tries() > 200


def test_a_keystore_from_before_links_to_the_erased(scene: Scene) -> None:
    """The control: the same attack with the keystore of the day before finds them."""
    assert linked(scene.remains, old=True) == scene.living | {scene.erased}


async def test_what_an_application_names_by_an_email_links(tmp_path: Path) -> None:
    """The control, and a limit: who writes an e-mail as a tag or an actor leaves its keyed hash in the ledger."""
    scene = await prepare(tmp_path, CANDIDATES, careless=True)
    hows = {link.how.partition(" under")[0] for link in scene.remains.links([scene.erased]) if not link.old}
    assert hows == {"HMAC-SHA-256 of actor", "HMAC-SHA-256 of fact"}
