"""What an agent asks: a model behind an endpoint, or a callable of the application.

A model is given messages as the chat-completions protocol has them, and gives a reply: a text, or calls of tools.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from types import CoroutineType
from typing import Any, NamedTuple, Protocol, TypeVar

from securemem.agent.tools import Call
from securemem.errors import ConfigurationError, ModelError

T = TypeVar("T")
_END: Any = object()

ModelCallable = Callable[[list[dict[str, Any]]], Any]
"""`async (list[dict]) -> str`, or an async generator of texts; a dict in place of a text may have `tool_calls`."""


class Reply(NamedTuple):
    """What a model said.

    Attributes:
        text: "" where it said nothing.
        calls: of tools that it waits for.
    """

    text: str
    calls: tuple[Call, ...] = ()


class Model(Protocol):
    """Something that answers.

    Both methods raise ModelError where there is no answer, and ConfigurationError where none can be asked for.
    """

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Reply:
        """Give the reply to messages, oldest first, of a model that knows of some tools."""

    def stream(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> AsyncGenerator[str | Reply, None]:
        """Give its texts as they come, and then the whole reply."""

    async def close(self) -> None:
        """End its connections."""


class NoModel:
    """Stands in for the model of an agent that was given none, and only remembers."""

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Reply:  # noqa: ARG002
        """Refuse."""
        raise ConfigurationError("this agent has no model to ask: give it a model's name, or an async function")

    async def stream(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> AsyncGenerator[str | Reply, None]:
        """Refuse."""
        yield await self.ask(messages, tools)

    async def close(self) -> None:
        """Do nothing."""


class CallableModel:
    """A function of the application."""

    def __init__(self, function: ModelCallable, seconds: float) -> None:
        """Take the function, and how long a reply, or the next text of one, may take."""
        self._function = function
        self._seconds = seconds

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Reply:  # noqa: ARG002
        """As `Model`; what the function raises goes to the caller as it is."""
        answer = self._function(messages)
        if not isinstance(answer, CoroutineType) and isinstance(answer, AsyncIterator):
            *_, reply = [each async for each in self._gather(answer)]
            return _reply(reply)
        return _reply(await self._answer(answer))

    async def stream(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]],  # noqa: ARG002
    ) -> AsyncGenerator[str | Reply, None]:
        """As `Model`; one text, unless the function is a generator."""
        answer = self._function(messages)
        if isinstance(answer, AsyncIterator):
            async with aclosing(self._gather(answer)) as pieces:
                async for each in pieces:
                    yield each
            return
        reply = _reply(await self._answer(answer))
        if reply.text:
            yield reply.text
        yield reply

    async def close(self) -> None:
        """Do nothing: it is the application's."""

    async def _answer(self, answer: object) -> object:
        if not isinstance(answer, CoroutineType | Awaitable):
            raise ConfigurationError("a model that is a function has to be async: `async def model(messages)`")
        return await within(self._seconds, answer)

    async def _gather(self, answer: AsyncIterator[Any]) -> AsyncGenerator[str | Reply, None]:
        """Give the texts of a generator, and then all of them as a reply, with the calls of tools among them."""
        said: list[str] = []
        calls: list[Call] = []
        try:
            while True:
                text = await within(self._seconds, anext(answer, _END))
                if text is _END:
                    break
                if text is None:
                    continue  # as endpoints' own pieces have it that hold no text
                piece = _reply(text)
                calls += piece.calls
                if piece.text:
                    said.append(piece.text)
                    yield piece.text
        finally:
            if inspect.isasyncgen(answer):
                await answer.aclose()
        yield Reply("".join(said), tuple(calls))


async def within(seconds: float, answer: Awaitable[T]) -> T:
    """Wait for an answer so long.

    Raises:
        ModelError: it took longer.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await answer
    except TimeoutError:
        if limit.expired():
            raise ModelError(f"the model did not answer within {seconds:g} seconds") from None
        raise


def _reply(answer: object) -> Reply:
    """Take what a function gave for a reply."""
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, str):
        return Reply(answer)
    if isinstance(answer, dict):
        return reply_of(answer)
    raise ModelError(f"the model gave a {type(answer).__name__}, where a text was expected")


def reply_of(message: dict[str, Any]) -> Reply:
    """Give the reply in an assistant's message of the chat-completions protocol; a refusal is what the model said.

    Raises:
        ModelError: it is none.
    """
    try:
        calls = tuple(
            Call(str(each.get("id") or ""), each["function"]["name"], each["function"].get("arguments") or "{}")
            for each in message.get("tool_calls") or ()
        )
    except (TypeError, KeyError, AttributeError):
        raise ModelError("the model asked for a tool in a way that cannot be read") from None
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str) or not all(isinstance(part, str) for call in calls for part in call):
        raise ModelError("the model gave something that is neither a text nor a call of a tool")
    return Reply(text, calls)
