"""What others do meanwhile: nobody is brought back by it, and nothing that a hold is on is lost."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import Agent, ConflictError, LegalHoldError, Message, SecureMemory, UserErasedError
from securemem.destruction import Destruction
from securemem.keys.unwrapped import Title
from securemem.reader import Reader
from securemem.rights.erase import Erasure
from securemem.rights.export import Export
from securemem.writer import Writer

from .store import INVOICE, INVOICES, SCRATCH, add, exported, handle_of, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

KEEPING = policy(rules=SCRATCH + INVOICES)


@pytest.mark.parametrize("keeps", [True, False], ids=["a law keeps something", "no law keeps anything"])
async def test_keys_that_are_wiped_while_a_fork_reads(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    """A fork knows as whom it read a guest, though an erasure empties the cache before it is through."""
    async with opened(file_url, clock, KEEPING if keeps else policy(rules=SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "1")
        await add(chat, "plain", user_id="bob")
        await add(chat, "2")
        living, calls = Reader._living, 0

        async def late(reader: Reader, *arguments: Any) -> list[Message]:
            nonlocal calls
            calls += 1
            found = await living(reader, *arguments)
            if calls == 2:  # the guest's, which is opened second
                await memory.erase_user("bob")
            return found

        monkeypatch.setattr(Reader, "_living", late)
        with pytest.raises(UserErasedError):
            await chat.fork("branch")
        assert await exported(memory, "bob") == []


async def test_the_first_turn_of_somebody_who_is_forgotten_meanwhile(file_url: str, clock: FakeClock) -> None:
    """A turn that was under way when its person was forgotten by another process is not remembered."""
    async with (
        opened(file_url, clock, policy(rules=SCRATCH)) as memory,
        opened(file_url, clock, policy(rules=SCRATCH)) as other,
    ):
        await add(memory.session("before", user_id="alice"), "hello")
        assert await texts(other.session("before", user_id="alice")) == ["hello"]

        async def model(_: list[dict[str, Any]]) -> str:
            await memory.erase_user("alice")
            return "hi"

        agent = Agent(model=model, memory=other)
        with contextlib.suppress(UserErasedError, ConflictError):
            await agent.chat("I am Alice", "s", user_id="alice")
        assert await exported(memory, "alice") == []


async def test_a_turn_that_was_shown_nothing_of_a_cleared_session(file_url: str, clock: FakeClock) -> None:
    """A turn under way is not remembered once its conversation was cleared, though it was shown nothing of it."""
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        agent: Agent

        async def model(_: list[dict[str, Any]]) -> str:
            await agent.clear_memory("s", user_id="alice")
            return "hi"

        agent = Agent(model=model, memory=memory, memory_config={"context_window": 1})
        await add(memory.session("s", user_id="alice"), "before")
        with contextlib.suppress(ConflictError):
            await agent.chat("I am Alice", "s", user_id="alice")
        assert await texts(memory.session("s", user_id="alice")) == []


async def test_who_came_back_before_it_was_decided_is_shredded_whole(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of what a person said since another process erased them is shredded too."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        await add(memory.session("s", user_id="alice"), "plain")
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        decide = Erasure._decide_at_once
        kept: list[Any] = []

        async def late(self: Erasure, *arguments: Any) -> Any:
            monkeypatch.setattr(Erasure, "_decide_at_once", decide)
            await other.erase_user("alice")
            await add(other.session("t", user_id="alice"), "back")
            kept.append(await handle_of(other, other.session("t", user_id="alice")))
            return await decide(self, *arguments)

        monkeypatch.setattr(Erasure, "_decide_at_once", late)
        receipt = await memory.erase_user("alice")
        keystore = (await inside(memory)).keyring.keystore
        assert receipt.state != "logical"
        assert await keystore.owner_of(kept[0]) is None, "its key is there still"
        assert await exported(memory, "alice") == ["invoice"]


async def test_a_trim_gives_nobody_who_was_forgotten_a_key(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pinned message of a guest that is carried on by a trim gives a guest who was erased no new key."""
    async with opened(file_url, clock, policy(rules=SCRATCH), max_messages=3) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("system", "bob's rule", user_id="bob", metadata={"pinned": True})
        await add(chat, "1", "2")
        again = Writer._prepare_again

        async def late(self: Writer, *arguments: Any) -> Any:
            found = await again(self, *arguments)
            monkeypatch.setattr(Writer, "_prepare_again", again)
            await memory.erase_user("bob")
            return found

        monkeypatch.setattr(Writer, "_prepare_again", late)
        await add(chat, "3")
        assert await texts(chat) == ["1", "2", "3"]
        assert await (await inside(memory)).keyring.find_user("bob") is None


async def test_an_export_meets_a_guest_who_is_erased(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's export goes on where a guest of whom a law keeps something is erased meanwhile."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "said", "invoice", user_id="bob", **INVOICE)
        opened_ = Export._opened

        async def late(self: Export, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Export, "_opened", opened_)
            await memory.erase_user("bob")
            return await opened_(self, *arguments, **options)

        monkeypatch.setattr(Export, "_opened", late)
        assert await exported(other, "alice") == ["own"]


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("how", ["clear", "erase"])
async def test_a_hold_on_a_guest_while_the_owner_goes(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, how: str, *, restricted: bool
) -> None:
    """A hold on a guest that is placed while the owner's session is destroyed keeps what the guest said."""
    async with (
        opened(file_url, clock, KEEPING if not restricted else policy(rules=SCRATCH)) as memory,
        opened(file_url, clock, KEEPING) as other,
    ):
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "said", user_id="bob")
        if restricted:
            await memory.restrict_user("alice")
        carry = Destruction.carry_out

        async def late(self: Destruction, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Destruction, "carry_out", carry)
            await other.holds.place("bob", reason_code="CASE-1")
            return await carry(self, *arguments, **options)

        monkeypatch.setattr(Destruction, "carry_out", late)
        with contextlib.suppress(LegalHoldError):
            await (chat.clear() if how == "clear" else memory.erase_user("alice"))
        assert await exported(memory, "bob") == ["said"]


