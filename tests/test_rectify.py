"""Rectification: another content in the place of what was said, on every backend, and the old one given by nobody."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import (
    AccessDeniedError,
    ExpiredError,
    InvalidInputError,
    LegalHoldError,
    Message,
    SecureMemory,
    Session,
    UserErasedError,
)
from securemem.crypto.head import MAX_EDITS
from securemem.ledger.audit import Audit, EventKind
from securemem.model import Head
from securemem.policy import Pii, Policy
from securemem.policy.schema import Access

if TYPE_CHECKING:
    from tests.conftest import FakeClock

ROLES = Policy("roles", "", access=Access(roles={"clerk": ("read", "write"), "bot": ("write",), "guest": ("read",)}))


async def _texts(chat: Session, **options: Any) -> list[Any]:
    return [message.content for message in await chat.history(**options)]


async def _head(memory: SecureMemory, user: str, session: str) -> Head:
    """Give a session's head as it lies there."""
    deployment = await memory.host.ready()
    keys = await deployment.keyring.find(user, session)
    assert keys is not None
    raw, _ = await deployment.backend.tail(keys.handle, 0)
    return keys.head.decode(raw)


async def _filled(memory: SecureMemory, count: int = 6) -> Session:
    chat = memory.session("s", user_id="alice")
    await chat.add_many([Message("user", f"text {number}") for number in range(1, count + 1)])
    return chat


@pytest.mark.parametrize("seq", [1, 3, 6])
async def test_only_the_content_is_another(memory: SecureMemory, clock: FakeClock, seq: int) -> None:
    """Role, time, metadata, end and place stay; every read gives the new content, and the session goes on."""
    chat = memory.session("s", user_id="alice")
    said = datetime(2026, 1, 2, tzinfo=UTC)
    for number in range(1, 7):
        await chat.add("tool", f"text {number}", timestamp=said, metadata={"n": number}, ttl=600)
    [before] = [message for message in await chat.history() if message.seq == seq]
    clock.advance(60)
    stored = await chat.rectify(seq, [{"type": "text", "text": "corrected"}])
    assert stored == await _only(chat, seq)
    assert (stored.role, stored.timestamp, stored.metadata) == ("tool", said, {"n": seq})
    assert (stored.expires_at, stored.seq) == (before.expires_at, seq)
    assert stored.content == [{"type": "text", "text": "corrected"}]
    await chat.add("user", "after")
    assert len(await chat.history()) == 7
    assert await _only(chat, seq) == stored
    fork = await chat.fork("other")
    assert stored.content in await _texts(fork)
    clock.advance(541)
    assert await _texts(chat) == ["after"]


async def _only(chat: Session, seq: int) -> Message:
    [found] = [message for message in await chat.history() if message.seq == seq]
    return found


async def test_it_can_be_done_again_and_all_over(memory: SecureMemory) -> None:
    """A message rectified twice says the second, also where it was the newest once; pages and windows agree."""
    chat = await _filled(memory)
    await chat.rectify(6, "six")
    await chat.add("user", "text 7")
    await chat.rectify(6, "six again")
    await chat.rectify(7, "seven")
    await chat.rectify(2, "two")
    await chat.rectify(2, "two again")
    expected = ["text 1", "two again", "text 3", "text 4", "text 5", "six again", "seven"]
    assert await _texts(chat) == expected
    assert await _texts(chat, limit=3, before=4) == expected[:3]
    assert [message.content for message in await chat.context()] == expected
    assert set((await _head(memory, "alice", "s")).edits) == {2, 6}


