"""People by their given names, whom the network was trained to leave alone where they are only talked about.

It is made for what people say of themselves, and passes over "Angela Merkel traf Emmanuel Macron". A known given name
makes a person with the word written large behind it; by itself only at the head of a line ("John: …"), after a
greeting, or where the network has at least an inkling.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from securemem.privacy.engines.rampart.places import folded
from securemem.privacy.engines.rampart.words import Word

SCORE: Final = 0.75
_INKLING: Final = 0.03
_RATHER_A_PLACE: Final = 0.3
_MARGIN: Final = 20
"""Characters of blank before the head of a line, at most."""
_BETWEEN: Final = frozenset({" ", ". "})
_LABEL: Final = re.compile(r"[^\S\n]?:(?!\S)")
_GREETING: Final = frozenset(
    {"hi", "hello", "hey", "dear", "thanks", "hallo", "liebe", "lieber", "bonjour", "cher", "hola", "querido", "ciao"}
)


def with_given_names(text: str, words: Sequence[Word]) -> list[Word]:
    """Give the words of a text, those that a known given name makes a person's as likely as that makes them."""
    found = list(words)
    for at, word in enumerate(words):
        if not _is_given_name(word):
            continue
        behind = _behind(text, words, at)
        if behind or _stands_alone(text, words, at):
            for number in range(at, at + 1 + behind):
                found[number] = found[number].as_name(SCORE)
    return found


def _is_given_name(word: Word) -> bool:
    text = word.text
    written = len(text) > 2 and text[0].isupper() and text[1:].islower()  # noqa: PLR2004
    return written and word.place < _RATHER_A_PLACE and folded(text) in load_given_names()


def _behind(text: str, words: Sequence[Word], at: int) -> int:
    """Give how many words behind a given name belong to it: a family name, an initial and a family name, or none."""
    for count, word in enumerate(words[at + 1 : at + 3], start=1):
        before = words[at + count - 1]
        joined = text[before.end : word.start] in _BETWEEN and word.place < _RATHER_A_PLACE
        if not joined or not word.text[0].isupper():
            return 0
        if len(word.text) > 1:
            return count if text[before.end : word.start] == " " or len(before.text) == 1 else 0
    return 0


def _stands_alone(text: str, words: Sequence[Word], at: int) -> bool:
    word = words[at]
    if word.name >= _INKLING:
        return True
    if at and words[at - 1].text.casefold() in _GREETING and text[words[at - 1].end : word.start] == " ":
        return True
    ahead = text[max(0, word.start - _MARGIN) : word.start]
    heads_a_line = not ahead.rpartition("\n")[2].strip() and (len(ahead) < _MARGIN or "\n" in ahead)
    return heads_a_line and _LABEL.match(text, word.end) is not None


@cache
def load_given_names() -> frozenset[str]:
    """Read the list of given names, once a process."""
    lines = files(__package__).joinpath("givennames.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(folded(line) for line in lines if line and not line.startswith("#"))
