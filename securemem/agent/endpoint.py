"""A model behind an OpenAI-compatible endpoint, through the `openai` client: OpenAI's, Ollama's, vLLM's and others.

The endpoint is the one of `base_url`, or of `OPENAI_BASE_URL`, and the key that of `OPENAI_API_KEY`. What an endpoint
says of an error may repeat what it was sent, so that only its status and code go into ours.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from securemem.agent.models import Reply, reply_of, within
from securemem.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_NO_KEY = "none"
"""Sent to an endpoint of one's own, where no key is set: Ollama and vLLM want none."""
_BETWEEN_SECONDS = 60.0
"""How long at most the client waits between two tries, if the endpoint asks for it."""
_OURS = frozenset({"model", "messages", "stream"})
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Endpoint:
    """One model of an endpoint."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        api_key: str | None,
        seconds: float,
        retries: int,
        options: Mapping[str, Any],
    ) -> None:
        """Name the model; the client is made, and its package imported, by the first use.

        Args:
            model: its name at the endpoint.
            base_url: of the endpoint; that of `OPENAI_BASE_URL`, or OpenAI's, if not given.
            api_key: that of `OPENAI_API_KEY` if not given.
            seconds: how long a reply, or the next piece of one, may take.
            retries: how many times more it is asked where it does not answer, fails, or is asked too often.
            options: of a request, such as `temperature`.

        Raises:
            ConfigurationError: an option that is the agent's own to say.
        """
        if ours := _OURS & options.keys():
            raise ConfigurationError(f"model_options cannot have {', '.join(sorted(ours))}: that is the agent's to say")
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._seconds = seconds
        self._retries = retries
        self._options = dict(options)
        self._client: AsyncOpenAI | None = None

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Reply:
        """As `models.Model`."""
        most = (self._retries + 1) * self._seconds + self._retries * _BETWEEN_SECONDS
        answer = await within(most, self._request(messages, tools, stream=False))
        choices = getattr(answer, "choices", None)
        if not choices or choices[0].message is None:
            raise ModelError("the model's endpoint gave no answer of the chat-completions protocol")
        return reply_of(choices[0].message.model_dump(warnings=False))

    async def stream(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> AsyncGenerator[str | Reply, None]:
        """As `models.Model`."""
        stream = await self._request(messages, tools, stream=True)
        gathered = _Gathered()
        async with stream:
            while True:
                chunk = await within(self._seconds, _told(anext(stream, None)))
                if chunk is None:
                    break
                text = gathered.take(chunk)
                if text:
                    yield text
        yield gathered.reply()

    async def close(self) -> None:
        """End the client's connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _request(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], *, stream: bool) -> Any:
        client: Any = self._client or await self._connect()
        named = {"tools": tools} if tools else {}
        try:
            asked = client.chat.completions.create(
                model=self._model, messages=messages, stream=stream, **named, **self._options
            )
        except TypeError:
            raise ConfigurationError(
                f"model_options has what the client does not take, among {', '.join(sorted(self._options))}: "
                "what only this endpoint knows goes into extra_body"
            ) from None
        return await _told(asked)

    async def _connect(self) -> Any:
        """Make the client.

        Raises:
            ConfigurationError: its package is not installed, or there is no key.
        """
        key = self._api_key or os.environ.get("OPENAI_API_KEY")
        if not key and not (self._base_url or os.environ.get("OPENAI_BASE_URL")):
            raise ConfigurationError(
                "there is no key for the model: set OPENAI_API_KEY, or OPENAI_BASE_URL of an endpoint that wants none"
            )
        # It takes a second, during which others go on.
        make = await asyncio.to_thread(_import)
        self._client = self._client or make(
            api_key=key or _NO_KEY, base_url=self._base_url, timeout=self._seconds, max_retries=self._retries
        )
        return self._client


class _Gathered:
    """What came of a reply in pieces."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._has_ended = False

    def take(self, chunk: Any) -> str:
        """Take a chunk, and give the text in it."""
        choices = getattr(chunk, "choices", None)
        if not choices:
            return ""
        delta = choices[0].delta
        self._has_ended = self._has_ended or choices[0].finish_reason is not None
        for piece in (delta.tool_calls if delta is not None else None) or ():
            call = self._calls.setdefault(piece.index, {"id": "", "function": {"name": "", "arguments": ""}})
            call["id"] = call["id"] or piece.id or ""
            if piece.function is not None:
                call["function"]["name"] += piece.function.name or ""
                call["function"]["arguments"] += piece.function.arguments or ""
        text = ((delta.content or delta.refusal) if delta is not None else None) or ""
        self._texts.append(text)
        return str(text)

    def reply(self) -> Reply:
        """Give the whole.

        Raises:
            ModelError: it was cut off.
        """
        if not self._has_ended:
            raise ModelError("the model's endpoint broke off in the middle of an answer")
        calls = [self._calls[index] for index in sorted(self._calls)]
        return reply_of({"content": "".join(self._texts), "tool_calls": calls})


def _import() -> Any:
    try:
        from openai import AsyncOpenAI  # noqa: PLC0415  (an extra)
    except ImportError as exc:
        raise ConfigurationError(
            "a model by its name wants the package openai: pip install 'securemem[openai]'"
        ) from exc
    return AsyncOpenAI


async def _told(answer: Any) -> Any:
    """Wait for what the client gives; tell its errors as ours, without what they repeat of a conversation."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError  # noqa: PLC0415

    try:
        return await answer
    except APITimeoutError:
        raise ModelError("the model's endpoint did not answer in time") from None
    except APIStatusError as exc:
        code = exc.code if isinstance(exc.code, str) and _WORD.match(exc.code) else None
        raise ModelError(
            f"the model's endpoint refused with status {exc.status_code}" + (f" ({code})" if code else ""),
            status=exc.status_code,
        ) from None
    except APIConnectionError:
        raise ModelError("the model's endpoint is not reached, or broke off: is OPENAI_BASE_URL right?") from None
    except (OpenAIError, ValueError, AttributeError) as exc:
        raise ModelError(f"the model's endpoint gave what cannot be read ({type(exc).__name__})") from None
