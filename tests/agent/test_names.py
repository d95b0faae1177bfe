"""Policies: the model reads pseudonyms, users and tools read names; what is redacted or blocked reaches no model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from securemem import Agent, Message, PIIBlockedError, SecureMemory
from securemem.privacy.privacy import Found, Privacy

from .models import Noting, Shown

MAIL, CARD = "alice@example.com", "4111 1111 1111 1111"
POLICY = """
apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: test}
pii:
  entities: {EMAIL_ADDRESS: pseudonymise, CREDIT_CARD: redact, US_SSN: block}
"""
ROLES = """
access:
  roles:
    agent: [read, write]
    support: [read, write, reveal]
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Give the path of a policy that pseudonymises, redacts and blocks."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY, "utf-8")
    return str(path)


@pytest.fixture
async def store(url: str, policy: str) -> AsyncIterator[SecureMemory]:
    """Give a store on each backend under that policy."""
    async with SecureMemory.open(url, policy=policy) as store:
        yield store


async def _everything(messages: Shown) -> AsyncIterator[str]:
    """Give back the last message in small pieces, so that pseudonyms come in parts."""
    text = f"I write to {messages[-1]['content']}"
    for start in range(0, len(text), 3):
        yield text[start : start + 3]


async def test_the_model_reads_tokens_and_the_user_names(store: SecureMemory) -> None:
    """Of the new message and of those before; the reply and the history have what was said."""
    model = Noting()
    agent = Agent(model=model, memory=store)
    assert await agent.chat(f"I am {MAIL}", "s", user_id="alice") == f"echo: I am {MAIL}"
    assert model.texts == ["I am [EMAIL_ADDRESS_1]"]
    await agent.chat("And bob@example.com?", "s", user_id="alice")
    assert model.texts[:3] == ["I am [EMAIL_ADDRESS_1]", "echo: I am [EMAIL_ADDRESS_1]", "And [EMAIL_ADDRESS_2]?"]
    history = [each["content"] for each in await agent.get_history("s", user_id="alice")]
    assert history[:2] == [f"I am {MAIL}", f"echo: I am {MAIL}"]


async def test_a_stream_gives_names_whole(store: SecureMemory) -> None:
    """No piece has part of a token; what is remembered is what the model said."""
    agent = Agent(model=_everything, memory=store)
    pieces = [piece async for piece in agent.stream(MAIL, "s")]
    assert "".join(pieces) == f"I write to {MAIL}"
    assert len(pieces) > 2
    assert not any("EMAIL" in piece or "[" in piece for piece in pieces)
    [_, shown] = await store.session("s").context(view="pseudonymised")
    assert shown.content == "I write to [EMAIL_ADDRESS_1]"


async def test_what_is_redacted_reaches_no_model(store: SecureMemory) -> None:
    """The new message is treated before the model is asked, as it is when it is remembered."""
    model = Noting()
    await Agent(model=model, memory=store).chat(f"My card is {CARD}", "s")
    assert model.texts == ["My card is [CREDIT_CARD]"]


async def test_what_is_blocked_reaches_no_model(store: SecureMemory) -> None:
    """It is a PIIBlockedError before the model is asked, and nothing is remembered."""
    model = Noting()
    agent = Agent(model=model, memory=store)
    with pytest.raises(PIIBlockedError):
        await agent.chat("My number is 536-22-8726, SSN", "s")
    assert model.shown == []
    assert await agent.get_history("s") == []


@pytest.mark.parametrize("keep_failed", [True, False])
async def test_a_reply_that_is_blocked_is_not_remembered(store: SecureMemory, *, keep_failed: bool) -> None:
    """It is a PIIBlockedError; what the user said is there under `keep_failed` alone."""

    async def model(_: Shown) -> str:
        return "Your number is 536-22-8726, SSN"

    agent = Agent(model=model, memory=store, keep_failed=keep_failed)
    with pytest.raises(PIIBlockedError):
        await agent.chat("What is my number?", "s")
    assert [each["content"] for each in await agent.get_history("s")] == ["What is my number?"] * keep_failed


async def test_the_default_policy_redacts_before_the_model(url: str) -> None:
    """An agent that names no policy shows no card to its model."""
    model = Noting()
    async with SecureMemory.open(url) as store:
        await Agent(model=model, memory=store).chat(f"My card is {CARD}", "s")
    assert model.texts == ["My card is [CREDIT_CARD]"]


