r"""Pseudonyms as they stand in a text, and how a text that only looks like one is kept apart.

    [PERSON_1]        the first person of this user's
    [PERSON_1.2]      the same person by another wording: "Sarah" after "Sarah Connor"
    [PERSON_1@3f9a2c] a person of somebody else's who speaks in this session
    [\PERSON_1]       a text that says [PERSON_1]; each reading takes one backslash away

A token is found whole or not at all: [PERSON_1] is no part of [PERSON_10].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_BODY = r"[A-Z][A-Z0-9_]{0,63}_[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})?(?:@[0-9a-f]{6})?\]"
TOKEN = re.compile(
    r"\[(?P<entity>[A-Z][A-Z0-9_]{0,63})_(?P<number>[1-9][0-9]{0,8})"
    r"(?:\.(?P<variant>[1-9][0-9]{0,8}))?(?:@(?P<guest>[0-9a-f]{6}))?\]"
)
LONGEST = 100
"""No token has more characters."""

_TOKEN_OR_ESCAPED = re.compile(rf"\[(\\*)({_BODY})")
_BEGINNING = re.compile(r"\[\\*(?:[A-Z][A-Z0-9_]{0,74}(?:\.[0-9]{0,9})?(?:@[0-9a-f]{0,6})?)?\Z")


class Token(NamedTuple):
    """A pseudonym.

    Attributes:
        entity: what it stands for: "PERSON" …
        number: which one of these, from 1.
        variant: which wording of it, from 1.
        guest: the mark of the person in whose vault it is, where that is not the session's owner.
    """

    entity: str
    number: int
    variant: int = 1
    guest: str = ""

    def __str__(self) -> str:
        variant = f".{self.variant}" if self.variant > 1 else ""
        guest = f"@{self.guest}" if self.guest else ""
        return f"[{self.entity}_{self.number}{variant}{guest}]"


def token_of(match: re.Match[str]) -> Token:
    """Give the token that `TOKEN` matched."""
    return Token(match["entity"], int(match["number"]), int(match["variant"] or 1), match["guest"] or "")


def escape(text: str, tokens: frozenset[int] | set[int] = frozenset()) -> str:
    """Put a backslash into all that looks like a token and is none.

    Args:
        text: any.
        tokens: where those begin that are.
    """
    if "[" not in text:
        return text

    def escaped(match: re.Match[str]) -> str:
        return match[0] if match.start() in tokens else f"[\\{match[1]}{match[2]}"

    return _TOKEN_OR_ESCAPED.sub(escaped, text)


def replace(text: str, value: Callable[[Token], str | None]) -> str:
    """Put values in place of tokens, and take a backslash from what only looks like one.

    Args:
        text: as it was treated.
        value: gives what a token stands for, or None to leave it as it is.
    """
    if "[" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return f"[{match[1][1:]}{match[2]}"
        whole = TOKEN.fullmatch(match[0])
        found = value(token_of(whole)) if whole is not None else None
        return match[0] if found is None else found

    return _TOKEN_OR_ESCAPED.sub(replaced, text)


def unfinished(text: str) -> int:
    """Give where in a text the beginning of a token stands that may be gone on with; the text's length if nowhere."""
    start = text.rfind("[", max(0, len(text) - LONGEST))
    return start if start >= 0 and _BEGINNING.match(text, start) else len(text)
