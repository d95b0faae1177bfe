"""Models behind an endpoint: a real server that answers well, slowly, brokenly, too often asked, or not at all."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from securemem import Agent, ConfigurationError, ModelError

from .endpoint import Answer, Endpoint

CANARY = "canary-4111"
LIMITED = Answer(status=429, headers={"retry-after-ms": "10"}, error={"code": "rate_limit_exceeded", "message": CANARY})
CALL = {"id": "call_1", "type": "function", "function": {"name": "where_is", "arguments": '{"parcel": "4711"}'}}


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    """Give a server that `OPENAI_BASE_URL` names."""
    async with Endpoint() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        yield endpoint
        gc.collect()


@pytest.fixture
async def agent(endpoint: Endpoint) -> AsyncIterator[Agent]:
    """Give an agent whose model is behind it."""
    async with Agent("one", "Be brief.", "some-model", timeout=5, tools=[where_is]) as agent:
        yield agent


async def where_is(parcel: str) -> str:
    """Say where a parcel is."""
    return f"{parcel} is in Leeds"


async def _chat(agent: Agent, text: str, *, streamed: bool) -> str:
    if not streamed:
        return await agent.chat(text, "s")
    return "".join([piece async for piece in agent.stream(text, "s")])


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_endpoint_is_asked(agent: Agent, endpoint: Endpoint, *, streamed: bool) -> None:
    """The instruction, the conversation and the new message go out, by the name of the model; the answer comes back."""
    assert await _chat(agent, "Hello", streamed=streamed) == "echo: Hello"
    assert await _chat(agent, "Again", streamed=streamed) == "echo: Again"
    request = endpoint.requests[-1]
    assert request["model"] == "some-model"
    assert [(each["role"], each["content"]) for each in request["messages"]] == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "echo: Hello"),
        ("user", "Again"),
    ]
    assert endpoint.keys[-1] == "Bearer none", "an endpoint of one's own wants no key"


async def test_a_stream_comes_piece_by_piece(agent: Agent, endpoint: Endpoint) -> None:
    """The first piece is there long before the last."""
    endpoint.answers = [Answer(seconds=0.05)]
    times = [time.monotonic() async for _ in agent.stream("a longer text", "s")]
    assert len(times) > 3
    assert times[-1] - times[0] > 0.1


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("part", ["refusal", "content"])
async def test_a_refusal_is_what_the_model_said(agent: Agent, endpoint: Endpoint, part: str, *, streamed: bool) -> None:
    """It is the reply, and is remembered, as a text in the usual place is."""
    endpoint.answers = [Answer(text=lambda _: "I can't help with that.", part=part)]
    assert await _chat(agent, "Help", streamed=streamed) == "I can't help with that."
    assert [each["content"] for each in await agent.get_history("s")] == ["Help", "I can't help with that."]


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_are_called(agent: Agent, endpoint: Endpoint, *, streamed: bool) -> None:
    """A tool is described, called with what the model gives, and its result shown; all of it is remembered."""
    answers = [Answer(calls=[CALL]), Answer(text=lambda request: f"It says: {request['messages'][-1]['content']}")]
    endpoint.answers = [*answers, Answer()]
    assert await _chat(agent, "Where is 4711?", streamed=streamed) == "It says: 4711 is in Leeds"
    [described] = endpoint.requests[0]["tools"]
    assert described["function"]["description"] == "Say where a parcel is."
    assert described["function"]["parameters"]["properties"] == {"parcel": {"type": "string"}}
    await _chat(agent, "Thanks", streamed=streamed)
    shown = endpoint.requests[-1]["messages"]
    assert [each["role"] for each in shown] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert shown[2]["tool_calls"] == [CALL]
    assert shown[3]["tool_call_id"] == "call_1"


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_endpoint_that_limits_is_asked_again(agent: Agent, endpoint: Endpoint, *, streamed: bool) -> None:
    """Twice more, as the endpoint says when; the answer is then the answer."""
    endpoint.answers = [LIMITED, LIMITED, Answer()]
    assert await _chat(agent, "Hello", streamed=streamed) == "echo: Hello"
    assert len(endpoint.requests) == 3


FAULTS: dict[str, tuple[Answer, str]] = {
    "limited": (LIMITED, "status 429 (rate_limit_exceeded)"),
    "failing": (Answer(status=500, headers={"retry-after-ms": "10"}, error={"message": CANARY}), "status 500"),
    "refusing": (Answer(status=401, error={"code": f"bad {CANARY}", "message": CANARY}), "status 401"),
    "slow": (Answer(seconds=2.0), "in time"),
    "garbage": (Answer(raw=b"<html>not json"), "endpoint gave"),
    "other json": (Answer(raw=b'{"detail": "no"}'), "endpoint gave"),
    "no choice": (Answer(raw=b'{"choices": []}'), "endpoint gave"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_leaves_the_conversation_as_it_was(endpoint: Endpoint, fault: str) -> None:
    """Whatever is wrong with an endpoint is a ModelError that says what, repeats nothing, and nothing is remembered."""
    answer, says = FAULTS[fault]
    async with Agent("one", "", "some-model", timeout=0.2, retries=1) as agent:
        await agent.chat("Hello", "s")
        before = await agent.get_history("s")
        endpoint.answers = [answer]
        with pytest.raises(ModelError) as raised:
            await agent.chat(CANARY, "s")
        assert says in str(raised.value)
        assert CANARY not in str(raised.value)
        assert raised.value.__cause__ is None
        assert await agent.get_history("s") == before
        endpoint.answers = [Answer()]
        assert await agent.chat("Are you back?", "s") == "echo: Are you back?"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(broken_after=3), "broke"),
        (Answer(raw=b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'), "broke off"),
        (Answer(raw=b"data: {nonsense\n\n"), "cannot be read"),
        (LIMITED, "status 429"),
        (Answer(seconds=0.5), "in"),
    ],
)
async def test_a_stream_that_breaks_leaves_the_conversation_as_it_was(
    endpoint: Endpoint, answer: Answer, says: str
) -> None:
    """What was given of it is given; then there is a ModelError, and nothing is remembered."""
    async with Agent("one", "", "some-model", timeout=0.2, retries=1) as agent:
        await agent.chat("Hello", "s")
        before = await agent.get_history("s")
        endpoint.answers = [answer]
        with pytest.raises(ModelError, match=says):
            [piece async for piece in agent.stream("a longer text", "s")]
        assert await agent.get_history("s") == before


async def test_a_server_that_is_not_there_is_a_model_error() -> None:
    """Nobody listens at the port."""
    async with Endpoint() as endpoint:
        url = endpoint.url
    async with Agent("one", "", "some-model", base_url=url, retries=0) as agent:
        with pytest.raises(ModelError, match="not reached"):
            await agent.chat("Hello", "s")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_missing_key_is_said(*, streamed: bool) -> None:
    """Without a key and without an endpoint of one's own, the error says what to set."""
    async with Agent("one", "", "gpt-4") as agent:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            await _chat(agent, "Hello", streamed=streamed)
        assert await agent.get_history("s") == []


