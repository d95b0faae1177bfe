"""One turn of a conversation: what the model is shown, what it says, what tools it calls, and what is remembered.

    preview of what the user said → window → model (→ tools → model …) → one append of all that was said

Nothing is appended before the model has answered, so that a turn is there as a whole or not at all. Under a policy that
pseudonymises, the model and what is stored of its words have tokens, and the user and the tools have values.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from securemem import window
from securemem.agent.models import Model, Reply
from securemem.agent.tools import Call, Tools
from securemem.errors import DetectionError, InvalidInputError, ModelError, PIIBlockedError
from securemem.memory import SecureMemory
from securemem.model import Message
from securemem.session import PSEUDONYMISED, Session
from securemem.treating import Treating

ROUNDS = 16
"""How many times on end a model may call tools in one turn."""
_IN_METADATA = ("tool_calls", "tool_call_id", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for all turns of an agent.

    Attributes:
        instruction: comes first; "" for none.
        model: that answers.
        tools: that it may call.
        context_window: how many messages of the conversation it is shown, the new one among them; None for as many as
            the store says.
        max_tokens: how many tokens, the instruction's among them; None for no limit.
        keep_failed: whether what the user said is kept where the model fails, or says what cannot be stored.
    """

    instruction: str
    model: Model
    tools: Tools
    context_window: int | None
    max_tokens: int | None
    keep_failed: bool


