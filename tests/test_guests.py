"""Guests: other people's messages in somebody's session, sealed under their own keys, and gone when they go."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import Message, SecureMemory, Session, UserErasedError
from securemem.model import Change
from tests.overtaking import erase_before_opening

if TYPE_CHECKING:
    from tests.conftest import FakeClock


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def _group(memory: SecureMemory) -> Session:
    """Give a session of Alice's in which Gwen and Gus have spoken."""
    chat = memory.session("group", user_id="alice")
    await chat.add("user", "alice 1")
    await chat.add_many([Message("user", "gwen 2", user_id="gwen"), Message("user", "gus 3", user_id="gus")])
    await chat.add("user", "alice 4")
    return chat


async def test_a_message_says_whose_it_is(memory: SecureMemory) -> None:
    """`user_id` comes back where it is a guest's, and is None for the owner's own, however they were given."""
    chat = memory.session("s", user_id="alice")
    given = [Message("user", "x", user_id=user_id) for user_id in ("gwen", "alice", None, "gwen")]
    stored = await chat.add_many(given)
    assert [message.user_id for message in stored] == ["gwen", None, None, "gwen"]
    assert await chat.history() == stored


async def test_guests_survive_a_reopening(file_url: str) -> None:
    """A cold load finds the guests' keys, and appends go on under them."""
    async with SecureMemory.open(file_url) as memory:
        await _group(memory)
    async with SecureMemory.open(file_url) as memory:
        chat = memory.session("group", user_id="alice")
        await chat.add("user", "gwen 5", user_id="gwen")
        assert await _texts(chat) == ["alice 1", "gwen 2", "gus 3", "alice 4", "gwen 5"]
        assert await (await memory.host.ready()).keyring.keystore.counts() == (3, 1)


async def test_a_guests_list_holds_only_their_own_sessions(memory: SecureMemory) -> None:
    """Being a guest makes nobody the owner: the session is not in the guest's list, nor theirs to read."""
    await _group(memory)
    assert [info async for info in memory.sessions(user_id="gwen")] == []
    assert await memory.session("group", user_id="gwen").history() == []
    assert [info.session_id async for info in memory.sessions(user_id="alice")] == ["group"]


async def test_an_erased_guest_leaves_stubs(memory: SecureMemory) -> None:
    """The guest's messages go, everybody else's stay, and the session is read, paged, forked and added to as before."""
    chat = await _group(memory)
    await memory.session("own", user_id="gwen").add("user", "gwen alone")
    receipt = await memory.erase_user("gwen")
    assert receipt.stores["data"]["records"] == 2
    assert await _texts(chat) == ["alice 1", "gus 3", "alice 4"]
    assert [message.seq for message in await chat.history(1, before=3)] == [1]
    assert await memory.session("own", user_id="gwen").history() == []
    assert (await chat.add("user", "alice 5")).seq == 5
    assert await _texts(await chat.fork("branch")) == ["alice 1", "gus 3", "alice 4", "alice 5"]
    assert [info.messages async for info in memory.sessions(user_id="alice")] == [4, 4]


async def test_guests_go_one_after_the_other(memory: SecureMemory, clock: FakeClock) -> None:
    """Stubs of two guests, a sweep between and the newest record among them, and the chain still holds."""
    chat = await _group(memory)
    await chat.add("user", "short", ttl=60)
    await chat.add("user", "gus 6", user_id="gus")
    await memory.erase_user("gus")
    clock.advance(60)
    await memory.sweep()
    await memory.erase_user("gwen")
    await chat.add("user", "alice 7")
    assert await _texts(chat) == ["alice 1", "alice 4", "alice 7"]


async def test_the_owners_erasure_takes_the_session(memory: SecureMemory) -> None:
    """When the owner goes the guests' messages in the session go too; the guests' own sessions stay."""
    chat = await _group(memory)
    await memory.session("own", user_id="gwen").add("user", "gwen alone")
    await memory.erase_user("alice")
    with pytest.raises(UserErasedError):
        await chat.history()
    assert await memory.session("group", user_id="alice").history() == []
    assert await _texts(memory.session("own", user_id="gwen")) == ["gwen alone"]


