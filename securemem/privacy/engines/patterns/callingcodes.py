"""Which countries telephone numbers begin with, and how long they are (ITU-T E.164, and its list of codes)."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 15
_SHORTEST: Final = 7

_CODES_OF_TWO: Final = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 "
    "91 92 93 94 95 98"
)
_TWO: Final = frozenset(_CODES_OF_TWO.split())
_BEGINNINGS_OF_THREE: Final = "21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99"
_THREE: Final = frozenset(_BEGINNINGS_OF_THREE.split())
"""The first two digits of codes of three."""

_LENGTHS: Final = {
    "1": (11, 11), "7": (11, 11), "20": (10, 12), "27": (11, 11), "30": (12, 12), "31": (10, 12), "32": (10, 11),
    "33": (11, 11), "34": (11, 11), "36": (10, 11), "39": (9, 13), "40": (11, 11), "41": (11, 12), "44": (11, 12),
    "45": (10, 10), "46": (9, 12), "47": (10, 10), "48": (11, 11), "49": (9, 14), "52": (12, 13), "54": (12, 13),
    "55": (12, 13), "61": (11, 12), "64": (10, 12), "65": (10, 10), "81": (11, 12), "82": (10, 12), "86": (11, 13),
    "90": (12, 12), "91": (12, 12),
}  # fmt: skip
"""The fewest and most digits, country code included, where a plan is strict; a trunk's (0) is not counted."""


def country_code(number: str) -> str:
    """Give the country code that the digits of a number begin with, "" if there is none."""
    if number[:1] in {"1", "7"}:
        return number[:1]
    if number[:2] in _TWO:
        return number[:2]
    return number[:3] if number[:2] in _THREE else ""


def is_international(number: str) -> bool:
    """Tell whether digits are a number in the international form, without "+" or "00" before them."""
    code = country_code(number)
    if not code:
        return False
    fewest, most = _LENGTHS.get(code, (_SHORTEST, _LONGEST))
    return fewest <= len(number) <= most
