"""Numbers of the United Kingdom."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, weighted
from securemem.privacy.engines.patterns.ids.row import number
from securemem.privacy.engines.patterns.views import Trigger

_SIX_DIGITS: Final = Trigger("numbers", (" 000000 ",))
_NEVER_GIVEN: Final = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})


def is_nhs(value: str) -> bool:
    """Tell by the remainder by eleven (NHS Data Dictionary, NHS NUMBER)."""
    check = 11 - weighted(value[:9], range(10, 1, -1)) % 11
    return check % 11 == int(value[9]) and is_varied(value)


def is_nino(value: str) -> bool:
    """Tell by the prefixes that are given (HMRC, NIM39110)."""
    return value[:2] not in _NEVER_GIVEN


def is_driving(value: str) -> bool:
    """Tell by the birthday in it, a woman's month having 50 added (DVLA)."""
    month, day = int(value[6:8]) % 50, int(value[8:10])
    return 1 <= month <= 12 and 1 <= day <= 31  # noqa: PLR2004


ROWS: Final = (
    number(
        "UK_NHS",
        "GB",
        r"[0-9][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{4}",
        is_nhs,
        words=("nhs", "health service", "patient", "chi"),
    ),
    number(
        "UK_NINO",
        "GB",
        r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]",
        is_nino,
        trigger=_SIX_DIGITS,
    ),
    number(
        "UK_DRIVING_LICENCE",
        "GB",
        r"[A-Z][A-Z9]{4}[0-9][0156][0-9][0-3][0-9]{2}[A-Z9]{2}[0-9A-Z][A-Z]{2}",
        is_driving,
        form=("000000aa0aa", "000000aaaaa", "0000000aaaa", "00000000aaa", "000000a0aaa", "0000000a0aa", "00000000"),
    ),
)
