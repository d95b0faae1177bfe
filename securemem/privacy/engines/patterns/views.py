"""What is seen of a text at first glance: whether anything of some kind can stand in it at all.

A trigger names a view and what must stand in it before the patterns behind it are tried. Of a view that is a text any
part is looked for; of one that is a set, whole members, all at once. The texts cost a microsecond together and are
always made; a set is made when it is first asked for, and most texts have no digit and ask for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from securemem.privacy.engines.patterns.expression import Expression

TEXTS: Final = ("low", "numbers", "words")

_SEPARATORS: Final = b" -().+/"
_DIGITS: Final = b"0123456789"
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"
_NOT_ASCII: Final = bytes(range(128, 256))


def _table(kept: bytes, *groups: tuple[bytes, bytes]) -> bytes:
    """Give a table for `bytes.translate`: some as themselves, each of some groups as one, all else as blanks."""
    table = bytearray(b" " * 256)
    for byte in kept:
        table[byte] = byte
    for group, one in groups:
        for byte in group:
            table[byte] = one[0]
    return bytes(table)


_NUMBERS: Final = _table(b"", (_DIGITS, b"0"))
_WORDS: Final = _table(b":.", (_LETTERS + _DIGITS + b"_-", b"w"))
_SHAPES: Final = _table(b".-/+", (_DIGITS, b"0"), (_LETTERS, b"a"))
_SPOKEN: Final = _table(_LETTERS + _NOT_ASCII)

_FORM: Final = Expression(r"0[0a./+-]*")
_LONG_WORD: Final = Expression("w{16,}")
_WITHIN: Final = Expression("[_-](?=[a-z0-9])")
_BEGINNING: Final = 2


class Views:
    """One text, seen in several ways.

    Attributes:
        low: in lower case, each character in its place.
        numbers: digits as "0", all else as blanks, and what separates the groups of a number left out.
        texts: `low`; `numbers`; and its words: ASCII letters, digits, "_" and "-" as "w", ":" and "." as themselves,
            all else as blanks. They are strings, for a part is found in one in half the time that bytes take.
    """

    def __init__(self, text: str) -> None:
        """Look at a text that was folded (`folding`)."""
        low = text.lower()
        if len(low) != len(text):  # "İ" becomes two
            low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
        self.low = low
        self._raw = raw = low.encode("utf-8", "surrogatepass")
        self.numbers = numbers = raw.translate(_NUMBERS, _SEPARATORS).decode("latin-1")
        self.texts = (low, numbers, raw.translate(_WORDS).decode("latin-1"))
        self._spoken: set[str] | None = None
        self._forms: set[str] | None = None
        self._beginnings: set[str] | None = None

    @property
    def spoken(self) -> set[str]:
        """Its words, of letters alone."""
        if self._spoken is None:
            self._spoken = set(self._raw.translate(_SPOKEN).decode("utf-8", "surrogatepass").split())
        return self._spoken

    @property
    def forms(self) -> set[str]:
        """The forms of what has digits, each from its first: digits as "0", letters as "a"."""
        if self._forms is None:
            self._forms = {
                form.rstrip("./+-") for form in _FORM.compiled.findall(self._raw.translate(_SHAPES).decode("latin-1"))
            }
        return self._forms

    @property
    def beginnings(self) -> set[str]:
        """The first two characters of words that are long, and of what follows a "_" or "-" in them."""
        if self._beginnings is None:
            self._beginnings = set(_beginnings(self._raw, self.texts[-1]))
        return self._beginnings


def _beginnings(raw: bytes, words: str) -> Iterator[str]:
    for match in _LONG_WORD.compiled.finditer(words):
        word = raw[match.start() : match.end()].decode("latin-1")
        yield word[:_BEGINNING]
        for inner in _WITHIN.compiled.finditer(word):
            yield word[inner.end() : inner.end() + _BEGINNING]


class Trigger(NamedTuple):
    """What must stand in a view: any of the needles.

    Attributes:
        view: one of `TEXTS`, or a set's name: "spoken", "forms" or "beginnings".
        needles: parts of the text, or members of the set.
    """

    view: str
    needles: tuple[str, ...]


def low(*needles: str) -> Trigger:
    """Give the trigger of parts of a text, in lower case."""
    return Trigger("low", needles)


def digits(count: int) -> Trigger:
    """Give the trigger of so many digits in a row, whatever separates them."""
    return Trigger("numbers", ("0" * count,))


def word(length: int) -> Trigger:
    """Give the trigger of so many letters, digits, "_" and "-" in a row."""
    return Trigger("words", ("w" * length,))


def spoken(*words: str) -> Trigger:
    """Give the trigger of whole words of letters, in lower case; of several in a row the first is taken."""
    return Trigger("spoken", tuple([re.split(r"[ \d_.-]", word)[0] for word in words]))


def forms(*shapes: str) -> Trigger:
    """Give the trigger of forms as `Views.forms` has them."""
    return Trigger("forms", shapes)


def beginning(*prefixes: str) -> Trigger:
    """Give the trigger of what long words begin with, in lower case."""
    return Trigger("beginnings", tuple([prefix[:_BEGINNING] for prefix in prefixes]))


NAME_WITH_DOT: Final = Trigger("words", ("w.w",))
ASSIGNED: Final = low(":", "=")
