"""Check digits, by the names of their methods. Whoever calls them says which standard asks for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_NO_DIGITS: Final = {code: None for code in range(128) if not chr(code).isdigit()}
_LUHN_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_VERHOEFF_PRODUCT: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PLACE: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def only_digits(value: str) -> str:
    """Give the digits of a value in ASCII."""
    return value.translate(_NO_DIGITS)


def compact(value: str) -> str:
    """Give a value's letters and digits, in upper case."""
    return "".join([char for char in value if char.isalnum()]).upper()


def luhn(number: str) -> bool:
    """Tell whether the last digit is right by ISO/IEC 7812-1, annex B."""
    places = [ord(char) - 48 for char in reversed(number)]
    return not (sum(places[::2]) + sum([_LUHN_DOUBLED[digit] for digit in places[1::2]])) % 10


def weighted(number: str, weights: Iterable[int]) -> int:
    """Give the sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def mod97(value: str) -> int:
    """Give the remainder by 97 of letters and digits, A being 10 and Z 35 (ISO/IEC 7064, MOD 97-10)."""
    return int("".join([str(int(char, 36)) for char in value])) % 97


def mod11_10(number: str) -> bool:
    """Tell whether the last digit is right by ISO/IEC 7064, MOD 11,10."""
    check = 5
    for digit in number:
        check = ((check or 10) * 2 % 11 + int(digit)) % 10
    return check == 1


def verhoeff(number: str) -> bool:
    """Tell whether the last digit is right by Verhoeff's method (the dihedral group of order ten)."""
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = int(_VERHOEFF_PRODUCT[check][int(_VERHOEFF_PLACE[place % 8][int(digit)])])
    return not check


def is_varied(number: str) -> bool:
    """Tell whether more than one character stands in a number: what is all the same is made up."""
    return len(set(number)) > 1


def is_day(year: int, month: int, day: int) -> bool:
    """Tell whether there is such a day; a year below 100 is of any century."""
    if not 1 <= month <= 12:  # noqa: PLR2004
        return False
    lengths: Sequence[int] = (31, 28 + (year % 4 == 0), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return 1 <= day <= lengths[month - 1]
