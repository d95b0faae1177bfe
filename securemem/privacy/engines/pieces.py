"""Texts as other people's engines take them: encodable and not too long; and their spans put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from securemem.model import Span

LONGEST: Final = 100_000
"""Characters that are handed over at once: spaCy refuses a million, and takes a gigabyte of memory for 100,000."""
_SHARED: Final = 500


def encodable(text: str) -> str:
    """Give a text of the same length without lone surrogates, which have no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def in_pieces(text: str, find: Callable[[str], Iterable[Span]]) -> list[Span]:
    """Give the spans in a text of any length, found in pieces that share 500 characters.

    Args:
        text: any.
        find: what finds spans in an encodable text of at most `LONGEST` characters.
    """
    whole = encodable(text)
    found: list[Span] = []
    start = 0
    while start < len(whole):
        piece = whole[start : start + LONGEST]
        found += [span._replace(start=span.start + start, end=span.end + start) for span in find(piece)]
        if start + len(piece) == len(whole):
            break
        start += LONGEST - _SHARED
    return joined(found)


def joined(found: Iterable[Span]) -> list[Span]:
    """Give spans ascending, those of one entity that overlap as one."""
    last: dict[str, int] = {}
    spans: list[Span] = []
    for span in sorted(found):
        at = last.get(span.entity)
        if at is not None and span.start < spans[at].end:
            one = spans[at]
            spans[at] = one._replace(end=max(one.end, span.end), score=max(one.score, span.score))
        else:
            last[span.entity] = len(spans)
            spans.append(span)
    return spans