async def test_an_erased_guest_can_come_back(memory: SecureMemory) -> None:
    """A new message for an erased guest is sealed under a new key, and the old ones stay gone."""
    chat = await _group(memory)
    await memory.erase_user("gwen")
    await chat.add("user", "gwen anew", user_id="gwen")
    assert await _texts(chat) == ["alice 1", "gus 3", "alice 4", "gwen anew"]
    await memory.erase_user("gwen")
    assert await _texts(chat) == ["alice 1", "gus 3", "alice 4"]


async def test_clearing_a_session_clears_its_guests(memory: SecureMemory) -> None:
    """A cleared session begins anew without its guests' messages, and takes new ones from them."""
    chat = await _group(memory)
    await chat.clear()
    await chat.add("user", "gwen anew", user_id="gwen")
    assert await _texts(chat) == ["gwen anew"]


async def test_another_process_writes_for_an_erased_guest(file_url: str) -> None:
    """A process with the erased guest's key in its cache is told, writes nothing, and then goes on with a new key."""
    async with SecureMemory.open(file_url) as here, SecureMemory.open(file_url) as there:
        chat = await _group(here)
        await there.erase_user("gwen")
        with pytest.raises(UserErasedError):
            await chat.add("user", "gwen 5", user_id="gwen")
        assert await _texts(chat) == ["alice 1", "gus 3", "alice 4"]
        await chat.add("user", "gwen anew", user_id="gwen")
        for memory in (here, there):
            texts = await _texts(memory.session("group", user_id="alice"))
            assert texts == ["alice 1", "gus 3", "alice 4", "gwen anew"]


async def test_the_first_append_races_with_a_guests_erasure(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose first message is a guest's, erased at that very moment, stays readable without it."""
    async with SecureMemory.open(file_url) as here, SecureMemory.open(file_url) as there:
        await there.session("own", user_id="gwen").add("user", "known before")
        backend = (await here.host.ready()).backend
        swap = backend.swap
        pending = [True]

        async def swap_after_erasure(change: Change) -> bytes | None:
            if pending:
                pending.clear()
                await there.erase_user("gwen")
            return await swap(change)

        monkeypatch.setattr(backend, "swap", swap_after_erasure)
        chat = here.session("group", user_id="alice")
        with pytest.raises(UserErasedError):
            await chat.add("user", "gwen 1", user_id="gwen")
        await chat.add("user", "alice 1")
        for memory in (here, there):
            assert await _texts(memory.session("group", user_id="alice")) == ["alice 1"]


async def test_a_damaged_session_keeps_no_guest_from_being_erased(file_url: str) -> None:
    """Where a guest's host session was tampered with, the guest's keys go all the same, and the store opens."""
    async with SecureMemory.open(file_url) as memory:
        await _group(memory)
        await memory.session("own", user_id="gwen").add("user", "gwen alone")
        deployment = await memory.host.ready()
        keys = await deployment.keyring.find("alice", "group")
        assert keys is not None
        head = (await deployment.backend.tail(keys.handle, 0)).head
        await deployment.backend.swap(Change(keys.handle, head, head[:-1] + bytes([head[-1] ^ 1])))
        await memory.erase_user("gwen")
        assert await deployment.keyring.find_user("gwen") is None
        assert await memory.session("own", user_id="gwen").history() == []
    async with SecureMemory.open(file_url) as memory:
        assert await memory.session("own", user_id="gwen").history() == []


async def test_data_from_before_a_guests_erasure(file_url: str, tmp_path: Path) -> None:
    """In data restored from before it the guest's records are taken out again, and the owner's are readable."""
    async with SecureMemory.open(file_url) as memory:
        await _group(memory)
    shutil.copy(tmp_path / "store.db", tmp_path / "backup")
    async with SecureMemory.open(file_url) as memory:
        await memory.erase_user("gwen")
    shutil.copy(tmp_path / "backup", tmp_path / "store.db")
    async with SecureMemory.open(file_url) as memory:
        assert await _texts(memory.session("group", user_id="alice")) == ["alice 1", "gus 3", "alice 4"]


async def test_a_fork_that_a_guests_erasure_overtakes(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is forgotten between the reading of a session and its opening is not in the copy, and nothing is amiss."""
    chat = memory.session("s", user_id="alice")
    await chat.add_many([Message("user", "a"), Message("user", "b", user_id="bob"), Message("user", "c")])
    fresh = memory.session("s", user_id="alice")
    is_erased = erase_before_opening(memory, monkeypatch, "bob")
    branch = await fresh.fork("branch")
    assert is_erased()
    assert [message.content for message in await branch.history()] == ["a", "c"]
