"""Pseudonyms: what a model reads, what comes back, and who may have it back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from securemem import (
    AccessDeniedError,
    BackendUnavailableError,
    Message,
    PIIBlockedError,
    SecureMemory,
    UserErasedError,
)
from securemem.discretion import make_privacy
from securemem.ledger.audit import Audit, EventKind
from securemem.policy import Policy
from securemem.privacy.reveal import Stream, as_read_by_models, original, revealed
from securemem.privacy.tokens import Token
from securemem.privacy.vault import Entry, Vault
from securemem.writer import Writer

from .policies import CARD, EMAIL, PHONE, PSEUDONYMS, REALISTIC, policy

if TYPE_CHECKING:
    from tests.conftest import FakeClock

WORDS = [
    "call",
    "me",
    "at",
    "or",
    "write",
    "to",
    ",",
    "please",
    "[",
    "]",
    "\\",
    "[EMAIL_ADDRESS_1]",
    "[\\PHONE_NUMBER_2]",
    "[PHONE_NUMBER_",
    "1]",
    "not",
    "[X_1]",
    "ok",
]
MAY_NOT = policy("EMAIL_ADDRESS: pseudonymise", "access: {roles: {agent: [read, write], dpo: [reveal]}}\n")


@pytest.fixture(params=[PSEUDONYMS, REALISTIC], ids=["tokens", "realistic"])
def pseudonyms(request: pytest.FixtureRequest) -> Policy:
    """Give a policy that makes pseudonyms, of each kind."""
    found: Policy = request.param
    return found


async def test_the_round_trip(url: str, pseudonyms: Policy) -> None:
    """A model reads no value, its answer comes back with them, whole and in pieces, and history is as it was said."""
    said = f"I am at {EMAIL} or {PHONE}; [EMAIL_ADDRESS_1] is no pseudonym"
    async with SecureMemory.open(url, policy=pseudonyms) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", said)
        [shown] = await chat.context(view="pseudonymised")
        assert EMAIL not in shown.content
        assert PHONE not in shown.content
        assert await chat.reveal(shown.content) == said
        assert "".join([piece async for piece in chat.reveal_stream(list(shown.content))]) == said
        assert [message.content for message in await chat.history()] == [said]
        assert [message.content for message in await chat.context()] == [said]


async def test_one_value_is_one_token_in_all_sessions_and_processes(file_url: str) -> None:
    """The same address has the same token in another session, and after the store was opened anew."""
    shown = []
    for session in ("one", "two"):
        async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
            chat = memory.session(session, user_id="alice")
            await chat.add("user", f"{session}@example.com and {EMAIL}")
            shown += [message.content for message in await chat.context(view="pseudonymised")]
    assert shown == ["[EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_2]", "[EMAIL_ADDRESS_3] and [EMAIL_ADDRESS_2]"]


async def test_two_processes_give_no_token_twice(file_url: str) -> None:
    """Two stores on one file that give pseudonyms at once, with vaults of their own in memory, never mix them up."""
    async with (
        SecureMemory.open(file_url, policy=PSEUDONYMS) as one,
        SecureMemory.open(file_url, policy=PSEUDONYMS) as other,
    ):
        sessions = [memory.session(name, user_id="alice") for name, memory in (("a", one), ("b", other))]
        for number in range(10):
            await asyncio.gather(*(chat.add("user", f"{chat.session_id}{number}@example.com") for chat in sessions))
        for chat in sessions:
            expected = [f"{chat.session_id}{number}@example.com" for number in range(10)]
            assert [message.content for message in await chat.history()] == expected
            shown = [message.content for message in await chat.context(view="pseudonymised")]
            assert len(set(shown)) == 10
            assert [await chat.reveal(text) for text in shown] == expected


async def test_what_is_found_later_is_hidden_earlier(file_url: str) -> None:
    """A value that was stored in clear, before the policy looked for it, is under its pseudonym in the model's view."""
    async with SecureMemory.open(file_url, policy="plain") as memory:
        await memory.session("s", user_id="alice").add("user", f"old {EMAIL}, [EMAIL_ADDRESS_1]")
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        [before] = await chat.context(view="pseudonymised")
        assert EMAIL in before.content, "the control: nobody has found it yet"
        await chat.add("user", f"new {EMAIL}")
        shown = [message.content for message in await chat.context(view="pseudonymised")]
        assert shown == ["old [EMAIL_ADDRESS_1], [\\EMAIL_ADDRESS_1]", "new [EMAIL_ADDRESS_1]"]
        assert await chat.reveal(shown[0]) == f"old {EMAIL}, [EMAIL_ADDRESS_1]"


