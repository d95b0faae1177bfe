"""Forks: a copy under a key of its own, of the same user, with what its messages were promised."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import astuple

from securemem import ConflictError, InvalidInputError, Message, SecureMemory, Session, UserErasedError
from securemem.keys.unwrapped import Title
from securemem.writer import Writer

if TYPE_CHECKING:
    from tests.conftest import FakeClock, Stored


def _plain(messages: list[Message]) -> list[tuple[object, ...]]:
    """Give all of messages but their place."""
    return [astuple(each)[:-1] for each in messages]


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


def _before(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], Any]) -> None:
    """Let something happen once, just before a writer's step."""
    original = getattr(Writer, step)
    pending = [act]

    async def stepped(*arguments: Any, **named: Any) -> Any:
        if pending:
            await pending.pop()()
        return await original(*arguments, **named)

    monkeypatch.setattr(Writer, step, stepped)


async def test_a_fork_copies_messages_whole(memory: SecureMemory, clock: FakeClock) -> None:
    """Role, content, time, metadata, guest and expiry are in the copy as they are in the original."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "hello", metadata={"channel": "web"})
    clock.advance(1)
    await chat.add("user", "a guest's", user_id="gwen", ttl=60)
    await chat.add("assistant", [{"type": "text", "text": "x"}])
    branch = await chat.fork("branch")
    assert _plain(await branch.history()) == _plain(await chat.history())
    assert (branch.session_id, branch.user_id) == ("branch", "alice")


@pytest.mark.parametrize("at", [1, 3, 5])
async def test_at_is_the_last_one_copied(memory: SecureMemory, at: int) -> None:
    """`at` names the last message of the copy by its seq."""
    chat = memory.session("s")
    await chat.add_many([Message("user", str(number)) for number in range(1, 6)])
    assert await _texts(await chat.fork("branch", at=at)) == [str(number) for number in range(1, at + 1)]


@pytest.mark.parametrize("at", [0, 6, 10**30])
async def test_at_has_to_be_there(memory: SecureMemory, stored: Stored, at: int) -> None:
    """A seq that the session does not hold is refused, and nothing is written."""
    chat = memory.session("s")
    await chat.add_many([Message("user", "x")] * 5)
    before = await stored(memory)
    with pytest.raises(InvalidInputError):
        await chat.fork("branch", at=at)
    assert await stored(memory) == before


async def test_forks_go_their_own_ways(memory: SecureMemory) -> None:
    """What is added to one is not in the other."""
    chat = memory.session("s")
    await chat.add("user", "both")
    branch = await chat.fork("branch")
    await chat.add("user", "chat")
    await branch.add("user", "branch")
    assert (await _texts(chat), await _texts(branch)) == (["both", "chat"], ["both", "branch"])


@pytest.mark.parametrize("cleared", ["s", "branch"])
async def test_clearing_one_leaves_the_other(memory: SecureMemory, cleared: str) -> None:
    """Each has its own key, so either can be cleared alone."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "kept")
    await chat.fork("branch")
    await memory.session(cleared, user_id="alice").clear()
    texts = {name: await _texts(memory.session(name, user_id="alice")) for name in ("s", "branch")}
    assert texts == {"s": ["kept"], "branch": ["kept"]} | {cleared: []}


