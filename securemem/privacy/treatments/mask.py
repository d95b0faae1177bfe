"""mask: the shape stays, and of long numbers the last four digits: `**** **** **** 1111`, `s****.******@****.**`.

What is left tells how long it was, and may be enough to guess it where there are few; it is no anonymisation.
"""

from __future__ import annotations

from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand

_ENDINGS = frozenset({"CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER"})
_DIGITS_LEFT, _LEAST_DIGITS = 4, 9


def mask(value: str, span: Span, _hand: Hand) -> str:
    """Give the value with its letters and digits as asterisks."""
    if span.entity in _ENDINGS and sum(map(str.isalnum, value)) >= _LEAST_DIGITS:
        return _all_but_the_last(value, _DIGITS_LEFT)
    first = "" if span.entity == "SECRET" else value[:1]
    return first + _all_but_the_last(value[len(first) :], 0)


def _all_but_the_last(value: str, left: int) -> str:
    hidden = sum(map(str.isalnum, value)) - left
    shown: list[str] = []
    for character in value:
        shown.append("*" if character.isalnum() and hidden > 0 else character)
        hidden -= character.isalnum()
    return "".join(shown)
