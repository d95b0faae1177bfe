"""What is seen of a text at first glance: whether anything of some kind can stand in it at all.

The views cost a microsecond together; most texts are done with them. A trigger names a view and what must stand in
it before the patterns behind it are tried.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

View = Literal["raw", "numbers", "words", "shape"]

_DIGIT, _WORD, _OTHER = ord("0"), ord("w"), ord(" ")
_SEPARATORS: Final = b" -().+/"
_NUMBERS: Final = bytes(_DIGIT if chr(byte) in "0123456789" else _OTHER for byte in range(256))
_WORDS: Final = bytes(
    _WORD if (chr(byte).isalnum() and byte < 128) or byte in b"_-" else byte if byte in b":." else _OTHER  # noqa: PLR2004
    for byte in range(256)
)

_SHAPES: Final = bytes(
    _DIGIT if chr(byte) in "0123456789" else ord("a") if 97 <= byte <= 122 else byte  # noqa: PLR2004
    for byte in range(256)
)


class Views(NamedTuple):
    """One text, seen in five ways.

    Attributes:
        low: in lower case, each character in its place.
        raw: the same in UTF-8.
        numbers: digits as "0", all else as blanks, and what separates the groups of a number left out.
        words: ASCII letters, digits, "_" and "-" as "w", ":" and "." as themselves, all else as blanks.
        shape: digits as "0", ASCII letters as "a", all else as itself.
    """

    low: str
    raw: bytes
    numbers: bytes
    words: bytes
    shape: bytes


def views_of(text: str) -> Views:
    """Look at a text that was folded (`folding`)."""
    low = text.lower()
    if len(low) != len(text):  # "İ" becomes two
        low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    raw = low.encode("utf-8", "surrogatepass")
    return Views(low, raw, raw.translate(_NUMBERS, _SEPARATORS), raw.translate(_WORDS), raw.translate(_SHAPES))


class Trigger(NamedTuple):
    """What must stand in a view: any of the needles."""

    view: View
    needles: tuple[bytes, ...]


def low(*needles: str) -> Trigger:
    """Give the trigger of some words."""
    return Trigger("raw", tuple([needle.encode() for needle in needles]))


def digits(count: int) -> Trigger:
    """Give the trigger of so many digits in a row, whatever separates them."""
    return Trigger("numbers", (b"0" * count,))


def word(length: int) -> Trigger:
    """Give the trigger of so many letters, digits, "_" and "-" in a row."""
    return Trigger("words", (b"w" * length,))


NAME_WITH_DOT: Final = Trigger("words", (b"w.w",))