async def test_past_so_many_edits_the_chain_is_sealed_anew(url: str) -> None:
    """What is rectified beyond what a head can name has all from the oldest on sealed anew, stubs and guests too."""
    async with SecureMemory.open(url, max_messages=1000) as memory:
        chat = await _filled(memory, 10)
        await chat.add("user", "gwen's", user_id="gwen")
        await chat.add("user", "gus's", user_id="gus")
        await chat.add_many([Message("user", f"text {number}") for number in range(13, 81)])
        expected = [message.content for message in await chat.history()]
        for seq in range(5, 5 + MAX_EDITS):
            await chat.rectify(seq, f"edit {seq}", purge_seconds=0)
            expected[seq - 1] = f"edit {seq}"
        assert len((await _head(memory, "alice", "s")).edits) == MAX_EDITS
        await memory.erase_user("gus", purge_seconds=0)
        del expected[11]
        assert await _texts(chat) == expected
        page = await chat.history(5)
        await chat.rectify(3, "one more", purge_seconds=0)
        expected[2] = "one more"
        assert (await _head(memory, "alice", "s")).edits == {}
        assert await _texts(chat, limit=5, before=page[0].seq) == expected[-10:-5]
        assert await _texts(chat) == expected
        await chat.add("user", "after")
        await chat.rectify(4, "and one", purge_seconds=0)
        expected[3] = "and one"
        assert await _texts(chat) == [*expected, "after"]


async def test_a_guests_message_stays_the_guests(memory: SecureMemory) -> None:
    """It is sealed under the guest's key again, and goes when the guest goes; the rest is read past the stub."""
    chat = await _filled(memory, 2)
    await chat.add("user", "gwen's", user_id="gwen")
    await chat.add("user", "text 4")
    stored = await chat.rectify(3, "gwen's own")
    assert (stored.user_id, stored.content) == ("gwen", "gwen's own")
    assert await _texts(chat) == ["text 1", "text 2", "gwen's own", "text 4"]
    await memory.erase_user("gwen")
    assert await _texts(chat) == ["text 1", "text 2", "text 4"]
    with pytest.raises(InvalidInputError, match="no message"):
        await chat.rectify(3, "back again")


async def test_what_was_rectified_expires_and_is_read_past(memory: SecureMemory, clock: FakeClock) -> None:
    """A rectified record that a sweep takes out of the middle leaves a stub that the chain goes on behind."""
    chat = await _filled(memory, 2)
    await chat.add("user", "short", ttl=60)
    await chat.add("user", "text 4")
    await chat.rectify(3, "short too")
    clock.advance(61)
    with pytest.raises(ExpiredError):
        await chat.rectify(3, "too late")
    assert (await memory.sweep()).records == 1
    assert await _texts(chat) == ["text 1", "text 2", "text 4"]
    await chat.rectify(4, "four")
    await chat.add("user", "text 5")
    assert await _texts(chat) == ["text 1", "text 2", "four", "text 5"]


async def test_what_was_rectified_is_trimmed(url: str) -> None:
    """A trim takes rectified messages like others; a pinned one is sealed anew as it says now."""
    async with SecureMemory.open(url, max_messages=4) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("system", "be kind", metadata={"pinned": True})
        await chat.add_many([Message("user", "a"), Message("user", "b")])
        await chat.context()
        await chat.rectify(1, "be curt")
        await chat.rectify(2, "A")
        assert [message.content for message in await chat.context(max_messages=2)] == ["be curt", "b"]
        for number in range(5):
            await chat.add("user", str(number))
        assert sorted(await _texts(chat)) == ["2", "3", "4", "be curt"]
        assert [message.content for message in await chat.context(max_messages=2)] == ["be curt", "4"]


async def test_what_cannot_be_rectified(memory: SecureMemory) -> None:
    """No such session or message, and contents that no store takes, are refused, and nothing is changed."""
    chat = await _filled(memory)
    head = await _head(memory, "alice", "s")
    for seq in (0, 7, 10**12):
        with pytest.raises(InvalidInputError, match="no message"):
            await chat.rectify(seq, "x")
    with pytest.raises(InvalidInputError, match="no message"):
        await memory.session("none", user_id="alice").rectify(1, "x")
    for content in (object(), float("nan"), "\ud800", {1: "x"}):
        with pytest.raises(InvalidInputError):
            await chat.rectify(1, content)
    for wrong in (-1, "1", True, None):
        with pytest.raises(InvalidInputError, match="seq"):
            await chat.rectify(wrong, "x")  # type: ignore[arg-type]
    assert await _head(memory, "alice", "s") == head


