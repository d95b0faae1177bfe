"""Durations: what may be written, and the moment that is so much later or earlier."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.policy.durations import LAST, Duration, meant
from tests.policy.naive import later
from tests.policy.texts import NAMED, loaded, refused

SPANS = st.builds(
    lambda count, unit: f"{count}{unit}", st.integers(1, 999), st.sampled_from(["s", "m", "h", "d", "w", "mo", "y"])
).map(Duration.of)
MOMENTS = st.integers(1, LAST)


def at(text: str) -> int:
    """Give a moment in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "months", "seconds"),
    [
        ("1s", 0, 1),
        ("30m", 0, 1800),
        ("24h", 0, 86_400),
        ("90d", 0, 7_776_000),
        ("2w", 0, 1_209_600),
        ("18mo", 18, 0),
        ("7y", 84, 0),
        ("999999h", 0, 3_599_996_400),
        ("1000y", 12_000, 0),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, months: int, seconds: int) -> None:
    """Months and years are counted as months, all else as seconds; it is shown as it was written."""
    found = Duration.of(text)
    assert (found.months, found.seconds, str(found)) == (months, seconds, text)


@pytest.mark.parametrize(
    "text",
    ["", "d", "9", "0d", "09d", "-1d", "+1d", "1.5h", "9 d", "9D", "1d\n", "\n1d", "1d12h", "٣d", "1234567s", "²d"],
)
def test_another_text_is_none(text: str) -> None:
    """Nothing is guessed, a line's end and foreign digits included; the nearest that is one is read."""
    with pytest.raises(ValueError, match="no duration"):
        Duration.of(text)
    assert Duration.of("9d").seconds == 9 * 86_400


@pytest.mark.parametrize("text", ["1001y", "12024mo", "999999d", "999999y", "53000w"])
def test_no_duration_is_over_a_thousand_years(text: str) -> None:
    """However it is counted, what is longer is refused."""
    with pytest.raises(ValueError, match="over a thousand years"):
        Duration.of(text)


@pytest.mark.parametrize(
    ("begin", "span", "end"),
    [
        ("2026-01-31", "1mo", "2026-02-28"),
        ("2024-01-31", "1mo", "2024-02-29"),
        ("2026-01-30T23:59:59", "1mo", "2026-02-28T23:59:59"),
        ("2026-03-31", "1mo", "2026-04-30"),
        ("2024-02-29", "1y", "2025-02-28"),
        ("2024-02-29", "4y", "2028-02-29"),
        ("2096-02-29", "4y", "2100-02-28"),
        ("2026-11-30", "3mo", "2027-02-28"),
        ("2026-12-31", "12mo", "2027-12-31"),
        ("2026-12-31", "365d", "2027-12-31"),
        ("2027-12-31", "365d", "2028-12-30"),
        ("2026-03-28T12:00:00", "24h", "2026-03-29T12:00:00"),
        ("9998-12-31", "1y", "9999-12-31"),
    ],
)
def test_months_and_years_are_the_calendars(begin: str, span: str, end: str) -> None:
    """The same day of the month, or its last; leap years as they are; days are 24 hours whatever clocks do."""
    assert Duration.of(span).after(at(begin)) == at(end)


@pytest.mark.parametrize("span", ["1y", "1000y", "13mo", "366d", "999999h"])
def test_time_ends_with_the_year_9999(span: str) -> None:
    """What would be later is its last moment, and what is added to that stays there; before it nothing is cut."""
    assert Duration.of(span).after(at("9999-06-01")) == LAST == at("9999-12-31T23:59:59")
    assert Duration.of(span).after(LAST) == LAST
    assert Duration.of("1mo").after(at("9999-10-31")) == at("9999-11-30")


@pytest.mark.parametrize(
    ("end", "span", "begin"),
    [
        ("2026-03-31", "1mo", "2026-02-28"),
        ("2024-02-29", "1y", "2023-02-28"),
        ("2026-01-15", "2mo", "2025-11-15"),
        ("2026-01-15", "15d", "2025-12-31"),
    ],
)
def test_a_moment_so_much_earlier(end: str, span: str, begin: str) -> None:
    """Going back goes by the calendar too."""
    assert Duration.of(span).before(at(end)) == at(begin)


