"""The context window: the newest that fit, tool calls never parted from their results, pinned messages always."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from securemem import ConfigurationError, Message, SecureMemory
from securemem.window import EstimatingTokenizer, TiktokenTokenizer, are_ordinary, cost, fit
from tests.overtaking import erase_before_opening

CHAT, CHAT_METADATA, ANTHROPIC = "chat", "chat-metadata", "anthropic"
RESPONSES, RESPONSES_CUSTOM = "responses", "custom"
SHAPES = (CHAT, CHAT_METADATA, ANTHROPIC, RESPONSES, RESPONSES_CUSTOM)


def call(shape: str, *ids: str) -> Message:
    """Give an assistant's message that calls tools, as a framework of this shape sends it."""
    if shape in (CHAT, CHAT_METADATA):
        calls = [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in ids]
        if shape == CHAT_METADATA:
            return Message("assistant", "", metadata={"tool_calls": calls})
        return Message("assistant", {"role": "assistant", "content": None, "tool_calls": calls})
    if shape == RESPONSES:
        items: list[dict[str, Any]] = [
            {"type": "function_call", "call_id": each, "id": f"fc_{each}", "name": "f"} for each in ids
        ]
    elif shape == RESPONSES_CUSTOM:
        items = [{"type": "custom_tool_call", "call_id": each, "name": "f", "input": "x"} for each in ids]
    else:
        items = [{"type": "tool_use", "id": each, "name": "f", "input": {}} for each in ids]
    return Message("assistant", [{"type": "text", "text": "let me see"}, *items])


def result(shape: str, *ids: str) -> list[Message]:
    """Give the messages that answer calls, as a framework of this shape sends them."""
    if shape == CHAT:
        return [Message("tool", {"role": "tool", "tool_call_id": each, "content": "22"}) for each in ids]
    if shape == CHAT_METADATA:
        return [Message("tool", "22", metadata={"tool_call_id": each}) for each in ids]
    if shape == ANTHROPIC:
        return [Message("user", [{"type": "tool_result", "tool_use_id": each, "content": "22"} for each in ids])]
    kind = "function_call_output" if shape == RESPONSES else "custom_tool_call_output"
    return [Message("user", [{"type": kind, "call_id": each, "output": "22"}]) for each in ids]


class Words:
    """A tokenizer to which each word is a token."""

    def count(self, text: str) -> int:
        """As `ports.Tokenizer`."""
        return len(text.split())


def _numbered(messages: list[Message]) -> list[Message]:
    return [
        Message(message.role, message.content, metadata=message.metadata, seq=seq)
        for seq, message in enumerate(messages, 1)
    ]


def _seqs(messages: list[Message]) -> list[int | None]:
    return [message.seq for message in messages]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ids", [("a",), ("a", "b", "c")], ids=["one", "parallel"])
def test_a_call_is_taken_with_its_results_or_not_at_all(shape: str, ids: tuple[str, ...]) -> None:
    """However the limit falls, call and results are in the window together, and nothing else is lost for it."""
    turn = [call(shape, *ids), *result(shape, *ids)]
    messages = _numbered([Message("user", "q"), *turn, Message("assistant", "a")])
    unit = list(range(2, 2 + len(turn)))
    for limit in range(1, len(messages) + 1):
        window = _seqs(fit(messages[-limit:], max_messages=limit))
        whole = limit > len(turn)
        expected = [1] * (limit == len(messages)) + unit * whole + [len(messages)]
        assert window == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_a_token_budget_does_not_part_them_either(shape: str) -> None:
    """A budget that has room for the result alone takes neither; one token more for all takes both."""
    messages = _numbered([call(shape, "a"), *result(shape, "a"), Message("assistant", "done")])
    prices = [cost(message, Words()) for message in messages]
    for budget in range(sum(prices) + 1):
        window = _seqs(fit(messages, max_messages=10, max_tokens=budget, tokenizer=Words()))
        assert window == ([1, 2, 3] if budget == sum(prices) else [3] if budget >= prices[-1] else [])


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orphan_result_is_left_out(shape: str) -> None:
    """A result whose call is not there is left, and what stands around it is taken."""
    messages = _numbered([Message("user", "1"), *result(shape, "gone"), Message("user", "3")])
    assert _seqs(fit(messages, max_messages=10)) == [1, 3]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_call_that_waits_for_its_result_is_taken(shape: str) -> None:
    """A call at the end, not answered yet, is in the window."""
    messages = _numbered([Message("user", "1"), call(shape, "a")])
    assert _seqs(fit(messages, max_messages=10)) == [1, 2]