async def test_a_hold_keeps_what_was_said(memory: SecureMemory) -> None:
    """Nothing that a hold is on is rectified, be it the owner's, one session's or a guest's; then it is."""
    chat = await _filled(memory, 2)
    await chat.add("user", "gwen's", user_id="gwen")
    for held, session, seq in (("alice", None, 1), ("alice", "s", 2), ("gwen", None, 3), ("alice", None, 3)):
        hold = await memory.holds.place(held, session_id=session, reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await chat.rectify(seq, "x")
        await memory.holds.release(hold.id)
    assert await _texts(chat) == ["text 1", "text 2", "gwen's"]
    await chat.rectify(1, "x")
    assert await _texts(chat) == ["x", "text 2", "gwen's"]


async def test_a_restriction_does_not_keep_it(memory: SecureMemory) -> None:
    """Who has their data restricted because it is wrong can have it put right meanwhile."""
    chat = await _filled(memory, 2)
    await memory.restrict_user("alice")
    assert (await chat.rectify(1, "right")).content == "right"
    await memory.lift_restriction("alice")
    assert await _texts(chat) == ["right", "text 2"]


async def test_who_is_gone_has_nothing_to_rectify(memory: SecureMemory) -> None:
    """A handle that was open says that the person was forgotten; a new one knows no message."""
    chat = await _filled(memory)
    await memory.erase_user("alice")
    with pytest.raises(UserErasedError):
        await chat.rectify(1, "x")
    with pytest.raises(InvalidInputError, match="no message"):
        await memory.session("s", user_id="alice").rectify(1, "x")
    assert [info async for info in memory.sessions()] == []


async def test_the_policy_treats_it_anew(url: str) -> None:
    """What the policy redacts is redacted in the new content too; pseudonyms in it are the person's."""
    entities = {"EMAIL_ADDRESS": "pseudonymise", "CREDIT_CARD": "redact"}
    async with SecureMemory.open(url, policy=Policy("p", "", Pii(entities=entities))) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", "I am a@example.com", metadata={"mail": "a@example.com"})
        stored = await chat.rectify(1, "I am b@example.com with 4111 1111 1111 1111, not [EMAIL_ADDRESS_1]")
        assert "4111" not in stored.content
        assert stored.content.startswith("I am b@example.com")
        assert stored.content.endswith("not [EMAIL_ADDRESS_1]")
        assert stored.metadata == {"mail": "a@example.com"}
        assert await chat.history() == [stored]
        [shown] = await chat.context(view="pseudonymised")
        assert "@" not in str((shown.content, shown.metadata))


async def test_it_needs_the_rights_and_is_written_down(file_url: str, tmp_path: Path) -> None:
    """Who may not read, or not write, is refused; each rectification is an event, by handles and hashes."""
    async with SecureMemory.open(file_url, policy=ROLES) as memory:
        await _filled(memory, 2)
        for actor in ("bot:x", "guest:x"):
            with pytest.raises(AccessDeniedError):
                await memory.session("s", user_id="alice", actor=actor).rectify(1, "x")
        await memory.session("s", user_id="alice", actor="clerk:jane").rectify(1, "the new text")
        deployment = await memory.host.ready()
        [event] = await Audit(deployment.ledger).events()
        keys = await deployment.keyring.find("alice", "s")
        assert keys is not None
        assert (event.kind, event.person, event.session) == (EventKind.RECTIFY, keys.user, keys.handle)
        assert event.actor is not None
        assert await deployment.ledger.acts(unfinished=True) == []
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("*.ledger.db*"))
    assert not any(word in ledger for word in (b"alice", b"jane", b"text"))