@pytest.mark.parametrize("span", ["57y", "1000y", "30000d"])
def test_nothing_is_before_1970(span: str) -> None:
    """What would be earlier is its first moment, which is no 0: that stands for never."""
    assert Duration.of(span).before(at("2026-01-01")) == 1


@given(MOMENTS, SPANS)
def test_after_is_what_a_calendar_says(moment: int, span: Duration) -> None:
    """The same as months counted another way, from any moment there is."""
    assert span.after(moment) == min(LAST, later(moment, span))


@given(st.integers(at("2001-01-01"), at("2999-12-31")), SPANS)
def test_before_undoes_after(moment: int, span: Duration) -> None:
    """Back and forth is never later, and not over three days earlier: a month's end may be cut, and only there."""
    back = span.before(moment)
    if back > 1:
        assert moment - 3 * 86_400_000 <= span.after(back) <= moment
        assert span.after(back) == moment or datetime.fromtimestamp(moment / 1000, UTC).day > 28


@given(MOMENTS, SPANS, SPANS)
def test_later_starts_end_no_earlier(moment: int, one: Duration, other: Duration) -> None:
    """A record that came later never ends before one that came earlier."""
    assert one.after(moment) <= one.after(other.after(moment))


HINT = "a whole number and a unit, such as 24h, 90d, 18mo or 7y"


@pytest.mark.parametrize(
    ("written", "shown", "hint"),
    [
        ("-1d", "'-1d' is no duration", HINT),
        ("0d", "'0d' is no duration", HINT),
        ("1.5h", "'1.5h' is no duration", HINT),
        ("9 days", "'9 days' is no duration", "did you mean '9d'?"),
        ("18 Months", "'18 Months' is no duration", "did you mean '18mo'?"),
        ("90D", "'90D' is no duration", "did you mean '90d'?"),
        ("007d", "'007d' is no duration", "did you mean '7d'?"),
        ("soon", "'soon' is no duration", HINT),
        ("90", "90 is no duration", HINT),
        ("-3", "-3 is no duration", HINT),
        ("1.5", "1.5 is no duration", HINT),
        ("1234567s", "'1234567s' is no duration", HINT),
        ('"9d\\n"', "'9d\\n' is no duration", "did you mean '9d'?"),
        ("[9d]", 'expected text, got ["9d"]', ""),
        ("true", "true is no duration", HINT),
        ("1001y", "'1001y' is over 1000 years", ""),
        ("999999w", "'999999w' is over 1000 years", ""),
    ],
)
@pytest.mark.parametrize(
    ("before", "after", "column"),
    [
        ("defaults: {ttl: ", "}", 12),
        ("bounds: {max_ttl: ", "}", 10),
        ("rules: [{id: a, match: {tag: a}, keep_for: ", "}]", 34),
        ("erasure: {targets: {backups: ", "}}", 21),
        ("erasure: {notify: [{id: a, url_env: A, ack_within: ", "}]}", 40),
        ("requests: {log_retention: ", "}", 12),
        ("tests: [{given: {age: ", "}, expect: {action: keep}}]", 18),
    ],
    ids=["ttl", "max_ttl", "keep_for", "backups", "ack_within", "log_retention", "age"],
)
def test_a_bad_duration_is_refused_where_it_stands(  # noqa: PLR0917  (a case's place, text and words)
    before: str, after: str, column: int, written: str, shown: str, hint: str
) -> None:
    """Wherever a duration belongs, another text is shown at its place, with what was meant; a good one is taken."""
    assert refused(f"{NAMED}{before}{written}{after}\n") == f"4:{column}: {shown}" + (f", {hint}" if hint else "")
    assert loaded(f"{NAMED}{before}9d{after}\n").name == "mine"


@pytest.mark.parametrize(
    ("text", "near"), [("1 hr", "1h"), ("2 weeks", "2w"), ("5 min", "5m"), ("3 yrs", "3y"), ("3M", "3mo")]
)
def test_what_was_meant_is_a_duration(text: str, near: str) -> None:
    """What is offered in place of a text would be taken."""
    assert meant(text) == near
    assert str(Duration.of(near)) == near
    assert meant("0 days") is meant("9 lives") is meant("days") is None
