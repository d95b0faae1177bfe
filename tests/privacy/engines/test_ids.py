"""National numbers, coins, dates and ages: each by a known number, and by that number with one digit changed."""

from __future__ import annotations

import pytest

from securemem.privacy.engines.patterns.keccak import keccak256
from securemem.privacy.engines.patterns.offers import OFFERS, rows_of

from .asking import ENGINE, engine_of, found

NUMBERS = {
    "ABA_ROUTING_NUMBER": ("routing number: {}", "021000021"),
    "AU_ABN": ("ABN {}", "51 824 753 556"),
    "AU_ACN": ("ACN {}", "053 468 250"),
    "AU_MEDICARE": ("Medicare {}", "2123 45670 1"),
    "AU_TFN": ("my tax file number is {}", "843 776 524"),
    "BE_NATIONAL_NUMBER": ("{}", "59.12.05-603.85"),
    "BR_CNPJ": ("empresa {}", "06.595.672/0699-63"),
    "BR_CPF": ("{}", "146.660.433-65"),
    "CA_SIN": ("SIN: {}", "659-520-605"),
    "CH_AHV": ("AHV {}", "756.9217.0769.85"),
    "DE_ID_CARD": ("Personalausweis {}", "T220001293"),
    "DE_SOCIAL_SECURITY": ("Rentenversicherung {}", "15070649C103"),
    "DE_TAX_ID": ("Steuer-ID {}", "86 095 742 719"),
    "ES_NIE": ("{}", "Z9359860S"),
    "ES_NIF": ("DNI {}", "81562063S"),
    "FI_PERSONAL_IDENTITY_CODE": ("hetu {}", "260966-1563"),
    "FR_NIR": ("{}", "2 93 06 01 081 929 07"),
    "IN_AADHAAR": ("{}", "4862 7527 2202"),
    "IT_FISCAL_CODE": ("codice fiscale {}", "RKESVT10L13N790W"),
    "IT_VAT_CODE": ("Partita IVA {}", "00743110157"),
    "NL_BSN": ("BSN {}", "728189653"),
    "NO_FNR": ("{}", "25052635287"),
    "PL_PESEL": ("PESEL: {}", "69071062683"),
    "PT_NIF": ("NIF {}", "282 992 243"),
    "SE_PERSONNUMMER": ("{}", "170621-1743"),
    "SG_NRIC_FIN": ("NRIC {}", "S1234567D"),
    "TH_TNIN": ("{}", "1-6369-33164-41-4"),
    "TR_NATIONAL_ID": ("T.C. kimlik no {}", "72500429582"),
    "UK_NHS": ("NHS number {}", "707 935 4994"),
    "US_NPI": ("NPI {}", "1234567893"),
    "ZA_ID_NUMBER": ("ID number {}", "9612204045184"),
}
UNCHECKED = {
    "IN_PAN": ("PAN {}", "ABCPE1234F"),
    "KR_RRN": ("{}", "900101-1234567"),
    "UK_DRIVING_LICENCE": ("licence {}", "MORGA657054SM9IJ"),
    "UK_NINO": ("NI number {}", "AB 12 34 56 C"),
    "US_ITIN": ("{}", "912-70-1234"),
    "US_PASSPORT": ("passport no. {}", "C03005988"),
}
COINS = (
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xde0b295669a9fd93d5f28d9ec85e40f4cb697bae",
)
DATES = (
    "born «2/8/1935».",
    "DOB: «1978-04-13», «13.04.1978» and «13/04/78»",
    "on «12 March 2024» or «March 12th, 2024»; «5 de mayo de 1990», «3. Oktober 1990», «14 juillet 1889»",
    "Date: «1978-04-13 12:20:39»\n",
    "in «June 1989»",
)
AGES = (
    "a «42» years old man, a «7»-year-old and an «18» month old",
    'aged «42», age: «9», {"age": «31»}',
    "I'm «31» y/o and just turned «60».",
    "elle a «42» ans; er ist «42» Jahre alt; «30» años",
)