class Turn:
    """A turn in a session, for whoever holds the session's lock."""

    def __init__(self, terms: Terms, store: SecureMemory, session: Session, treating: Treating) -> None:
        """Take the agent's terms, and the session."""
        self._terms = terms
        self._store = store
        self._session = session
        self._treating = treating
        self._pseudonymises = treating.pseudonymises
        self._reveals = self._pseudonymises and treating.out.may_reveal(session.actor)
        self._said: list[Message] = []
        self._shown: list[dict[str, Any]] = []
        self._handle: str | None = None

    async def chat(self, content: Any) -> str:
        """Have the turn, and give the reply."""
        await self._begin(content)
        try:
            reply = await self._reply()
            revealed = await self._revealed(reply.text)
        except Exception:
            await self._failed()
            raise
        await self._end(reply.text, revealed)
        return revealed

    async def stream(self, content: Any) -> AsyncGenerator[str, None]:
        """Have the turn, and give the reply piece by piece; it is remembered when all of it was taken."""
        await self._begin(content)
        answer = _Answer()
        try:
            async with aclosing(self._pieces(answer)) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception:
            await self._failed()
            raise
        await self._end(answer.reply.text, answer.revealed)

    async def _reply(self) -> Reply:
        """Ask the model until it calls no tool any more.

        Raises:
            ModelError: there is no end to that.
        """
        for _ in range(ROUNDS):
            reply = await self._terms.model.ask(list(self._shown), self._terms.tools.described)
            if not reply.calls:
                return reply
            await self._call(reply)
        raise _without_end()

    async def _pieces(self, answer: _Answer) -> AsyncGenerator[str, None]:
        """Give what the model says as it comes, until it calls no tool any more, and put down the last reply.

        Raises:
            ModelError: as `_reply`.
        """
        for _ in range(ROUNDS):
            said: list[str] = []
            async with aclosing(self._terms.model.stream(list(self._shown), self._terms.tools.described)) as stream:
                texts = _texts(stream, answer)
                async with aclosing(self._session.reveal_stream(texts) if self._reveals else texts) as pieces:
                    async for piece in pieces:
                        said.append(piece)
                        yield piece
            answer.revealed = "".join(said)
            if not answer.reply.calls:
                return
            await self._call(answer.reply)
        raise _without_end()

    # Before the model

    async def _begin(self, content: Any) -> None:
        """Work out what the model is shown."""
        said = Message("user", content, timestamp=self._now())
        shown = await self._preview(said)
        terms = self._terms
        messages = await self._window(shown)
        self._handle = self._session.handle
        self._said.append(said)
        if terms.instruction:
            self._shown.append({"role": "system", "content": terms.instruction})
        self._shown += [
            {"role": message.role, "content": message.content} if message.metadata is None else _as_shown(message)
            for message in messages
        ]
        self._shown.append(_as_shown(shown))

    async def _window(self, shown: Message) -> list[Message]:
        """Give what is shown of the conversation besides a new message."""
        terms, most = self._terms, self._terms.context_window or self._store.host.context_window
        tokens = None
        if terms.max_tokens is not None:
            tokenizer = self._store.host.tokenizer
            tokens = terms.max_tokens - window.cost(shown, tokenizer)
            if terms.instruction:
                tokens -= window.cost(Message("system", terms.instruction), tokenizer)
            tokens = max(0, tokens)
        if most == 1:
            most, tokens = 2, 0  # pinned messages alone
        view = PSEUDONYMISED if self._pseudonymises else "clear"
        return await self._session.context(max_messages=most - 1, max_tokens=tokens, view=view)

    async def _preview(self, message: Message) -> Message:
        """Give a message as the model may read it, which the policy may refuse."""
        if not self._treating.treats or self._session.leaves_alone(message):
            return message
        return (await self._session.preview((message,)))[0]

    def _now(self) -> datetime:
        return self._store.host.clock()

    # After it

    async def _revealed(self, text: str) -> str:
        return await self._session.reveal(text) if self._reveals and text else text

    async def _end(self, text: str, revealed: str) -> None:
        """Remember the turn.

        Made-up names are told from real ones by nothing, so that a reply with these is remembered by what they stand
        for; tokens are remembered as they are. A reply that cannot be stored is a failure like any other; where a store
        fails, the turn may be there.
        """
        self._said.append(Message("assistant", revealed if self._reveals and self._treating.is_realistic else text))
        try:
            await self._session.add_many(self._said, handle=self._handle)
        except (InvalidInputError, PIIBlockedError, DetectionError):
            await self._failed()
            raise

    async def _failed(self) -> None:
        """Remember what the user said, if that is asked for."""
        if self._terms.keep_failed and self._said:
            await self._session.add_many(self._said[:1], handle=self._handle)

    # Tools

    async def _call(self, reply: Reply) -> None:
        """Do what the model asks for, and show it what came of that."""
        calls = [call._replace(id=call.id or f"call_{number}") for number, call in enumerate(reply.calls, 1)]
        asked = Message("assistant", reply.text, timestamp=self._now(), metadata=_metadata(calls))
        self._shown.append(_as_shown(asked))
        given = [call._replace(arguments=await self._arguments(call)) for call in calls]
        if self._treating.is_realistic and self._reveals:
            text = await self._revealed(reply.text)
            asked = Message("assistant", text, timestamp=asked.timestamp, metadata=_metadata(given))
        self._said.append(asked)
        for call in given:
            answer = await self._terms.tools.run(call)
            result = Message(
                "tool", answer, timestamp=self._now(), metadata={"tool_call_id": call.id, "name": call.name}
            )
            self._said.append(result)
            self._shown.append(_as_shown(await self._preview(result)))

    async def _arguments(self, call: Call) -> str:
        """Give a call's arguments with values in place of pseudonyms."""
        if not self._reveals:
            return call.arguments
        try:
            given = json.loads(call.arguments)
        except ValueError:
            return call.arguments  # the tool says so
        return json.dumps(await self._in_clear(given), ensure_ascii=False)

    async def _in_clear(self, value: Any) -> Any:
        if isinstance(value, str):
            return await self._revealed(value)
        if isinstance(value, list):
            return [await self._in_clear(each) for each in value]
        if isinstance(value, dict):
            return {name: await self._in_clear(each) for name, each in value.items()}
        return value


@dataclass(slots=True)
class _Answer:
    """What came of a reply that was given in pieces: the reply, and what the user has read of it."""

    reply: Reply = field(default_factory=lambda: Reply(""))
    revealed: str = ""


async def _texts(stream: AsyncIterator[str | Reply], answer: _Answer) -> AsyncGenerator[str, None]:
    """Give the texts of a reply as they come, and put down the whole of it at the end.

    Raises:
        ModelError: there is none.
    """
    is_whole = False
    async for piece in stream:
        if isinstance(piece, Reply):
            answer.reply, is_whole = piece, True
        else:
            yield piece
    if not is_whole:
        raise ModelError("the model broke off in the middle of an answer")


def _without_end() -> ModelError:
    return ModelError(f"the model called tools {ROUNDS} times on end and gave no answer")


def _metadata(calls: list[Call]) -> dict[str, Any]:
    return {"tool_calls": [call.as_json() for call in calls]}


def _as_shown(message: Message) -> dict[str, Any]:
    """Give a message as the chat-completions protocol has it."""
    shown: dict[str, Any] = {"role": message.role, "content": message.content}
    metadata = message.metadata
    if metadata is not None:
        shown |= {name: metadata[name] for name in _IN_METADATA if name in metadata}
    return shown
