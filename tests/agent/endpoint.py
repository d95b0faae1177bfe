"""A real HTTP server that speaks the chat-completions protocol: well, slowly, brokenly, or not at all.

Each request gets the next of the answers that were put down; the last one is given again and again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

Request = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a request is answered.

    Attributes:
        text: what the model says, given what it is asked; and
        part: where the protocol has it, "content" or "refusal".
        calls: the tools that it calls.
        status: of HTTP, with
        headers: besides, and an
        error: in the body.
        seconds: to wait before each piece.
        broken_after: how many pieces of a stream are sent before the connection is cut; None for all.
        raw: a body in place of all of this.
    """

    text: Callable[[Request], str] = lambda request: f"echo: {request['messages'][-1]['content']}"
    part: str = "content"
    calls: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    broken_after: int | None = None
    raw: bytes | None = None


class Endpoint:
    """The server, and what it was asked."""

    def __init__(self) -> None:
        """Answer every request with an echo."""
        self.answers = [Answer()]
        self.requests: list[Request] = []
        self.keys: list[str] = []
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The base URL, as `OPENAI_BASE_URL` has it."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        request = json.loads(await reader.readexactly(int(headers["content-length"])))
        assert line.startswith("POST /v1/chat/completions ")
        self.requests.append(request)
        self.keys.append(headers["authorization"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.raw is not None:
            await self._send(writer, answer, "application/json", [answer.raw])
        elif answer.error is not None or answer.status != 200:
            body = json.dumps({"error": answer.error or {}}).encode()
            await self._send(writer, answer, "application/json", [body])
        elif request.get("stream"):
            await self._send(writer, answer, "text/event-stream", _events(answer, request))
        else:
            await self._send(writer, answer, "application/json", [json.dumps(_whole(answer, request)).encode()])

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer, kind: str, pieces: list[bytes]) -> None:
        headers = {"content-type": kind, "connection": "close", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        await asyncio.sleep(answer.seconds)
        writer.write("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
        for number, piece in enumerate(pieces):
            if number == answer.broken_after:
                writer.transport.abort()
                return
            if number:
                await asyncio.sleep(answer.seconds)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _whole(answer: Answer, request: Request) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    message |= {"tool_calls": answer.calls} if answer.calls else {answer.part: answer.text(request)}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "tool_calls" if answer.calls else "stop"}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice]}


def _events(answer: Answer, request: Request) -> list[bytes]:
    """Give a stream: words one by one, or calls whose arguments come in halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for index, call in enumerate(answer.calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        half = len(arguments) // 2
        parts: list[dict[str, Any]] = [
            {"id": call["id"], "type": "function", "function": {"name": name, "arguments": arguments[:half]}},
            {"function": {"arguments": arguments[half:]}},
        ]
        deltas += [{"tool_calls": [{"index": index, **part}]} for part in parts]
    if not answer.calls:
        text = answer.text(request)
        deltas += [{answer.part: text[start : start + 4]} for start in range(0, len(text), 4)]
    ends = "tool_calls" if answer.calls else "stop"
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": ends})
    common: dict[str, Any] = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
    events = [b"data: %b\n\n" % json.dumps({**common, "choices": [choice]}).encode() for choice in choices]
    return [*events, b"data: [DONE]\n\n"]
