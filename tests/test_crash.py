"""kill -9: what was acknowledged is there, in order and verified, with no half append; what was begun is ended."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from securemem import SecureMemory
from securemem.testing.processes import Child, Ended, release, start_writer
from securemem.testing.writer import Plan

ACT = str(Path(__file__).parent / "processes" / "act.py")
SESSIONS = ("one", "two", "three")
BATCH = 2
Everything = dict[tuple[str, str], list[object]]


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db"


def _killed(folder: Path, name: str, seconds: float) -> Ended:
    """Let a writer write, and kill it so long after it was let go."""
    options = {"max_messages": 1_000_000}
    child = start_writer(
        Plan(url=_url(folder), writer=name, sessions=SESSIONS, appends=None, batch=BATCH, options=options)
    )
    release(child)
    time.sleep(seconds)
    return child.kill()


async def _check(folder: Path, acknowledged: dict[str, dict[int, str]]) -> int:
    """Read everything back, verified; give how many messages there are."""
    total = 0
    async with SecureMemory.open(_url(folder)) as memory:
        for name in SESSIONS:
            messages = await memory.session(name).history(limit=1_000_000)
            total += len(messages)
            assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
            texts = {message.seq: message.content for message in messages}
            assert texts.items() >= acknowledged.get(name, {}).items(), "an acknowledged message is lost"
            pairs = [str(message.content).rsplit(":", 1) for message in messages]
            assert [place for _, place in pairs] == ["0", "1"] * (len(messages) // BATCH), "there is half an append"
            assert [append for append, _ in pairs[::2]] == [append for append, _ in pairs[1::2]]
            numbers: dict[str, list[int]] = {}
            for append, _ in pairs[::2]:
                writer, number = append.split(":")
                numbers.setdefault(writer, []).append(int(number))
            for own in numbers.values():
                first = SESSIONS.index(name)
                assert own == list(range(first, first + len(SESSIONS) * len(own), len(SESSIONS)))
    return total


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_a_killed_writer_loses_nothing(tmp_path: Path, kills: int) -> None:
    """A writer killed at a random moment, while it makes the store, opens it or appends, loses nothing acknowledged."""
    draw = random.Random(4711)
    folder, acknowledged, unheard, total = tmp_path, dict[str, dict[int, str]](), 0, 0
    for number in range(kills):
        if number % 10 == 0:
            folder, acknowledged = tmp_path / f"store {number}", {}
            folder.mkdir()
        ended = _killed(folder, f"w{number}", draw.uniform(0, 0.4))
        assert (ended.code, ended.errors) == (-9, "")
        for line in ended.lines:
            assert not isinstance(line, dict), line
            session, seqs, texts = line
            acknowledged.setdefault(session, {}).update(zip(seqs, texts, strict=True))
        known = sum(len(texts) for texts in acknowledged.values())
        there = asyncio.run(_check(folder, acknowledged))
        total += len(ended.lines) * BATCH
        unheard = max(unheard, there - known)
    assert total, "nobody wrote anything before being killed"
    assert unheard <= 10 * BATCH, "at most one append a kill may be there without having been acknowledged"


async def _fill(folder: Path) -> Everything:
    async with SecureMemory.open(_url(folder)) as memory:
        for user in ("ann", "bob", "cleo"):
            for session in ("one", "two"):
                await memory.session(session, user_id=user).add("user", f"{user} {session}")
        await memory.session("one", user_id="bob").add("user", "a word of ann's", user_id="ann")
        return await _everything(memory)


async def _everything(memory: SecureMemory) -> Everything:
    return {
        (info.user_id, info.session_id): [
            message.content for message in await memory.session(info.session_id, user_id=info.user_id).history()
        ]
        async for info in memory.sessions()
    }


def _without(written: Everything, act: str) -> Everything:
    """What is left when an act is through."""
    if act == "clear":
        return {key: texts for key, texts in written.items() if key != ("ann", "one")}
    if act == "rectify":
        return written | {("ann", "one"): ["put right"]}
    if act == "erase":
        left = {key: texts for key, texts in written.items() if key[0] != "ann"}
        return {key: [text for text in texts if text != "a word of ann's"] for key, texts in left.items()}
    return written


async def _check_act(folder: Path, written: Everything, act: str, *, through: bool) -> bool:
    """Reopen: the act was never begun, or it is through now; gives which. Then do it again, and it ends well."""
    after = _without(written, act)
    async with SecureMemory.open(_url(folder)) as memory:
        everything = await _everything(memory)
        assert everything in ((after,) if through else (written, after))
        assert all(not unfinished for unfinished in [await memory.host.deployment.ledger.acts(unfinished=True)])  # type: ignore[union-attr]
        for user in ("ann", "new"):
            await memory.session("after", user_id=user).add("user", "it goes on")
        if act == "rotate":
            await memory.keys.rotate()
        if act in ("rotate", "close"):
            await memory.keys.close_epoch(backup=folder / "second.db")
            [*old, last] = await memory.keys.status()
            assert {(each.state, each.users, each.kek) for each in old} == {("destroyed", 0, False)}
            assert (last.state, last.kek) == ("open", True)
        more: Everything = {("ann", "after"): ["it goes on"], ("new", "after"): ["it goes on"]}
        assert await _everything(memory) == everything | more
    return everything == after


def _steps(act: str, folder: Path, chosen: random.Random | None) -> Iterator[int]:
    """Give the steps to die before: all of them, or a few drawn ones."""
    folder.mkdir()
    asyncio.run(_fill(folder))
    child = Child(ACT, _url(folder), act, "0")
    child.release()
    ended = child.finish()
    assert (ended.lines[0], ended.code, ended.errors) == ("begun", 0, "")
    every = range(1, ended.lines[1] + 1)
    return iter(every if chosen is None else sorted(chosen.sample(every, 3)))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("act", ["clear", "erase", "rotate", "close", "rectify"])
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_who_is_killed_within_an_act_is_followed(tmp_path: Path, act: str, *, every: bool) -> None:
    """An act killed before any of its steps was never begun, or is through once the store is reopened."""
    chosen = None if every else random.Random(act)
    outcomes = []
    for step in _steps(act, tmp_path / "measured", chosen):
        folder = tmp_path / f"step {step}"
        folder.mkdir()
        written = asyncio.run(_fill(folder))
        child = Child(ACT, _url(folder), act, str(step))
        child.release()
        ended = child.finish()
        assert (ended.lines, ended.code, ended.errors) == (["begun"], -9, "")
        outcomes.append(asyncio.run(_check_act(folder, written, act, through=False)))
    assert outcomes == sorted(outcomes), "who dies later does not leave less done"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.soak)])
@pytest.mark.parametrize("act", ["clear", "erase", "close", "rectify"])
def test_who_is_killed_at_any_moment_of_an_act_is_followed(tmp_path: Path, act: str, kills: int) -> None:
    """The same for a process killed from outside at a random moment."""
    draw = random.Random(act)
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        written = asyncio.run(_fill(folder))
        child = Child(ACT, _url(folder), act, "0")
        child.release()
        assert child.listen() == "begun"
        time.sleep(draw.uniform(0, 0.04))
        ended = child.kill()
        asyncio.run(_check_act(folder, written, act, through=bool(ended.lines)))
