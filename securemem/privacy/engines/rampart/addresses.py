"""Parts of addresses by their form, where the network breaks off: house numbers, flats, boxes, military post.

Each form says what it is by a word of its own ("Suite", "Calle", "APO"), so that it needs no network; a flat or a
suite counts only close to a place that was found otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from securemem.privacy.engines.rampart.words import Word

SCORE: Final = 0.75
_NEAR: Final = 40
"""Characters between a flat and the place that it belongs to, at most."""
_SMALL: Final = r"de|la|las|los|le|les|del|della|dei|di|do|da|dos|des|du|der|den|van|von|of|the"
_NAME: Final = rf"(?:(?:(?:{_SMALL})[ ]){{0,2}}[^\W\d_a-z][\w'\u2019.\-]{{0,30}}[ ]){{1,3}}"
_BOX: Final = (
    r"p\.?[ ]?o\.?[ ]?box|post(?:al)?[ ]?box|postfach|postbus|apartado|apdo\.?|casella[ ]postale|"
    r"bo[i\u00ee]te[ ]postale"
)
_STREET_BEFORE: Final = (
    r"calle|c/|avenida|avda?\.?|plaza|paseo|rua|pra\u00e7a|rue|via|viale|piazza|corso|ulica|ul\.|al\.|pl\.|strada|str\.|"
    r"bulevardul|bd\."
)
_STREET_AFTER: Final = r"street|avenue|road|lane|drive|boulevard|terrace|crescent|highway|parkway|squares?"
_STREET_WITHIN: Final = (
    r"stra\u00dfe|strasse|str\.|gasse|platz|allee|weg|damm|straat|gracht|laan|plein|gatan|v\u00e4gen|gade|vej|veien|"
    r"katu|utca"
)
_WHOLE: Final = re.compile(
    # Unit 7349 Box 6067, APO AE 09081, and ships
    r"(?i:\b(?:(?:psc|cmr|unit)\s{1,3}\d{1,5},?\s{1,3}box\s{1,3}\d{1,5}|uss|usns|usnv|uscgc)\b[^\n]{0,30}[,\s]{1,3}"
    r"(?:apo|fpo|dpo)[,\s]{1,3}(?:aa|ae|ap)[,\s]{1,3}\d{5}(?:-\d{4})?)\b"
    # P.O. Box 242
    rf"|(?i:\b(?:{_BOX})[ ](?:no\.?[ ]?)?\d{{1,6}})\b"
    # Calle Mayor 5, ul. Zamkowa 33
    rf"|(?i:(?<!\w)(?:{_STREET_BEFORE}))[ ]{_NAME}\d{{1,5}}[a-zA-Z]?\b"
    # Hauptstrasse 12, Keizersgracht 5, Storgatan 3
    rf"|\b(?!Brigade|Renegade)[^\W\d_a-z][\w\-]{{1,30}}(?:{_STREET_WITHIN})[ ]\d{{1,5}}[a-zA-Z]?\b"
    # 12 Baker Street
    rf"|\b\d{{1,6}}[a-zA-Z]?[ ]{_NAME}(?i:{_STREET_AFTER})\b"
)
_PART: Final = re.compile(
    r"(?i)\b(?:apt|apartment|suite|ste|flat|unit|apto|wohnung|whg|lejl|lgh|app)\b\.?[ ]?#?\d{1,5}[a-z]?\b"
)


def with_addresses(text: str, words: Sequence[Word]) -> list[Word]:
    """Give the words of a text, those in an address by its form as likely as that makes them."""
    if not any(sign.isdigit() for sign in text):
        return list(words)
    found = _raised(words, [match.span() for match in _WHOLE.finditer(text)])
    return _raised(found, list(_flats(text, found)))


def _flats(text: str, words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    places = [word for word in words if word.place >= SCORE and word.place > word.name]
    for match in _PART.finditer(text):
        start, end = match.span()
        if any(place.end > start - _NEAR and place.start < end + _NEAR for place in places):
            yield start, end


def _raised(words: Sequence[Word], spans: Sequence[tuple[int, int]]) -> list[Word]:
    """Give words, those within ascending spans as parts of a place."""
    raised: list[Word] = []
    upcoming = iter(spans)
    start, end = next(upcoming, (-1, -1))
    for word in words:
        while 0 <= end <= word.start:
            start, end = next(upcoming, (-1, -1))
        inside = 0 <= start < word.end and word.start < end
        raised.append(word.as_place(SCORE) if inside else word)
    return raised