async def test_other_processes_caches_give_nothing_old(url: str, clock: FakeClock) -> None:
    """A store that has all of it in memory, pinned messages and pages too, reads, forks and adds by what stands now."""
    if url == "memory://":
        return  # it is one process's alone
    async with SecureMemory.open(url, clock=clock) as mine, SecureMemory.open(url, clock=clock) as other:
        chat = mine.session("s", user_id="alice")
        await chat.add("system", "old rule", metadata={"pinned": True})
        await chat.add_many([Message("user", f"text {number}") for number in range(2, 41)])
        theirs = other.session("s", user_id="alice")
        page = await theirs.history(10)
        older = await theirs.history(10, before=page[0].seq)
        await theirs.context(max_messages=3)
        for seq in (1, 25, 40):
            await chat.rectify(seq, f"new {seq}")
        assert "text 25" not in await _texts(theirs, limit=10, before=page[0].seq)
        assert await _texts(theirs, limit=10, before=older[0].seq) == [f"text {number}" for number in range(11, 21)]
        assert [message.content for message in await theirs.context(max_messages=2)] == ["new 1", "new 40"]
        branch = await theirs.fork("f")
        copied = await _texts(branch)
        assert (copied[0], copied[24], copied[39]) == ("new 1", "new 25", "new 40")
        await theirs.add("user", "text 41")
        assert (await _texts(chat))[-2:] == ["new 40", "text 41"]


async def test_two_at_once_and_appends_between(url: str) -> None:
    """Rectifications and appends of two stores at the same time all come through, each once."""
    async with SecureMemory.open(url, max_messages=1000) as mine:
        other = mine if url == "memory://" else SecureMemory.open(url, max_messages=1000)
        one, two = await _filled(mine, 8), other.session("s", user_id="alice")
        await asyncio.gather(
            *(one.rectify(seq, f"one {seq}", purge_seconds=0) for seq in range(1, 5)),
            *(two.rectify(seq, f"two {seq}", purge_seconds=0) for seq in range(5, 9)),
            *(chat.add("user", "more") for chat in (one, two) for _ in range(4)),
        )
        texts = await _texts(one)
        assert texts[:8] == [f"one {seq}" for seq in range(1, 5)] + [f"two {seq}" for seq in range(5, 9)]
        assert texts[8:] == ["more"] * 8
        assert await _texts(two) == texts
        if other is not mine:
            await other.close()


async def test_restored_data_do_not_bring_it_back(tmp_path: Path) -> None:
    """Data restored from before have a stub where the old record was; the control has the record."""
    store = tmp_path / "store"
    store.mkdir()
    url = f"sqlite:///{store}/store.db"
    async with SecureMemory.open(url) as memory:
        chat = await _filled(memory)
    shutil.copytree(store, tmp_path / "before")
    async with SecureMemory.open(f"sqlite:///{tmp_path}/before/store.db") as memory:
        assert "text 3" in await _texts(memory.session("s", user_id="alice")), "the control"
    async with SecureMemory.open(url) as memory:
        await memory.session("s", user_id="alice").rectify(3, "three")
    for name in ("store.keys.db", "store.ledger.db", "store.kek"):
        shutil.copy(store / name, tmp_path / "before" / name)
    async with SecureMemory.open(f"sqlite:///{tmp_path}/before/store.db") as memory:
        chat = memory.session("s", user_id="alice")
        assert await _texts(chat) == ["text 1", "text 2", "text 4", "text 5", "text 6"]
        head = await _head(memory, "alice", "s")
        assert (head.holes, head.live) == (1, 5)


async def test_a_newest_message_is_an_edit_once_others_follow(memory: SecureMemory) -> None:
    """The newest one needs no edit in the head: the head's own tag is the new one's."""
    chat = await _filled(memory)
    await chat.rectify(6, "six")
    assert (await _head(memory, "alice", "s")).edits == {}
    await chat.add("user", "seven")
    assert await _texts(chat, limit=2) == ["six", "seven"]
