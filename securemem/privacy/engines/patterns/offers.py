"""Which entities there are, in which rooms their patterns stand, and for which countries.

A room is imported when a text is first looked through for one of its entities: most policies need three of them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, NamedTuple

from securemem.privacy.engines.patterns.pattern import Pattern


class Offer(NamedTuple):
    """One entity.

    Attributes:
        entity: by presidio's name where it has one.
        rooms: where its patterns stand.
        regions: of these one must be asked for, by ISO 3166-1; none for an entity that every country knows.
    """

    entity: str
    rooms: tuple[str, ...]
    regions: tuple[str, ...] = ()


OFFERS: Final = (
    Offer("AGE", ("times",)),
    Offer("CREDIT_CARD", ("cards",)),
    Offer("CRYPTO", ("coins",)),
    Offer("DATE_TIME", ("times",)),
    Offer("EMAIL_ADDRESS", ("mails",)),
    Offer("IBAN_CODE", ("accounts",)),
    Offer("IP_ADDRESS", ("network",)),
    Offer("MAC_ADDRESS", ("network",)),
    Offer("PHONE_NUMBER", ("phones",)),
    Offer("SECRET", ("tokens", "passwords", "coins")),
    Offer("URL", ("urls",)),
    Offer("US_SSN", ("socials",)),
    Offer("US_ITIN", ("socials",), ("US",)),
    Offer("ABA_ROUTING_NUMBER", ("ids.americas",), ("US",)),
    Offer("US_PASSPORT", ("ids.americas",), ("US",)),
    Offer("US_NPI", ("ids.americas",), ("US",)),
    Offer("CA_SIN", ("ids.americas",), ("CA",)),
    Offer("BR_CPF", ("ids.americas",), ("BR",)),
    Offer("BR_CNPJ", ("ids.americas",), ("BR",)),
    Offer("UK_NHS", ("ids.britain",), ("GB",)),
    Offer("UK_NINO", ("ids.britain",), ("GB",)),
    Offer("UK_DRIVING_LICENCE", ("ids.britain",), ("GB",)),
    Offer("DE_ID_CARD", ("ids.west",), ("DE",)),
    Offer("DE_SOCIAL_SECURITY", ("ids.west",), ("DE",)),
    Offer("DE_TAX_ID", ("ids.west",), ("DE",)),
    Offer("FR_NIR", ("ids.west",), ("FR",)),
    Offer("NL_BSN", ("ids.west",), ("NL",)),
    Offer("BE_NATIONAL_NUMBER", ("ids.west",), ("BE",)),
    Offer("CH_AHV", ("ids.west",), ("CH",)),
    Offer("ES_NIE", ("ids.south",), ("ES",)),
    Offer("ES_NIF", ("ids.south",), ("ES",)),
    Offer("IT_FISCAL_CODE", ("ids.south",), ("IT",)),
    Offer("IT_VAT_CODE", ("ids.south",), ("IT",)),
    Offer("PT_NIF", ("ids.south",), ("PT",)),
    Offer("TR_NATIONAL_ID", ("ids.south",), ("TR",)),
    Offer("FI_PERSONAL_IDENTITY_CODE", ("ids.north",), ("FI",)),
    Offer("NO_FNR", ("ids.north",), ("NO",)),
    Offer("PL_PESEL", ("ids.north",), ("PL",)),
    Offer("SE_PERSONNUMMER", ("ids.north",), ("SE",)),
    Offer("AU_ABN", ("ids.pacific",), ("AU",)),
    Offer("AU_ACN", ("ids.pacific",), ("AU",)),
    Offer("AU_MEDICARE", ("ids.pacific",), ("AU",)),
    Offer("AU_TFN", ("ids.pacific",), ("AU",)),
    Offer("SG_NRIC_FIN", ("ids.pacific",), ("SG",)),
    Offer("IN_AADHAAR", ("ids.asia",), ("IN",)),
    Offer("IN_PAN", ("ids.asia",), ("IN",)),
    Offer("KR_RRN", ("ids.asia",), ("KR",)),
    Offer("TH_TNIN", ("ids.asia",), ("TH",)),
    Offer("ZA_ID_NUMBER", ("ids.asia",), ("ZA",)),
)


@cache
def rows_of(entity: str) -> tuple[Pattern, ...]:
    """Give the patterns of an entity."""
    offer = next(offer for offer in OFFERS if offer.entity == entity)
    rooms = [import_module(f"{__package__}.{room}") for room in offer.rooms]
    return tuple(row for room in rooms for row in room.ROWS if row.entity == entity)
