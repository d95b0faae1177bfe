"""Numbers of Australia and Singapore."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, weighted
from securemem.privacy.engines.patterns.ids.row import number
from securemem.privacy.engines.patterns.views import digits

_SINGAPORE: Final = {
    "S": (0, "JZIHGFEDCBA"),
    "T": (4, "JZIHGFEDCBA"),
    "F": (0, "XWUTRQPNMLK"),
    "G": (4, "XWUTRQPNMLK"),
    "M": (3, "XWUTRQPNJLK"),
}


def is_abn(value: str) -> bool:
    """Tell by the remainder by 89, one taken from the first digit (Australian Business Register)."""
    plain = str(int(value[0]) - 1) + value[1:]
    return value[0] != "0" and not weighted(plain, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89


def is_acn(value: str) -> bool:
    """Tell by the complement of the remainder by ten (ASIC)."""
    return (10 - weighted(value[:8], range(8, 0, -1)) % 10) % 10 == int(value[8]) and is_varied(value)


def is_tfn(value: str) -> bool:
    """Tell by the remainder by eleven (ATO)."""
    return not weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 and is_varied(value)


def is_medicare(value: str) -> bool:
    """Tell by the ninth digit (Services Australia); the tenth counts the cards, the eleventh the people on one."""
    return weighted(value[:8], (1, 3, 7, 9) * 2) % 10 == int(value[8])


def is_nric(value: str) -> bool:
    """Tell by the last letter, of a table for each first (Immigration and Checkpoints Authority)."""
    offset, letters = _SINGAPORE[value[0]]
    remainder = (offset + weighted(value[1:8], (2, 7, 6, 5, 4, 3, 2))) % 11
    return letters[remainder] == value[8]


ROWS: Final = (
    number("AU_ABN", "AU", r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}", is_abn, trigger=digits(11)),
    number("AU_ABN", "AU", r"[1-9][0-9]{10}", is_abn, words=("abn", "australian business")),
    number("AU_ACN", "AU", r"[0-9][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}", is_acn, words=("acn", "australian company")),
    number("AU_TFN", "AU", r"[0-9][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}", is_tfn, words=("tfn", "tax file")),
    number(
        "AU_MEDICARE",
        "AU",
        r"[2-6][0-9]{3} [0-9]{5} [0-9](?:[ /-]?[0-9])?",
        is_medicare,
        trigger=digits(10),
    ),
    number("AU_MEDICARE", "AU", r"[2-6][0-9]{9}(?:[ /-]?[0-9])?", is_medicare, words=("medicare",)),
    number("SG_NRIC_FIN", "SG", r"[STFGMstfgm][0-9]{7}[A-Za-z]", is_nric, form=("0000000a",)),
)
