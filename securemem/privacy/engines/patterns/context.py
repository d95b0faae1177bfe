"""Looks at the words around a value."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import Pattern

_BEFORE: Final = 48
_AFTER: Final = 24
_WORD: Final = Expression(r"[^\W\d_]+")
_PHRASE: Final = Expression(r"[^\n\",;.:{}\[\]]+")
_UP_TO_A_DIGIT: Final = Expression(r"(?s).*[0-9]")
_UNDIVIDED: Final = "\u0e00"
"""From here on scripts are that set no blanks between words."""


def backwards(words: Iterable[str]) -> str:
    """Give an expression for any of some words, for a text that is read backwards."""
    return "|".join(word[::-1] for word in words)


class Surroundings:
    """What a pattern wants of the words around a value."""

    def __init__(self, pattern: Pattern) -> None:
        """Take a pattern."""
        self._pattern = pattern
        self._unless = Expression(pattern.unless) if pattern.unless else None

    @cached_property
    def _phrases(self) -> tuple[str, ...]:
        return tuple(word for word in self._pattern.context if " " in word or max(word) >= _UNDIVIDED)

    def are_right(self, low: str, start: int, end: int) -> bool:
        """Tell whether a value is in its place."""
        before = low[max(0, start - _BEFORE) : start]
        if self._unless is not None and self._unless.compiled.match(before[::-1]) is not None:
            return False
        if not self._pattern.context:
            return True
        if self._pattern.close:
            before = _UP_TO_A_DIGIT.compiled.sub("", before)
        if self._says(before):
            return True
        behind = _PHRASE.compiled.match(low, end, end + _AFTER)
        return behind is not None and self._says(behind[0])

    def _says(self, window: str) -> bool:
        """Tell whether a window has one of the words, and none of those that take it back."""
        words = _WORD.compiled.findall(window)
        if not self._pattern.but_not.isdisjoint(words):
            return False
        if not self._pattern.context.isdisjoint(words):
            return True
        return any(phrase in window for phrase in self._phrases)