async def test_erasing_the_user_erases_both(memory: SecureMemory) -> None:
    """A copy is the same person's, and goes with them."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "gone")
    await chat.fork("branch")
    await memory.erase_user("alice")
    for name in ("s", "branch"):
        assert await memory.session(name, user_id="alice").history() == []


async def test_an_existing_session_is_not_forked_onto(memory: SecureMemory, stored: Stored) -> None:
    """The id of another session, or its own, is a conflict, and both stay as they were; once cleared it is free."""
    chat, other = memory.session("s", user_id="alice"), memory.session("t", user_id="alice")
    await chat.add("user", "one")
    await other.add("user", "two")
    before = await stored(memory)
    for name in ("t", "s"):
        with pytest.raises(ConflictError):
            await chat.fork(name)
    assert await stored(memory) == before
    await other.clear()
    assert await _texts(await chat.fork("t")) == ["one"]


async def test_two_forks_onto_one_id(memory: SecureMemory) -> None:
    """Of two at the same moment one wins, and the other is a conflict."""
    chat = memory.session("s")
    await chat.add("user", "one")
    answers = await asyncio.gather(chat.fork("b"), chat.fork("b"), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "Session"]
    assert await _texts(memory.session("b", user_id="s")) == ["one"]


async def test_a_copy_expires_when_its_original_does(memory: SecureMemory, clock: FakeClock) -> None:
    """The expiry is copied, not reckoned anew from the fork."""
    chat = memory.session("s")
    await chat.add("user", "short", ttl=60)
    await chat.add("user", "long")
    clock.advance(59)
    branch = await chat.fork("branch")
    assert await _texts(branch) == ["short", "long"]
    clock.advance(1)
    assert await _texts(branch) == ["long"]


async def test_what_is_past_its_time_is_not_copied(memory: SecureMemory, clock: FakeClock) -> None:
    """An expired message is not in a fork; a session with nothing else has nothing to fork."""
    chat = memory.session("s")
    await chat.add("user", "short", ttl=60)
    clock.advance(60)
    with pytest.raises(InvalidInputError, match="nothing to fork"):
        await chat.fork("empty")
    await chat.add("user", "long")
    assert await _texts(await chat.fork("branch")) == ["long"]


async def test_a_pinned_message_stays_pinned(memory: SecureMemory) -> None:
    """The window of a fork begins with the pinned message of its original."""
    chat = memory.session("s")
    await chat.add("system", "rules", metadata={"pinned": True})
    branch = await chat.fork("branch")
    await branch.add_many([Message("user", str(number)) for number in range(30)])
    assert (await branch.context(max_messages=3))[0].content == "rules"


async def test_a_fork_of_a_trimmed_session(url: str) -> None:
    """Only what is there still is copied, and what was trimmed cannot be named."""
    async with SecureMemory.open(url, max_messages=3) as memory:
        chat = memory.session("s")
        await chat.add_many([Message("user", str(number)) for number in range(1, 6)])
        assert await _texts(await chat.fork("all")) == ["3", "4", "5"]
        assert await _texts(await chat.fork("one", at=3)) == ["3"]
        with pytest.raises(InvalidInputError):
            await chat.fork("none", at=2)


async def test_a_fork_cannot_outrun_an_erasure(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person erased between the reading and the writing of a fork is not brought back by it."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "gone")
    _before(monkeypatch, "start", lambda: memory.erase_user("alice"))
    with pytest.raises(UserErasedError):
        await chat.fork("branch")
    assert (await (await memory.host.ready()).keyring.keystore.counts()) == (0, 0)


async def test_a_fork_cannot_bring_a_guest_back(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest erased between the reading and the writing of a fork is not brought back by it."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "the owner's")
    await chat.add("user", "the guest's", user_id="gwen")
    _before(monkeypatch, "start", lambda: memory.erase_user("gwen"))
    with pytest.raises(UserErasedError):
        await chat.fork("branch")
    assert "the guest's" not in await _texts(memory.session("branch", user_id="alice"))
    assert await _texts(chat) == ["the owner's"]


async def test_a_fork_cannot_bring_its_person_back(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was erased and came back before the copies are written gets none of them, a key for the branch or not."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "old")

    async def erase_and_come_back() -> None:
        await memory.erase_user("alice")
        deployment = await memory.host.ready()
        await deployment.keyring.mint("alice", "branch", Title("branch", 0))

    _before(monkeypatch, "start", erase_and_come_back)
    with pytest.raises(UserErasedError):
        await chat.fork("branch")
    assert await _texts(memory.session("branch", user_id="alice")) == []


@pytest.mark.servers
@pytest.mark.parametrize("url", ["postgresql", "redis"], indirect=True)
async def test_a_fork_takes_one_round_trip_each_way(url: str) -> None:
    """What is copied is read at once, and written at once, however much that is."""
    async with SecureMemory.open(url, max_messages=1000) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", f"message {number}") for number in range(300)])
        backend, calls = (await memory.host.ready()).backend, Counter[str]()

        def counted(name: str) -> None:
            real = getattr(backend, name)

            async def call(*arguments: Any, **options: Any) -> Any:
                calls[name] += 1
                return await real(*arguments, **options)

            setattr(backend, name, call)

        for name in ("tail", "swap"):
            counted(name)
        fork = await chat.fork("copy")
        assert calls == {"tail": 1, "swap": 1}
        assert len(await fork.history(1000)) == 300
