"""Who dies at any step of a restore is followed by another, and until then nobody opens the store."""

from __future__ import annotations

import contextlib
import json
import signal
from itertools import count
from pathlib import Path

import pytest

from securemem import ConfigurationError, Message, NotReadyError
from securemem.ledger.acts import ActKind
from securemem.ledger.store import Ledger
from securemem.testing.processes import Child

from .place import STORES, Place, decide, fill, read

_FIRST, _SOME = 9, 27
"""Steps in which data is put, and at which intervals others are tried where all would take minutes."""
SCRIPT = Path(__file__).parents[1] / "processes" / "restore.py"


def _run(what: str, path: Path, place: Place, last: int) -> int | None:
    """Run it; gives how many steps it took, None where it was killed."""
    child = Child(str(SCRIPT), what, str(path), place.url, json.dumps(place.settings), str(last))
    child.release()
    ended = child.finish()
    if ended.code == -signal.SIGKILL:
        return None
    assert ended.code == 0, ended.errors
    return int(ended.lines[-1])


def _some_of(total: int, every: int) -> list[int]:
    """Give the first steps, in which data is put, and some of those in which what was missed is carried out."""
    return [*range(1, min(_FIRST, total) + 1), *range(_FIRST + every, total + 1, every)]


async def _is_under_way(place: Place) -> bool:
    ledger = Ledger(place.settings["ledger"].removeprefix("sqlite:///"))
    peek = await ledger.peek()
    assert peek is not None
    await ledger.create(peek.stamp.deployment)
    acts = await ledger.acts(unfinished=True)
    await ledger.aclose()
    return any(act.kind is ActKind.RESTORE for act in acts)


@pytest.mark.parametrize("every", [_SOME, pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("place", ["sqlite", "postgresql", "redis"], indirect=True)
async def test_killed_at_steps_of_a_restore(place: Place, every: int) -> None:
    """A restore that was killed before its n-th step ends as one that was not; nobody reads in between."""
    async with place.open(max_messages=2000) as memory:
        await fill(memory)
        wide = [Message("user", str(number)) for number in range(1203)]
        await memory.session("wide", user_id="frank").add_many(wide)
        await place.save(memory, "data")
        await decide(memory)
    await place.empty("data")
    total = _run("restore", place.saved["data"], place, 0)
    assert total is not None
    for step in _some_of(total, every):
        await place.empty("data")
        assert _run("restore", place.saved["data"], place, step) is None
        if await _is_under_way(place):
            with pytest.raises(NotReadyError, match="being restored"):
                async with place.open():
                    pass
        # Where it had not begun yet it is begun; where all was put, the next opening does what is left.
        with contextlib.suppress(ConfigurationError):
            await place.restore("data")
        async with place.open(max_messages=2000) as memory:
            assert await read(memory, "alice") == []
            assert [await read(memory, user) for user in ("bob", "carol", "dave")] == ["restricted", "restricted", []]
            assert [message.content for message in await memory.session("wide", user_id="frank").history(2000)] == [
                message.content for message in wide
            ]


@pytest.mark.parametrize("place", ["sqlite", "all on postgresql"], indirect=True)
async def test_all_three_are_gone_on_with(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore of all stores that was cut off while data was put is gone on with by the same one, which ends once."""
    async with place.open() as memory:
        await memory.session("s", user_id="alice").add("user", "hers")
        await place.save(memory, *STORES)
    for store in STORES:
        await place.empty(store)

    async def killed(*_: object, **__: object) -> None:
        raise ConnectionAbortedError

    for step in ("securemem.restoringdata.swap_all", "securemem.ledger.store.Ledger.finish"):
        with monkeypatch.context() as patch:
            patch.setattr(step, killed)
            with pytest.raises(ConnectionAbortedError):
                await place.restore(*STORES)
        with pytest.raises(NotReadyError, match="being restored"):
            async with place.open():
                pass
    assert (await place.restore(*STORES)).is_open
    async with place.open(create=False) as memory:
        assert await read(memory, "alice") == ["hers"]
    with pytest.raises(ConfigurationError):
        await place.restore(*STORES)


@pytest.mark.parametrize("newer", ["keystore", "ledger"])
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_it_is_not_gone_on_with_by_newer_ones(place: Place, monkeypatch: pytest.MonkeyPatch, newer: str) -> None:
    """What knows of more than what was put is not left out in silence: it is refused, and begun anew with it is put."""
    async with place.open() as memory:
        await memory.session("s", user_id="alice").add("user", "hers")
        await memory.session("s", user_id="bob").add("user", "his")
        await place.save(memory, *STORES)
        old = dict(place.saved)
        await memory.erase_user("alice")
        await place.save(memory, "keystore", "ledger", name="newer ")
    new, place.saved = place.saved, old

    async def killed(*_: object, **__: object) -> None:
        raise ConnectionAbortedError

    async def cut_off() -> None:
        for store in STORES:
            await place.empty(store)
        with monkeypatch.context() as patch:
            patch.setattr("securemem.restoringdata.swap_all", killed)
            with pytest.raises(ConnectionAbortedError):
                await place.restore(*STORES)

    await cut_off()
    place.saved = old | {newer: new[newer]}
    with pytest.raises(ConfigurationError, match=f"newer than the {newer} that is in place"):
        await place.restore(*STORES)
    place.saved = old
    assert (await place.restore(*STORES)).is_open, "the control: those with which it began go on with it"
    await cut_off()
    for store in STORES:
        await place.empty(store)
    place.saved = new
    await place.restore(*STORES)
    async with place.open(create=False) as memory:
        assert [await read(memory, user) for user in ("alice", "bob")] == [[], ["his"]]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_killed_at_every_step_of_a_backup(place: Place) -> None:
    """A backup that was killed has no file of its name; the next one is whole."""
    async with place.open() as memory:
        await fill(memory)
    for step in count(1):
        path = place.folder / f"{step}.backup"
        if _run("backup", path, place, step) is not None:
            break
        assert not path.exists()
    place.saved["data"] = path
    await place.empty("data")
    await place.restore("data")
    async with place.open() as memory:
        assert await read(memory, "bob") == [f"bob {number}" for number in range(3)]
