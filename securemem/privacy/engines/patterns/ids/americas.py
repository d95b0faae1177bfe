"""Numbers of the United States, Canada and Brazil."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, luhn, weighted
from securemem.privacy.engines.patterns.ids.row import number

_NPI_PREFIX: Final = "80840"


def is_routing(value: str) -> bool:
    """Tell by the American Bankers Association's weights; the first two digits name a Federal Reserve bank."""
    bank = int(value[:2])
    return (0 < bank <= 12 or 21 <= bank <= 32 or 61 <= bank <= 72 or bank == 80) and not (  # noqa: PLR2004
        weighted(value, (3, 7, 1) * 3) % 10
    )


def is_npi(value: str) -> bool:
    """Tell by Luhn, over the prefix of health and the United States (45 CFR 162.406)."""
    return luhn(_NPI_PREFIX + value)


def is_sin(value: str) -> bool:
    """Tell by Luhn; none begins with 0 or 8 (Service Canada)."""
    return value[0] not in "08" and luhn(value) and is_varied(value)


def _has_checks(value: str, count: int, heaviest: int) -> bool:
    """Tell by Brazil's two check digits, each over all digits before it, with weights that rise from the right."""
    for length in (count - 2, count - 1):
        weights = [2 + place % (heaviest - 1) for place in range(length)][::-1]
        remainder = weighted(value[:length], weights) % 11
        if int(value[length]) != (0 if remainder < 2 else 11 - remainder):  # noqa: PLR2004
            return False
    return is_varied(value)


def is_cpf(value: str) -> bool:
    """Tell a person's number (Receita Federal)."""
    return _has_checks(value, 11, 11)


def is_cnpj(value: str) -> bool:
    """Tell a company's number (Receita Federal)."""
    return _has_checks(value, 14, 9)


ROWS: Final = (
    number("ABA_ROUTING_NUMBER", "US", r"[0-9][0-9]{8}", is_routing, words=("routing", "aba", "rtn", "transit")),
    number("ABA_ROUTING_NUMBER", "US", r"[0-9][0-9]{3}-[0-9]{4}-[0-9]", is_routing, form=("0000-0000-0",)),
    number("US_PASSPORT", "US", r"[A-Za-z0-9][0-9]{8}", is_varied, words=("passport", "passports")),
    number("US_NPI", "US", r"[12][0-9]{9}", is_npi, words=("npi", "national provider")),
    number(
        "CA_SIN", "CA", r"[1-79][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}", is_sin, words=("sin", "social insurance", "nas")
    ),
    number("BR_CPF", "BR", r"[0-9][0-9]{2}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", is_cpf, form=("000.000.000-00",)),
    number("BR_CPF", "BR", r"[0-9][0-9]{10}", is_cpf, words=("cpf",)),
    number("BR_CNPJ", "BR", r"[0-9][0-9]\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}", is_cnpj, form=("00.000.000/0000-00",)),
    number("BR_CNPJ", "BR", r"[0-9][0-9]{13}", is_cnpj, words=("cnpj",)),
)
