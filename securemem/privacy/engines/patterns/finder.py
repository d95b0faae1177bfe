"""Tries one pattern on one text. Its expressions are compiled when a text first asks for them."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from securemem.model import Span
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
        self._lower, self._ahead, self._check = pattern.lower, pattern.ahead, pattern.check

    @cached_property
    def _search(self) -> re.Pattern[str]:
        return re.compile(self.pattern.regex)

    @cached_property
    def _behind(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern.behind) if self.pattern.behind else None

    @cached_property
    def _context(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern.context) if self.pattern.context else None

    @cached_property
    def _unless(self) -> re.Pattern[str] | None:
        return re.compile(f"(?:{self.pattern.unless})\\Z") if self.pattern.unless else None

    def is_called_for(self, views: Views) -> bool:
        """Tell whether one of the pattern's needles stands in a text."""
        needles = self.pattern.needles
        return not needles or any(needle in views.low for needle in needles)

    def find(self, text: str, views: Views, found: list[Span]) -> None:
        """Add what the pattern finds to a list."""
        subject = views.low if self._lower else text
        search, place = self._search.search, 0
        while (match := search(subject, place)) is not None:
            start, end = match.span(match.lastindex or 0)
            start = self._begin(text, start - self._ahead)
            place = match.end() + (match.end() == match.start())
            if start < 0 or not self._is_in_place(views.low, start, end):
                continue
            if self._check is not None:
                end = self._check(text, start, end)
            if end > start:
                found.append(Span(start, end, self.pattern.entity, self.pattern.score))
                place = max(end, match.start() + 1)
            else:
                place = match.start() + 1

    def _begin(self, text: str, start: int) -> int:
        """Give where a value begins, by what stands before the match; -1 if that must not stand there."""
        if self._behind is None:
            return start
        before = self._behind.match(text[max(0, start - _BACKWARDS) : start][::-1])
        return -1 if before is None else start - before.end()

    def _is_in_place(self, low: str, start: int, end: int) -> bool:
        """Tell whether the words around a value are as the pattern wants them."""
        if self._unless is None and self._context is None:
            return True
        before = low[max(0, start - _BEFORE) : start]
        if self._unless is not None and self._unless.search(before) is not None:
            return False
        if self._context is None or self._context.search(before) is not None:
            return True
        return self._context.match(low[end : end + _AFTER].lstrip(" ,-(")) is not None
