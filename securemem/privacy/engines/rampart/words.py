"""From tokens to spans of whole words: a word that is likely enough is found, and so are likely ones beside it.

A name seldom ends in the middle of a word, so a word is as likely as its likeliest token. One word over the threshold
is a beginning; words that touch it need much less (`BESIDE`), as the second half of a name that is known by its first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from securemem.model import Span
from securemem.privacy.engines.rampart.network import Token

BESIDE: Final = 0.2
_IDEOGRAPH: Final = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTER: Final = rf"[^\W_{_IDEOGRAPH}]"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|{_LETTER}+(?:['\u2018\u2019\u02bc`\u00b4\-\u2010\u2011](?!s\b){_LETTER}+)*")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_BETWEEN: Final = {"PERSON": re.compile(r"[^\S\n]*\.?[^\S\n]*"), "LOCATION": re.compile(r"[\s,.#/()-]{0,4}")}


class Word(NamedTuple):
    """A word of a text: where it is, and how likely it is part of a name, of a place."""

    start: int
    end: int
    name: float
    place: float

    @property
    def entity(self) -> str:
        """What it is rather than the other."""
        return "PERSON" if self.name >= self.place else "LOCATION"

    @property
    def score(self) -> float:
        """How likely it is that."""
        return max(self.name, self.place)


def words(text: str, tokens: Iterable[Token]) -> Iterator[Word]:
    """Give the words of a text, as likely as the likeliest of their tokens.

    Args:
        text: the text.
        tokens: of it, in order.
    """
    upcoming = iter(tokens)
    token = next(upcoming, None)
    for match in _WORD.finditer(text):
        start, end = match.span()
        name = place = 0.0
        while token is not None and token.start < end:
            if token.end > start:
                name, place = max(name, token.name), max(place, token.place)
            token = next(upcoming, None)
        yield Word(start, end, name, place)


def spans(text: str, found: Iterable[Word], threshold: float) -> list[Span]:
    """Give the spans of neighbouring words of which at least one is likely enough; none is of digits alone."""
    grown: list[Span] = []
    for word in found:
        if word.score < min(BESIDE, threshold):
            continue
        last = grown[-1] if grown else None
        if (
            last is not None
            and last.entity == word.entity
            and _BETWEEN[word.entity].fullmatch(text, last.end, word.start)
        ):
            grown[-1] = Span(last.start, word.end, last.entity, max(last.score, word.score))
        else:
            grown.append(Span(word.start, word.end, word.entity, word.score))
    return [span for span in grown if span.score >= threshold and _LETTERS.search(text, span.start, span.end)]
