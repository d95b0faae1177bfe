"""What pseudonyms stand for, of people who were erased while a law or a hold keeps something they stand in."""

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
from securemem.vaults import Vaults
from securemem.writer import Copies, Writer

from .store import EMAIL, INVOICE, INVOICES, add, exported, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PSEUDO = policy("pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n", INVOICES)
SECOND = "kyle.reese@example.com"


async def _values(memory: SecureMemory, user: str) -> list[Any]:
    return [item["text"] async for item in memory.export_user(user) if item["kind"] == "pseudonym"]


@pytest.mark.parametrize("what", ["add", "fork"])
async def test_no_value_comes_back_into_a_vault(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another process with warm caches writes no value of a person who was erased, of whom a law keeps something."""
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
        assert (await exported(memory, "alice"), await _values(memory, "alice")) == ([f"invoice for {EMAIL}"], [])


@pytest.mark.parametrize("compress", [False, True])
async def test_what_a_law_keeps_has_its_values_in_it(file_url: str, clock: FakeClock, *, compress: bool) -> None:
    """The person has it as it was said; their pseudonyms stand for nothing any more, and who comes back has others."""
    text = f"invoice [EMAIL_ADDRESS_7] for {EMAIL} " + "and so on " * 50
    async with opened(file_url, clock, PSEUDO, compress=compress) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, text, **INVOICE)
        await add(chat, f"mail to {SECOND}")
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == EMAIL  # it would be seen
        await memory.erase_user("alice")
        assert (await exported(memory, "alice"), await _values(memory, "alice")) == ([text], [])
        back = memory.session("t", user_id="alice")
        await add(back, "back")
        assert await back.reveal("[EMAIL_ADDRESS_1] [EMAIL_ADDRESS_2]") == "[EMAIL_ADDRESS_1] [EMAIL_ADDRESS_2]"
        await add(back, "now at third@example.com")
        assert sorted(await exported(memory, "alice")) == ["back", text, "now at third@example.com"]
        assert await _values(memory, "alice") == ["third@example.com"]


async def test_what_a_law_keeps_of_a_guest_has_its_values_in_it(file_url: str, clock: FakeClock) -> None:
    """The owner of the session is shown nothing that a guest's pseudonyms stood for, and the guest has it whole."""
    async with opened(file_url, clock, PSEUDO) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, f"invoice for {EMAIL}", user_id="bob", **INVOICE)
        shown = str((await chat.context(view="pseudonymised"))[-1].content)
        assert await chat.reveal(shown) == f"invoice for {EMAIL}"  # it would be seen
        await memory.erase_user("bob")
        assert await exported(memory, "bob") == [f"invoice for {EMAIL}"]
        await add(chat, "back", user_id="bob")
        assert await chat.reveal(shown) == shown
        assert sorted(await exported(memory, "bob")) == ["back", f"invoice for {EMAIL}"]


async def test_a_cleared_session_keeps_its_values(file_url: str, clock: FakeClock) -> None:
    """What a law keeps of a session that is cleared is whole for as long as it is there."""
    async with opened(file_url, clock, PSEUDO) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, f"invoice for {EMAIL}", **INVOICE)
        await chat.clear()
        clock.advance(86400 * 300)
        await memory.sweep()
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]


@pytest.mark.parametrize("held", [False, True])
async def test_what_is_kept_out_of_sight_is_exported(file_url: str, clock: FakeClock, *, held: bool) -> None:
    """Until a law's time or a hold is over the person has what no reader has, whole; then nobody has it."""
    async with opened(file_url, clock, PSEUDO) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, f"invoice for {EMAIL}", **({} if held else INVOICE), ttl=86400 * 30 if held else None)
        hold = await memory.holds.place("alice", reason_code="CASE-1") if held else None
        clock.advance(86400 * 300)
        await memory.sweep()
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]
        [told] = [item async for item in memory.export_user("alice") if item["kind"] == "message"]
        assert told["retention"]["rule"] == ("hold" if held else "invoices")
        if hold is None:
            assert await texts(chat) == []
            clock.advance(86400 * 70)
        else:
            await memory.holds.release(hold.id)
        assert await exported(memory, "alice") == []
        await memory.sweep()
        await memory.sweep()
        assert (await (await inside(memory)).keyring.keystore.counts())[1] == 0


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


