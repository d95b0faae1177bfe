"""generalise: less of the same. Dates become years, ages bands of ten, addresses towns, IP addresses networks.

What of these cannot be read, and every other entity, is redacted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from securemem.model import Span
from securemem.privacy.treatments.redact import redact
from securemem.privacy.treatments.treatment import Hand

_YEAR = re.compile(r"(?<!\d)(?:1[89]|20|21)\d\d(?!\d)")
_SHORT_YEAR = re.compile(r"[/.-](\d\d)\Z")
_PIVOT = 70
_NUMBER = re.compile(r"\d{1,3}")
_OLDEST, _BAND = 90, 10
_PART = re.compile(r"[,;\n]+")
_STREET = re.compile(
    r"(?i)\b(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|court|ct|square|sq|boulevard|blvd|way|place|pl|terrace|close|"
    r"apt|apartment|suite|unit|floor|flat|box|rue|via|calle|platz|weg|allee|gasse)\b|stra(?:ß|ss)e\b|str\."
)
_CODE = re.compile(r"(?:\b[A-Z]{2}\s+)?\b(?=\w*\d)[\w-]+\b|\b[A-Z]{2}\b")


def generalise(value: str, span: Span, hand: Hand) -> str:
    """Give something coarser of the same kind."""
    coarser = _COARSER.get(span.entity)
    return (coarser(value) if coarser is not None else None) or redact(value, span, hand)


def _year(value: str) -> str | None:
    whole = _YEAR.search(value)
    if whole is not None:
        return whole[0]
    short = _SHORT_YEAR.search(value)
    if short is None:
        return None
    return f"{'19' if int(short[1]) >= _PIVOT else '20'}{short[1]}"


def _band(value: str) -> str | None:
    """Give the ten years in which an age lies; from 90 on they are one band (HIPAA, 45 CFR 164.514(b)(2)(i)(C))."""
    number = _NUMBER.search(value)
    if number is None:
        return None
    age = int(number[0])
    low = age - age % _BAND
    return f"{_OLDEST}+" if age >= _OLDEST else f"{low}-{low + _BAND - 1}"


def _town(value: str) -> str | None:
    """Give the last part of an address that is neither a street nor a code."""
    for part in reversed(_PART.split(value)):
        bare = " ".join(_CODE.sub(" ", part).split())
        if bare and not _STREET.search(part):
            return bare
    return None


def _network(value: str) -> str | None:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))  # noqa: PLR2004


_COARSER: dict[str, Callable[[str], str | None]] = {
    "DATE_TIME": _year,
    "AGE": _band,
    "LOCATION": _town,
    "IP_ADDRESS": _network,
}
