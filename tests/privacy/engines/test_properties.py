"""What holds for any text, and for any number that is right."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.model import Span
from securemem.privacy.engines.patterns.accounts import LENGTHS
from securemem.privacy.engines.patterns.digits import luhn, mod97
from securemem.privacy.engines.patterns.settling import settle

from .asking import ENGINE, found

DEV = Path(__file__).parents[4] / "shared" / "data" / "pii_dev.jsonl"
BESIDE = st.sampled_from(["", " ", "\n", "(", '"', ": ", "日本 ", "— ", "\u200b "])
PIECES = st.sampled_from(
    [
        *("0", "4111", "1", " ", "-", ".", ":", "/", "@", "+", "(", ")", "a", "password", " is ", "=", '"', "\u200b"),
        *("\uff11", "\ud800", "é", "x.com", "http", "://", "eyJ", "sk-", "call ", "İ", "\u00a0", "\u2011", "DE89"),
        *("ssn ", "\n"),
    ]
)
SAMPLES = {"DOMAIN_NAME": "URL"}
JUDGED = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "URL", "US_SSN")


@given(st.text() | st.lists(PIECES, max_size=60).map("".join))
def test_any_text_has_apart_ascending_spans(text: str) -> None:
    """Whatever the text, spans lie in it, ascend, and do not overlap."""
    spans = ENGINE.find(text, "en", ENGINE.entities)
    assert all(0 <= span.start < span.end <= len(text) and 0 < span.score <= 1 for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@given(st.sampled_from(["4", "51", "2221", "6011"]), st.text("0123456789", min_size=15, max_size=15), BESIDE, BESIDE)
def test_cards_are_found_with_each_separator(prefix: str, digits: str, before: str, after: str) -> None:
    """A number of a brand with its check digit is found plain, in groups of four, and behind what else there is."""
    plain = (prefix + digits)[:15]
    number = next(plain + check for check in "0123456789" if luhn(plain + check))
    for separator in ("", " ", "-", "\u00a0", "\u2011"):
        value = separator.join(number[place : place + 4] for place in range(0, 16, 4))
        text = f"{before}{value}{after}"
        assert found(text, "CREDIT_CARD") == [value]


@given(st.sampled_from(sorted(LENGTHS)), st.text("0123456789", min_size=33, max_size=33), BESIDE, st.booleans())
def test_accounts_are_found_with_their_countries_lengths(country: str, digits: str, before: str, grouped: bool) -> None:  # noqa: FBT001
    """An account of any country with its check digits is found, and ends where the country says."""
    body = digits[: LENGTHS[country] - 4]
    account = f"{country}{98 - mod97(body + country + '00'):02}{body}"
    if grouped:
        account = " ".join(account[place : place + 4] for place in range(0, len(account), 4))
    assert found(f"{before}{account} 12 and more", "IBAN_CODE") == [account]


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9._+-]{0,20}[a-z0-9])?@([a-z0-9]{1,12}\.){1,3}(com|org|de|io)", fullmatch=True),
    BESIDE,
)
def test_mails_are_found_whole(address: str, before: str) -> None:
    """An address is found from its first to its last character."""
    assert found(f"{before}{address}, please", "EMAIL_ADDRESS") == [address]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(["SECRET", "URL", "PHONE_NUMBER", "X"])))
)
def test_settled_spans_are_apart_and_keep_every_secret(drawn: list[tuple[int, int, str]]) -> None:
    """Settling gives ascending spans that do not overlap, each within one that was found; no secret goes standing."""
    spans = [Span(start, start + length, entity) for start, length, entity in drawn]
    settled = settle(spans)
    assert all(one.end <= other.start for one, other in pairwise(settled))
    for span in settled:
        assert any(one.start <= span.start and span.end <= one.end and one.entity == span.entity for one in spans)
    for span in spans:
        if span.entity == "SECRET":
            assert any(one.entity == "SECRET" and one.start < span.end and span.start < one.end for one in settled)


def test_the_development_set_is_found() -> None:
    """Each entity of the set that has a form of its own has an F2 of 0.95 at least."""
    if not DEV.exists():
        pytest.skip("the development set ../shared/data/pii_dev.jsonl is not there")
    right = dict.fromkeys(JUDGED, 0)
    false, missed = dict(right), dict(right)
    for line in DEV.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        gold = [(SAMPLES.get(span["entity"], span["entity"]), span["start"], span["end"]) for span in sample["spans"]]
        hits = ENGINE.find(sample["text"], "en", frozenset(JUDGED))
        for entity, start, end in gold:
            if entity in JUDGED:
                covered = sum(max(0, min(end, h.end) - max(start, h.start)) for h in hits if h.entity == entity)
                (right if covered * 2 >= end - start else missed)[entity] += 1
        for hit in hits:
            false[hit.entity] += not any(start < hit.end and hit.start < end for _, start, end in gold)
    for entity in JUDGED:
        assert 5 * right[entity] / (5 * right[entity] + 4 * missed[entity] + false[entity]) >= 0.95, entity


def test_a_room_is_imported_when_it_is_asked_for() -> None:
    """Making and opening an engine imports no patterns, and neither presidio nor phonenumbers are ever imported."""
    code = (
        "import sys\n"
        "from privacy.engines.asking import ENGINE\n"
        "rooms = [name for name in sys.modules if name.startswith('securemem.privacy.engines.patterns.')]\n"
        "ENGINE.open()\n"
        "assert not any(name.endswith(('.tokens', '.phones', '.coins', '.cards')) for name in rooms), rooms\n"
        "ENGINE.find('card 4111 1111 1111 1111', 'en', frozenset({'CREDIT_CARD'}))\n"
        "assert 'securemem.privacy.engines.patterns.cards' in sys.modules\n"
        "assert 'securemem.privacy.engines.patterns.phones' not in sys.modules\n"
        "ENGINE.find('call 555-0199', 'en', ENGINE.entities)\n"
        "assert not {'presidio_analyzer', 'phonenumbers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
