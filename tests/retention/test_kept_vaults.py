"""Vaults of people who were erased while a law or a hold keeps something in which their pseudonyms stand."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import LegalHoldError, SecureMemory, UserErasedError
from securemem.conversation import Conversation
from securemem.destruction import Destruction
from securemem.model import VAULT
from securemem.preserving import Preserving
from securemem.writer import Copies, Writer

from .store import EMAIL, INVOICE, INVOICES, add, exported, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PSEUDO = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", INVOICES)
SECOND = "kyle.reese@example.com"


async def _values(memory: SecureMemory, user: str) -> list[Any]:
    return [item["text"] async for item in memory.export_user(user) if item["kind"] == "pseudonym"]


@pytest.mark.parametrize("what", ["add", "fork"])
async def test_a_vault_that_is_kept_takes_nothing_more(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another process with warm caches writes no value into the vault that a law keeps of an erased person."""
    async with opened(file_url, clock, "plain") as plain:
        await add(plain.session("old", user_id="alice"), f"mail to {SECOND}")
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        theirs = other.session("s", user_id="alice")
        await add(theirs, f"invoice for {EMAIL}", **INVOICE)
        await add(theirs, f"again {EMAIL}")
        if what == "add":
            await memory.erase_user("alice")
            with pytest.raises(UserErasedError):
                await add(theirs, f"mail to {SECOND}")
        else:
            copy = Writer.copy

            async def late(writer: Writer, conversation: Conversation, at: int | None) -> Copies:
                copies = await copy(writer, conversation, at)
                await memory.erase_user("alice")
                return copies

            monkeypatch.setattr(Writer, "copy", late)
            with pytest.raises(UserErasedError):
                await other.session("old", user_id="alice").fork("branch")
        assert await _values(memory, "alice") == [EMAIL]


async def test_who_is_back_keeps_their_vault(file_url: str, clock: FakeClock) -> None:
    """When what a law kept is over, the vault of who came back since is not destroyed."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        await memory.erase_user("alice")
        clock.advance(86400 * 300)
        back = memory.session("s", user_id="alice")
        await add(back, f"mail to {SECOND}")
        assert await texts(back) == [f"mail to {SECOND}"]
        await add(back, "copy to third@example.com", ttl=86400 * 90)
        clock.advance(86400 * 70)
        await memory.sweep()
        await memory.sweep()
        clock.advance(86400 * 30)
        await memory.sweep()
        assert await texts(memory.session("s", user_id="alice")) == [f"mail to {SECOND}"]


async def test_the_vault_of_a_guest_who_is_held(file_url: str, clock: FakeClock) -> None:
    """What pseudonyms stand for in a held session stays as long as the hold, though its guest was erased."""
    async with opened(file_url, clock, PSEUDO) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, f"mail {EMAIL}", user_id="bob")
        await add(chat, f"call {SECOND}", user_id="bob", ttl=86400)
        await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await memory.erase_user("bob")
        assert (await exported(memory, "bob"))[0] == f"mail {EMAIL}"
        clock.advance(2 * 86400)
        await memory.sweep()
        assert (await exported(memory, "bob"))[0] == f"mail {EMAIL}"


async def test_an_erasure_that_dies_before_its_vault_is_kept(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure that dies before it wrote down that the vault stays loses what the law-kept record says."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        with monkeypatch.context() as patch:

            async def dies(*_: Any) -> None:
                raise RuntimeError("killed")

            patch.setattr(Preserving, "keep_pseudonyms", dies)
            with pytest.raises(RuntimeError):
                await memory.erase_user("alice")
    async with opened(file_url, clock, PSEUDO) as memory:
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]


async def test_two_erasures_keep_a_vault(file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that erase somebody at once neither takes the vault that the other keeps."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        erase, keep = Destruction._erase, Preserving.keep_pseudonyms
        reached, through = asyncio.Event(), asyncio.Event()
        tasks: list[Any] = []

        async def waits(self: Preserving, *arguments: Any) -> None:
            monkeypatch.setattr(Preserving, "keep_pseudonyms", keep)
            reached.set()
            await through.wait()
            await keep(self, *arguments)

        async def late(self: Destruction, *arguments: Any) -> None:
            monkeypatch.setattr(Destruction, "_erase", erase)
            tasks.append(asyncio.create_task(other.erase_user("alice")))
            await reached.wait()
            await erase(self, *arguments)

        monkeypatch.setattr(Preserving, "keep_pseudonyms", waits)
        monkeypatch.setattr(Destruction, "_erase", late)
        await memory.erase_user("alice")
        through.set()
        await tasks[0]
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]


async def test_a_token_never_shows_another_value(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest's message whose pseudonyms were erased before it was appended shows nobody another value."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        append = Writer.append

        async def late(self: Writer, conversation: Conversation, *arguments: Any, **options: Any) -> Any:
            if conversation.session_id:
                monkeypatch.setattr(Writer, "append", append)
                await other.erase_user("bob")
            return await append(self, conversation, *arguments, **options)

        monkeypatch.setattr(Writer, "append", late)
        try:
            await add(chat, f"mine is {EMAIL}", user_id="bob")
        except UserErasedError:
            return
        monkeypatch.setattr(Writer, "append", append)
        await add(chat, f"call {SECOND}", user_id="bob")
        assert f"mine is {SECOND}" not in await texts(chat)


async def test_what_is_preserved_outlives_a_lost_ledger(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """A worker destroys nothing that a law keeps where an older ledger, which was accepted, lacks its class."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await memory.backup(tmp_path / "ledger.backup", store="ledger")
        await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
        await memory.erase_user("alice")
    for path in tmp_path.glob("store.ledger.db*"):
        path.unlink()
    await SecureMemory.restore(tmp_path / "ledger.backup", file_url, clock=clock, accept_older_ledger=True)
    async with opened(file_url, clock, PSEUDO) as memory:
        clock.advance(86400)
        report = await memory.sweep()
        assert (report.records, report.sessions, report.quarantined) == (0, 0, 1)


async def test_a_damaged_vault_keeps_nobody_from_being_erased(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """What a law keeps stays, with pseudonyms that stand for nothing any more, and the rest goes."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        await add(memory.session("t", user_id="alice"), "plain")
        keyring = (await inside(memory)).keyring
        [vault] = [keys.handle async for keys in keyring.sessions("alice") if keys.title.session_id == VAULT]
    with closing(sqlite3.connect(tmp_path / "store.db")) as con:
        [(number,)] = con.execute("SELECT number FROM messages_sessions WHERE handle = ?", (vault,))
        con.execute("UPDATE messages SET body = zeroblob(200) WHERE id = ?", (number << 32 | 0xFFFFFFFF,))
        con.commit()
    async with opened(file_url, clock, PSEUDO) as memory:
        receipt = await memory.erase_user("alice")
        assert (receipt.stores["data"]["preserved"], receipt.stores["keystore"]["state"]) == (1, "SHREDDED")
