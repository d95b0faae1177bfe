"""What is exported of a person: all that is theirs, in clear, and nothing that is somebody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import AccessDeniedError, CorruptRecordError, Message, SecureMemory
from securemem.ledger.audit import Audit, EventKind
from securemem.model import Change
from securemem.policy import Pii, Policy
from securemem.policy.schema import Access

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PSEUDONYMS = Policy("pseudonyms", "", Pii(entities={"EMAIL_ADDRESS": "pseudonymise"}))
ROLES = Policy("roles", "", access=Access(roles={"dpo": ("export",), "agent": ("read", "write")}))


async def exported(memory: SecureMemory, user_id: str, **options: Any) -> list[dict[str, Any]]:
    """Give an export as a machine reads it."""
    return [json.loads(json.dumps(item)) async for item in memory.export_user(user_id, **options)]


def said(items: list[dict[str, Any]]) -> list[Any]:
    """Give the contents of an export's messages."""
    return [item["content"] for item in items if item["kind"] == "message"]


async def test_all_that_is_theirs(url: str) -> None:
    """Every session with its messages in order, and what was said in others' sessions; nothing of anybody else."""
    async with SecureMemory.open(url, max_messages=2000) as memory:
        one = memory.session("one", user_id="alice", tags=("shop",))
        await one.add_many([Message("user", str(number)) for number in range(1203)])
        await memory.session("two", user_id="alice").add("user", [{"type": "text", "text": "parts"}])
        theirs = memory.session("theirs", user_id="bob")
        await theirs.add("user", "bob's own")
        await theirs.add("user", "alice was here", user_id="alice", metadata={"a": 1})
        await one.add("user", "bob in hers", user_id="bob")
        items = await exported(memory, "alice")
    assert items[0]["user_id"] == "alice"
    sessions = [(item["session_id"], item["messages"], item["tags"]) for item in items if item["kind"] == "session"]
    assert sorted(sessions) == [("one", 1204, ["shop"]), ("two", 1, [])]
    contents = said(items)
    in_one = [item["content"] for item in items if item["kind"] == "message" and item["session_id"] == "one"]
    assert in_one == [*(str(number) for number in range(1203)), "bob in hers"]
    assert [{"type": "text", "text": "parts"}] in contents
    [guest] = [item for item in items if item["kind"] == "message" and item["session_id"] is None]
    assert (guest["content"], guest["user_id"], guest["metadata"]) == ("alice was here", "alice", {"a": 1})
    assert "bob's own" not in contents


async def test_nothing_is_held_of_who_is_not_known(memory: SecureMemory) -> None:
    """Of a stranger, and of who was erased, the export says for whom it is, and no more."""
    await memory.session("s", user_id="alice").add("user", "x")
    assert len(await exported(memory, "alice")) == 3, "the control"
    await memory.erase_user("alice")
    for name in ("alice", "nobody"):
        assert [item["kind"] for item in await exported(memory, name)] == ["export"]


async def test_what_is_over_is_left_out(memory: SecureMemory, clock: FakeClock) -> None:
    """A message past its time is in no export, as owner or guest; one millisecond before it is."""
    await memory.session("s", user_id="alice").add_many([Message("user", "short")], ttl=60)
    await memory.session("s", user_id="alice").add("user", "long")
    await memory.session("t", user_id="bob").add("user", "short too", user_id="alice", ttl=60)
    clock.advance(59.999)
    assert said(await exported(memory, "alice")) == ["short", "long", "short too"]
    clock.advance(0.001)
    assert said(await exported(memory, "alice")) == ["long"]


async def test_what_is_held_is_in_it(memory: SecureMemory) -> None:
    """A hold keeps what is held from every reader, and not from the person that it is about."""
    await memory.session("s", user_id="alice").add("user", "held")
    await memory.holds.place("alice", reason_code="CASE-1")
    assert said(await exported(memory, "alice")) == ["held"]


async def test_pseudonyms_are_given_with_their_values(url: str) -> None:
    """Texts are as they were said, in others' sessions too, and the vault's entries stand at the end."""
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        await memory.session("s", user_id="alice").add("user", "I am a@example.com")
        await memory.session("t", user_id="bob").add("user", "a@example.com again", user_id="alice")
        await memory.session("t", user_id="bob").add("user", "and I b@example.com")
        items = await exported(memory, "alice")
    assert said(items) == ["I am a@example.com", "a@example.com again"]
    found = [(item["token"], item["text"]) for item in items if item["kind"] == "pseudonym"]
    assert found == [("[EMAIL_ADDRESS_1]", "a@example.com")]


async def test_it_needs_the_right_and_is_written_down(file_url: str, tmp_path: Path) -> None:
    """An actor without the right is refused; each export is an event, by handles and hashes."""
    async with SecureMemory.open(file_url, policy=ROLES) as memory:
        await memory.session("s", user_id="alice").add("user", "x")
        with pytest.raises(AccessDeniedError):
            await exported(memory, "alice", actor="agent:bot")
        assert said(await exported(memory, "alice", actor="dpo:jane")) == ["x"]
        deployment = await memory.host.ready()
        [event] = await Audit(deployment.ledger).events()
        row = await deployment.keyring.find_user("alice")
    assert row is not None
    assert (event.kind, event.person, event.actor is not None) == (EventKind.EXPORT, row.handle, True)
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("*.ledger.db*"))
    assert not any(word in ledger for word in (b"alice", b"jane"))


async def test_what_was_changed_is_not_exported(memory: SecureMemory) -> None:
    """A record that is not as it was written ends the export with its error; before the change it does not."""
    await memory.session("s", user_id="alice").add("user", "x")
    deployment = await memory.host.ready()
    keys = await deployment.keyring.find("alice", "s")
    assert keys is not None
    assert len(await exported(memory, "alice")) == 3
    raw, [(seq, body)] = await deployment.backend.tail(keys.handle, 1)
    changed = Change(keys.handle, raw, raw, rows=[(seq, body[:-1] + bytes([body[-1] ^ 1]))])
    assert await deployment.backend.swap(changed) is None
    with pytest.raises(CorruptRecordError):
        await exported(memory, "alice")
