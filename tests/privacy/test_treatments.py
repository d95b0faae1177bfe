"""Treatments: what stands in place of a value, and what of it is left."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.errors import PIIBlockedError
from securemem.model import Span
from securemem.policy.load import TREATMENTS as NAMES
from securemem.privacy.treatments.table import TREATMENTS


class Tenant:
    """A hand with one tenant's key, that gives the same token for everything."""

    def __init__(self, key: bytes = b"one") -> None:
        self.key = key
        self.asked: list[tuple[str, str]] = []

    def keyed_hash(self, data: bytes) -> bytes:
        """As `Hand`."""
        return hmac.digest(self.key, data, hashlib.sha256)

    def pseudonym(self, entity: str, value: str) -> str:
        """As `Hand`."""
        self.asked.append((entity, value))
        return f"[{entity}_1]"


def made(treatment: str, value: str, entity: str = "EMAIL_ADDRESS", hand: Tenant | None = None) -> str:
    """Give what a treatment makes of a value that stands at character 3 of a text."""
    return TREATMENTS[treatment](value, Span(3, 3 + len(value), entity), hand or Tenant())


def test_the_names_of_policies_are_those_of_the_table() -> None:
    """What a policy file may name is what there is, in the same order: a treatment that is neither half is none."""
    assert tuple(TREATMENTS) == NAMES


def test_keep_and_redact() -> None:
    """The one leaves a value as it is; the other leaves what it was, and nothing that depends on it."""
    assert made("keep", "a@b.example") == "a@b.example"
    assert made("redact", "a@b.example") == made("redact", "other@b.example") == "[EMAIL_ADDRESS]"


def test_pseudonymise_asks_the_vault() -> None:
    """The token is the hand's, by entity and value as they stand."""
    hand = Tenant()
    assert made("pseudonymise", "Sarah", "PERSON", hand) == "[PERSON_1]"
    assert hand.asked == [("PERSON", "Sarah")]


@pytest.mark.parametrize(
    ("entity", "value", "masked"),
    [
        ("CREDIT_CARD", "4111 1111 1111 1111", "**** **** **** 1111"),
        ("CREDIT_CARD", "4111-1111-1111-1234", "****-****-****-1234"),
        ("IBAN_CODE", "DE89370400440532013000", "******************3000"),
        ("PHONE_NUMBER", "+44 20 7946 0958", "+** ** **** 0958"),
        ("PHONE_NUMBER", "7946 0958", "7*** ****"),
        ("EMAIL_ADDRESS", "sarah.connor@example.com", "s****.******@*******.***"),
        ("PERSON", "Sarah Connor", "S**** ******"),
        ("PERSON", "Zoë", "Z**"),
        ("US_SSN", "123-45-6789", "1**-**-****"),
        ("SECRET", "sk-abc123", "**-******"),
        ("SECRET", "4111 1111 1111 1111", "**** **** **** ****"),
        ("PERSON", "", ""),
    ],
)
def test_mask_keeps_the_shape(entity: str, value: str, masked: str) -> None:
    """Letters and digits are asterisks, but for the first, or the last four of long numbers; of a secret all are."""
    assert made("mask", value, entity) == masked


@given(st.text(), st.sampled_from(["SECRET", "PERSON", "CREDIT_CARD", "PHONE_NUMBER", "IBAN_CODE"]))
def test_mask_shows_at_most_four(value: str, entity: str) -> None:
    """Of any value the shape stays, and at most four of nine or more letters and digits, or the first of less."""
    masked = made("mask", value, entity)
    shown = [a for a, b in zip(value, masked, strict=True) if a.isalnum() and b == a]
    assert len(shown) <= (0 if entity == "SECRET" else 4 if sum(map(str.isalnum, value)) >= 9 else 1)
    assert [a for a in value if not a.isalnum()] == [b for a, b in zip(value, masked, strict=True) if not a.isalnum()]


