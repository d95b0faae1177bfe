"""Numbers of Germany, France, the Netherlands, Belgium and Switzerland."""

from __future__ import annotations

from collections import Counter
from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, mod11_10, weighted
from securemem.privacy.engines.patterns.ids.row import number
from securemem.privacy.engines.patterns.views import Trigger

_THIRTEEN_OR_CORSICAN: Final = Trigger("numbers", ("0" * 13, "00000 00000000"))
_CORSICA: Final = {"2A": "19", "2B": "18"}


def is_german_tax(value: str) -> bool:
    """Tell by MOD 11,10; of the first ten digits one alone comes twice or thrice (BZSt)."""
    repeated = [count for count in Counter(value[:10]).values() if count > 1]
    return repeated in ([2], [3]) and mod11_10(value)


def is_german_pension(value: str) -> bool:
    """Tell by the sum of the products' digits, the letter being two digits (VKVV, section 4)."""
    plain = f"{value[:8]}{ord(value[8]) - 64:02}{value[9:11]}"
    products = (int(digit) * weight for digit, weight in zip(plain, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    total = sum(product // 10 + product % 10 for product in products)
    return total % 10 == int(value[11]) and 1 <= int(value[4:6]) <= 12  # noqa: PLR2004


def is_german_card(value: str) -> bool:
    """Tell by the weights 7, 3, 1 of ICAO 9303, letters counting from A = 10."""
    total = sum(int(char, 36) * (7, 3, 1)[place % 3] for place, char in enumerate(value[:9]))
    return total % 10 == int(value[9])


def is_nir(value: str) -> bool:
    """Tell by the key of two digits; Corsica's letters stand for 19 and 18 (INSEE)."""
    plain = value[:5] + _CORSICA.get(value[5:7], value[5:7]) + value[7:]
    return plain.isdigit() and 97 - int(plain[:13]) % 97 == int(plain[13:])


def is_bsn(value: str) -> bool:
    """Tell by the test of eleven (Logisch Ontwerp BSN)."""
    return not weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 and is_varied(value)


def is_belgian(value: str) -> bool:
    """Tell by the remainder by 97, with a 2 ahead for those who were born after 1999."""
    return int(value[9:]) in {97 - int(prefix + value[:9]) % 97 for prefix in ("", "2")} and is_varied(value)


def is_ahv(value: str) -> bool:
    """Tell by the check digit of EAN-13."""
    return not weighted(value, (1, 3) * 7) % 10


ROWS: Final = (
    number(
        "DE_TAX_ID",
        "DE",
        r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        is_german_tax,
        words=(
            "steuer",
            "steuernummer",
            "steuerid",
            "steueridentifikationsnummer",
            "idnr",
            "id-nr",
            "tax",
            "taxpayer",
            "tin",
        ),
    ),
    number(
        "DE_SOCIAL_SECURITY",
        "DE",
        r"[0-9][0-9] ?[0-3][0-9][0-9]{2}[0-9]{2} ?[A-Za-z] ?[0-9]{3}",
        is_german_pension,
        form=("00000000a000", "000000"),
    ),
    number(
        "DE_ID_CARD",
        "DE",
        r"[CFGHJ-NPRTV-Zcfghj-nprtv-z][0-9CFGHJ-NPRTV-Zcfghj-nprtv-z]{8}[0-9]",
        is_german_card,
        words=(
            "personalausweis",
            "personalausweisnummer",
            "ausweis",
            "ausweisnummer",
            "reisepass",
            "passport",
            "id card",
            "perso",
        ),
    ),
    number(
        "FR_NIR",
        "FR",
        r"[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        is_nir,
        form=("0" * 15, "0" * 13, "000000a00000000", "000"),
        trigger=_THIRTEEN_OR_CORSICAN,
    ),
    number(
        "NL_BSN",
        "NL",
        r"[0-9][0-9]{3}\.?[0-9]{2}\.?[0-9]{3}",
        is_bsn,
        words=("bsn", "burgerservicenummer", "sofi", "sofinummer"),
    ),
    number(
        "BE_NATIONAL_NUMBER",
        "BE",
        r"[0-9][0-9]\.[01][0-9]\.[0-3][0-9]-[0-9]{3}\.[0-9]{2}",
        is_belgian,
        form=("00.00.00-000.00",),
    ),
    number(
        "BE_NATIONAL_NUMBER",
        "BE",
        r"[0-9][0-9]{10}",
        is_belgian,
        words=("rijksregisternummer", "registre national", "national number", "insz", "niss"),
    ),
    number("CH_AHV", "CH", r"7[5]6\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}", is_ahv, form=("000.0000.0000.00", "0" * 13)),
)
