"""Makes what several patterns found one list: ascending, nothing overlaps.

The weightier of two that overlap stays whole: a secret, then a number that is vouched for, then an address, then a
number by its form or by a word near it. A URL that had to give way keeps what is left of it on either side, so that
`https://user:password@host/` is three spans: nothing of it is left
standing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import islice, pairwise, takewhile
from typing import Final

from securemem.model import Span
from securemem.privacy.engines.patterns.pattern import CHECKED

_WEIGHTS: Final = {"SECRET": 0, "EMAIL_ADDRESS": 2, "URL": 3, "PHONE_NUMBER": 6, "DATE_TIME": 7, "AGE": 8}
_VOUCHED_FOR: Final = 1
_BY_ITS_FORM: Final = 5
_SHORTEST_REST: Final = 4


def settle(found: list[Span]) -> list[Span]:
    """Give spans that do not overlap, ascending by start."""
    found.sort()
    if all(one.end <= other.start for one, other in pairwise(found)):
        return found
    kept: list[Span] = []
    for span in sorted(found, key=_order):
        place = bisect_right(kept, span.start, key=_start)
        first = place - 1 if place and kept[place - 1].end > span.start else place
        if first == len(kept) or kept[first].start >= span.end:
            kept.insert(place, span)
        elif span.entity == "URL":
            for rest in _rests(span, kept, first):
                insort(kept, rest)
    return kept


def _rests(span: Span, kept: list[Span], first: int) -> list[Span]:
    """Give what is left of a span between those that are kept, from the first that overlaps it."""
    rests: list[Span] = []
    start = span.start
    for other in takewhile(lambda other: other.start < span.end, islice(kept, first, None)):
        rests.append(span._replace(start=start, end=other.start))
        start = other.end
    rests.append(span._replace(start=start))
    return [rest for rest in rests if rest.end - rest.start >= _SHORTEST_REST]


def _order(span: Span) -> tuple[int, float, int, int]:
    return (_weight(span), -span.score, span.start - span.end, span.start)


def _weight(span: Span) -> int:
    return _WEIGHTS.get(span.entity, _VOUCHED_FOR if span.score == CHECKED else _BY_ITS_FORM)


def _start(span: Span) -> int:
    return span.start
