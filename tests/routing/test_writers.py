"""Who writes while the tenant is moved: every acknowledged message is there once, and who was erased stays erased."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from securemem import SecureMemory, Session, UserErasedError
from securemem.backends.routed import RoutedBackend
from securemem.errors import BackendUnavailableError
from securemem.handover import Handover
from securemem.model import HOME, Change
from tests.routing.conftest import MOST, SECOND, Stage, everything

Pair = tuple[SecureMemory, SecureMemory]
Acknowledged = dict[tuple[str, str], dict[int, Any]]
MOST_BEGUN = 50
"""How many sessions one writer begins: all go with each move, which without a limit would take ever longer."""


class Crowd:
    """Writers on two stores, and what they were told."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.stop = asyncio.Event()
        self.told: Acknowledged = {}
        self.erased: list[str] = []

    def _chat(self, turn: int, user: str, session: str) -> Session:
        return self._pair[turn % 2].session(session, user_id=user)

    async def _say(self, chat: Session, text: str, **options: Any) -> None:
        message = await chat.add("user", text, **options)
        texts = self.told.setdefault((chat.user_id, chat.session_id), {})
        assert message.seq not in texts, "two messages were told one place"
        texts[message.seq or 0] = text

    async def _until_stopped(self, turn: Callable[[int], Awaitable[None]]) -> int:
        number = 0
        while not self.stop.is_set():
            await turn(number)
            number += 1
        return number

    async def talk(self, who: int) -> int:
        """Write to sessions that others write to as well, from both stores, now and then about a guest."""

        async def turn(number: int) -> None:
            guest = {"user_id": "guest"} if number % 5 == 0 else {}
            await self._say(self._chat(number, "ann", f"s{(who + number) % 3}"), f"{who}:{number}", **guest)

        return await self._until_stopped(turn)

    async def begin(self, who: int) -> int:
        """Begin sessions, one after the other, from one store, go on from the other, and come back to the first."""

        async def turn(number: int) -> None:
            for step in range(3):
                await self._say(
                    self._chat(number + step, f"new {who}", f"n{number % MOST_BEGUN}"), f"{who}:{number}:{step}"
                )

        return await self._until_stopped(turn)

    async def clear(self) -> int:
        """Write to a session and clear it, again and again, from either store."""

        async def turn(number: int) -> None:
            for step in range(3):
                await self._say(self._chat(number + step, "bob", "cleared"), f"{number}:{step}")
            await self._chat(number, "bob", "cleared").clear()
            self.told.pop(("bob", "cleared"))

        return await self._until_stopped(turn)

    async def erase(self) -> int:
        """Let people come, write, visit, and be erased from the other store while they write."""

        async def turn(number: int) -> None:
            user = f"erased {number}"
            chats = [self._chat(number, user, f"e{which}") for which in range(2)]
            for chat in chats:
                await chat.add("user", "to be forgotten")
            await self._chat(number, "host", "visited").add("user", f"guest {number}", user_id=user)
            writing = asyncio.gather(*(self._write_on(chat) for chat in chats))
            receipt = await self._pair[(number + 1) % 2].erase_user(user)
            assert receipt.handle
            await writing
            self.erased.append(user)

        return await self._until_stopped(turn)

    async def _write_on(self, chat: Session) -> None:
        while True:
            try:
                await chat.add("user", "more")
            except UserErasedError:
                return

    async def read(self) -> int:
        """Read what was told, from the store that did not write it last."""

        async def turn(number: int) -> None:
            key = random.choice(list(self.told)) if self.told else ("ann", "s0")
            known = dict(self.told.get(key, {}))
            history = await self._chat(number, *key).history(MOST)
            if key[0] != "bob":
                assert {message.seq: message.content for message in history}.items() >= known.items()

        return await self._until_stopped(turn)


_SOAK = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=_SOAK)])
async def test_nothing_is_lost_or_doubled(stage: Stage, pair: Pair, times: int) -> None:
    """There and back under all kinds of writers: each session holds what was acknowledged, each at its place, once."""
    crowd = Crowd(pair)
    jobs = [crowd.talk(0), crowd.talk(1), crowd.talk(2), crowd.begin(0), crowd.begin(1)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in (*jobs, crowd.clear(), crowd.erase(), crowd.read(), crowd.read())]
        await asyncio.sleep(0.1)
        for mover, server in ((0, SECOND), (1, HOME)) * times:
            await pair[mover].tenants.move(server)
            await asyncio.sleep(0.05)
        crowd.stop.set()
    assert all(task.result() for task in tasks), "somebody never got a turn"
    wanted = {key: [texts[seq] for seq in sorted(texts)] for key, texts in crowd.told.items() if texts}
    async with stage.open(max_messages=MOST) as new:
        for memory in (*pair, new):
            found = await everything(memory)
            assert found.pop(("host", "visited"), []) == []
            assert found == wanted
    assert await stage.count(SECOND) == 0


