"""Erasure: everything of a person goes, whatever is under way, and the receipt says so; nobody else loses anything."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from securemem import (
    BackendUnavailableError,
    ConfigurationError,
    IntegrityError,
    Message,
    Receipt,
    SecureMemory,
    Session,
    UserErasedError,
)
from securemem.destruction import Destruction
from securemem.ending import Outcome
from securemem.ledger.acts import Act
from securemem.model import Change, Residue
from securemem.underway import UnderWay

if TYPE_CHECKING:
    from tests.conftest import FakeClock, Stored

USES: dict[str, Callable[[Session], Awaitable[object]]] = {
    "add": lambda chat: chat.add("user", "x"),
    "add_many": lambda chat: chat.add_many([Message("user", "x")]),
    "history": lambda chat: chat.history(),
    "context": lambda chat: chat.context(),
    "fork": lambda chat: chat.fork("branch"),
    "clear": lambda chat: chat.clear(),
}


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def _records(memory: SecureMemory, handles: list[bytes]) -> int:
    backend = (await memory.host.ready()).backend
    return sum([len((await backend.tail(handle, 1000)).rows) for handle in handles])


async def _fill(memory: SecureMemory) -> list[bytes]:
    """Give Alice two sessions and Bob one; gives the handles of Alice's."""
    for user, session in (("alice", "a"), ("alice", "b"), ("bob", "a")):
        await memory.session(session, user_id=user).add_many([Message("user", f"{user} {session}")] * 3)
    keyring = (await memory.host.ready()).keyring
    return [keys.handle async for keys in keyring.sessions("alice")]


async def test_everything_of_a_person_goes(memory: SecureMemory) -> None:
    """No session, key or record of the person is left; another's are whole."""
    handles = await _fill(memory)
    assert await _records(memory, handles) == 6
    receipt = await memory.erase_user("alice")
    assert await _records(memory, handles) == 0
    assert (receipt.stores["data"]["sessions"], receipt.stores["data"]["records"]) == (2, 6)
    assert [info async for info in memory.sessions(user_id="alice")] == []
    assert await (await memory.host.ready()).keyring.keystore.counts() == (1, 1)
    assert await _texts(memory.session("a", user_id="bob")) == ["bob a"] * 3


@pytest.mark.parametrize("use", USES)
async def test_an_open_handle_raises_from_then_on(memory: SecureMemory, use: str) -> None:
    """Whatever it is asked for, again and again, also after the person came back; before the erasure it worked."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "x")
    await USES["history"](chat)
    await memory.erase_user("alice")
    for _ in range(2):
        with pytest.raises(UserErasedError):
            await USES[use](chat)
    await memory.session("s", user_id="alice").add("user", "anew")
    with pytest.raises(UserErasedError):
        await USES[use](chat)


async def test_a_new_handle_begins_anew(memory: SecureMemory) -> None:
    """A handle made after the erasure reads nothing, writes nothing by reading, and can begin again at seq 1."""
    await _fill(memory)
    await memory.erase_user("alice")
    chat = memory.session("a", user_id="alice")
    assert await chat.history() == await chat.context() == []
    assert await (await memory.host.ready()).keyring.keystore.counts() == (1, 1)
    assert (await chat.add("user", "anew")).seq == 1
    assert await _texts(chat) == ["anew"]


async def test_a_session_that_is_its_own_subject(memory: SecureMemory) -> None:
    """With no `user_id` the session's id is the person to erase."""
    chat = memory.session("s")
    await chat.add("user", "x")
    await memory.erase_user("s")
    with pytest.raises(UserErasedError):
        await chat.history()
    assert await memory.session("s").history() == []


async def test_an_unknown_person_holds_nothing(memory: SecureMemory, stored: Stored) -> None:
    """The receipt of somebody who is not known names no handle and says that nothing was held; nothing is written."""
    await _fill(memory)
    before = await stored(memory)
    receipt = await memory.erase_user("nobody")
    assert (receipt.handle, receipt.stores["data"]["records"], receipt.residue) == ("", 0, ())
    receipt.verify(await memory.keys.public_key())
    assert await stored(memory) == before


async def test_a_receipt_is_signed_and_names_nobody(memory: SecureMemory, clock: FakeClock) -> None:
    """It verifies under the store's key and no other, survives JSON, and holds no id or text."""
    await memory.session("order-4711", user_id="alice").add("user", "the secret")
    receipt = await memory.erase_user("alice")
    key = await memory.keys.public_key()
    receipt.verify(key)
    text = json.dumps(receipt.to_json())
    assert not any(word in text for word in ("alice", "order-4711", "the secret"))
    assert (receipt.state, receipt.at) == ("SHREDDED", clock.now)
    async with SecureMemory.open("memory://") as other:
        with pytest.raises(IntegrityError):
            receipt.verify(await other.keys.public_key())


