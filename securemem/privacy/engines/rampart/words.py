"""Words: what the network's tokens are brought to first, and all that comes after it looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from securemem.privacy.engines.rampart.network import Token

_IDEOGRAPH: Final = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_LETTER: Final = rf"[^\W_{_IDEOGRAPH}]"
WORD: Final = re.compile(rf"[{_IDEOGRAPH}]|{_LETTER}+(?:['\u2018\u2019\u02bc`\u00b4\-\u2010\u2011](?!s\b){_LETTER}+)*")
"""A word: letters and digits, hyphens and apostrophes between them, without the possessive s; an ideograph is one."""


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        start: its first character.
        end: the one behind its last.
        text: what it is.
        name: the probability that it is part of a person's name.
        place: the probability that it is part of an address or place.
    """

    start: int
    end: int
    text: str
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

    def as_name(self, score: float) -> Word:
        """Give it as part of a person's name, at least this likely."""
        return self._replace(name=max(self.name, score), place=0.0)

    def as_place(self, score: float) -> Word:
        """Give it as part of a place, at least this likely."""
        return self._replace(name=0.0, place=max(self.place, score))


def words(text: str, tokens: Iterable[Token]) -> Iterator[Word]:
    """Give the words of a text, each as likely as its likeliest token: a name seldom ends within a word.

    Args:
        text: the text.
        tokens: of it, in order.
    """
    upcoming = iter(tokens)
    token = next(upcoming, None)
    for match in WORD.finditer(text):
        start, end = match.span()
        name = place = 0.0
        while token is not None and token.start < end:
            if token.end > start:
                name, place = max(name, token.name), max(place, token.place)
            token = next(upcoming, None)
        yield Word(start, end, match[0], name, place)
