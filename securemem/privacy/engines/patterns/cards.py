"""CREDIT_CARD: payment cards by the brands' first digits and lengths (ISO/IEC 7812, EMV BIN lists) and by Luhn."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.digits import is_varied, luhn, only_digits
from securemem.privacy.engines.patterns.pattern import CHECKED, TOLD, Pattern, shrinking, whole
from securemem.privacy.engines.patterns.views import digits

_BRANDS: Final[tuple[tuple[int, int, tuple[int, ...]], ...]] = (
    (1800, 1800, (15,)),  # JCB of old
    (2014, 2014, (15,)),  # enRoute
    (2131, 2131, (15,)),  # JCB of old
    (2149, 2149, (15,)),  # enRoute
    (2200, 2204, (16, 17, 18, 19)),  # Mir
    (2221, 2720, (16,)),  # Mastercard
    (3000, 3059, (14, 16, 17, 18, 19)),  # Diners Club
    (3095, 3095, (14, 16, 17, 18, 19)),
    (3400, 3499, (15,)),  # American Express
    (3528, 3589, (16, 17, 18, 19)),  # JCB
    (3600, 3699, (14, 15, 16, 17, 18, 19)),  # Diners Club
    (3700, 3799, (15,)),  # American Express
    (3800, 3999, (14, 16, 17, 18, 19)),  # Diners Club
    (4000, 4999, (13, 16, 18, 19)),  # Visa
    (5000, 5099, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro, Elo, Dankort, Verve
    (5100, 5599, (16,)),  # Mastercard
    (5600, 5899, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (6000, 6999, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro, Discover, UnionPay, RuPay
    (8100, 8299, (16, 17, 18, 19)),  # UnionPay, RuPay
    (9792, 9792, (16,)),  # Troy
)
_USUAL: Final = (14, 15, 16)

_NOT_WITHIN: Final = r"(?<!\w[0-9])(?<![0-9][.:][0-9])(?<![0-9a-fA-F]-[0-9])(?<![#][0-9])"
_END: Final = r"(?!\w|[.,:-][0-9a-fA-F])"
_WORDS: Final = """
    card cards cardno cardnumber visa mastercard master amex american express maestro discover diners jcb unionpay mir
    debit credit cc ccn pan payment carte cb kreditkarte kreditkartennummer karte kartennummer tarjeta tarjetas carta
    cartao cartão kaart creditcard kaartnummer karta karty kart korttia kortti luottokortti kortet kort карта
    карты карту
    картой カード 卡
"""
CARD_WORDS: Final = frozenset(_WORDS.split())


def is_card(value: str) -> bool:
    """Tell whether it is a number of some brand with the right check digit."""
    number = only_digits(value)
    return _is_of_a_brand(number) and is_varied(number) and luhn(number)


def is_usual_card(value: str) -> bool:
    """Tell the same, of the lengths that most cards have: of all others a tenth of all numbers would pass."""
    return sum([char.isdigit() for char in value]) in _USUAL and is_card(value)


def is_said_to_be_card(value: str) -> bool:
    """Tell whether a number that is called a card may be one, be its brand known or not."""
    number = only_digits(value)
    return (_is_of_a_brand(number) or len(number) in _USUAL) and is_varied(number) and luhn(number)


def _is_of_a_brand(number: str) -> bool:
    if len(number) < 12:  # noqa: PLR2004  (Maestro's shortest)
        return False
    first = int(number[:4])
    return any(low <= first <= high and len(number) in lengths for low, high, lengths in _BRANDS)


ROWS: Final = (
    Pattern(
        name="card",
        entity="CREDIT_CARD",
        trigger=digits(12),
        regex=rf"(?a)[0-9]{_NOT_WITHIN}[0-9]{{13,15}}{_END}",
        check=whole(is_usual_card),
        score=CHECKED,
    ),
    Pattern(
        name="card in groups",
        entity="CREDIT_CARD",
        trigger=digits(12),
        regex=(
            rf"(?a)[0-9]{_NOT_WITHIN}[0-9]{{3}}[ .-]{{1,3}}(?:[0-9]{{4}}[ .-]{{1,3}}[0-9]{{4}}[ .-]{{1,3}}[0-9]{{1,7}}"
            rf"|[0-9]{{6}}[ .-]{{1,3}}[0-9]{{4,5}})(?:[ .-]{{1,3}}[0-9]{{1,3}})?(?!\w)"
        ),
        check=shrinking(is_card),
        score=CHECKED,
    ),
    Pattern(
        name="card that is called one",
        entity="CREDIT_CARD",
        trigger=digits(12),
        regex=rf"(?a)[0-9]{_NOT_WITHIN}(?:[ .-]{{0,2}}[0-9]){{11,18}}(?!\w)",
        check=shrinking(is_said_to_be_card),
        context=CARD_WORDS,
        score=CHECKED - (CHECKED - TOLD) / 3,
    ),
)
