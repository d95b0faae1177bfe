"""DATE_TIME and AGE: dates with a year, and ages in words that say so. For treatments that make them coarser.

Of an age the number alone is the span, so that "42 years old" becomes "40-49 years old". A year alone is no date, and
neither is a timestamp as machines write it (RFC 3339, with its "T").
"""

from __future__ import annotations

from itertools import product
from typing import Final

from securemem.privacy.engines.patterns.pattern import SHAPED, Check, Pattern
from securemem.privacy.engines.patterns.views import digits, forms, spoken

_MONTHS_WRITTEN: Final = """
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
    januar februar märz mai juni juli oktober dezember mär okt dez
    janvier février fevrier mars avril juin juillet août aout septembre octobre novembre décembre decembre févr avr juil
    enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre ene abr ago dic
    gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre gen mag giu lug set ott
    janeiro fevereiro março marco maio junho julho setembro outubro novembro dezembro fev out
    januari februari maart mei augustus mrt
"""
_MONTHS: Final = frozenset(_MONTHS_WRITTEN.split())
_SIGNS, _SHORT = "/.-", ("0", "00")
_MOST_MONTHS, _MOST_DAYS = 12, 31

_YEAR: Final = r"(?:1[89]|20|21)[0-9]{2}"
_MONTH: Final = r"[a-zéûäç]{3,10}\.?"
_TIME: Final = (
    r"(?:,? (?:at )?[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?"
    r"(?: ?(?:utc|gmt|[ap]\.?m\.?|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_NOT_WITHIN: Final = r"(?<![\w.][0-9])(?<!\w[/:-][0-9])"
_NUMBER: Final = r"(?P<age>[0-9](?<![\w.,:/-][0-9])(?:(?<=1)[0-2][0-9]|[0-9])?)"  # up to 129


def is_numeric(text: str, start: int, end: int) -> int:
    """Tell whether day and month can be such, in whichever order; "3.7.15" is a version."""
    parts = "".join(char if char.isdigit() else " " for char in text[start : start + 10]).split()[:3]
    first, middle, last = (int(part) for part in parts)
    day, month = (last, middle) if first > _MOST_DAYS else (first, middle)
    if not (1 <= min(day, month) <= _MOST_MONTHS and max(day, month) <= _MOST_DAYS):
        return start
    is_version = "." in text[start : start + 3] and len(parts[2]) < 4 and len(parts[0]) + len(parts[1]) < 4  # noqa: PLR2004
    return start if is_version else end


def is_written(text: str, start: int, end: int) -> int:
    """Tell whether one of its words is a month."""
    words = "".join(char if char.isalpha() else " " for char in text[start:end].lower()).split()
    return start if _MONTHS.isdisjoint(words) else end


def _date(name: str, regex: str, check: Check, *, form: tuple[str, ...] = ()) -> Pattern:
    return Pattern(
        name=f"date, {name}",
        entity="DATE_TIME",
        trigger=digits(4),
        also=(forms(*form) if form else spoken(*_MONTHS),),
        regex=rf"{regex}(?![0-9]|t[0-9]){_TIME}(?!\w)",
        lower=True,
        check=check,
        score=SHAPED,
    )


def _age(name: str, words: tuple[str, ...], regex: str) -> Pattern:
    return Pattern(
        name=f"age, {name}",
        entity="AGE",
        trigger=digits(1),
        also=(spoken(*words),),
        regex=regex,
        lower=True,
        score=SHAPED,
    )


ROWS: Final = (
    _date(
        "year first (ISO 8601)",
        rf"[12]{_NOT_WITHIN}[0-9]{{3}}([/.-])[0-9]{{1,2}}\1[0-9]{{1,2}}(?![/-][0-9])",
        is_numeric,
        form=tuple(sign.join(("0000", *rest)) for sign in _SIGNS for rest in product(_SHORT, repeat=2)),
    ),
    _date(
        "year last",
        rf"[0-9]{_NOT_WITHIN}[0-9]?([/.-])[0-9]{{1,2}}\1(?:{_YEAR}|[0-9]{{2}})(?![/.-][0-9])",
        is_numeric,
        form=tuple(sign.join(parts) for sign in _SIGNS for parts in product(_SHORT, _SHORT, ("00", "0000"))),
    ),
    _date(
        "day, month, year",
        rf"[0-9]{_NOT_WITHIN}[0-9]?(?:st|nd|rd|th|er|\.|º)?[ -](?:of |de )?{_MONTH},?[ -](?:de |del )?{_YEAR}",
        is_written,
    ),
    _date(
        "month, day, year",
        rf"[a-zé](?<!\w[a-zé])[a-zéûäç]{{2,9}}\.? [0-3]?[0-9](?:st|nd|rd|th)?,? {_YEAR}",
        is_written,
    ),
    _date("month, year", rf"[a-zé](?<!\w[a-zé])[a-zéûäç]{{2,9}}\.?,? (?:de |of )?{_YEAR}", is_written),
    _age(
        "before the word",
        ("year", "years", "yr", "yrs", "month", "months", "y", "yo"),
        _NUMBER + r"(?:[ -]?(?:years?|yrs?|months?)(?:[ -]old|[ -]of[ -]age)\b|[ -]?y[./]?o\b|[ -]yrs?\b(?= [fm]\b))",
    ),
    _age(
        "before the word in other languages",
        ("ans", "jahre", "años", "anos", "anni", "jaar", "lat", "år", "års"),
        _NUMBER + r" (?:ans\b(?! après)|jahre alt|años|anos de idade|anni\b|jaar oud|lat\b|års? (?:gammal|gammel))",
    ),
    _age(
        "behind a word",
        ("age", "aged", "alter", "âge", "âgé", "âgée", "edad", "età", "idade", "leeftijd", "wiek"),
        r"\b(?:aged?|alter|âge|âgée? de|edad|età|idade|leeftijd|wiek)\\?[\"']?(?: is| was| of|:| ?=)? {0,2}"
        + _NUMBER
        + r"(?!\w|[%/.,:-]\w)",
    ),
    _age(
        "that one has turned",
        ("turn", "turns", "turned", "turning", "was", "were"),
        r"\b(?:turn(?:ed|s|ing)?|when (?:he|she|i|they) (?:was|were)) "
        + _NUMBER
        + r"(?=[.,;!?\n]|\Z| (?:in|on|last|this|next|today|yesterday|tomorrow|when|and)\b)",
    ),
)