async def test_the_release_of_a_hold_takes_the_vault_too(file_url: str, clock: FakeClock) -> None:
    """What pseudonyms stood for in a session that a hold spared goes with it when the erasure is gone on with."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("s", user_id="alice"), f"mail {EMAIL}")
        hold = await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await memory.erase_user("alice")
        assert await _values(memory, "alice") == [EMAIL], "the control: it is there"
        await memory.holds.release(hold.id)
        assert await (await inside(memory)).keyring.keystore.counts() == (0, 0)


async def test_an_erasure_that_dies_before_its_vault_is_closed(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure that dies when the vault's key is gone loses nothing of what a law keeps."""
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        with monkeypatch.context() as patch:

            async def dies(*_: Any) -> None:
                raise RuntimeError("killed")

            patch.setattr(Destruction, "_end_vault", dies)
            with pytest.raises(RuntimeError):
                await memory.erase_user("alice")
    async with opened(file_url, clock, PSEUDO) as memory:
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]


async def test_two_erasures_keep_what_pseudonyms_stand_for(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processes that erase somebody at once neither takes the vault before the other has read it."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        await add(memory.session("s", user_id="alice"), f"invoice for {EMAIL}", **INVOICE)
        erase, shred = Destruction._erase, Destruction._shred_person
        reached, through = asyncio.Event(), asyncio.Event()
        tasks: list[Any] = []

        async def waits(self: Destruction, *arguments: Any) -> None:
            monkeypatch.setattr(Destruction, "_shred_person", shred)
            reached.set()
            await through.wait()
            await shred(self, *arguments)

        async def late(self: Destruction, *arguments: Any) -> None:
            monkeypatch.setattr(Destruction, "_erase", erase)
            tasks.append(asyncio.create_task(other.erase_user("alice")))
            await reached.wait()
            await erase(self, *arguments)

        monkeypatch.setattr(Destruction, "_shred_person", waits)
        monkeypatch.setattr(Destruction, "_erase", late)
        await memory.erase_user("alice")
        through.set()
        await tasks[0]
        assert await exported(memory, "alice") == [f"invoice for {EMAIL}"]


async def test_an_erasure_leaves_the_vault_that_another_let_go_on(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hold spared in one erasure, and was released in the next, has its values still when a law keeps it."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        chat, erase = memory.session("s", user_id="alice"), Destruction._erase
        await add(chat, "own")
        await add(chat, f"invoice for {EMAIL}", user_id="bob", **INVOICE)

        async def late(self: Destruction, *arguments: Any) -> None:
            monkeypatch.setattr(Destruction, "_erase", erase)
            hold = await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
            with pytest.raises(LegalHoldError):
                await memory.erase_user("bob")
            await (await inside(memory)).office.holding.release(hold.id, actor=None)
            await erase(self, *arguments)

        monkeypatch.setattr(Destruction, "_erase", late)
        await other.erase_user("bob")
        assert await exported(memory, "bob") == [f"invoice for {EMAIL}"]
        assert await _values(memory, "bob") == []
        assert await texts(chat) == ["own"]


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


async def test_a_guest_who_is_back_speaks_at_once(file_url: str, clock: FakeClock) -> None:
    """A process that has the key of a guest who was erased, and is back, takes their new one, and does not ask on."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        await add(chat, f"invoice for {EMAIL}", user_id="bob", **INVOICE)
        await other.erase_user("bob")
        await add(other.session("s", user_id="alice"), f"back as {SECOND}", user_id="bob")
        async with asyncio.timeout(10):
            await add(chat, f"it is {SECOND}", user_id="bob")
        assert await texts(chat) == ["hello", f"back as {SECOND}", f"it is {SECOND}"]


async def test_no_number_stands_for_two_values(file_url: str, clock: FakeClock) -> None:
    """What a hold keeps with a pseudonym past its time is exported as it was said, whatever was said since."""
    async with opened(file_url, clock, PSEUDO) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, f"mail {EMAIL}", ttl=86400)
        await memory.holds.place("alice", session_id="s", reason_code="CASE-1")
        clock.advance(86400 * 2)
        await memory.sweep()
    async with opened(file_url, clock, PSEUDO) as memory:
        await add(memory.session("t", user_id="alice"), f"mail {SECOND}")
        assert sorted(await exported(memory, "alice")) == [f"mail {SECOND}", f"mail {EMAIL}"]


async def test_an_erased_vault_is_not_gone_on_with(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that gave a pseudonym while its person was erased does not show what the old vault held."""
    async with opened(file_url, clock, PSEUDO) as memory, opened(file_url, clock, PSEUDO) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        await add(chat, f"mine is {EMAIL}", user_id="bob")
        keep = Vaults.keep

        async def late(self: Vaults, *arguments: Any) -> bool:
            monkeypatch.setattr(Vaults, "keep", keep)
            await other.erase_user("bob")
            return await keep(self, *arguments)

        monkeypatch.setattr(Vaults, "keep", late)
        await add(chat, f"call {SECOND} or {EMAIL}", user_id="bob")
        assert await _values(memory, "bob") == [SECOND, EMAIL]
        assert await texts(chat) == ["hello", f"call {SECOND} or {EMAIL}"]
        assert await _values(other, "bob") == [SECOND, EMAIL]
