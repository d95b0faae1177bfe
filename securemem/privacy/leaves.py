"""Walks content to its texts, and puts others in their place: JSON stays JSON, numbers and identifiers stay the same.

Tool calls carry JSON within a text (`arguments`): its strings are looked at one by one, and only those that change are
written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 100
"""Of JSON within a text; what is nested deeper is taken for prose, by whoever asks, however deep the stack is."""

_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_KEY_ENDING = re.compile(r"\s*:")
_PROSE = re.compile(r"[^\W\d_]{2,}[ ,.;:!?'-]+[^\W\d_]{2,}")
_NAMING = re.compile(
    r"(?i)(?:^|[_\W])(?:(?:full|first|last|middle|family|given|maiden|display|nick)[_-]?name|name|surname|assignee|author|"
    r"user|customer|client|contact|recipient|sender|to|from|cc|bcc|owner|participant|person|people|patient|employee|"
    r"attendee|guest|member|passenger|address|street|city|town|place|location|country|"
    r"text|content|message|body|input|output|query|question|answer|prompt|summary|description|subject|comment|note|"
    r"reason|title)s?$"
)
_IDENTIFYING = re.compile(r"(?i)(?:^|_)(?:id|ids|uuid|guid|type|object|status|model|tool_name|function_name|call_id)$")

_CALLING = frozenset({"arguments", "input", "parameters", "input_schema", "tool_call_id", "call_id"})


class Leaf(NamedTuple):
    """A text in a message.

    Attributes:
        text: as it stands there.
        key: of the object that it is in, "" where it is in none.
        is_key: whether it is itself the key of something.
    """

    text: str
    key: str = ""
    is_key: bool = False

    @property
    def is_identifier(self) -> bool:
        """Whether it names a thing of the system's: a key, or what its key says is an identifier."""
        return self.is_key or (bool(self.key) and _IDENTIFYING.search(self.key) is not None)

    @property
    def is_named(self) -> bool:
        """Whether its key says that somebody or some place stands in it, or whatever somebody says."""
        return bool(self.key) and _NAMING.search(self.key) is not None

    @property
    def is_prose(self) -> bool:
        """Whether names may stand in it: its key says so, or it has two words on end."""
        return not self.is_identifier and (not self.key or self.is_named or _PROSE.search(self.text) is not None)


def leaves(value: Any) -> Iterator[Leaf]:
    """Give the texts of some content, in order; keys of objects are among them, without a key of their own."""
    yield from _leaves(value, "")


def _leaves(value: Any, key: str) -> Iterator[Leaf]:
    if isinstance(value, str):
        literals = _inside(value)
        yield from [Leaf(value, key)] if literals is None else [leaf for _, _, leaf in literals]
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield Leaf(name, is_key=True)
            yield from _leaves(item, _meant(name, value))


def rebuild(value: Any, treated: Callable[[Leaf], str]) -> Any:
    """Give content with what `treated` makes of each of its texts; they are asked for in the order of `leaves`."""
    return _rebuild(value, "", treated)


def _rebuild(value: Any, key: str, treated: Callable[[Leaf], str]) -> Any:
    if isinstance(value, str):
        literals = _inside(value)
        return treated(Leaf(value, key)) if literals is None else _rebuild_inside(value, literals, treated)
    if isinstance(value, list):
        return [_rebuild(item, key, treated) for item in value]
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, item in value.items():
            key_made = treated(Leaf(name, is_key=True))
            found[_free(key_made, found)] = _rebuild(item, _meant(name, value), treated)
        return found
    return value


def _meant(key: str, of: dict[str, Any]) -> str:
    """Give what a key says: the `name` of a tool's call or definition names the tool, and nobody."""
    return "tool_name" if key == "name" and not _CALLING.isdisjoint(of) else key


def _free(name: str, taken: dict[str, Any]) -> str:
    """Give a key that is not taken, where two have become the same."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _inside(text: str) -> list[tuple[int, int, Leaf]] | None:
    """Give the string literals of JSON within a text, with their places; None for a text that is no such JSON."""
    begins = text[:64].lstrip()[:1]
    if begins not in ("{", "[") or _is_deep(text):
        return None
    try:
        if not isinstance(json.loads(text), dict | list):
            return None
    except (ValueError, RecursionError):
        return None
    return list(_literals(text))


def _is_deep(text: str) -> bool:
    """Tell whether brackets are nested too deep; counted before parsing, which would end at the stack's own limit."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _PIECE.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > MAX_DEPTH:
            return True
    return False


def _literals(text: str) -> Iterator[tuple[int, int, Leaf]]:
    keys = [""]
    for match in _PIECE.finditer(text):
        if match[0] in "[{":
            keys.append(keys[-1])
        elif match[0] in "]}":
            keys.pop()
        elif _KEY_ENDING.match(text, match.end()):
            keys[-1] = json.loads(match[0])
            yield match.start(), match.end(), Leaf(keys[-1], is_key=True)
        else:
            yield match.start(), match.end(), Leaf(json.loads(match[0]), keys[-1])


def _rebuild_inside(text: str, literals: list[tuple[int, int, Leaf]], treated: Callable[[Leaf], str]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end, leaf in literals:
        made = treated(leaf)
        if made != leaf.text:
            literal = text[start:end]
            in_ascii = literal == json.dumps(leaf.text)
            pieces += (text[done:start], json.dumps(made, ensure_ascii=in_ascii))
            done = end
    pieces.append(text[done:])
    return "".join(pieces)
