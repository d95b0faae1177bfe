"""Makes texts plain before they are looked through: one form for each digit, blank and hyphen, nothing invisible.

Where a character only changes it keeps its place; what cannot be seen (zero-width characters, marks of direction, soft
hyphens) is left out, and `Folded.spans` moves what was found back to the text as it was.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

from securemem.model import Span
from securemem.privacy.engines.patterns.expression import Expression

_BLANKS: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_HYPHENS: Final = "\u2010-\u2013\u2212\ufe58\ufe63"
_INVISIBLE: Final = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0f\ufeff\u20e3"
_DIGITS: Final = (
    "\u0660-\u0669\u06f0-\u06f9\u07c0-\u07c9\u0966-\u096f\u09e6-\u09ef\u0a66-\u0a6f\u0ae6-\u0aef\u0b66-\u0b6f"
    "\u0be6-\u0bef\u0c66-\u0c6f\u0ce6-\u0cef\u0d66-\u0d6f\u0e50-\u0e59\u0ed0-\u0ed9\u0f20-\u0f29\u1040-\u1049"
    "\u17e0-\u17e9\u1810-\u1819\U0001d7ce-\U0001d7ff"
)
_WIDER: Final = 0xFEE0
_WIDE: Final = "\uff01-\uff5e"
_ODD: Final = Expression(f"[{_BLANKS}{_HYPHENS}{_INVISIBLE}{_DIGITS}{_WIDE}]")
_UNSEEN: Final = Expression(f"[{_INVISIBLE}]")
_BLANK: Final = Expression(f"[{_BLANKS}]")
_HYPHEN: Final = Expression(f"[{_HYPHENS}]")


class Folded(NamedTuple):
    """A plain text.

    Attributes:
        text: as it is looked through.
        left_out: where in `text` something was left out of the original, ascending; a place comes once for each
            character.
    """

    text: str
    left_out: tuple[int, ...] = ()

    def spans(self, found: Iterable[Span]) -> list[Span]:
        """Give spans of `text` as spans of the original."""
        if not self.left_out:
            return list(found)
        return [span._replace(start=self._place(span.start), end=self._place(span.end - 1) + 1) for span in found]

    def _place(self, place: int) -> int:
        return place + bisect_right(self.left_out, place)


def fold(text: str) -> Folded:
    """Make a text plain."""
    if text.isascii() or not _ODD.compiled.search(text):
        return Folded(text)
    plain = _ODD.compiled.sub(_plain, text)
    if len(plain) == len(text):
        return Folded(plain)
    unseen = (match.start() for match in _UNSEEN.compiled.finditer(text))
    return Folded(plain, tuple(place - number for number, place in enumerate(unseen)))


def _plain(match: re.Match[str]) -> str:
    return _plain_form(match[0])


@cache
def _plain_form(char: str) -> str:
    if _UNSEEN.compiled.match(char):
        return ""
    if _BLANK.compiled.match(char):
        return " "
    if _HYPHEN.compiled.match(char):
        return "-"
    return str(int(char)) if char.isdecimal() else chr(ord(char) - _WIDER)
