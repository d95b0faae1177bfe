"""US_SSN and US_ITIN: by the ranges that are given out (SSA, "SSN Randomization"; IRS, Publication 1915)."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, only_digits
from securemem.privacy.engines.patterns.pattern import SHAPED, TOLD, Pattern, whole
from securemem.privacy.engines.patterns.phonewords import OTHER_WORDS
from securemem.privacy.engines.patterns.views import digits, low, spoken

_NOT_WITHIN: Final = r"(?<![\w.+][0-9])(?<!\w[-/][0-9])"
_END: Final = r"(?!\w|[-./]\w)"
_SPECIMENS: Final = frozenset({"123456789", "987654321", "078051120", "219099999"})
_ITIN_GROUPS: Final = frozenset([*range(50, 66), *range(70, 89), *range(90, 93), *range(94, 100)])
_SSN_WORDS: Final = ("ssn", "ssns", "social", "soc", "ss", "tax id", "taxpayer")
_ITIN_WORDS: Final = ("itin", "individual taxpayer", "tax id", "taxpayer", "tin")


def is_ssn(value: str) -> bool:
    """Tell whether it could have been given out; what stands on wallets' specimens could not."""
    number = only_digits(value)
    if len(number) != 9 or number in _SPECIMENS or not is_varied(number):  # noqa: PLR2004
        return False
    return number[0] != "9" and number[:3] not in {"000", "666"} and number[3:5] != "00" and number[5:] != "0000"


def is_itin(value: str) -> bool:
    """Tell whether it is of those for taxpayers without an SSN: 9xx, and a middle group from certain ranges."""
    number = only_digits(value)
    return number[0] == "9" and int(number[3:5]) in _ITIN_GROUPS


ROWS: Final = (
    Pattern(
        name="ssn",
        entity="US_SSN",
        trigger=digits(7),
        also=(low("-"),),
        regex=rf"(?a)[0-8]{_NOT_WITHIN}[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{_END}",
        check=whole(is_ssn),
        unless=OTHER_WORDS,
        score=SHAPED,
    ),
    Pattern(
        name="ssn that is called one",
        entity="US_SSN",
        trigger=digits(7),
        also=(spoken(*_SSN_WORDS),),
        regex=rf"(?a)[0-8]{_NOT_WITHIN}[0-9]{{2}}[ ./-]?[0-9]{{2}}[ ./-]?[0-9]{{4}}{_END}",
        check=whole(is_ssn),
        context=frozenset(_SSN_WORDS),
        score=SHAPED,
    ),
    Pattern(
        name="itin",
        entity="US_ITIN",
        trigger=digits(7),
        also=(low("-"),),
        regex=rf"(?a)9{_NOT_WITHIN}[0-9]{{2}}-[0-9]{{2}}-[0-9]{{4}}{_END}",
        check=whole(is_itin),
        score=SHAPED,
        regions=frozenset({"US"}),
    ),
    Pattern(
        name="itin that is called one",
        entity="US_ITIN",
        trigger=digits(7),
        also=(spoken(*_ITIN_WORDS),),
        regex=rf"(?a)9{_NOT_WITHIN}[0-9]{{2}}[ -]?[0-9]{{2}}[ -]?[0-9]{{4}}{_END}",
        check=whole(is_itin),
        context=frozenset(_ITIN_WORDS),
        score=TOLD,
        regions=frozenset({"US"}),
    ),
)
