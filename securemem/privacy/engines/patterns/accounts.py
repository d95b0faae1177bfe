"""IBAN_CODE: accounts by the country's length and the check digits (ISO 13616, SWIFT's IBAN registry)."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import mod97
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.views import digits

LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip


def iban_end(text: str, start: int, end: int) -> int:
    """Give where the account ends that its country's length foresees, if the check digits are right."""
    missing = LENGTHS.get(text[start : start + 2].upper(), end)
    place = start
    while missing and place < end:
        missing -= text[place].isalnum()
        place += 1
    following = text[place : place + 1]
    if missing or (following.isascii() and following.isalnum()):
        return start
    account = [char for char in text[start:place] if char.isalnum()]
    return place if mod97("".join(account[4:] + account[:4])) == 1 else start


ROWS: Final = (
    Pattern(
        name="iban",
        entity="IBAN_CODE",
        trigger=digits(7),
        regex=r"[0-9](?<=(?<![A-Za-z0-9-])[A-Za-z]{2}[0-9])[0-9](?:[ .-]?[A-Za-z0-9]){11,29}",
        ahead=2,
        check=iban_end,
    ),
)
