"""Vaults: which pseudonym a value has, until when, and where values are found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from securemem.model import Span
from securemem.privacy.settle import settle
from securemem.privacy.tokens import Token
from securemem.privacy.vault import Entry, Vault

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def keep(vault: Vault, value: str, entity: str = "PERSON", until: datetime | None = None) -> str:
    """Give the token of a value, as treating does: the one that it has, or a new one."""
    entry = vault.stands_for(entity, value, NOW)
    if entry is None:
        entry = vault.draft(entity, value, until)
        assert vault.add(entry)
    return str(entry.token)


def of(*values: str, entity: str = "PERSON") -> Vault:
    """Give a vault with some values."""
    vault = Vault()
    for value in values:
        keep(vault, value, entity)
    return vault


def found(vault: Vault, text: str, now: datetime = NOW) -> list[str]:
    """Give what a vault finds in a text, as it stands there."""
    return [text[span.start : span.end] for span in settle(vault.find(text, now))]


def test_the_same_value_has_the_same_token() -> None:
    """It is given once for each value and entity, and numbers go up by entity."""
    vault = Vault()
    assert keep(vault, "Sarah Connor") == keep(vault, "Sarah Connor") == "[PERSON_1]"
    assert keep(vault, "John Doe") == "[PERSON_2]"
    assert keep(vault, "Paris", "LOCATION") == "[LOCATION_1]"
    assert keep(vault, "Paris", "PERSON") == "[PERSON_3]", "the same word, but not the same thing"
    assert len(vault) == 4


@pytest.mark.parametrize(
    ("entity", "value", "wording"),
    [
        ("PERSON", "Sarah Connor", "SARAH CONNOR"),
        ("PERSON", "Sarah Connor", "Sarah  Connor"),
        ("PERSON", "Sarah Connor", "Sarah"),
        ("PERSON", "Sarah Connor", "Ms. Connor"),
        ("PERSON", "Sarah", "Sarah Connor"),
        ("PERSON", "Sarah Connor", "Connor, Sarah"),
        ("PHONE_NUMBER", "+44 20 7946 0958", "+44-20-7946-0958"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "4111111111111111"),
        ("EMAIL_ADDRESS", "a@b.example", "A@B.example"),
    ],
)
def test_another_wording_has_the_same_number_and_a_variant(entity: str, value: str, wording: str) -> None:
    """Both are told to be the same, and each comes back as it was; a third wording has a variant of its own."""
    vault = of(value, entity=entity)
    assert keep(vault, wording, entity) == f"[{entity}_1.2]"
    assert keep(vault, value, entity) == f"[{entity}_1]"
    texts = [entry.text for n in (1, 2) if (entry := vault.get(Token(entity, 1, n), NOW))]
    assert texts == [value, wording]
    assert vault.first(Token(entity, 1, 2)) == vault.get(Token(entity, 1), NOW)


@pytest.mark.parametrize("other", ["Sara Connor", "John Connor", "John Doe", "Sarahs", "Mr."])
def test_another_person_has_another_number(other: str) -> None:
    """The control: who shares less than a whole name, or a title only, is somebody else."""
    assert keep(of("Mr. Sarah Connor"), other) == "[PERSON_2]"


def test_an_address_is_no_part_of_a_longer_one() -> None:
    """Only names are known by their parts."""
    assert keep(of("Baker Street", entity="LOCATION"), "Baker", "LOCATION") == "[LOCATION_2]"


def test_a_name_follows_nobody_where_two_have_it() -> None:
    """With one Sarah known "Sarah" is she; with two it is neither, and a number of its own."""
    assert keep(of("Sarah Connor"), "Sarah") == "[PERSON_1.2]"
    assert keep(of("Sarah Connor", "Sarah Smith"), "Sarah") == "[PERSON_3]"


def test_the_first_to_take_a_token_has_it() -> None:
    """Of two entries that came to the same token by two processes the second is told so, and changes nothing."""
    vault = of("Sarah Connor")
    late = Entry(Token("PERSON", 1), "John Doe")
    assert not vault.add(late)
    assert not vault.holds(late)
    assert vault.holds(Entry(Token("PERSON", 1), "Sarah Connor"))
    assert vault.stands_for("PERSON", "John Doe", NOW) is None
    assert found(vault, "John Doe") == []
    assert keep(vault, "John Doe") == "[PERSON_2]"


def test_a_draft_is_in_no_vault() -> None:
    """What was only drafted is neither found nor counted, and drafting again gives the same."""
    vault = Vault()
    assert vault.draft("PERSON", "Sarah", None) == vault.draft("PERSON", "Sarah", None)
    assert len(vault) == 0
    assert vault.get(Token("PERSON", 1), NOW) is None


def test_what_has_ended_is_not_given() -> None:
    """An entry is there before its end and not from it on, by every question; its number is not given again."""
    vault = Vault()
    token = Token("PERSON", 1)
    assert keep(vault, "Sarah", until=LATER) == str(token)
    for now, there in ((NOW, True), (LATER - timedelta(microseconds=1), True), (LATER, False)):
        assert (vault.get(token, now) is not None) == there
        assert (vault.stands_for("PERSON", "Sarah", now) is not None) == there
        assert (vault.nearest("PERSON", "Sarah", now) is not None) == there
    assert vault.draft("PERSON", "John", None).token.number == 2


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [(NOW, LATER, LATER), (LATER, NOW, LATER), (NOW, None, None), (None, NOW, None), (None, None, None)],
)
def test_the_later_end_counts(first: datetime | None, second: datetime | None, end: datetime | None) -> None:
    """An entry that comes again lasts as long as the longer of the two, and no end is the latest."""
    vault = Vault()
    for until in (first, second):
        assert vault.add(Entry(Token("PERSON", 1), "Sarah", until=until))
    assert vault.get(Token("PERSON", 1), NOW - timedelta(1)) == Entry(Token("PERSON", 1), "Sarah", until=end)
    assert vault.stands_for("PERSON", "Sarah", NOW - timedelta(1)) == Entry(Token("PERSON", 1), "Sarah", until=end)


@pytest.mark.parametrize(
    ("value", "text", "there"),
    [
        ("Sarah Connor", "ask Sarah Connor.", ["Sarah Connor"]),
        ("Sarah Connor", "ask SARAH CONNOR.", ["SARAH CONNOR"]),
        ("Sarah Connor", "Sarah Connors", ["Sarah"]),
        ("Sarah Connor", "XSarah Connor", ["Connor"]),
        ("Sarah Connor", "Ask Connor, or Sarah?", ["Connor", "Sarah"]),
        ("Sarah Connor", "sarah and connor", []),
        ("Sarah", "Sarahs Sarah_1 OSarah", []),
        ("Sarah", "(Sarah)", ["Sarah"]),
        ("Sarah", "sarah", []),
        ("Al Gore", "Al", []),
        ("Will Smith", "Will you? Smith will.", ["Smith"]),
        ("Dr. Mark Meyer", "Mark the date, Dr. Who", []),
        ("a@b.example", "to A@B.EXAMPLE!", ["A@B.EXAMPLE"]),
        ("a@b.example", "xa@b.example a@b.examples a@b", []),
        ("+44 20 7946", "at +44 20 7946 or 44 20 7946", ["+44 20 7946"]),
        ("+44 20 7946", "+44 20 79461", []),
        ("4711", "4711 47110 04711", ["4711"]),
    ],
)
def test_values_are_found_as_whole_words(value: str, text: str, there: list[str]) -> None:
    """What is known is found in a later text, in any case unless it is one word, and never within another word."""
    vault = of(value, entity="PERSON" if value[0].isupper() else "EMAIL_ADDRESS")
    assert found(vault, text) == there
    assert found(Vault(), text) == []


def test_the_longest_value_is_found() -> None:
    """Where one value begins with another the longer is the one that stands there."""
    vault = of("a@b", "a@b.example", entity="EMAIL_ADDRESS")
    assert vault.find("a@b.example a@b", NOW)[0] == Span(0, 11, "EMAIL_ADDRESS")


def test_what_has_ended_is_not_found() -> None:
    """A value is looked for as long as it is in the vault; then it may stand in clear again."""
    vault = Vault()
    keep(vault, "a@b.example", "EMAIL_ADDRESS", until=LATER)
    assert found(vault, "a@b.example") == ["a@b.example"]
    assert found(vault, "a@b.example", LATER) == []


def test_nothing_shows_a_value() -> None:
    """The repr of a vault and of its entries names tokens and numbers, and no value or surrogate."""
    vault = Vault()
    entry = Entry(Token("PERSON", 1), "Sarah Connor", "Emma Johnson", LATER)
    vault.add(entry)
    shown = f"{vault!r} {vault} {entry!r} {entry} {[entry]!r}"
    assert "PERSON_1" in shown.replace("entity='PERSON', number=1", "PERSON_1")
    assert "Vault(1 entries)" in shown
    assert not any(word in shown for word in ("Sarah", "Connor", "Emma", "Johnson"))