async def test_a_models_own_tokens_stay_tokens(url: str) -> None:
    """An assistant's answer may be added as the model gave it; a user's text that looks the same is text."""
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", EMAIL)
        await chat.add("assistant", "Wrote to [EMAIL_ADDRESS_1], not to [EMAIL_ADDRESS_7]")
        await chat.add("user", "[EMAIL_ADDRESS_1]?")
        said = [message.content for message in await chat.history()]
        assert said == [EMAIL, f"Wrote to {EMAIL}, not to [EMAIL_ADDRESS_7]", "[EMAIL_ADDRESS_1]?"]


async def test_other_peoples_tokens_are_not_revealed(url: str) -> None:
    """Bob's session gives back nothing of Alice's; a guest's pseudonyms are told from the owner's, and come back."""
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        chat, bobs = memory.session("s", user_id="alice"), memory.session("s", user_id="bob")
        await chat.add("user", EMAIL)
        assert await bobs.reveal("[EMAIL_ADDRESS_1]") == "[EMAIL_ADDRESS_1]"
        await chat.add("user", "bob@example.org", user_id="bob")
        owner, guest = await chat.context(view="pseudonymised")
        assert owner.content == "[EMAIL_ADDRESS_1]"
        assert guest.content.startswith("[EMAIL_ADDRESS_1@")
        assert await chat.reveal(f"{owner.content} {guest.content}") == f"{EMAIL} bob@example.org"
        await memory.erase_user("bob")
        assert await chat.reveal(guest.content) == guest.content


async def test_a_vault_dies_with_its_person(file_url: str) -> None:
    """After an erasure by another process a store with everything in memory gives nothing back."""
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as warm:
        chat = warm.session("s", user_id="alice")
        await chat.add("user", EMAIL)
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == EMAIL
        async with SecureMemory.open(file_url, policy=PSEUDONYMS) as other:
            await other.erase_user("alice")
        assert await warm.session("t", user_id="alice").reveal("[EMAIL_ADDRESS_1]") == "[EMAIL_ADDRESS_1]"
        await warm.erase_user("alice")
        with pytest.raises(UserErasedError):
            await chat.reveal("[EMAIL_ADDRESS_1]")
        with pytest.raises(UserErasedError):
            [piece async for piece in chat.reveal_stream(["[EMAIL_ADDRESS_1]"])]


async def test_a_writer_that_was_late_brings_nothing_back(file_url: str) -> None:
    """A handle that was open when its person was forgotten elsewhere keeps nothing of what it cannot write."""
    async with (
        SecureMemory.open(file_url, policy=PSEUDONYMS) as late,
        SecureMemory.open(file_url, policy=PSEUDONYMS) as other,
    ):
        chat = late.session("s", user_id="alice")
        await chat.add("user", "hello")
        await other.erase_user("alice")
        with pytest.raises(UserErasedError):
            await chat.add("user", EMAIL)
        assert await (await late.host.ready()).keyring.find_user("alice") is None
        await late.session("s", user_id="alice").add("user", EMAIL)
        assert await (await late.host.ready()).keyring.find_user("alice") is not None, (
            "the control: anew, she may come back"
        )


