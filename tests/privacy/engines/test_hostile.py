"""No text takes a pattern more than time in proportion to its length."""

from __future__ import annotations

import time
from itertools import chain

import pytest

from securemem.privacy.engines.patterns.finder import Finder
from securemem.privacy.engines.patterns.offers import OFFERS, rows_of
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.views import Views

from .asking import ENGINE

LONG = 100_000
ROWS = {row.name: row for row in chain.from_iterable(rows_of(entity) for entity in OFFERS)}
UNITS = (
    *("a", "A", "0", "1", "9", "f", "-", "_", " ", ".", ":", "/", "@", "+", "(", '"', "=", "\n", "\\", "é", "\u200b"),
    *("0 ", "0-", "0.", "1 1", "0/", "0:", "4111 ", "4111-", "a.", "a-", "a@", "a:", "a ", "a,", "A1", "1a", "x@x."),
    *("eyJ", "eyJaaaaaaaa.", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "password ", "password is ", "password: "),
    *("password for a ", "://", "://a:", "http://a", "http://a:b@", "www.a", "a.com/", "key: ", "token=", "bearer "),
    *(
        "curl ",
        "curl -u ",
        "call 5 ",
        "tel: 555 ",
        "+1 ",
        "+49 (0)",
        "(0",
        "00 1 ",
        "ssn 1",
        "DE89",
        "0x0",
        "::",
        "a::",
    ),
    *("00:", "may 1 ", "1 may ", "12 may 2020 ", "aged ", "1 years ", "seed phrase: ", "aaaaaaaa ", "pin is ", "bc1"),
)
QUICK = 0.015
"""Seconds for a quarter of the length; whoever is within it could grow with the square and still be within 0.3."""


def _seconds(finder: Finder, text: str) -> float:
    """Give the processor time of one search, the least of three."""
    views = Views(text)
    spent = []
    for _ in range(3):
        started = time.process_time()
        finder.find(text, views, [])
        spent.append(time.process_time() - started)
        if spent[-1] < QUICK:
            break
    return min(spent)


def _near(row: Pattern) -> list[str]:
    """Give texts that the pattern nearly takes: what triggers it, over and over and with long tails."""
    seen = [needle for trigger in (row.trigger, *row.also) for needle in trigger.needles][:6]
    return [*seen, *(f"{needle} " for needle in seen), *(f"{needle}: 1" for needle in seen)]


@pytest.mark.parametrize("name", ROWS)
def test_time_grows_with_length_alone(name: str) -> None:
    """Four times the text takes a pattern at most some seven times as long, whatever the text repeats."""
    finder = Finder(ROWS[name])
    finder.find("", Views(""), [])
    for unit in (*UNITS, *_near(ROWS[name])):
        if _seconds(finder, (unit * LONG)[: LONG // 4]) < QUICK:
            continue
        for _ in range(3):
            quarter, whole = (_seconds(finder, (unit * LONG)[:length]) for length in (LONG // 4, LONG))
            if whole <= 7 * quarter:
                break
        assert whole <= 7 * quarter, f"{unit!r}: {quarter:.3f} s, then {whole:.3f} s"


@pytest.mark.parametrize("unit", UNITS)
def test_all_patterns_together_are_bounded(unit: str) -> None:
    """A hundred thousand characters of anything take under ten seconds of the slowest processor."""
    started = time.process_time()
    ENGINE.find((unit * LONG)[:LONG], "en", ENGINE.entities)
    assert time.process_time() - started < 10


def test_a_megabyte_is_looked_through() -> None:
    """A million characters full of personal data take under twenty seconds."""
    text = "Call (617) 555-0182 or mail a@b.org; card 4111 1111 1111 1111, password: hunter2. " * 12_500
    started = time.process_time()
    spans = ENGINE.find(text, "en", ENGINE.entities)
    assert len(text) > 1_000_000
    assert len(spans) == 50_000
    assert time.process_time() - started < 20


def test_the_measure_would_see_a_square() -> None:
    """The control: an expression whose time grows with the square is caught."""
    bad = Finder(Pattern(name="bad", entity="BAD", trigger=ROWS["mail"].trigger, regex="a*b"))
    for _ in range(3):  # others may have had the processor in one
        quarter, whole = (_seconds(bad, "a" * length) for length in (2_000, 8_000))
        if whole > 7 * quarter:
            break
    assert whole > 7 * quarter
