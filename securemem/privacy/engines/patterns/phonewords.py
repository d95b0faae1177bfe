"""The words that say of a number that it is a telephone's, or something else: expressions, in lower case."""

from __future__ import annotations

from typing import Final

_PHONES: Final = (
    # English
    r"tele(?:phone|fon|fono|fone)|phones?|tel|mobiles?|mob|cell(?:phone|ular)?|fax(?:es)?|sms|whats ?app|telegram",
    r"(?<!function )(?<!tool )(?<!api )call(?:ed|ing|s)?(?: me| us| him| her| them| back)?|callback|imessage|hotline",
    r"text(?:ed|ing)? (?:me|us|him|her|them)|dial(?:ed|ing)?|ring (?:me|us|him|her)|reach(?:ed)?|contact(?:ed)?|pager",
    r"viber|imessage",
    r"helpline|landline|desk|answering|(?:receiving|sending|send) messages|registered|voice ?mail",
    # French, German, Spanish, Italian, Portuguese
    r"t[ée]l[ée]phone|portable|appel\w*|joindre|handy(?:nummer)?|telefonnummer|rufnummer|mobilnummer|anrufen|erreich\w+",
    r"m[óo]vil|ll[aá]m\w+|tel[eé]fono|cellulare|chiam\w+|telefone|telem[oó]vel|ligue|liga\w*",
    # Dutch, the North, the East, and beyond
    r"bel(?:len)?|mobiel|telefoonnummer|mobil|ring|puhelin\w*|komórk\w*|zadzwoń|telefonszám|тел\w*|звон\w+",
    r"电话|手机|電話|携帯|전화",
)
_PHONE: Final = rf"(?:\b|_)(?:{'|'.join(_PHONES)})"

NEAR: Final = _PHONE + r"(?![a-z])"
"""Somewhere before the number, or right behind it."""

CLOSE: Final = _PHONE + r"(?:[\s_-]?(?:no|nr|num|number|nummer|numero|número|n°)\b)?[^0-9\n]{0,24}\n?[^0-9]{0,4}\Z"
"""Before the number, with no other number and at most a line's end between."""

_OTHERS: Final = (
    r"orders?|invoice|ticket|case|ref(?:erence)?|ids?|isbn|issn|sku|upc|ean|part|model|serial|versions?|build|tracking",
    r"shipment|parcel|account|acct|policy|claim|zip|postcode|uuid|hash|commit|sha|bug|issue|request|transaction|txn",
    r"batch|lot|item|product|asset|pages?|pp|line|port|pid|size|bytes|amount|total|price|cost|balance|timestamp|time",
    r"date|epoch|iban|ssn|social security|routing|card|licen[cs]e|passport|lat|lon|lng|latitude|longitude|count|rfc",
    r"pmid|doi|patent|room|suite|seed|salt|nonce|offset|index|rev|revision|population|rows?|matrix",
    r"bestellnummer|rechnungsnummer|kundennummer|steuernummer|commande|facture|pedido|factura",
)
OTHER_WORDS: Final = (
    rf"(?:(?:\b|_)(?:{'|'.join(_OTHERS)})"
    r"(?:[\s_-]{0,2}(?:no|nr|num|number|code|id|is|was|of|#)){0,2}|\#)[^\w]{0,4}"
)
"""Right before the number."""
