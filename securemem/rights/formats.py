"""An export as files have it: JSON Lines of everything, or conversations as OpenAI's and LangChain's loaders read them.

    jsonl       each object of the export in a line
    openai      {"session_id", "messages": [{"role", "content", "tool_calls"?, "tool_call_id"?}, …]}, a session a line
    langchain   the same with messages as `langchain_core.messages.messages_from_dict` takes them: {"type", "data"}

What was said in other people's sessions is a last line, whose `session_id` is null. Pure: objects in, text out, so that
nothing but the present object is in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_OPENAI_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_LANGCHAIN_TYPES = {"system": "system", "developer": "system", "user": "human", "assistant": "ai", "tool": "tool"}
_UNNAMED = "unknown"


class Writer(Protocol):
    """Makes a file of an export, a piece at a time."""

    def take(self, item: dict[str, Any]) -> str:
        """Give what an object of the export adds."""

    def end(self) -> str:
        """Give what comes after the last one."""


class Lines:
    """Every object in a line."""

    def take(self, item: dict[str, Any]) -> str:
        """As `Writer`."""
        return msgspec.json.encode(item).decode() + "\n"

    def end(self) -> str:
        """As `Writer`."""
        return ""


class Conversations:
    """Every session in a line, its messages in another's format."""

    def __init__(self, convert: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
        """Take what gives the messages that a message of the export is in that format."""
        self._convert = convert
        self._session: str | None = None
        self._open = False
        self._first = True

    def take(self, item: dict[str, Any]) -> str:
        """As `Writer`."""
        if item["kind"] == "session":
            return self._begin(item["session_id"])
        if item["kind"] != "message":
            return ""
        begun = self._begin(None) if not self._open or item["session_id"] != self._session else ""
        pieces = []
        for message in self._convert(item):
            pieces.append(("" if self._first else ", ") + json.dumps(message, ensure_ascii=False))
            self._first = False
        return begun + "".join(pieces)

    def end(self) -> str:
        """As `Writer`."""
        ended, self._open = ("]}\n" if self._open else ""), False
        return ended

    def _begin(self, session_id: str | None) -> str:
        ended = self.end()
        self._session, self._open, self._first = session_id, True, True
        return f'{ended}{{"session_id": {json.dumps(session_id, ensure_ascii=False)}, "messages": ['


def as_openai(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a message of an export in the format of OpenAI's chat completions.

    A message that answers several tool calls is several; an assistant's calls in the shapes of Anthropic and of
    OpenAI's Responses become `tool_calls`. A role that OpenAI does not know is a user's, with the role as `name`.
    """
    role = _ROLES.get(item["role"], item["role"])
    parts, calls, results = _parted(item["content"], item["metadata"] or {})
    answers = [{"role": "tool", "tool_call_id": call, "content": content} for call, content in results]
    if role == "tool":
        if not answers:
            call = (item["metadata"] or {}).get("tool_call_id")
            answers = [{"role": "tool", "tool_call_id": call or _UNNAMED, "content": _plain(parts)}]
        return answers
    message: dict[str, Any] = {"role": role, "content": _plain(parts)}
    if role not in _OPENAI_ROLES:
        message = {"role": "user", "name": _name(item["role"]), "content": _plain(parts)}
    if calls:
        message = {"role": "assistant", "content": _plain(parts) or None, "tool_calls": calls}
    return [*([message] if calls or parts not in ([], None) else []), *answers] or [message]


def as_langchain(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a message of an export as `messages_from_dict` of langchain-core takes it."""
    found = []
    for message in as_openai(item):
        kind = _LANGCHAIN_TYPES[message["role"]]
        data: dict[str, Any] = {"type": kind, "content": message["content"] or ""}
        if message["role"] == "tool":
            data["tool_call_id"] = message["tool_call_id"]
        if "tool_calls" in message:
            data["tool_calls"] = [_langchain_call(call) for call in message["tool_calls"]]
        if "name" in message:
            kind, data = "chat", data | {"type": "chat", "role": item["role"]}
        found.append({"type": kind, "data": data})
    return found


FORMATS: dict[str, Callable[[], Writer]] = {
    "jsonl": Lines,
    "openai": lambda: Conversations(as_openai),
    "langchain": lambda: Conversations(as_langchain),
}


def _parted(content: Any, metadata: dict[str, Any]) -> tuple[Any, list[dict[str, Any]], list[tuple[str, Any]]]:
    """Part a message into what it says, the tools that it calls, and the calls that it answers."""
    calls = [call for call in _listed(metadata.get("tool_calls")) if isinstance(call, dict)]
    results: list[tuple[str, Any]] = []
    if isinstance(content, dict) and ("content" in content or "tool_calls" in content):
        calls += [call for call in _listed(content.get("tool_calls")) if isinstance(call, dict)]
        if isinstance(content.get("tool_call_id"), str):
            return [], [_call(call) for call in calls], [(content["tool_call_id"], _plain(content.get("content")))]
        content = content.get("content") or []
    if isinstance(content, str):
        return content, [_call(call) for call in calls], results
    parts = []
    for part in _listed(content) if isinstance(content, list | dict) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("tool_use", "function_call"):
            calls.append(part)
        elif kind == "tool_result":
            results.append((str(part.get("tool_use_id", _UNNAMED)), _plain(part.get("content"))))
        elif kind == "function_call_output":
            results.append((str(part.get("call_id", _UNNAMED)), _plain(part.get("output"))))
        else:
            parts.append(part)
    return parts, [_call(call) for call in calls], results


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Give a tool call in the shape of chat completions."""
    given = call.get("function")
    function: dict[str, Any] = given if isinstance(given, dict) else {}
    name = function.get("name") or call.get("name") or _UNNAMED
    places = (function.get("arguments"), call.get("arguments"), call.get("input"), call.get("args"))
    arguments: Any = next((each for each in places if each), {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    named = str(call.get("call_id") or call.get("id") or _UNNAMED)
    return {"id": named, "type": "function", "function": {"name": str(name), "arguments": text}}


def _langchain_call(call: dict[str, Any]) -> dict[str, Any]:
    try:
        args = json.loads(call["function"]["arguments"])
    except ValueError:
        args = None
    arguments = args if isinstance(args, dict) else {"input": call["function"]["arguments"]}
    return {"type": "tool_call", "id": call["id"], "name": call["function"]["name"], "args": arguments}


def _plain(content: Any) -> Any:
    """Give content that a loader takes: a text, or parts of which each says its type."""
    if content is None or content == []:
        return ""
    if isinstance(content, str):
        return content
    parts = _listed(content)
    if all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts):
        return list(_texts(parts)) if isinstance(content, list) else json.dumps(content, ensure_ascii=False)
    return json.dumps(content[0] if len(parts) == 1 and isinstance(content, list) else content, ensure_ascii=False)


def _texts(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give parts, those of text as chat completions name them."""
    for part in parts:
        if part["type"] in ("input_text", "output_text") and isinstance(part.get("text"), str):
            yield {"type": "text", "text": part["text"]}
        else:
            yield part


def _name(role: str) -> str:
    """Give a role as a name that OpenAI takes."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in role)[:64]
