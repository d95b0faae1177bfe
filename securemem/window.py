"""The context window: which of the newest messages go to the model. Pure: no I/O, no clock.

- A tool call is never parted from its result: a call, the messages that answer it and what stands between them are one
  unit, taken whole or left. A result whose call is not there any more is left.
- Pinned system messages come first and always; what they cost counts against both limits.
- Units are taken from the newest backwards while they fit; the first that does not fit ends the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from securemem.errors import ConfigurationError
from securemem.model import Message
from securemem.ports import Tokenizer

PINNABLE_ROLES = frozenset({"system", "developer"})
_RESULT_ROLES = frozenset({"tool", "function"})
MESSAGE_OVERHEAD_TOKENS = 4
"""What role and separators of a message cost in chat formats (OpenAI's cookbook counts 3 and a little)."""

_CALL_ENDING, _RESULT_ENDING = "_call", "_call_output"  # as OpenAI's Responses name their items


class EstimatingTokenizer:
    """Estimates tokens at four bytes of UTF-8 each, which is near what BPE vocabularies give for English."""

    def count(self, text: str) -> int:
        """As `ports.Tokenizer`; never 0 for a text that is not empty."""
        return (len(text.encode("utf-8", "replace")) + 3) // 4


class TiktokenTokenizer:
    """Counts with a vocabulary of the `tiktoken` package, for models that use it."""

    def __init__(self, encoding: Any = "o200k_base") -> None:
        """Take an encoding by name, or a `tiktoken.Encoding`; a name may make tiktoken fetch its file once.

        Raises:
            ConfigurationError: the package is missing, or it knows no encoding of this name.
        """
        if isinstance(encoding, str):
            try:
                import tiktoken  # noqa: PLC0415  (an extra)
            except ImportError as exc:
                raise ConfigurationError(
                    f"the tokenizer tiktoken needs the package {exc.name}: run `pip install 'securemem[tiktoken]'`"
                ) from exc
            try:
                encoding = tiktoken.get_encoding(encoding)
            except ValueError as exc:
                raise ConfigurationError("tiktoken knows no encoding of this name") from exc
        self._encoding = encoding

    def count(self, text: str) -> int:
        """As `ports.Tokenizer`; special tokens in a text count as the text that they are."""
        return len(self._encoding.encode(text, disallowed_special=()))


def make_tokenizer(tokenizer: Tokenizer | str | None) -> Tokenizer:
    """Give a tokenizer by its name, or one that is an object; the estimate if none is named.

    Raises:
        ConfigurationError: it is none.
    """
    if tokenizer is None:
        return EstimatingTokenizer()
    if isinstance(tokenizer, str):
        name, _, encoding = tokenizer.partition(":")
        if name != "tiktoken":
            raise ConfigurationError("tokenizer is 'tiktoken', 'tiktoken:<encoding>', or an object with count(text)")
        return TiktokenTokenizer(encoding) if encoding else TiktokenTokenizer()
    if not callable(getattr(tokenizer, "count", None)):
        raise ConfigurationError("tokenizer has to have a method count(text)")
    return tokenizer


def is_pinned(message: Message) -> bool:
    """Tell whether a message stays in the window however old it is."""
    return message.role in PINNABLE_ROLES and bool(message.metadata) and message.metadata.get("pinned") is True  # type: ignore[union-attr]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


def cost(message: Message, tokenizer: Tokenizer) -> int:
    """Give what a message costs in tokens: its texts, JSON's keys and values included, and a little for its frame."""
    return MESSAGE_OVERHEAD_TOKENS + sum(tokenizer.count(text) for text in _texts(message.content))


def _items(message: Message) -> Iterator[dict[str, Any]]:
    content = message.content
    for part in content if isinstance(content, list | tuple) else (content,):
        if isinstance(part, dict):
            yield part
    if message.metadata and ("tool_calls" in message.metadata or "tool_call_id" in message.metadata):
        yield message.metadata


def _named(item: dict[str, Any], key: str) -> set[str]:
    value = item.get(key)
    return {value} if isinstance(value, str) else set()


def _calls(message: Message) -> set[str]:
    """Give the ids of the tool calls that a message makes, in OpenAI's and Anthropic's shapes."""
    ids: set[str] = set()
    for item in _items(message):
        kind = item.get("type")
        if kind == "tool_use":
            ids |= _named(item, "id")
        elif isinstance(kind, str) and kind.endswith(_CALL_ENDING):
            ids |= _named(item, "call_id")
        calls = item.get("tool_calls")
        for call in calls if isinstance(calls, list | tuple) else ():
            if isinstance(call, dict):
                ids |= _named(call, "id")
    return ids


def _results(message: Message) -> set[str]:
    """Give the ids of the tool calls that a message answers."""
    ids: set[str] = set()
    for item in _items(message):
        kind = item.get("type")
        if kind == "tool_result":
            ids |= _named(item, "tool_use_id")
        elif isinstance(kind, str) and kind.endswith(_RESULT_ENDING):
            ids |= _named(item, "call_id")
        ids |= _named(item, "tool_call_id")
    return ids


def _is_plain(message: Message) -> bool:
    """Tell, without a look inside, that a message has nothing to do with tools."""
    return message.metadata is None and type(message.content) is str and message.role not in _RESULT_ROLES


def are_ordinary(found: Sequence[object]) -> bool:
    """Tell whether all of these are messages that a window gives as they are, whoever reads it and whenever."""
    for message in found:
        if not isinstance(message, Message) or message.expires_at is not None or message.pseudonymised:
            return False
        if not _is_plain(message):
            return False
    return True


def _units(messages: Sequence[Message]) -> list[list[Message]]:
    """Group messages, oldest first, so that calls and their results are together; results without a call are left."""
    units: list[list[Message]] = []
    unit_of_call: dict[str, int] = {}
    for message in messages:
        if _is_plain(message):
            units.append([message])
            continue
        answered = _results(message)
        known = [unit_of_call[call] for call in answered if call in unit_of_call]
        if not answered and message.role in _RESULT_ROLES and units:
            known = [len(units) - 1]  # a result that names no call answers the one before it
        if known:
            start = min(known)
            units[start:] = [[each for unit in units[start:] for each in unit] + [message]]
            unit_of_call = {call: min(unit, start) for call, unit in unit_of_call.items()}
        elif answered or message.role in _RESULT_ROLES:
            continue
        else:
            units.append([message])
        for call in _calls(message):
            unit_of_call[call] = len(units) - 1
    return units


def fit(
    messages: Sequence[Message],
    *,
    max_messages: int,
    max_tokens: int | None = None,
    tokenizer: Tokenizer | None = None,
    pinned: Sequence[Message] = (),
) -> list[Message]:
    """Give the window.

    Args:
        messages: the newest ones, oldest first; pinned ones among them are passed over.
        max_messages: at most so many, pinned ones included.
        max_tokens: at most so many tokens, as `tokenizer` counts them; None for no limit.
        tokenizer: counts tokens; the estimate by default.
        pinned: come first, whatever the limits.

    Returns:
        Messages, the pinned ones first, then oldest first.
    """
    first = {message.seq for message in pinned}
    rest = [message for message in messages if message.seq not in first] if first else messages
    if max_tokens is None and not pinned and all(map(_is_plain, rest)):
        return list(rest[-max_messages:] if max_messages else ())
    counter = tokenizer or EstimatingTokenizer()
    messages_left = max_messages - len(pinned)
    tokens_left = None
    if max_tokens is not None:
        tokens_left = max_tokens - sum(cost(message, counter) for message in pinned)
    taken: list[list[Message]] = []
    for unit in reversed(_units(rest)):
        messages_left -= len(unit)
        if tokens_left is not None:
            tokens_left -= sum(cost(message, counter) for message in unit)
        if messages_left < 0 or (tokens_left is not None and tokens_left < 0):
            break
        taken.append(unit)
    return [*pinned, *(message for unit in reversed(taken) for message in unit)]