async def test_an_identifier_keeps_its_words_in_every_view(file_url: str) -> None:
    """What is known is hidden in identifiers too, stored earlier or now; a single word there is no name."""
    content = [{"type": "text", "id": EMAIL, "text": "text"}]
    async with SecureMemory.open(file_url, policy="plain") as memory:
        await memory.session("s", user_id="alice").add("user", content)
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", content)
        vault = await (await memory.host.treating())._vaults.at_hand("alice", None)
        vault.add(Entry(Token("EMAIL_ADDRESS", 2), "text"))
        for message in await chat.context(view="pseudonymised"):
            assert message.content[0]["type"] == "text"
            assert message.content[0]["id"] == "[EMAIL_ADDRESS_1]"
            assert message.content[0]["text"] == "[EMAIL_ADDRESS_2]", "the control: prose is another thing"


async def test_what_was_refused_leaves_no_token_behind(file_url: str) -> None:
    """A value of a message that is blocked, or of one that could not be kept, is kept when it comes again."""
    mixed = policy("EMAIL_ADDRESS: pseudonymise, CREDIT_CARD: block")
    async with SecureMemory.open(file_url, policy=mixed) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", "first@example.com")
        with pytest.raises(PIIBlockedError):
            await chat.add("user", f"{EMAIL} {CARD}")
        await chat.add("user", EMAIL)
    async with SecureMemory.open(file_url, policy=mixed) as memory:
        chat = memory.session("s", user_id="alice")
        assert [message.content for message in await chat.history()] == ["first@example.com", EMAIL]


