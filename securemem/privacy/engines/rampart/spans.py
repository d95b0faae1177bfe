"""From words to spans: likely words, what touches them, and the same name where it stands again.

One word over the threshold is a beginning; those that touch it need much less, as the second half of a name that is
known by its first. What is written like code is nobody's name, and a small word among words written large needs more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from securemem.model import Span
from securemem.privacy.engines.rampart.words import Word

_BESIDE_PLACE: Final = 0.03
_BESIDE_NAME: Final = 0.05
_BESIDE_SMALL_NAME: Final = 0.4
_SMALL: Final = 0.9
_AGAIN: Final = 0.6
_LETTERS: Final = re.compile(r"[^\W\d_]{2}")
_BETWEEN: Final = {"PERSON": re.compile(r"[^\S\n]{0,2}\.?[^\S\n]{0,2}"), "LOCATION": re.compile(r"[\s,.#/()-]{0,4}")}
_CODE_BEFORE: Final = re.compile(r"(?:[_@#$%\\`]|\w\.|::|->|\w/)\Z")
_CODE_AFTER: Final = re.compile(r"[_(=\[`]|\.[a-z_]|::|->|/\w")
_CAMEL: Final = re.compile(r"\b(?!(?:Mc|Mac|De|Di|Du|La|Le|Van|Von|Fitz|St)[A-Z])\w*[a-z][A-Z]|\d")
_DOTTED: Final = re.compile(r"[a-z]{2}\.[a-z]{2}")
_NAME: Final = re.compile(r"[^\W\d_]{3,}")


def spans(text: str, words: Sequence[Word], threshold: float) -> list[Span]:
    """Give the spans of names and places in a text.

    Args:
        text: the text.
        words: all of it, in order.
        threshold: the least score of a span.
    """
    cased = not text.islower() and not text.isupper()
    found = [span for span in _grown(text, words, threshold, cased=cased) if _holds(text, span, threshold, cased=cased)]
    return sorted(found + _again(text, found, words, threshold, cased=cased))


def _grown(text: str, words: Iterable[Word], threshold: float, *, cased: bool) -> list[Span]:
    """Give the runs of neighbouring words that are likely enough beside one that is."""
    grown: list[Span] = []
    for word in words:
        if word.score < min(threshold, _least(word, cased=cased)):
            continue
        entity, last = word.entity, grown[-1] if grown else None
        if last is not None and last.entity == entity and _BETWEEN[entity].fullmatch(text, last.end, word.start):
            grown[-1] = Span(last.start, word.end, entity, max(last.score, _counted(word)))
        else:
            grown.append(Span(word.start, word.end, entity, _counted(word)))
    return grown


def _counted(word: Word) -> float:
    """Give what a word adds to its run: a number is part of a place, and makes none."""
    return word.score if _LETTERS.search(word.text) else 0.0


def _least(word: Word, *, cased: bool) -> float:
    """Give how likely a word has to be that touches a likely one."""
    if word.entity == "LOCATION":
        return _BESIDE_PLACE
    return _BESIDE_SMALL_NAME if cased and word.text.islower() else _BESIDE_NAME


def _holds(text: str, span: Span, threshold: float, *, cased: bool) -> bool:
    """Tell whether a run is to be reported."""
    said = text[span.start : span.end]
    if _LETTERS.search(said) is None or _DOTTED.search(said):
        return False
    if span.entity == "PERSON":
        if _is_code(text, span) or _CAMEL.search(said):
            return False
        if cased and said.islower():
            return span.score >= max(threshold, _SMALL)
    return span.score >= threshold


def _is_code(text: str, span: Span) -> bool:
    return bool(_CODE_AFTER.match(text, span.end) or _CODE_BEFORE.search(text[max(0, span.start - 2) : span.start]))


def _again(text: str, found: Sequence[Span], words: Sequence[Word], threshold: float, *, cased: bool) -> list[Span]:
    """Give where a word of a name that was found stands again by itself, and the network was not sure of it."""
    names = {
        name[0]
        for span in found
        if span.entity == "PERSON"
        for name in _NAME.finditer(text, span.start, span.end)
        if not cased or name[0][0].isupper()
    }
    taken = {number for span in found for number in range(span.start, span.end)} if names else set()
    return [
        Span(word.start, word.end, "PERSON", max(threshold, _AGAIN))
        for word in words
        if word.text in names and word.start not in taken
    ]