@pytest.mark.parametrize("part", ["state", "handle", "at", "id", "stores"])
async def test_an_altered_receipt_does_not_verify(memory: SecureMemory, part: str) -> None:
    """A receipt whose statement was changed in any part is refused; as it was issued it holds."""
    await _fill(memory)
    issued = await memory.erase_user("alice")
    key = await memory.keys.public_key()
    altered = {**issued.statement, part: "BACKUP_CLOSED"}
    forged = Receipt(
        issued.id,
        issued.handle,
        issued.state,
        issued.at,
        issued.stores,
        issued.residue,
        issued.horizon,
        issued.dsse,
        altered,
    )
    issued.verify(key)
    with pytest.raises(IntegrityError):
        forged.verify(key)


async def test_a_receipt_says_what_was_signed(memory: SecureMemory, clock: FakeClock) -> None:
    """One of which an attribute was changed is refused, and so is one whose key is none."""
    await _fill(memory)
    issued = await memory.erase_user("alice")
    key = await memory.keys.public_key()
    changes: dict[str, tuple[Any, ...]] = {
        "id": ("x",),
        "handle": ("0" * 32,),
        "state": ("BACKUP_CLOSED", object()),
        "at": (clock.now + timedelta(days=1), None),
        "stores": ({},),
        "residue": ((), (*issued.residue, Residue("data", "more")), None),
        "horizon": (clock.now, "never"),
    }
    assert {field.name for field in dataclasses.fields(issued)} == {*changes, "dsse", "statement"}
    for name, values in changes.items():
        for value in values:
            with pytest.raises(IntegrityError):
                dataclasses.replace(issued, **{name: value}).verify(key)
    issued.verify(key)
    with pytest.raises(ConfigurationError):
        issued.verify(None)  # type: ignore[arg-type]


async def test_residue_is_dated_or_the_operators(memory: SecureMemory, clock: FakeClock) -> None:
    """Other processes' caches end within 300 s; the KEK's epoch is the operator's to close, so there is no horizon."""
    await _fill(memory)
    receipt = await memory.erase_user("alice")
    dates = {entry.store: entry.until for entry in receipt.residue}
    assert dates["kms"] is None
    assert dates["process"] is not None
    assert clock.now < dates["process"] <= clock.now + timedelta(seconds=300)
    assert receipt.horizon is None


async def test_no_append_survives_an_erasure(memory: SecureMemory) -> None:
    """Of appends under way each is done and destroyed, or refused; nothing of them is there afterwards."""
    handles = await _fill(memory)

    async def talk(number: int) -> int:
        chat = memory.session("ab"[number % 2], user_id="alice")
        for done in range(50):
            try:
                await chat.add("user", "more")
            except UserErasedError:
                return done
        return 50

    writers = [asyncio.create_task(talk(number)) for number in range(8)]
    await asyncio.sleep(0.005)
    await memory.erase_user("alice")
    await asyncio.gather(*writers)
    assert await _records(memory, handles) == 0
    assert [info async for info in memory.sessions(user_id="alice")] == []
    assert len(await memory.session("a", user_id="bob").history()) == 3


async def test_two_erasures_at_once(memory: SecureMemory) -> None:
    """Both end well, both receipts verify, and the person is gone."""
    handles = await _fill(memory)
    receipts = await asyncio.gather(memory.erase_user("alice"), memory.erase_user("alice"))
    key = await memory.keys.public_key()
    for receipt in receipts:
        receipt.verify(key)
    assert await _records(memory, handles) == 0
    assert await memory.session("a", user_id="alice").history() == []