async def test_a_vault_that_cannot_be_written_keeps_no_token_in_memory(
    file_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the entries could not be written, the same value is given a token and written the next time."""

    async def fail(*_: object) -> NoReturn:
        raise BackendUnavailableError("the disk is full")

    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", "first@example.com")
        with monkeypatch.context() as patched:
            patched.setattr(Writer, "append", fail)
            with pytest.raises(BackendUnavailableError):
                await chat.add("user", EMAIL)
        await chat.add("user", EMAIL)
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        assert [message.content for message in await chat.history()] == ["first@example.com", EMAIL]


async def test_first_messages_at_once_share_their_locks() -> None:
    """However many ask a store at once that is not open yet, one room treats their messages."""
    memory = SecureMemory.open("memory://", policy=PSEUDONYMS)
    one, other = await asyncio.gather(memory.host.treating(), memory.host.treating())
    assert one is other
    await memory.close()


async def test_a_value_goes_when_the_last_message_with_it_ends(url: str, clock: FakeClock) -> None:
    """A pseudonym is given back as long as some message has it, and not after."""
    async with SecureMemory.open(url, policy=PSEUDONYMS, clock=clock) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", EMAIL, ttl=60)
        await chat.add("user", EMAIL, ttl=120)
        clock.advance(90)
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == EMAIL
        clock.advance(60)
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == "[EMAIL_ADDRESS_1]"


async def test_a_vault_is_no_session(url: str) -> None:
    """A person's vault is in no list of their sessions, and no caller can name it."""
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        await memory.session("s", user_id="alice").add("user", EMAIL)
        assert [info.session_id async for info in memory.sessions(user_id="alice")] == ["s"]
        with pytest.raises(ValueError, match="not empty"):
            memory.session("", user_id="alice")


async def test_revealing_needs_the_right(url: str) -> None:
    """An actor without it sees pseudonyms by every read and is refused an answer; one who has it is not."""
    async with SecureMemory.open(url, policy=MAY_NOT) as memory:
        for actor in (None, "agent:bot"):
            chat = memory.session("s", user_id="alice", actor=actor)
            assert (await chat.add("user", EMAIL)).content == "[EMAIL_ADDRESS_1]"
            assert {message.content for message in await chat.history()} == {"[EMAIL_ADDRESS_1]"}
            assert {message.content for message in await chat.context()} == {"[EMAIL_ADDRESS_1]"}
            with pytest.raises(AccessDeniedError):
                await chat.reveal("[EMAIL_ADDRESS_1]")
            with pytest.raises(AccessDeniedError):
                [piece async for piece in chat.reveal_stream(["[EMAIL_ADDRESS_1]"])]
        officer = memory.session("s", user_id="alice", actor="dpo:jane")
        assert await officer.reveal("[EMAIL_ADDRESS_1]") == EMAIL
        assert {message.content for message in await officer.history()} == {EMAIL}


async def test_revealing_is_written_down(file_url: str, tmp_path: Path) -> None:
    """Each is an event in the audit's chain, with handles and hashes, and neither the value nor an id."""
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice", actor="dpo:jane")
        await chat.add("user", EMAIL)
        await chat.reveal("[EMAIL_ADDRESS_1]")
        assert [piece async for piece in chat.reveal_stream(["[EMAIL_", "ADDRESS_1]"])] == [EMAIL]
        deployment = await memory.host.ready()
        events = await Audit(deployment.ledger).events()
        row = await deployment.keyring.find_user("alice")
    assert row is not None
    assert [(event.kind, event.person) for event in events] == [(EventKind.REVEAL, row.handle)] * 2
    ledger = b"".join(path.read_bytes() for path in tmp_path.glob("store.ledger.db*"))
    assert not any(word in ledger for word in (b"sarah", b"alice", b"jane"))


async def test_revealing_is_written_down_under_each_person(file_url: str) -> None:
    """A guest whose values can be given back has an event too; who has no pseudonyms has none."""
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice", actor="dpo:jane")
        await chat.add("user", EMAIL)
        await chat.add("user", "mine is bob@example.org", user_id="bob")
        await chat.add("user", "I have none", user_id="carol")
        shown = (await chat.context(view="pseudonymised"))[1].content
        assert await chat.reveal(shown) == "mine is bob@example.org"
        deployment = await memory.host.ready()
        rows = [await deployment.keyring.find_user(user) for user in ("alice", "bob")]
        events = await Audit(deployment.ledger).events()
        assert [event.person for event in events] == [row.handle for row in rows if row is not None]
        assert len({(event.kind, event.actor, event.at) for event in events}) == 1


async def _pieces(text: str, rng: random.Random) -> AsyncIterator[str]:
    while text:
        size = rng.randint(1, 9)
        yield text[:size]
        text = text[size:]


def _texts(rng: random.Random) -> tuple[list[str], list[str]]:
    """Give a conversation, and the values that stand in it."""
    values = [f"p{rng.randint(0, 3)}@example.com" for _ in range(3)]
    values += [f"+44 20 7946 0{rng.randint(100, 999)}" for _ in range(2)]
    return [" ".join(rng.choices(WORDS + values, k=rng.randint(3, 12))) for _ in range(3)], values


async def test_generated_conversations_come_back(pseudonyms: Policy) -> None:
    """No value is in the model's view, and what it is shown comes back as it was said, in one piece or many."""
    rng = random.Random(20261126)
    async with SecureMemory.open("memory://", policy=pseudonyms) as memory:
        for number in range(60):
            chat = memory.session("s", user_id=f"user {number}")
            texts, values = _texts(rng)
            for text in texts:
                await chat.add("user", text)
            shown = await chat.context(view="pseudonymised")
            for text, message in zip(texts, shown, strict=True):
                assert not any(value in message.content for value in values)
                assert await chat.reveal(message.content) == text
                stream = chat.reveal_stream(_pieces(message.content, rng))
                assert "".join([piece async for piece in stream]) == text


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_hundred_thousand_conversations_come_back(pseudonyms: Policy) -> None:
    """The same of 50,000 conversations with each kind of pseudonyms, without a store."""
    rng = random.Random(1)
    privacy = await make_privacy(pseudonyms, lambda _: bytes(32))
    assert privacy is not None
    now = datetime(2026, 11, 26, tzinfo=UTC)
    for _ in range(50_000):
        vault = Vault()
        texts, values = _texts(rng)
        for text in texts:
            stored = privacy.treat(await privacy.find(Message("user", text)), privacy.desk(vault, now), None)
            assert not any(value in stored.content for value in values)
            shown = as_read_by_models(stored, vault, now).content
            assert not any(value in shown for value in values)
            assert original(stored, vault, now).content == text
            assert revealed(shown, {"": vault}, now) == text
            stream = Stream({"": vault}, now)
            assert "".join([stream.feed(piece) async for piece in _pieces(shown, rng)]) + stream.end() == text
