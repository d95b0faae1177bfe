"""Turns: whole or not at all, one after the other, within the window, and never into a session that was cleared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from securemem import (
    Agent,
    BackendUnavailableError,
    ConfigurationError,
    ConflictError,
    InMemoryMemory,
    InvalidInputError,
    ModelError,
    SecureMemory,
    UserErasedError,
    codec,
)
from securemem.agent import Memory
from securemem.agent.tools import Tools

from .models import Noting, Shown

if TYPE_CHECKING:
    from tests.conftest import FakeClock


class BrokenError(Exception):
    """A model's own."""


@pytest.fixture
def model() -> Noting:
    """Give a model that notes what it is shown."""
    return Noting()


@pytest.fixture
def agent(memory: SecureMemory, model: Noting) -> Agent:
    """Give an agent over a store on each backend."""
    return Agent("one", "Be brief.", model, memory=memory)


async def _texts(agent: Agent, session_id: str = "s", user_id: str | None = None) -> list[Any]:
    return [each["content"] for each in await agent.get_history(session_id, user_id=user_id)]


# Failing


async def test_a_model_that_fails_leaves_the_history_as_it_was(agent: Agent, model: Noting) -> None:
    """Its error is raised as it is, and neither the message nor half a reply is remembered."""
    await agent.chat("one", "s")
    model.error = BrokenError("no")
    with pytest.raises(BrokenError):
        await agent.chat("two", "s")
    assert await _texts(agent) == ["one", "echo: one"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_users_turn_is_kept_if_asked(memory: SecureMemory, model: Noting, *, streamed: bool) -> None:
    """Under `keep_failed` what the user said is there, and the next turn shows it to the model."""
    agent = Agent(model=model, memory=memory, keep_failed=True)
    model.error = BrokenError("no")
    with pytest.raises(BrokenError):
        _ = [piece async for piece in agent.stream("one", "s")] if streamed else await agent.chat("one", "s")
    assert await _texts(agent) == ["one"]
    model.error = None
    await agent.chat("two", "s")
    assert model.texts == ["one", "two"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("keep_failed", [True, False])
@pytest.mark.parametrize("reply", ["\ud800", "x" * (codec.MAX_PAYLOAD_BYTES + 1)], ids=["surrogate", "too large"])
async def test_the_users_turn_is_kept_where_the_reply_cannot_be(
    memory: SecureMemory, reply: str, *, keep_failed: bool, streamed: bool
) -> None:
    """A reply that cannot be stored is an InvalidInputError; what the user said is there under `keep_failed` alone."""

    async def model(_: Shown) -> str:
        return reply

    agent = Agent(model=model, memory=memory, keep_failed=keep_failed)
    with pytest.raises(InvalidInputError):
        _ = [piece async for piece in agent.stream("one", "s")] if streamed else await agent.chat("one", "s")
    assert await _texts(agent) == (["one"] if keep_failed else [])


async def test_a_tool_that_fails_ends_the_turn(memory: SecureMemory) -> None:
    """Its error is raised, and nothing of the turn is remembered: no call without its result."""

    def fails() -> str:
        """Fail."""
        raise BrokenError

    async def calls(_: Shown) -> dict[str, Any]:
        return {"content": None, "tool_calls": [{"id": "1", "function": {"name": "fails", "arguments": "{}"}}]}

    agent = Agent(model=calls, memory=memory, tools=[fails])
    with pytest.raises(BrokenError):
        await agent.chat("go", "s")
    assert await _texts(agent) == []


async def test_a_cancelled_turn_leaves_nothing_and_lets_others_on(agent: Agent, model: Noting) -> None:
    """Who is cancelled while the model thinks has no turn; whoever waits behind has theirs."""
    model.gate = asyncio.Event()
    first = asyncio.ensure_future(agent.chat("one", "s"))
    await model.asked.wait()
    second = asyncio.ensure_future(agent.chat("two", "s"))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    model.gate.set()
    assert await second == "echo: two"
    assert await _texts(agent) == ["two", "echo: two"]


async def test_a_stream_that_is_left_is_no_turn(agent: Agent, memory: SecureMemory) -> None:
    """Who stops reading leaves the conversation as it was, and the session to others; who reads on has a turn."""

    async def words(messages: Shown) -> AsyncIterator[str]:
        for word in ("one", "two", "three"):
            yield word

    agent = Agent(model=words, memory=memory)
    stream = agent.stream("count", "s")
    assert await anext(stream) == "one"
    await stream.aclose()
    assert await _texts(agent) == []
    assert [piece async for piece in agent.stream("count", "s")] == ["one", "two", "three"]
    assert await agent.chat("count", "s") == "onetwothree"
    assert await _texts(agent) == ["count", "onetwothree"] * 2


async def test_a_stream_that_is_left_ends_the_models(memory: SecureMemory) -> None:
    """The model's own generator is closed at once, and not when somebody collects it."""
    ended: list[str] = []

    async def words(_: Shown) -> AsyncIterator[str]:
        try:
            for number in range(100):
                yield f"{number} "
        finally:
            ended.append("closed")

    stream = Agent(model=words, memory=memory).stream("count", "s")
    assert await anext(stream) == "0 "
    await stream.aclose()
    assert ended == ["closed"]


async def test_only_what_the_model_did_not_answer_is_kept(
    memory: SecureMemory, model: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `keep_failed` a store that fails is not written to once more: it may have taken the turn."""
    agent = Agent(model=model, memory=memory, keep_failed=True)
    await agent.chat("one", "s")
    append = type(memory.session("s")).add_many
    calls: list[int] = []

    async def appended_and_failed(session: Any, messages: Any, **options: Any) -> None:
        calls.append(len(messages))
        await append(session, messages, **options)
        raise BackendUnavailableError("its answer was lost")

    monkeypatch.setattr(type(memory.session("s")), "add_many", appended_and_failed)
    with pytest.raises(BackendUnavailableError):
        await agent.chat("two", "s")
    assert calls == [2]
    assert await _texts(agent) == ["one", "echo: one", "two", "echo: two"]


async def test_a_model_may_change_what_it_is_shown(memory: SecureMemory) -> None:
    """What a function does to its messages is in no later round of the turn, and not in the history."""
    lengths: list[int] = []

    async def model(messages: Shown) -> Any:
        lengths.append(len(messages))
        done = messages[-1]["role"] == "tool"
        messages.clear()
        return "done" if done else {"tool_calls": [{"id": "1", "function": {"name": "now", "arguments": "{}"}}]}

    agent = Agent(model=model, memory=memory, tools=[now])
    assert await agent.chat("when?", "s") == "done"
    assert lengths == [1, 3]
    assert len(await agent.get_history("s")) == 4


async def test_a_callable_that_is_slow_is_a_model_error(memory: SecureMemory, model: Noting) -> None:
    """`timeout` holds for functions too, and for each piece of a generator."""

    async def never(_: Shown) -> AsyncIterator[str]:
        yield "one"
        await asyncio.Event().wait()

    model.gate = asyncio.Event()
    with pytest.raises(ModelError, match=r"within 0\.05 seconds"):
        await Agent(model=model, memory=memory, timeout=0.05).chat("one", "s")
    with pytest.raises(ModelError, match=r"within 0\.05 seconds"):
        await Agent(model=never, memory=memory, timeout=0.05).chat("one", "s")


NO_REPLIES: list[Any] = [
    *(7, b"bytes", {"content": [1]}, {"tool_calls": [{"id": "1"}]}),
    {"tool_calls": [{"id": "1", "function": {"name": None, "arguments": "{}"}}]},
]


@pytest.mark.parametrize("given", [None, *NO_REPLIES])
async def test_what_is_no_reply_is_a_model_error(memory: SecureMemory, given: object) -> None:
    """A function that gives neither a text nor a message is refused, and nothing is remembered."""

    async def model(_: Shown) -> object:
        return given

    agent = Agent(model=model, memory=memory)
    with pytest.raises(ModelError):
        await agent.chat("one", "s")
    assert await _texts(agent) == []


@pytest.mark.parametrize("given", NO_REPLIES)
async def test_a_piece_that_is_no_reply_is_a_model_error(memory: SecureMemory, given: object) -> None:
    """Likewise where a generator gives it among texts."""

    async def model(_: Shown) -> AsyncIterator[object]:
        yield "one"
        yield given

    agent = Agent(model=model, memory=memory)
    with pytest.raises(ModelError):
        await agent.chat("one", "s")
    assert await _texts(agent) == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_generator_may_call_tools(memory: SecureMemory, *, streamed: bool) -> None:
    """Calls among its pieces are made, each once, when all of it is there; texts before and after them are one."""

    def hour(plus: int) -> str:
        return str(9 + plus)

    async def model(messages: Shown) -> AsyncIterator[Any]:
        if messages[-1]["role"] == "tool":
            yield "it is "
            yield " and ".join(each["content"] for each in messages if each["role"] == "tool")
            return
        yield "let me "
        for plus in range(2):
            call = {"id": f"c{plus}", "function": {"name": "hour", "arguments": f'{{"plus": {plus}}}'}}
            yield {"content": None, "tool_calls": [call]}
        yield {"content": "see. "}

    agent = Agent(model=model, memory=memory, tools=[hour])
    if streamed:
        assert [piece async for piece in agent.stream("when?", "s")] == ["let me ", "see. ", "it is ", "9 and 10"]
    else:
        assert await agent.chat("when?", "s") == "it is 9 and 10"
    assert await _texts(agent) == ["when?", "let me see. ", "9", "10", "it is 9 and 10"]


# Order


async def test_chats_at_once_keep_their_order(memory: SecureMemory) -> None:
    """Thirty turns of two agents in one session stand one after the other, in the order in which they were asked."""

    async def slow(messages: Shown) -> str:
        await asyncio.sleep(0.001 * (hash(messages[-1]["content"]) % 4))
        return f"echo: {messages[-1]['content']}"

    shared = Memory(memory)
    agents = [Agent(str(number), "", slow, memory=shared) for number in range(2)]
    await asyncio.gather(*(agents[number % 2].chat(str(number), "s") for number in range(30)))
    expected = [text for number in range(30) for text in (str(number), f"echo: {number}")]
    assert await _texts(agents[0]) == expected


async def test_turns_of_two_memories_never_interleave(url: str, model: Noting) -> None:
    """Where two objects open one store, each turn is one append still: no two of them are mixed."""
    first = SecureMemory.open(url, max_messages=1000)
    second = first if url == "memory://" else SecureMemory.open(url, max_messages=1000)
    agents = [Agent(model=model, memory=each) for each in (first, second)]
    await asyncio.gather(*(agents[number % 2].chat(str(number), "s") for number in range(20)))
    texts = await _texts(agents[0])
    assert sorted(texts[::2], key=int) == [str(number) for number in range(20)]
    assert texts[1::2] == [f"echo: {text}" for text in texts[::2]]
    await second.close()
    await first.close()


async def test_other_sessions_do_not_wait(agent: Agent, model: Noting) -> None:
    """A model that thinks in one session keeps nobody waiting in another, nor who reads in the same."""
    model.gate = asyncio.Event()
    first = asyncio.ensure_future(agent.chat("one", "s"))
    await model.asked.wait()
    assert await _texts(agent) == []
    gate, model.gate = model.gate, None
    assert await agent.chat("two", "other") == "echo: two"
    gate.set()
    await first


# What happens meanwhile


async def test_a_turn_is_not_written_into_a_cleared_session(agent: Agent, model: Noting) -> None:
    """A reply that rests on what was cleared meanwhile is a ConflictError, and the session stays empty."""
    await agent.chat("one", "s")
    model.gate = asyncio.Event()
    model.asked.clear()
    turn = asyncio.ensure_future(agent.chat("two", "s"))
    await model.asked.wait()
    await agent.clear_memory("s")
    model.gate.set()
    with pytest.raises(ConflictError):
        await turn
    assert await _texts(agent) == []
    model.gate = None
    assert await agent.chat("three", "s") == "echo: three"
    assert model.texts == ["Be brief.", "three"]


async def test_a_turn_is_not_written_for_who_was_forgotten(agent: Agent, model: Noting) -> None:
    """A turn that is under way when its person is erased is a UserErasedError, and nothing comes back."""
    await agent.chat("one", "s", user_id="alice")
    model.gate = asyncio.Event()
    model.asked.clear()
    turn = asyncio.ensure_future(agent.chat("two", "s", user_id="alice"))
    await model.asked.wait()
    assert (await agent.erase_user("alice")).state in ("SHREDDED", "LOGICAL")
    model.gate.set()
    with pytest.raises(UserErasedError):
        await turn
    assert await _texts(agent, user_id="alice") == []


async def test_users_of_one_session_id_are_apart(agent: Agent, model: Noting) -> None:
    """The same session id under another user, or under none, is another conversation."""
    await agent.chat("one", "s", user_id="alice")
    await agent.chat("two", "s", user_id="bob")
    await agent.chat("three", "s")
    assert model.texts == ["Be brief.", "three"]
    assert await _texts(agent, user_id="alice") == ["one", "echo: one"]


# The window


async def test_the_model_is_shown_the_window(memory: SecureMemory, model: Noting) -> None:
    """The instruction, what is pinned, and the newest messages, the new one among the twenty."""
    agent = Agent(instruction="Be brief.", model=model, memory=memory)
    await agent.add_to_memory("s", "system", "Be formal.")
    for number in range(15):
        await agent.chat(str(number), "s")
    assert model.texts[:2] == ["Be brief.", "Be formal."]
    assert len(model.texts) == 1 + 20
    assert model.texts[-3:] == ["13", "echo: 13", "14"]


@pytest.mark.parametrize(("most", "shown"), [(1, ["3"]), (2, ["echo: 2", "3"]), (3, ["2", "echo: 2", "3"])])
async def test_an_agent_has_a_window_of_its_own(
    memory: SecureMemory, model: Noting, most: int, shown: list[str]
) -> None:
    """`context_window` and `max_tokens` may differ between agents with one memory."""
    agent = Agent(model=model, memory=memory, memory_config={"context_window": most})
    for number in range(4):
        await agent.chat(str(number), "s")
    assert model.texts == shown


async def test_the_token_limit_spares_what_is_always_shown(memory: SecureMemory, model: Noting) -> None:
    """Instruction, pinned and new messages reach the model under any limit; others as far as they fit."""
    agent = Agent(instruction="i" * 400, model=model, memory=memory, max_tokens=140)
    await agent.add_to_memory("s", "system", "p" * 40)
    for text in ("a" * 40, "b" * 40):
        await agent.chat(text, "s")
    assert [text[-1] for text in model.texts] == ["i", "p", "b"]
    roomy = Agent(model=model, memory=memory, max_tokens=50)
    await roomy.chat("c" * 40, "s")
    assert [text[-1] for text in model.texts] == ["p", "b", "c"]


async def test_a_tool_call_never_loses_its_result(memory: SecureMemory) -> None:
    """However small the window, a call is shown with its result, or neither is."""
    shown: list[Shown] = []

    async def model(messages: Shown) -> Any:
        shown.append(messages)
        if messages[-1]["role"] == "user":
            return {"tool_calls": [{"id": f"c{len(shown)}", "function": {"name": "now", "arguments": "{}"}}]}
        return "it is " + messages[-1]["content"]

    for most in range(1, 9):
        agent = Agent(model=model, memory=memory, tools=[now], memory_config={"context_window": most})
        assert await agent.chat("when?", "s") == 'it is {"hour": 9}'
    for messages in shown:
        calls = {call["id"] for each in messages for call in each.get("tool_calls", ())}
        results = {each["tool_call_id"] for each in messages if each["role"] == "tool"}
        assert calls == results


def now() -> dict[str, int]:
    """Give the hour."""
    return {"hour": 9}


@dataclass
class Basket:
    """What a tool may collect in."""

    things: list[str] = field(default_factory=list)


def _in_a_basket(thing: str, basket: Basket = Basket()) -> str:  # noqa: B008  (what is tested)
    basket.things.append(thing)
    return ", ".join(basket.things)


def _in_a_list(thing: str, things: list[str] = ["a"]) -> str:  # noqa: B006  (what is tested)
    things.append(thing)
    return ", ".join(things)


@pytest.mark.parametrize(
    ("tool", "results"), [(_in_a_basket, {"b", "c"}), (_in_a_list, {"a, b", "a, c"})], ids=["object", "list"]
)
async def test_a_default_is_each_calls_own(memory: SecureMemory, tool: Any, results: set[str]) -> None:
    """What a tool does to an argument that it was not given is in no later call of it, of whomever."""

    async def model(messages: Shown) -> Any:
        said = messages[-1]
        if said["role"] == "tool":
            return said["content"]
        call = {"name": tool.__name__, "arguments": f'{{"thing": "{said["content"]}"}}'}
        return {"tool_calls": [{"id": "1", "function": call}]}

    agent = Agent(model=model, memory=memory, tools=[tool])
    assert {await agent.chat(thing, thing) for thing in ("b", "c")} == results


async def test_a_given_argument_is_no_default(memory: SecureMemory) -> None:
    """The control: what the model gives comes to the tool in place of it, and the model is told of both."""

    async def model(messages: Shown) -> Any:
        if messages[-1]["role"] == "tool":
            return messages[-1]["content"]
        call = {"name": "_in_a_list", "arguments": '{"thing": "b", "things": ["x"]}'}
        return {"tool_calls": [{"id": "1", "function": call}]}

    assert await Agent(model=model, memory=memory, tools=[_in_a_list]).chat("go", "s") == "x, b"
    [described] = Tools([_in_a_list]).described
    assert described["function"]["parameters"]["properties"]["things"]["default"] == ["a"]
    assert described["function"]["parameters"]["required"] == ["thing"]


async def test_messages_end_by_the_stores_clock(clock: FakeClock, model: Noting) -> None:
    """With a `ttl` what is past its time is neither given nor shown; timestamps are the store's."""
    async with InMemoryMemory(ttl=60, clock=clock) as memory:
        agent = Agent(model=model, memory=memory)
        await agent.chat("one", "s")
        [said, _] = await agent.get_history("s")
        assert said["timestamp"] == clock.now.isoformat()
        clock.advance(61)
        await agent.chat("two", "s")
        assert model.texts == ["two"]
        assert await _texts(agent) == ["two", "echo: two"]


# Input


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("message", [None, 5, True, {}, b"x", object(), [float("nan")], ["\ud800"], "\ud800"])
async def test_a_message_that_is_none_is_refused(agent: Agent, model: Noting, message: Any, *, streamed: bool) -> None:
    """It is an InvalidInputError before the model is asked, and nothing is remembered."""
    with pytest.raises(InvalidInputError):
        _ = [piece async for piece in agent.stream(message, "s")] if streamed else await agent.chat(message, "s")
    assert model.shown == []
    assert await _texts(agent) == []


@pytest.mark.parametrize("message", ["", "one", [], [{"type": "text", "text": "one"}], [{"type": "image_url"}]])
async def test_a_message_is_text_or_parts(agent: Agent, model: Noting, message: Any) -> None:
    """The control: the model is shown it as it is, and it is remembered."""
    await agent.chat(message, "s")
    assert model.shown[-1][-1] == {"role": "user", "content": message}
    assert (await _texts(agent))[0] == message


@pytest.mark.parametrize("session_id", ["", None, 7, "x" * 1025])
async def test_a_session_id_that_is_none_is_refused(agent: Agent, model: Noting, session_id: Any) -> None:
    """The model is not asked."""
    with pytest.raises(InvalidInputError):
        await agent.chat("one", session_id)
    assert model.shown == []


async def test_only_system_messages_can_be_pinned(agent: Agent) -> None:
    """Another role with `pinned=True` is refused; a system message can be left unpinned."""
    with pytest.raises(InvalidInputError, match="developer or system"):
        await agent.add_to_memory("s", "user", "one", pinned=True)
    await agent.add_to_memory("s", "system", "two", pinned=False)
    await agent.add_to_memory("s", "system", "three", metadata={"by": "crm"})
    history = await agent.get_history("s")
    assert [each.get("metadata") for each in history] == [None, {"by": "crm", "pinned": True}]


async def test_an_agent_without_a_model_only_remembers(memory: SecureMemory) -> None:
    """It says so when it is asked."""
    agent = Agent(memory=memory)
    await agent.add_to_memory("s", "user", "one")
    with pytest.raises(ConfigurationError, match="no model"):
        await agent.chat("two", "s")
    assert await _texts(agent) == ["one"]


@pytest.mark.parametrize(
    "options",
    [
        {"model": 7},
        {"model": ""},
        {"model": "m", "timeout": 0},
        {"model": "m", "timeout": "1"},
        {"instruction": None},
        {"tools": [print]},
        {"tools": [now, now]},
        {"tools": [len]},
        {"tools": None},
        {"tools": 5},
        {"tools": "now"},
        {"tools": [asyncio]},
        {"tools": [dict]},
        {"memory_config": 5},
        {"memory_config": ["ttl"]},
        {"memory_config": {"max_messages": "x"}},
        {"memory_config": {"clock": 5}},
        {"kms": 5},
        {"policy": 5},
        {"model": "m", "model_options": 5},
        {"model": "m", "model_options": {5: 5}},
        {"model": "m", "model_options": {"stream": True}},
        {"model": "m", "base_url": 5},
        {"model": "m", "api_key": 5},
        {"memory_config": {"context_window": 0}},
        {"max_tokens": -1},
        {"retries": -1},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    """When the agent is made."""
    with pytest.raises((ConfigurationError, InvalidInputError)):
        Agent(**options)


async def test_a_function_that_is_not_async_is_refused(memory: SecureMemory) -> None:
    """The error shows how it has to look."""
    agent = Agent(model=lambda messages: "hello", memory=memory)
    with pytest.raises(ConfigurationError, match="async def"):
        await agent.chat("one", "s")


async def test_pieces_that_hold_no_text_end_no_answer(memory: SecureMemory) -> None:
    """What an endpoint gives as `None` between two pieces is nothing, and not the end."""

    async def model(_: Shown) -> AsyncIterator[Any]:
        for piece in (None, "a", None, "b"):
            yield piece

    agent = Agent(model=model, memory=memory)
    assert await agent.chat("one", "s") == "ab"
    assert await _texts(agent) == ["one", "ab"]


async def test_calls_without_an_id_are_told_apart(memory: SecureMemory) -> None:
    """Each gets one of its own, whether its id is missing or null."""
    call = {"type": "function", "function": {"name": "now", "arguments": "{}"}}
    shown: list[Shown] = []

    async def now() -> str:
        return "noon"

    async def model(messages: Shown) -> Any:
        shown.append(messages)
        return {"content": "", "tool_calls": [call, call | {"id": None}]} if len(shown) == 1 else "done"

    await Agent(model=model, memory=memory, tools=[now]).chat("when?", "s")
    assert len({each["tool_call_id"] for each in shown[1] if each["role"] == "tool"}) == 2