def test_hash_is_the_same_within_a_tenant_only() -> None:
    """The same value has the same hash; another value, another entity and another tenant have another."""
    one = made("hash", "a@b.example")
    assert one == made("hash", " A@B.example ", hand=Tenant())
    others = {
        made("hash", "a@b.example", hand=Tenant(b"other")),
        made("hash", "c@b.example"),
        made("hash", "a@b.example", "URL").replace("URL", "EMAIL_ADDRESS"),
    }
    assert len({one, *others}) == 4
    assert "a@b" not in one


@given(st.text(st.characters(codec=None), min_size=1))
def test_hash_takes_any_text(value: str) -> None:
    """64 bits in hex stand after the entity, whatever is hashed; half a surrogate pair too."""
    hashed = made("hash", value)
    assert len(bytes.fromhex(hashed.removeprefix("[EMAIL_ADDRESS#").removesuffix("]"))) == 8


COARSER = [
    ("DATE_TIME", "1984-05-12", "1984"),
    ("DATE_TIME", "12 May 1984, 10:30", "1984"),
    ("DATE_TIME", "12/05/84", "1984"),
    ("DATE_TIME", "12.05.26", "2026"),
    ("DATE_TIME", "12/05/70", "1970"),
    ("DATE_TIME", "12/05/69", "2069"),
    ("AGE", "34", "30-39"),
    ("AGE", "40 years old", "40-49"),
    ("AGE", "7", "0-9"),
    ("AGE", "89", "80-89"),
    ("AGE", "90", "90+"),
    ("AGE", "aged 103", "90+"),
    ("LOCATION", "12 Baker Street, London NW1 6XE", "London"),
    ("LOCATION", "Hauptstraße 5, 10115 Berlin", "Berlin"),
    ("LOCATION", "221B Baker St\nApt 4\nSpringfield, IL 62704", "Springfield"),
    ("LOCATION", "Paris", "Paris"),
    ("IP_ADDRESS", "192.168.17.42", "192.168.17.0/24"),
    ("IP_ADDRESS", "2001:db8:1:2:3::4", "2001:db8:1::/48"),
]


@pytest.mark.parametrize(("entity", "value", "coarser"), COARSER)
def test_generalise_leaves_less_of_the_same(entity: str, value: str, coarser: str) -> None:
    """Dates become years, ages bands, addresses the town, and IP addresses the network."""
    assert made("generalise", value, entity) == coarser


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        ("DATE_TIME", "next Tuesday"),
        ("DATE_TIME", "May 12"),
        ("AGE", "middle-aged"),
        ("LOCATION", "12 Baker Street"),
        ("LOCATION", "NW1 6XE"),
        ("LOCATION", " ,; "),
        ("IP_ADDRESS", "300.1.1.1"),
        ("IP_ADDRESS", "10.0.0.1:80"),
        ("EMAIL_ADDRESS", "a1984@b.example"),
        ("PERSON", "Paris Hilton"),
        ("SECRET", "sk-1984"),
    ],
)
def test_generalise_redacts_what_it_cannot_read(entity: str, value: str) -> None:
    """What is no date, age, address or IP address that can be read, and every other entity, is gone for good."""
    assert made("generalise", value, entity) == f"[{entity}]"


@given(st.sampled_from(sorted({entity for entity, _, _ in COARSER})), st.text() | st.from_regex(r"[\d:./, -]{1,20}"))
def test_generalise_takes_any_text(entity: str, value: str) -> None:
    """Whatever an engine took for a date or an address, something stands in its place."""
    assert made("generalise", value, entity)


def test_block_says_what_and_where_and_not_the_value() -> None:
    """The error names the entity and the characters; the value is in neither its words nor its attributes."""
    with pytest.raises(PIIBlockedError, match="refuses US_SSN, found at characters 3 to 14") as caught:
        made("block", "123-45-6789", "US_SSN")
    assert vars(caught.value) == {"entity": "US_SSN", "start": 3, "end": 14}
    assert "123-45" not in f"{caught.value} {caught.value!r} {caught.value.args}"