def test_a_result_without_an_id_belongs_to_the_message_before() -> None:
    """A `tool` message with plain text stays with what it follows."""
    messages = _numbered([Message("user", "q"), Message("assistant", "calls f"), Message("tool", "22")])
    assert _seqs(fit(messages[-1:], max_messages=1)) == []
    assert _seqs(fit(messages[-2:], max_messages=2)) == [2, 3]


def test_an_id_that_is_used_again_names_the_newest_call() -> None:
    """A framework that counts its calls anew in each turn does not glue the turns together."""
    turns = [call(CHAT, "0"), *result(CHAT, "0"), Message("user", "go on"), call(CHAT, "0"), *result(CHAT, "0")]
    assert _seqs(fit(_numbered(turns), max_messages=2)) == [4, 5]


@pytest.mark.parametrize(
    "content",
    [{"type": ["x"]}, {"type": {}}, {"tool_calls": 2}, {"tool_calls": True}, {"tool_calls": [1]}, [{"type": None}], 7],
    ids=repr,
)
def test_odd_shapes_are_just_content(content: Any) -> None:
    """JSON that only looks like a tool call is a message like any other, as content and as metadata."""
    odd = [Message("assistant", content), Message("user", "x", metadata=content if isinstance(content, dict) else None)]
    messages = _numbered([Message("user", "q"), *odd, Message("user", "end")])
    assert _seqs(fit(messages, max_messages=10)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "odd",
    [
        Message("user", "x", expires_at=datetime.max.replace(tzinfo=UTC)),
        Message("user", "x", metadata={}),
        Message("user", {"text": "x"}),
        Message("tool", "22"),
        Message("user", "x", pseudonymised=True),
        (1, 0, 0, b"payload", 0, 0),
    ],
    ids=["ends", "metadata", "json", "result", "pseudonyms", "not-a-message"],
)
def test_what_has_to_be_looked_at(odd: object) -> None:
    """Of some messages one that is not given as it is, for good and to everybody, makes all out of the ordinary."""
    plain = [Message("system", "x"), Message("user", "x", user_id="bob"), Message("assistant", "x", seq=3)]
    assert are_ordinary(plain), "a control"
    assert not are_ordinary([*plain, odd, *plain])


@settings(derandomize=True, deadline=None)
@given(
    turns=st.lists(st.tuples(st.sampled_from([None, *SHAPES]), st.integers(1, 3)), max_size=8),
    limit=st.integers(0, 20),
    budget=st.none() | st.integers(0, 200),
)
def test_every_result_in_a_window_has_its_call(
    turns: list[tuple[str | None, int]], limit: int, budget: int | None
) -> None:
    """For any conversation and limits: in order, within the limits, and calls and results all or none."""
    messages: list[Message] = []
    units: list[set[int]] = []
    for number, (shape, calls) in enumerate(turns):
        ids = [f"{number}.{each}" for each in range(calls)]
        turn = [Message("user", "hi")] if shape is None else [call(shape, *ids), *result(shape, *ids)]
        units.append(set(range(len(messages) + 1, len(messages) + len(turn) + 1)))
        messages += turn
    window = fit(_numbered(messages)[-limit:] if limit else [], max_messages=limit, max_tokens=budget)
    taken = [seq for seq in _seqs(window) if seq is not None]
    assert taken == sorted(taken)
    assert len(taken) <= limit
    assert budget is None or sum(cost(message, EstimatingTokenizer()) for message in window) <= budget
    assert all(unit <= set(taken) or not unit & set(taken) for unit in units)
    assert budget is not None or len(taken) + max(map(len, units), default=0) >= min(limit, len(messages))


def test_the_estimate_is_four_bytes_a_token() -> None:
    """Empty costs nothing, any text at least one, and what is not ASCII costs by its bytes."""
    count = EstimatingTokenizer().count
    assert [count(text) for text in ("", "a", "abcd", "abcde", "日本語")] == [0, 1, 1, 2, 3]