async def test_who_is_erased_in_mid_move(stage: Stage, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who is erased while their session is on its way is gone from both servers."""
    here, there = pair
    for user in ("ann", "bob"):
        await here.session("s", user_id=user).add("user", f"of {user}")
    [session] = [keys.handle async for keys in (await here.host.ready()).keyring.sessions("ann")]
    away, erased = asyncio.Event(), asyncio.Event()
    real = Handover.take

    async def take(self: Handover, handle: bytes, *arguments: Any, **servers: Any) -> int:
        if handle != session:
            return await real(self, handle, *arguments, **servers)
        target = servers["target"]

        async def swap(change: Change) -> bytes | None:
            away.set()
            await erased.wait()
            answer: bytes | None = await type(target).swap(target, change)
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, "swap", swap)
            return await real(self, handle, *arguments, **servers)

    monkeypatch.setattr(Handover, "take", take)
    moving = asyncio.create_task(here.tenants.move(SECOND))
    await away.wait()
    receipt = await there.erase_user("ann")
    assert receipt.stores["data"]["sessions"] == 1
    erased.set()
    await moving
    for name in (HOME, SECOND):
        assert all(not tail.rows for tail in (await stage.copy(name, [session])).values())
    assert await everything(here) == await everything(there) == {("bob", "s"): ["of bob"]}


async def test_who_meets_a_session_on_its_way_carries_it(stage: Stage, pair: Pair) -> None:
    """A session whose mover was stopped in the middle is read and written, by who meets it, without waiting."""
    here, there = pair
    for number in range(4):
        await here.session(f"s{number}", user_id="ann").add("user", "before")
    warm = there.session("s0", user_id="ann")
    await warm.history()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("securemem.handover._Passage._write", _stopped)
        with pytest.raises(BackendUnavailableError, match="stopped"):
            await here.tenants.move(SECOND)
    on_their_way = [session for session, tail in (await stage.copy(HOME)).items() if tail.head[3] & 4]
    assert len(on_their_way) == 4
    await warm.add("user", "after")
    assert [message.content for message in await warm.history()] == ["before", "after"]
    assert [message.content for message in await there.session("s1", user_id="ann").history()] == ["before"]
    await there.session("s2", user_id="ann").clear()
    async with stage.open() as new:
        assert await new.session("s3", user_id="ann").context()
        await new.erase_user("ann")
    await here.tenants.move(SECOND)
    assert await stage.copy(HOME) == {}


async def _stopped(*_: object) -> bool:
    raise BackendUnavailableError("stopped")


def _hold(monkeypatch: pytest.MonkeyPatch, server: object) -> tuple[asyncio.Event, asyncio.Event]:
    """Let the first change that begins a session on a server wait; gives its arrival, and what lets it go on."""
    come, go = asyncio.Event(), asyncio.Event()
    real = server.swap  # type: ignore[attr-defined]

    async def swap(change: Change) -> bytes | None:
        if not change.expected and not come.is_set() and change.rows:
            come.set()
            await go.wait()
        answer: bytes | None = await real(change)
        return answer

    monkeypatch.setattr(server, "swap", swap)
    return come, go


async def _routed(memory: SecureMemory) -> RoutedBackend:
    backend = (await memory.host.ready()).backend
    assert isinstance(backend, RoutedBackend)
    return backend


@pytest.mark.parametrize("until", ["moving", "moved"])
async def test_a_late_beginning(pair: Pair, monkeypatch: pytest.MonkeyPatch, until: str) -> None:
    """Who was about to begin a session where it was left goes on where it is, though another has begun it there."""
    here, there = pair
    await here.session("old", user_id="ann").add("user", "hello")
    late = there.session("new", user_id="ann")
    come, go = _hold(monkeypatch, await (await _routed(there)).at(HOME))
    writing = asyncio.create_task(late.add("user", "late"))
    await come.wait()
    with pytest.MonkeyPatch.context() as patch:
        if until == "moving":
            patch.setattr("securemem.moving._Mover._settle", _stopped)
            with pytest.raises(BackendUnavailableError, match="stopped"):
                await here.tenants.move(SECOND)
        else:
            patch.setattr("securemem.moving._Mover._clean", _nothing)
            await here.tenants.move(SECOND)
    await here.session("new", user_id="ann").add("user", "early")
    go.set()
    assert (await writing).seq == 2
    for memory in pair:
        assert [said.content for said in await memory.session("new", user_id="ann").history()] == ["early", "late"]


async def test_a_late_beginning_without_fences(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without a fence the session begins twice, and one acknowledged message is not there."""
    here, there = pair
    await here.session("old", user_id="ann").add("user", "hello")
    come, go = _hold(monkeypatch, await (await _routed(there)).at(HOME))
    writing = asyncio.create_task(there.session("new", user_id="ann").add("user", "late"))
    await come.wait()
    monkeypatch.setattr(Handover, "take", _nothing)
    monkeypatch.setattr(RoutedBackend, "_fence", _no_fence)
    monkeypatch.setattr("securemem.moving._Mover._clean", _nothing)
    await here.tenants.move(SECOND)
    await here.session("new", user_id="ann").add("user", "early")
    go.set()
    assert (await writing).seq == 1
    assert [said.content for said in await here.session("new", user_id="ann").history()] == ["early"]


async def _nothing(*_: object, **__: object) -> int:
    return 0


async def _no_fence(*_: object) -> bytes:
    return b""


async def test_a_beginning_that_came_too_late(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was held up until the fences were gone is told that it is not known what became of the message."""
    here, there = pair
    await here.session("old", user_id="ann").add("user", "hello")
    monkeypatch.setattr("securemem.backends.routed.LEASE_SECONDS", 0.05)
    come, go = _hold(monkeypatch, await (await _routed(there)).at(HOME))
    late = there.session("new", user_id="ann")
    writing = asyncio.create_task(late.add("user", "late"))
    await come.wait()
    await here.tenants.move(SECOND)
    await here.session("new", user_id="ann").add("user", "early")
    go.set()
    with pytest.raises(BackendUnavailableError, match="look at the history"):
        await writing
    assert [said.content for said in await late.history()] == ["early"]
    await late.add("user", "again")
    assert [said.content for said in await late.history()] == ["early", "again"]
