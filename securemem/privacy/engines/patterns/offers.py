"""Which entities there are, in which rooms their patterns stand, and for which countries.

A room is imported when a text is first looked through for one of its entities: most policies need three of them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from securemem.privacy.engines.patterns.pattern import Pattern

OFFERS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "AGE": (("times",), ()),
    "CREDIT_CARD": (("cards",), ()),
    "CRYPTO": (("coins",), ()),
    "DATE_TIME": (("times",), ()),
    "EMAIL_ADDRESS": (("mails",), ()),
    "IBAN_CODE": (("accounts",), ()),
    "IP_ADDRESS": (("network",), ()),
    "MAC_ADDRESS": (("network",), ()),
    "PHONE_NUMBER": (("phones", "regionalphones"), ()),
    "SECRET": (("tokens", "passwords", "coins"), ()),
    "URL": (("urls",), ()),
    "US_SSN": (("socials",), ()),
    "US_ITIN": (("socials",), ("US",)),
    "ABA_ROUTING_NUMBER": (("ids.americas",), ("US",)),
    "US_PASSPORT": (("ids.americas",), ("US",)),
    "US_NPI": (("ids.americas",), ("US",)),
    "CA_SIN": (("ids.americas",), ("CA",)),
    "BR_CPF": (("ids.americas",), ("BR",)),
    "BR_CNPJ": (("ids.americas",), ("BR",)),
    "UK_NHS": (("ids.britain",), ("GB",)),
    "UK_NINO": (("ids.britain",), ("GB",)),
    "UK_DRIVING_LICENCE": (("ids.britain",), ("GB",)),
    "DE_ID_CARD": (("ids.west",), ("DE",)),
    "DE_SOCIAL_SECURITY": (("ids.west",), ("DE",)),
    "DE_TAX_ID": (("ids.west",), ("DE",)),
    "FR_NIR": (("ids.west",), ("FR",)),
    "NL_BSN": (("ids.west",), ("NL",)),
    "BE_NATIONAL_NUMBER": (("ids.west",), ("BE",)),
    "CH_AHV": (("ids.west",), ("CH",)),
    "ES_NIE": (("ids.south",), ("ES",)),
    "ES_NIF": (("ids.south",), ("ES",)),
    "IT_FISCAL_CODE": (("ids.south",), ("IT",)),
    "IT_VAT_CODE": (("ids.south",), ("IT",)),
    "PT_NIF": (("ids.south",), ("PT",)),
    "TR_NATIONAL_ID": (("ids.south",), ("TR",)),
    "FI_PERSONAL_IDENTITY_CODE": (("ids.north",), ("FI",)),
    "NO_FNR": (("ids.north",), ("NO",)),
    "PL_PESEL": (("ids.north",), ("PL",)),
    "SE_PERSONNUMMER": (("ids.north",), ("SE",)),
    "AU_ABN": (("ids.pacific",), ("AU",)),
    "AU_ACN": (("ids.pacific",), ("AU",)),
    "AU_MEDICARE": (("ids.pacific",), ("AU",)),
    "AU_TFN": (("ids.pacific",), ("AU",)),
    "SG_NRIC_FIN": (("ids.pacific",), ("SG",)),
    "IN_AADHAAR": (("ids.asia",), ("IN",)),
    "IN_PAN": (("ids.asia",), ("IN",)),
    "KR_RRN": (("ids.asia",), ("KR",)),
    "TH_TNIN": (("ids.asia",), ("TH",)),
    "ZA_ID_NUMBER": (("ids.asia",), ("ZA",)),
}
"""Of each entity, by presidio's name where it has one: the rooms in which its patterns stand; and the regions of which
one must be asked for, by ISO 3166-1, none for an entity that every country knows.
"""


@cache
def rows_of(entity: str) -> tuple[Pattern, ...]:
    """Give the patterns of an entity."""
    rooms = [import_module(f"{__package__}.{room}") for room in OFFERS[entity][0]]
    return tuple(row for room in rooms for row in room.ROWS if row.entity == entity)
