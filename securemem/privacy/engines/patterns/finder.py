"""Tries one pattern on one text. Its expressions are compiled when a text first asks for them."""

from __future__ import annotations

from typing import Final

from securemem.model import Span
from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.views import Views

_BEFORE: Final = 48
_AFTER: Final = 24
_BACKWARDS: Final = 80


class Finder:
    """One pattern, ready to be tried."""

    def __init__(self, pattern: Pattern) -> None:
        """Compile nothing yet."""
        self.pattern = pattern
        self._regex = Expression(pattern.regex)
        self._behind = Expression(pattern.behind) if pattern.behind else None
        self._context = Expression(pattern.context) if pattern.context else None
        self._unless = Expression(f"(?:{pattern.unless})\\Z") if pattern.unless else None

    def find(self, text: str, views: Views, found: list[Span]) -> None:
        """Add what the pattern finds to a list."""
        subject = views.low if self.pattern.lower else text
        search, place = self._regex.compiled.search, 0
        while (match := search(subject, place)) is not None:
            start, end = match.span(match.lastgroup or 0)
            start = self._begin(text, start - self.pattern.ahead)
            place = match.end() + (match.end() == match.start())
            if start < 0 or not self._is_in_place(views.low, start, end):
                continue
            if self.pattern.check is not None:
                end = self.pattern.check(text, start, end)
            if end > start:
                found.append(Span(start, end, self.pattern.entity, self.pattern.score))
                place = max(end, match.start() + 1)
            else:
                place = match.start() + 1

    def _begin(self, text: str, start: int) -> int:
        """Give where a value begins, by what stands before the match; -1 if that must not stand there."""
        if self._behind is None:
            return start
        before = self._behind.compiled.match(text[max(0, start - _BACKWARDS) : start][::-1])
        return -1 if before is None else start - before.end()

    def _is_in_place(self, low: str, start: int, end: int) -> bool:
        """Tell whether the words around a value are as the pattern wants them."""
        if self._unless is None and self._context is None:
            return True
        before = low[max(0, start - _BEFORE) : start]
        if self._unless is not None and self._unless.compiled.search(before) is not None:
            return False
        if self._context is None or self._context.compiled.search(before) is not None:
            return True
        return self._context.compiled.match(low[end : end + _AFTER].lstrip(" ,-(")) is not None