async def test_a_purge_that_fails_is_in_the_receipt(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what deletions left cannot be removed, the person is gone all the same; the receipt says what is left."""
    async with SecureMemory.open(file_url) as memory:
        handles = await _fill(memory)

        async def fail(_: float) -> None:
            raise BackendUnavailableError("the cable is out")

        monkeypatch.setattr((await memory.host.ready()).backend, "purge", fail)
        receipt = await memory.erase_user("alice")
        assert "did not answer" in "".join(residue.what for residue in receipt.residue)
        assert receipt.stores["data"]["state"] != "SHREDDED"
        assert await _records(memory, handles) == 0


@pytest.mark.parametrize("step", ["swap", "shred_user", "delete"])
@pytest.mark.parametrize("how", ["retried", "reopened"])
async def test_an_interrupted_erasure_is_carried_through(
    file_url: str, monkeypatch: pytest.MonkeyPatch, step: str, how: str
) -> None:
    """Whichever step fails, asking again or opening the store again leaves nothing of the person."""
    async with SecureMemory.open(file_url) as memory:
        handles = await _fill(memory)
        deployment = await memory.host.ready()
        room = deployment.keyring.keystore if step == "shred_user" else deployment.backend

        async def fail(*_: object, **__: object) -> None:
            raise BackendUnavailableError("the cable is out")

        with monkeypatch.context() as patch:
            patch.setattr(room, step, fail)
            with pytest.raises(BackendUnavailableError):
                await memory.erase_user("alice")
        if how == "retried":
            receipt = await memory.erase_user("alice")
            assert receipt.stores["data"]["state"] == "SHREDDED"
            assert await _records(memory, handles) == 0
    async with SecureMemory.open(file_url) as memory:
        assert await _records(memory, handles) == 0
        assert await memory.session("a", user_id="alice").history() == []
        assert await _texts(memory.session("a", user_id="bob")) == ["bob a"] * 3
        assert await (await memory.host.ready()).keyring.keystore.counts() == (1, 1)


async def test_a_receipt_that_nobody_waited_for_is_the_next_calls(
    memory: SecureMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stopped waiting for an erasure and calls again is given its receipt, once."""
    await _fill(memory)
    decided, carry_out = asyncio.Event(), Destruction.carry_out

    async def telling(self: Destruction, act: Act, *, purge_seconds: float | None) -> Outcome:
        decided.set()
        return await carry_out(self, act, purge_seconds=purge_seconds)

    monkeypatch.setattr(Destruction, "carry_out", telling)
    erasing = asyncio.create_task(memory.erase_user("alice"))
    await decided.wait()
    erasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await erasing
    receipt = await memory.erase_user("alice")
    assert (bool(receipt.handle), receipt.stores["keystore"]["user_keys"]) == (True, 1)
    receipt.verify(await memory.keys.public_key())
    assert (await memory.erase_user("alice")).handle == ""


async def test_a_receipt_is_lost_at_no_moment(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stops waiting when the erasure is done, and before it is given to them, is given its receipt by the next."""
    await _fill(memory)
    ended = UnderWay._ended

    def late(self: UnderWay, task: asyncio.Task[Any]) -> None:
        ended(self, task)
        if not erasing.done():
            erasing.cancel()

    monkeypatch.setattr(UnderWay, "_ended", late)
    erasing = asyncio.create_task(memory.erase_user("alice"))
    with pytest.raises(asyncio.CancelledError):
        await erasing
    assert [bool((await memory.erase_user("alice")).handle) for _ in range(2)] == [True, False]


async def test_a_cancelled_erasure_is_carried_through(file_url: str) -> None:
    """An erasure cancelled at any moment is finished when the store is opened next, if not before."""
    for moment in (0.0, 0.001, 0.003, 0.01):
        async with SecureMemory.open(file_url) as memory:
            await memory.session("a", user_id="alice").add("user", "gone")
            task = asyncio.create_task(memory.erase_user("alice"))
            await asyncio.sleep(moment)
            task.cancel()
            await asyncio.wait([task])
        async with SecureMemory.open(file_url) as memory:
            acts = await (await memory.host.ready()).ledger.acts(unfinished=True)
            assert acts == []
            if await memory.session("a", user_id="alice").history():
                await memory.erase_user("alice")  # it was cancelled before anything was decided
            assert await memory.session("a", user_id="alice").history() == []


async def test_a_damaged_session_keeps_nobody_from_being_erased(memory: SecureMemory) -> None:
    """A head that was tampered with is closed and removed like any other."""
    handles = await _fill(memory)
    backend = (await memory.host.ready()).backend
    head = (await backend.tail(handles[0], 0)).head
    await backend.swap(Change(handles[0], head, head[:-1] + bytes([head[-1] ^ 1])))
    with pytest.raises(IntegrityError):
        await memory.session("a", user_id="alice").history()
    await memory.erase_user("alice")
    assert await _records(memory, handles) == 0
    assert await memory.session("a", user_id="alice").history() == []


async def test_an_erasure_keeps_to_its_tenant(file_url: str) -> None:
    """The same id under another tenant is another person."""
    for tenant in ("one", "two"):
        async with SecureMemory.open(file_url, tenant=tenant) as memory:
            await memory.session("s", user_id="alice").add("user", tenant)
    async with SecureMemory.open(file_url, tenant="one") as memory:
        await memory.erase_user("alice")
    for tenant, texts in (("one", []), ("two", ["two"])):
        async with SecureMemory.open(file_url, tenant=tenant) as memory:
            assert await _texts(memory.session("s", user_id="alice")) == texts
