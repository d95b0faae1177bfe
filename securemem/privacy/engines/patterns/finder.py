"""Tries one pattern on one text. Its expressions are compiled when a text first asks for them."""

from __future__ import annotations

import re
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
        self._regex: re.Pattern[str] | None = None
        self._lower, self._ahead, self._check, self._entity = (
            pattern.lower,
            pattern.ahead,
            pattern.check,
            pattern.entity,
        )
        self._behind = Expression(pattern.behind) if pattern.behind else None
        self._around = Surroundings(pattern) if pattern.context or pattern.unless else None

    def find(self, text: str, views: Views, found: list[Span]) -> None:
        """Add what the pattern finds to a list."""
        subject = views.low if self._lower else text
        regex = self._regex or self._compiled()
        match = regex.search(subject)
        while match is not None:
            place = self._take(match, text, views.low, found)
            match = regex.search(subject, place)

    def _compiled(self) -> re.Pattern[str]:
        self._regex = re.compile(self.pattern.regex)
        return self._regex

    def _take(self, match: re.Match[str], text: str, low: str, found: list[Span]) -> int:
        """Add what a match is to a list, if it is something; give where to search on."""
        start, end = match.span(match.lastgroup or 0)
        start = self._begin(text, start - self._ahead)
        if start < 0 or (found and self._is_known(found, start)):
            return match.end()
        if self._around is not None and not self._around.are_right(low, start, end):
            return match.end()
        if self._check is not None:
            end = self._check(text, start, end)
        if end <= start:
            return match.start() + 1
        found.append(Span(start, end, self._entity, self.pattern.score))
        return max(end, match.start() + 1)

    def _is_known(self, found: list[Span], start: int) -> bool:
        """Tell whether another pattern of the entity has just found what begins there, so that it need not be asked."""
        return any(span.start <= start < span.end and span.entity == self._entity for span in found[-_LATEST:])

    def _begin(self, text: str, start: int) -> int:
        """Give where a value begins, by what stands before the match; -1 if that must not stand there."""
        if self._behind is None:
            return start
        before = self._behind.compiled.match(text[max(0, start - _BACKWARDS) : start][::-1])
        return -1 if before is None else start - before.end()
