"""Numbers of India, Korea, Thailand and South Africa."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_day, is_varied, luhn, verhoeff, weighted
from securemem.privacy.engines.patterns.ids.row import number
from securemem.privacy.engines.patterns.views import digits


def is_aadhaar(value: str) -> bool:
    """Tell by Verhoeff's digit; none is a palindrome (UIDAI)."""
    return verhoeff(value) and value != value[::-1]


def is_pan(value: str) -> bool:
    """Tell by the digits; the form says the rest (Income Tax Department)."""
    return value[5:9] != "0000"


def is_rrn(value: str) -> bool:
    """Tell by the day of birth: the check digit is a random one since October 2020."""
    return is_day(int(value[:2]), int(value[2:4]), int(value[4:6]))


def is_thai(value: str) -> bool:
    """Tell by the remainder by eleven (Department of Provincial Administration)."""
    return (11 - weighted(value[:12], range(13, 1, -1)) % 11) % 10 == int(value[12]) and is_varied(value)


def is_south_african(value: str) -> bool:
    """Tell by Luhn and the day of birth; the eleventh digit is a citizen's or a resident's (Home Affairs)."""
    day = is_day(int(value[:2]), int(value[2:4]), int(value[4:6]))
    return day and value[10] in "012" and luhn(value)


ROWS: Final = (
    number(
        "IN_AADHAAR",
        "IN",
        r"[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}(?! [0-9])",
        is_aadhaar,
        trigger=digits(12),
    ),
    number(
        "IN_AADHAAR",
        "IN",
        r"[2-9][0-9]{11}",
        is_aadhaar,
        words=("aadhaar", "aadhar", "adhar", "uid", "uidai", "vid"),
    ),
    number("IN_PAN", "IN", r"[A-Z][A-Z]{2}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", is_pan, form=("0000a",)),
    number("KR_RRN", "KR", r"[0-9][0-9]{5}-[1-8][0-9]{6}", is_rrn, form=("000000-0000000",)),
    number("TH_TNIN", "TH", r"[1-8]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]", is_thai, form=("0-0000-00000-00-0",)),
    number(
        "TH_TNIN",
        "TH",
        r"[1-8][0-9]{12}",
        is_thai,
        words=("thai", "tnin", "national id", "citizen id", "เลขประจำตัวประชาชน"),
    ),
    number(
        "ZA_ID_NUMBER",
        "ZA",
        r"[0-9][0-9]{5} ?[0-9]{4} ?[0-9]{3}",
        is_south_african,
        words=("sa id", "id", "identity", "south african"),
    ),
)
