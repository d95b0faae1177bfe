"""Numbers of Spain, Italy, Portugal and Turkey."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, luhn, weighted
from securemem.privacy.engines.patterns.ids.row import number
from securemem.privacy.engines.patterns.views import word

_SPAIN: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_ITALY_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def is_nif(value: str) -> bool:
    """Tell by the letter, the remainder by 23 (Real Decreto 1553/2005)."""
    return _SPAIN[int(value[:8]) % 23] == value[8] and is_varied(value[:8])


def is_nie(value: str) -> bool:
    """Tell a foreigner's number by the same letter, X, Y and Z being 0, 1 and 2."""
    return _SPAIN[int(str("XYZ".index(value[0])) + value[1:8]) % 23] == value[8]


def is_fiscal(value: str) -> bool:
    """Tell by the last letter: characters in odd places count by a table of their own (DM 23 December 1976)."""
    places = [int(char) if char.isdigit() else ord(char) - 65 for char in value[:15]]
    total = sum(_ITALY_ODD[place] for place in places[::2]) + sum(places[1::2])
    return ord(value[15]) - 65 == total % 26


def is_portuguese(value: str) -> bool:
    """Tell by the remainder by eleven (Decreto-Lei 14/2013)."""
    check = 11 - weighted(value[:8], range(9, 1, -1)) % 11
    return int(value[8]) == (0 if check > 9 else check) and is_varied(value)  # noqa: PLR2004


def is_turkish(value: str) -> bool:
    """Tell by the last two digits (Law 5490)."""
    places = [int(digit) for digit in value]
    tenth = (sum(places[0:9:2]) * 7 - sum(places[1:8:2])) % 10
    return tenth == places[9] and sum(places[:10]) % 10 == places[10]


ROWS: Final = (
    number("ES_NIF", "ES", r"[0-9][0-9]{7}-?[A-HJ-NP-TV-Za-hj-np-tv-z]", is_nif, form=("00000000a", "00000000-a")),
    number(
        "ES_NIE",
        "ES",
        r"[X-Zx-z]-?[0-9]{7}-?[A-HJ-NP-TV-Za-hj-np-tv-z]",
        is_nie,
        form=("0000000a", "0000000-a"),
    ),
    number(
        "IT_FISCAL_CODE",
        "IT",
        r"[A-Za-z][A-Za-z]{5}[0-9L-NP-Vl-np-v]{2}[A-EHLMPR-Ta-ehlmpr-t][0-9L-NP-Vl-np-v]{2}[A-Za-z]"
        r"[0-9L-NP-Vl-np-v]{3}[A-Za-z]",
        is_fiscal,
        trigger=word(16),
        form=("00a00a000a", "00a00a00aa", "00aaaa000a", "00a0aa000a", "0aa00a000a", "00aa0a000a"),
    ),
    number("IT_VAT_CODE", "IT", r"[0-9][0-9]{10}", luhn, words=("iva", "vat")),
    number(
        "PT_NIF", "PT", r"[1-35-9][0-9]{2} ?[0-9]{3} ?[0-9]{3}", is_portuguese, words=("nif", "contribuinte", "nipc")
    ),
    number("TR_NATIONAL_ID", "TR", r"[1-9][0-9]{10}", is_turkish, words=("tc", "t.c.", "tckn", "kimlik", "turkish id")),
)