async def test_tools_get_values_and_the_model_tokens(store: SecureMemory) -> None:
    """A call with a token comes to the tool with the value; what the tool gives is treated before the model reads."""
    shown: list[Shown] = []
    sent: list[tuple[str, list[str]]] = []

    async def model(messages: Shown) -> Any:
        shown.append([dict(each) for each in messages])
        if messages[-1]["role"] == "tool":
            return f"Done: {messages[-1]['content']}"
        arguments = {"to": "[EMAIL_ADDRESS_1]", "copies": ['"[EMAIL_ADDRESS_1]"']}
        return {"tool_calls": [{"id": "1", "function": {"name": "send", "arguments": json.dumps(arguments)}}]}

    def send(to: str, copies: list[str]) -> str:
        """Send a mail."""
        sent.append((to, copies))
        return f"sent to {to} by carol@example.com"

    agent = Agent(model=model, memory=store, tools=[send])
    assert await agent.chat(f"Write to {MAIL}", "s") == f"Done: sent to {MAIL} by carol@example.com"
    assert sent == [(MAIL, [f'"{MAIL}"'])]
    assert shown[-1][-1]["content"] == "sent to [EMAIL_ADDRESS_1] by [EMAIL_ADDRESS_2]"
    await agent.chat("again", "s")
    assert "example.com" not in str(shown)
    history = await agent.get_history("s")
    assert history[2]["content"] == f"sent to {MAIL} by carol@example.com"


async def test_made_up_names_are_remembered_as_real_ones(url: str, tmp_path: Path) -> None:
    """Under realistic pseudonyms the model reads another address, and the history has the one that was said."""
    path = tmp_path / "realistic.yaml"
    path.write_text(POLICY + "  pseudonyms: realistic\n", "utf-8")
    model = Noting()
    async with SecureMemory.open(url, policy=str(path)) as store:
        agent = Agent(model=model, memory=store)
        assert await agent.chat(f"I am {MAIL}", "s") == f"echo: I am {MAIL}"
        first = model.texts[0]
        assert MAIL not in first
        assert "@" in first
        assert "".join([piece async for piece in agent.stream("go on", "s")]) == "echo: go on"
        assert model.texts[:2] == [first, f"echo: {first}"]
        assert [each["content"] for each in await agent.get_history("s")][1] == f"echo: I am {MAIL}"


async def test_who_may_not_reveal_reads_tokens(url: str, tmp_path: Path) -> None:
    """Under roles the agent's actor decides: without the right `reveal` replies and history have tokens."""
    path = tmp_path / "roles.yaml"
    path.write_text(POLICY + ROLES, "utf-8")
    async with SecureMemory.open(url, policy=str(path)) as store:
        closed = Agent(model=Noting(), memory=store, actor="agent:one")
        assert await closed.chat(f"I am {MAIL}", "s") == "echo: I am [EMAIL_ADDRESS_1]"
        assert "".join([piece async for piece in closed.stream("go on", "s")]) == "echo: go on"
        opened = Agent(model=Noting(), memory=store, actor="support:two")
        assert await opened.chat(f"I am {MAIL}", "s") == f"echo: I am {MAIL}"
        contents = [each["content"] for each in await closed.get_history("s")]
        assert contents[:2] == ["I am [EMAIL_ADDRESS_1]", "echo: I am [EMAIL_ADDRESS_1]"]


async def test_a_turn_that_failed_kept_nothing_that_a_reader_sees(store: SecureMemory) -> None:
    """What a pseudonym stands for lies in the person's vault, and goes with the person."""
    model = Noting()
    model.error = RuntimeError("no")
    agent = Agent(model=model, memory=store)
    with pytest.raises(RuntimeError):
        await agent.chat(f"I am {MAIL}", "s", user_id="alice")
    assert [info async for info in store.sessions(user_id="alice")] == []
    await agent.erase_user("alice")
    model.error = None
    await agent.chat("I am bob@example.com", "s", user_id="alice")
    assert model.texts == ["I am [EMAIL_ADDRESS_1]"]


async def test_a_message_is_looked_through_once(store: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found for the model's view is taken over when the turn is remembered; the reply is looked through."""
    looked: list[object] = []
    find = Privacy.find_quickly

    async def noted(privacy: Privacy, message: Message) -> Found:
        looked.append(message.content)
        return await find(privacy, message)

    monkeypatch.setattr(Privacy, "find_quickly", noted)
    await Agent(model=Noting(), memory=store).chat(f"I am {MAIL}", "s")
    assert looked == [f"I am {MAIL}", "echo: I am [EMAIL_ADDRESS_1]"]
