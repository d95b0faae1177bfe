"""Numbers of Finland, Norway, Poland and Sweden: each begins with the day of birth."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_day, luhn, weighted
from securemem.privacy.engines.patterns.ids.row import number

_FINLAND: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def is_finnish(value: str) -> bool:
    """Tell by the remainder by 31 (Digital and Population Data Services Agency); its sign may be a letter or gone."""
    plain = value[:6] + value[-4:-1]
    return _FINLAND[int(plain) % 31] == value[-1] and is_day(int(value[4:6]), int(value[2:4]), int(value[:2]))


def is_norwegian(value: str) -> bool:
    """Tell by two remainders by eleven; D-numbers have 4 added to the first digit (Skatteetaten)."""
    day, month = int(value[:2]) % 40, int(value[2:4]) % 40
    first = weighted(value, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    second = weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    return not first and not second and is_day(int(value[4:6]), month, day)


def is_pesel(value: str) -> bool:
    """Tell by the weights 1, 3, 7, 9; centuries add 20 to the month (Ustawa o ewidencji ludności)."""
    day = is_day(int(value[:2]), int(value[2:4]) % 20, int(value[4:6]))
    return day and not weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10


def is_swedish(value: str) -> bool:
    """Tell by Luhn over the last ten digits; coordination numbers have 60 added to the day (Skatteverket)."""
    plain = value[-10:]
    return luhn(plain) and is_day(int(plain[:2]), int(plain[2:4]), int(plain[4:6]) % 60)


_PERSON: Final = ("personnummer", "personnr", "personal number", "pnr", "samordningsnummer")

ROWS: Final = (
    number(
        "FI_PERSONAL_IDENTITY_CODE",
        "FI",
        r"[0-3][0-9][01][0-9]{3}[A-FU-Y+-][0-9]{3}[0-9A-FHJ-NPR-Y]",
        is_finnish,
        form=("000000-0000", "000000-000a", "000000+0000", "000000+000a", "000000a0000", "000000a000a"),
    ),
    number("NO_FNR", "NO", r"[0-7][0-9][0-9]{4} ?[0-9]{5}", is_norwegian, form=("00000000000", "000000")),
    number("PL_PESEL", "PL", r"[0-9][0-9]{10}", is_pesel, words=("pesel",)),
    number(
        "SE_PERSONNUMMER",
        "SE",
        r"[0-9](?:[0-9]{2})?[0-9]{5}[-+][0-9]{4}",
        is_swedish,
        form=("000000-0000", "000000+0000", "00000000-0000", "00000000+0000"),
    ),
    number("SE_PERSONNUMMER", "SE", r"[0-9](?:[0-9]{2})?[0-9]{5} ?[0-9]{4}", is_swedish, words=_PERSON),
)