@pytest.mark.parametrize("entity", [*NUMBERS, *UNCHECKED])
def test_a_known_number_is_found(entity: str) -> None:
    """The number of a standard's own example or of an independent checker is found beside its word."""
    text, number = {**NUMBERS, **UNCHECKED}[entity]
    assert found(text.format(number) + ", thanks", entity) == [number]


@pytest.mark.parametrize("entity", NUMBERS)
def test_a_wrong_check_digit_is_no_number(entity: str) -> None:
    """Of the ten numbers that differ in one digit, at most two of them pass."""
    text, number = NUMBERS[entity]
    place = next(place for place in range(len(number) - 4, -1, -1) if number[place].isdigit())
    others = [number[:place] + digit + number[place + 1 :] for digit in "0123456789"]
    assert sum(bool(found(text.format(other), entity)) for other in others) <= 2


@pytest.mark.parametrize("entity", [*NUMBERS, *UNCHECKED])
def test_numbers_are_looked_for_where_their_region_is(entity: str) -> None:
    """An engine for another country neither offers nor finds them; one for their own does."""
    region = OFFERS[entity][1]
    text, number = {**NUMBERS, **UNCHECKED}[entity]
    assert region
    other = engine_of("MT")
    assert entity not in other.entities
    assert found(text.format(number), entity, engine=other) == []
    assert found(text.format(number), entity, engine=engine_of(*region)) == [number]


def test_every_national_number_has_its_example() -> None:
    """No entity of a region is without a test."""
    assert {entity for entity, (_, regions) in OFFERS.items() if regions} == {*NUMBERS, *UNCHECKED}


@pytest.mark.parametrize("entity", OFFERS)
def test_offers_say_what_the_rooms_hold(entity: str) -> None:
    """Each entity has patterns, of its own regions where it has regions; names of patterns are unlike."""
    rows = rows_of(entity)
    regions = OFFERS[entity][1]
    assert rows
    assert len({row.name for row in rows}) == len(rows)
    if regions:
        assert {region for row in rows for region in row.regions} == {*regions}


def test_the_united_kingdom_has_two_names() -> None:
    """`UK` is taken for `GB`."""
    assert engine_of("uk").entities == engine_of("GB").entities


@pytest.mark.parametrize("coin", COINS)
def test_addresses_of_coins_are_found_by_their_checksums(coin: str) -> None:
    """An address is found; with one character changed it is none, unless it carries no checksum."""
    assert found(f"send it to {coin}.", "CRYPTO") == [coin]
    changed = coin[:-3] + ("q" if coin[-3] != "q" else "p") + coin[-2:]
    assert found(f"send it to {changed}.", "CRYPTO") == []


def test_keccak_gives_its_known_hash() -> None:
    """The hash of nothing, and of more than one block, are Ethereum's."""
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"testing").hex() == "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"


@pytest.mark.parametrize(
    ("entity", "marked"), [("DATE_TIME", text) for text in DATES] + [("AGE", text) for text in AGES]
)
def test_dates_and_ages_are_found(entity: str, marked: str) -> None:
    """What is marked is found, and nothing else."""
    pieces = marked.replace("»", "«").split("«")
    assert found("".join(pieces), entity) == pieces[1::2]


@pytest.mark.parametrize(
    "text",
    ["2026-03-14T09:12:44Z", "gpt-4o-2024-08-06", "v3.7.15", "13/13/2020", "at 10:30", "in 1977", "1/2", "may 12"],
)
def test_timestamps_versions_and_years_are_no_dates(text: str) -> None:
    """What a machine stamped, a version and a year alone are left alone."""
    assert found(text, "DATE_TIME") == []


def test_nothing_else_is_looked_for() -> None:
    """Dates and ages are found when they are asked for."""
    text = "She is 42 years old and was born on 13.04.1978."
    assert ENGINE.find(text, "en", frozenset({"EMAIL_ADDRESS"})) == []
    assert found(text, "DATE_TIME", "AGE") == ["42", "13.04.1978"]
