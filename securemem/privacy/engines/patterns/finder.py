"""Tries one pattern on one text. Its expressions are compiled when a text first asks for them."""

from __future__ import annotations

from typing import Final

from securemem.model import Span
from securemem.privacy.engines.patterns.context import Surroundings
from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.views import Views

_BACKWARDS: Final = 80
_LATEST: Final = 4


class Finder:
    """One pattern, ready to be tried."""

    def __init__(self, pattern: Pattern) -> None:
        """Compile nothing yet."""
        self.pattern = pattern
        self._regex = Expression(pattern.regex)
        self._behind = Expression(pattern.behind) if pattern.behind else None
        self._around = Surroundings(pattern) if pattern.context or pattern.unless else None

    def find(self, text: str, views: Views, found: list[Span]) -> None:
        """Add what the pattern finds to a list."""
        subject = views.low if self.pattern.lower else text
        search, around, place = self._regex.compiled.search, self._around, 0
        while (match := search(subject, place)) is not None:
            start, end = match.span(match.lastgroup or 0)
            start = self._begin(text, start - self.pattern.ahead)
            place = match.end() + (match.end() == match.start())
            if start < 0 or self._is_known(found, start):
                continue
            if around is not None and not around.are_right(views.low, start, end):
                continue
            if self.pattern.check is not None:
                end = self.pattern.check(text, start, end)
            if end > start:
                found.append(Span(start, end, self.pattern.entity, self.pattern.score))
                place = max(end, match.start() + 1)
            else:
                place = match.start() + 1

    def _is_known(self, found: list[Span], start: int) -> bool:
        """Tell whether another pattern of the entity has just found what begins there, so that it need not be asked."""
        entity = self.pattern.entity
        return any(span.start <= start < span.end and span.entity == entity for span in found[-_LATEST:])

    def _begin(self, text: str, start: int) -> int:
        """Give where a value begins, by what stands before the match; -1 if that must not stand there."""
        if self._behind is None:
            return start
        before = self._behind.compiled.match(text[max(0, start - _BACKWARDS) : start][::-1])
        return -1 if before is None else start - before.end()