def test_tiktoken_counts_by_its_vocabulary() -> None:
    """With an encoding of single bytes a text costs its bytes, and so does a special token in it."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=r".+|\s+", mergeable_ranks=ranks, special_tokens={"<|end|>": 256})
    count = TiktokenTokenizer(encoding).count
    assert [count(text) for text in ("", "abc", "日本", "<|end|>")] == [0, 3, 6, 7]


def test_without_tiktoken_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that wants tiktoken where that is not installed is refused, and says what to install."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'securemem\[tiktoken\]'"):
        SecureMemory.open("memory://", tokenizer="tiktoken")


async def test_context_gives_the_stores_window(url: str) -> None:
    """`context_window` newest messages by default, `max_messages` where given, from whatever history there is."""
    async with SecureMemory.open(url, context_window=4) as memory:
        chat = memory.session("s")
        await chat.add_many([Message("user", str(number)) for number in range(1, 11)])
        assert _seqs(await chat.context()) == [7, 8, 9, 10]
        assert _seqs(await chat.context(max_messages=2)) == [9, 10]
        assert _seqs(await chat.context(max_messages=100)) == list(range(1, 11))
        assert await chat.context(max_messages=0) == await chat.context(max_tokens=0) == []


async def test_context_counts_with_the_stores_tokenizer(url: str) -> None:
    """A budget is cut by the tokenizer that the store was opened with."""
    price = cost(Message("user", "five words are in here"), Words())
    async with SecureMemory.open(url, tokenizer=Words()) as memory:
        chat = memory.session("s")
        await chat.add_many([Message("user", "five words are in here")] * 5)
        assert _seqs(await chat.context(max_tokens=3 * price)) == [3, 4, 5]
        assert _seqs(await chat.context(max_tokens=3 * price - 1)) == [4, 5]


@pytest.mark.parametrize("shape", SHAPES)
async def test_context_does_not_part_what_was_stored(memory: SecureMemory, shape: str) -> None:
    """The same holds for messages that come out of the store, at every limit."""
    chat = memory.session("s")
    turn = [call(shape, "a", "b"), *result(shape, "a", "b")]
    await chat.add_many([Message("user", "q"), *turn, Message("assistant", "done")])
    for limit in range(1, len(turn) + 3):
        seqs = set(_seqs(await chat.context(max_messages=limit)))
        inside = set(range(2, 2 + len(turn)))
        assert inside <= seqs or not inside & seqs
        assert (inside <= seqs) == (limit > len(turn))


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_a_pinned_message_is_always_first(memory: SecureMemory, role: str) -> None:
    """However old, it comes first and counts; an unpinned one of the same role goes with its age."""
    chat = memory.session("s")
    await chat.add(role, "old")
    await chat.add(role, "rules", metadata={"pinned": True})
    await chat.add_many([Message("user", str(number)) for number in range(3, 51)])
    assert _seqs(await chat.context(max_messages=3)) == [2, 49, 50]
    rules, word = (cost(Message("user", text), EstimatingTokenizer()) for text in ("rules", "50"))
    assert _seqs(await chat.context(max_tokens=rules + word)) == [2, 50]
    assert _seqs(await chat.context(max_tokens=1)) == [2]


async def test_a_guests_pinned_message_is_always_first(memory: SecureMemory) -> None:
    """However old, it comes in its turn among the owner's, each time it is asked for, until its person is erased."""
    chat = memory.session("s", user_id="alice")
    await chat.add("system", "the guest's rule", metadata={"pinned": True}, user_id="gwen")
    await chat.add("system", "the owner's rule", metadata={"pinned": True})
    await chat.add_many([Message("user", str(number)) for number in range(3, 51)])
    for _ in range(2):
        window = await chat.context(max_messages=3)
        assert _seqs(window) == [1, 2, 50]
        assert (window[0].content, window[0].user_id) == ("the guest's rule", "gwen")
    await memory.erase_user("gwen")
    assert _seqs(await chat.context(max_messages=3)) == [2, 49, 50]


async def test_a_guest_with_a_pinned_message_is_erased_meanwhile(
    memory: SecureMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is forgotten between the reading of a session and its opening is not in the window; other guests are."""
    chat = memory.session("s", user_id="alice")
    for guest in ("gwen", "gus"):
        await chat.add("system", guest, metadata={"pinned": True}, user_id=guest)
    await chat.add_many([Message("user", str(number)) for number in range(3, 51)])
    is_erased = erase_before_opening(memory, monkeypatch, "gwen")
    assert _seqs(await chat.context(max_messages=3)) == [2, 49, 50]
    assert is_erased()


@pytest.mark.parametrize("metadata", [{"pinned": "yes"}, {"pinned": 1}, {"pinned": False}, {}, None])
async def test_only_true_pins_and_only_a_system_message(memory: SecureMemory, metadata: dict[str, Any] | None) -> None:
    """Anything but `true`, and any other role, is not pinned."""
    chat = memory.session("s")
    await chat.add("system", "old", metadata=metadata)
    await chat.add("user", "old", metadata={"pinned": True})
    await chat.add_many([Message("user", str(number)) for number in range(3, 31)])
    assert _seqs(await chat.context(max_messages=2)) == [29, 30]


async def test_history_leaves_pinned_messages_in_their_place(memory: SecureMemory) -> None:
    """Pinning is a matter of the window: history is what was said, in order."""
    chat = memory.session("s")
    await chat.add("user", "1")
    await chat.add("system", "2", metadata={"pinned": True})
    await chat.add("user", "3")
    assert _seqs(await chat.history()) == [1, 2, 3]
    assert _seqs(await chat.context()) == [2, 1, 3]