@pytest.mark.parametrize("whom", ["alice", "bob"])
async def test_a_hold_while_a_guest_is_erased(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    """A hold on the guest, or on the owner, that is placed while the guest is erased keeps what the guest said."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "said", user_id="bob")
        carry = Destruction.carry_out

        async def late(self: Destruction, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(Destruction, "carry_out", carry)
            await other.holds.place(whom, reason_code="CASE-1")
            return await carry(self, *arguments, **options)

        monkeypatch.setattr(Destruction, "carry_out", late)
        with contextlib.suppress(LegalHoldError):
            await memory.erase_user("bob")
        assert await exported(memory, "bob") == ["said"]


async def test_a_hold_on_a_session_that_was_begun_anew(file_url: str, clock: FakeClock) -> None:
    """A hold on a session by its id is on the one that is there now, whatever this process has cached."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "old")
        assert await texts(other.session("s", user_id="alice")) == ["old"]
        await chat.clear()
        await add(chat, "new")
        hold = await other.holds.place("alice", session_id="s", reason_code="CASE-1")
        assert hold.session == (await handle_of(memory, chat)).hex()
        with pytest.raises(LegalHoldError):
            await chat.clear()


@pytest.mark.parametrize("sweeps", [False, True])
async def test_a_held_person_speaks_in_a_running_session(file_url: str, clock: FakeClock, *, sweeps: bool) -> None:
    """What a held person says as a guest, in a session where they said nothing before, is not trimmed."""
    async with opened(file_url, clock, KEEPING, max_messages=3) as memory:
        await add(memory.session("own", user_id="bob"), "bob's")
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await memory.holds.place("bob", reason_code="CASE-1")
        await add(chat, "said", user_id="bob")
        if sweeps:
            await memory.sweep()
        await add(chat, "1", "2", "3", "4")
        assert await exported(memory, "bob") == ["bob's", "said"]


async def test_a_held_person_speaks_in_a_running_session_beside_a_worker(file_url: str, clock: FakeClock) -> None:
    """Likewise where a worker goes through all the time."""
    async with opened(file_url, clock, KEEPING, max_messages=3) as memory:
        await add(memory.session("own", user_id="bob"), "bob's")
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await memory.sweep()
        await memory.holds.place("bob", reason_code="CASE-1")
        await memory.sweep()
        await add(chat, "said", user_id="bob")
        await memory.sweep()
        await add(chat, "1", "2", "3", "4")
        await memory.sweep()
        assert await exported(memory, "bob") == ["bob's", "said"]


@pytest.mark.parametrize("how", ["restore", "copied back"])
async def test_a_backup_from_before_a_rectification(file_url: str, tmp_path: Path, clock: FakeClock, how: str) -> None:
    """A data backup from before a rectification does not bring back what the message said."""
    async with opened(file_url, clock, "plain") as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "One", "Two")
        await memory.backup(tmp_path / "data.backup", store="data")
    saved = {path.name: path.read_bytes() for path in tmp_path.glob("store.db*")}
    async with opened(file_url, clock, "plain") as memory:
        await memory.session("s", user_id="alice").rectify(1, "better")
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    if how == "restore":
        await SecureMemory.restore(tmp_path / "data.backup", file_url, clock=clock)
    else:
        for name, data in saved.items():
            (tmp_path / name).write_bytes(data)
    async with opened(file_url, clock, "plain") as memory:
        assert await texts(memory.session("s", user_id="alice")) == ["Two"]


async def test_a_backup_from_after_a_rectification(file_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """The control: what had been rectified by the time of the backup is there as it was then."""
    async with opened(file_url, clock, "plain") as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "One", "Two")
        await chat.rectify(1, "better")
        await memory.backup(tmp_path / "data.backup", store="data")
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    await SecureMemory.restore(tmp_path / "data.backup", file_url, clock=clock)
    for _ in range(2):
        async with opened(file_url, clock, "plain") as memory:
            assert await texts(memory.session("s", user_id="alice")) == ["better", "Two"]


async def test_an_erasure_ends_though_its_person_writes_on(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is brought back while it is under way is erased once more, and who comes after that has come to stay."""
    async with opened(file_url, clock, KEEPING) as memory:
        await add(memory.session("s", user_id="alice"), "hello")
        finish = Erasure._finish

        async def late(erasure: Erasure, *arguments: Any) -> Any:
            done = await finish(erasure, *arguments)
            await add(memory.session("s", user_id="alice"), "again")
            return done

        monkeypatch.setattr(Erasure, "_finish", late)
        await asyncio.wait_for(memory.erase_user("alice"), 30)
        assert await exported(memory, "alice") == ["again"]
        assert len(await memory.requests.list(everything=True)) == 2


async def test_an_export_of_who_is_back(file_url: str, clock: FakeClock) -> None:
    """A process that knew a session of somebody who was erased exports that of who is back, with nothing in it yet."""
    async with opened(file_url, clock, KEEPING) as memory, opened(file_url, clock, KEEPING) as other:
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        assert await texts(memory.session("s", user_id="alice")) == ["invoice"]
        await other.erase_user("alice")
        keyring = (await inside(other)).keyring
        await keyring.mint("alice", "s", Title("s", 0, ()))
        assert await exported(memory, "alice") == ["invoice"]
        assert [item["messages"] async for item in memory.export_user("alice") if item["kind"] == "session"] == [1, 0]