async def test_keys_and_options_are_passed_on(endpoint: Endpoint) -> None:
    """The agent's own key and endpoint come first, and options are in the request."""
    options = {"temperature": 0.2}
    async with (
        Endpoint() as own,
        Agent(model="m", base_url=own.url, api_key="sk-own", model_options=options) as agent,
    ):
        await agent.chat("Hello", "s")
        assert own.requests[0]["temperature"] == 0.2
        assert own.keys == ["Bearer sk-own"]
    assert endpoint.requests == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_option_that_the_client_does_not_take(endpoint: Endpoint, *, streamed: bool) -> None:
    """It is named, with the place for what only the endpoint knows; nothing is sent and nothing remembered."""
    async with Agent(model="m", base_url=endpoint.url, model_options={"temprature": 0.2}) as agent:
        with pytest.raises(ConfigurationError, match=r"temprature.*extra_body"):
            await _chat(agent, "Hello", streamed=streamed)
        assert await agent.get_history("s") == []
    assert endpoint.requests == []


def test_the_client_is_imported_by_its_first_use() -> None:
    """An agent with a model by name is made without the client's package, and its absence is said."""
    code = """
import asyncio, sys
sys.modules["openai"] = None
from securemem import Agent, ConfigurationError
async def main():
    try:
        await Agent(model="m", base_url="http://127.0.0.1:9/v1").chat("Hello", "s")
    except ConfigurationError as exc:
        print(exc)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "pip install 'securemem[openai]'" in done.stdout


async def test_a_model_that_only_calls_tools_is_stopped(agent: Agent, endpoint: Endpoint) -> None:
    """After sixteen rounds there is an error, and nothing is remembered."""
    endpoint.answers = [Answer(calls=[CALL])]
    with pytest.raises(ModelError, match="16 times"):
        await agent.chat("Where is 4711?", "s")
    assert await agent.get_history("s") == []


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ({"name": "erase_all", "arguments": "{}"}, "There is no such tool: where_is"),
        ({"name": "where_is", "arguments": '{"parcel": 1.5}'}, "The arguments do not fit: Expected `str`"),
        ({"name": "where_is", "arguments": "{"}, "The arguments do not fit"),
        ({"name": "where_is", "arguments": '{"parcel": "1", "more": 2}'}, "The arguments do not fit"),
    ],
)
async def test_what_the_model_got_wrong_it_is_told(
    agent: Agent, endpoint: Endpoint, function: dict[str, Any], told: str
) -> None:
    """A tool that is not there, or arguments that do not fit, are a result like any other."""
    endpoint.answers = [Answer(calls=[{"id": "1", "type": "function", "function": function}]), Answer()]
    await agent.chat("Where is 4711?", "s")
    assert endpoint.requests[-1]["messages"][-1]["content"].startswith(told)
