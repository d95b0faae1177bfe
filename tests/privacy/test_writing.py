"""Personal data on the way in: treated on every path that writes, and never let through by a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from securemem import ConfigurationError, DetectionError, Message, PIIBlockedError, SecureMemory, UserErasedError
from securemem.conversation import Conversation
from securemem.model import Span
from securemem.privacy.engines.patterns import PatternsEngine
from securemem.testing import assert_absent, assert_found
from securemem.writer import Copies, Writer

from .policies import CARD, EMAIL, PHONE, PSEUDONYMS, policy


async def test_an_unconfigured_store_redacts_cards_and_secrets(url: str) -> None:
    """With no policy named, a card number and a password are gone before anything is sealed; all else stays."""
    async with SecureMemory.open(url) as memory:
        chat = memory.session("s", user_id="alice")
        stored = await chat.add("user", f"{EMAIL} pays by {CARD}, password: hunter2secret")
        assert stored.content == f"{EMAIL} pays by [CREDIT_CARD], password: [SECRET]"
        assert [message.content for message in await chat.history()] == [stored.content]


async def test_every_path_that_writes_is_treated(url: str) -> None:
    """`add`, `add_many` and `fork` store no card; under `plain`, the control, all of them do."""
    async with SecureMemory.open(url, policy="plain") as memory:
        await memory.session("s", user_id="alice").add("user", CARD)
        if url == "memory://":
            return
        plain = [message.content for message in await (await memory.session("s", user_id="alice").fork("c")).history()]
        assert plain == [CARD]
    async with SecureMemory.open(url) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", CARD), Message("tool", {"card": CARD}, metadata={"card": CARD})])
        branch = await chat.fork("branch")
        contents = [(message.content, message.metadata) for message in await branch.history()]
    assert contents == [
        ("[CREDIT_CARD]", None),
        ("[CREDIT_CARD]", None),
        ({"card": "[CREDIT_CARD]"}, {"card": "[CREDIT_CARD]"}),
    ]


async def test_a_fork_keeps_hour_and_end(file_url: str) -> None:
    """What is treated anew when it is copied ends when it would have ended."""
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        stored = await chat.add("user", f"write to {EMAIL}", ttl=3600)
        [copied] = await (await chat.fork("branch")).history()
    assert (copied.expires_at, copied.content) == (stored.expires_at, stored.content)


@pytest.mark.parametrize("error", [ValueError("hunter2secret"), KeyError("hunter2secret"), RecursionError()])
async def test_an_engine_that_fails_fails_the_save(url: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an engine raises, nothing is written, and the error says nothing of the text."""

    def fail(*_: object) -> NoReturn:
        raise error

    async with SecureMemory.open(url) as memory:
        chat = memory.session("s", user_id="alice")
        with monkeypatch.context() as patched:
            patched.setattr(PatternsEngine, "find", fail)
            with pytest.raises(DetectionError) as caught:
                await chat.add("user", "hunter2secret")
        assert await chat.history() == []
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


async def test_what_is_blocked_is_not_written(url: str) -> None:
    """The error names entity and place, not the value, and of a batch nothing is written."""
    async with SecureMemory.open(url, policy=policy("CREDIT_CARD: block")) as memory:
        chat = memory.session("s", user_id="alice")
        with pytest.raises(PIIBlockedError) as caught:
            await chat.add_many([Message("user", "hello"), Message("user", f"card {CARD}")])
        assert (caught.value.entity, caught.value.start, caught.value.end) == ("CREDIT_CARD", 5, 24)
        assert "4111" not in str(caught.value)
        assert await chat.history() == []


async def test_an_entity_that_no_engine_finds_stops_the_start(url: str) -> None:
    """It is named, with those that the engine does find; nothing is opened."""
    memory = SecureMemory.open(url, policy=policy("CREDIT_CARD: redact, SHOE_SIZE: redact"))
    with pytest.raises(ConfigurationError, match="does not find SHOE_SIZE"):
        await memory.session("s").add("user", "43")
    await memory.close()


async def test_structured_content_stays_what_it_is(url: str) -> None:
    """Texts in JSON, and in JSON within a text, are treated; numbers, identifiers and the JSON itself stay."""
    arguments = json.dumps({"to": EMAIL, "amount": 4111111111111111, "id": "call_1"})
    content = [{"type": "function_call", "call_id": "call_1", "name": "send", "arguments": arguments}]
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("assistant", content)
        [shown] = await chat.context(view="pseudonymised")
        [clear] = await chat.history()
    assert json.loads(shown.content[0]["arguments"])["to"] == "[EMAIL_ADDRESS_1]"
    assert json.loads(shown.content[0]["arguments"])["amount"] == 4111111111111111
    assert {**shown.content[0], "arguments": arguments} == content[0]
    assert clear.content == content


async def test_no_value_lies_in_the_store_under_pseudonyms(tmp_path: Path, file_url: str) -> None:
    """Neither a redacted nor a pseudonymised value is in clear in any file; the control writes one."""
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory:
        await memory.session("s", user_id="alice").add("user", f"{EMAIL} {PHONE} {CARD}")
        assert_absent([tmp_path], [EMAIL, PHONE, CARD])
    (tmp_path / "control").write_text(EMAIL)
    assert_found([tmp_path], EMAIL)


async def test_a_caller_cannot_say_that_pseudonyms_stand_in_a_message(url: str) -> None:
    """A message that was read under pseudonyms and is added again is treated like any other."""
    async with SecureMemory.open(url, policy=PSEUDONYMS) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("user", EMAIL)
        await chat.add_many([Message("user", "[EMAIL_ADDRESS_1]", pseudonymised=True)])
        assert [message.content for message in await chat.history()] == [EMAIL, "[EMAIL_ADDRESS_1]"]


async def test_an_engine_of_a_million_characters_and_lone_surrogates(url: str) -> None:
    """A megabyte is looked through, off the event loop; a text that UTF-8 cannot carry is refused as ever."""
    async with SecureMemory.open(url, max_messages=2) as memory:
        chat = memory.session("s", user_id="alice")
        stored = await chat.add("user", "word " * 200_000 + CARD)
        assert stored.content.endswith("[CREDIT_CARD]")
        with pytest.raises(ValueError, match="surrogate"):
            await chat.add("user", f"\ud800 {CARD}")


def test_spans_show_no_values() -> None:
    """A span is where something stands, and no more."""
    assert repr(Span(1, 2, "PERSON")) == "Span(start=1, end=2, entity='PERSON', score=1.0)"


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_a_fork_keeps_no_value_of_who_was_forgotten(
    file_url: str, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """A value that a fork has read in clear goes into nobody's vault once its person is erased."""
    async with SecureMemory.open(file_url, policy="plain") as memory:
        await memory.session("s", user_id="alice").add("user", f"mail {EMAIL}", user_id=who)
    async with SecureMemory.open(file_url, policy=PSEUDONYMS) as memory, SecureMemory.open(file_url) as other:
        copy = Writer.copy

        async def late(writer: Writer, conversation: Conversation, at: int | None) -> Copies:
            copies = await copy(writer, conversation, at)
            await other.erase_user(who)
            return copies

        monkeypatch.setattr(Writer, "copy", late)
        with pytest.raises(UserErasedError):
            await memory.session("s", user_id="alice").fork("branch")
        assert [item async for item in memory.export_user(who) if item["kind"] != "export"] == []
        assert not (await memory.erase_user(who)).handle, "nobody is known"
