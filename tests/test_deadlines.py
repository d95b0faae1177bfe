"""Until when requests have to be answered, law by law."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from securemem.rights.deadlines import TERMS


def _end(*day: int) -> datetime:
    return datetime.combine(date(*day), time(23, 59, 59, 999_000), UTC)


def _at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("regime", "received", "due", "extended"),
    [
        ("gdpr", _at(2026, 3, 15, 9), _end(2026, 4, 15), _end(2026, 6, 15)),
        ("gdpr", _at(2026, 1, 31), _end(2026, 2, 28), _end(2026, 4, 30)),
        ("gdpr", _at(2028, 1, 31), _end(2028, 2, 29), _end(2028, 4, 30)),
        ("gdpr", _at(2028, 2, 29), _end(2028, 3, 29), _end(2028, 5, 29)),
        ("gdpr", _at(2026, 12, 31, 23, 59), _end(2027, 1, 31), _end(2027, 3, 31)),
        ("gdpr", _at(2027, 11, 30), _end(2027, 12, 30), _end(2028, 2, 29)),
        ("ukgdpr", _at(2026, 8, 31), _end(2026, 9, 30), _end(2026, 11, 30)),
        ("ccpa", _at(2026, 1, 1), _end(2026, 2, 15), _end(2026, 4, 1)),
        ("ccpa", _at(2028, 1, 31), _end(2028, 3, 16), _end(2028, 4, 30)),
        ("lgpd", _at(2026, 2, 20), _end(2026, 3, 7), _end(2026, 3, 7)),
        ("hipaa", _at(2026, 1, 31), _end(2026, 3, 2), _end(2026, 4, 1)),
    ],
)
def test_when_a_request_is_due(regime: str, received: datetime, due: datetime, extended: datetime) -> None:
    """The last moment of the day that the law names; of a month without that day, of its last."""
    term = TERMS[regime]
    assert (term.due(received), term.due(received, extended=True)) == (due, extended)


@pytest.mark.parametrize(
    ("received", "by"),
    [
        (_at(2026, 11, 23), _end(2026, 12, 7)),  # a Monday
        (_at(2026, 11, 27), _end(2026, 12, 11)),  # a Friday
        (_at(2026, 11, 28), _end(2026, 12, 11)),  # a Saturday
        (_at(2026, 11, 29), _end(2026, 12, 11)),  # a Sunday
    ],
)
def test_business_days(received: datetime, by: datetime) -> None:
    """Ten days from Monday to Friday, after the day on which it came; other laws have no such time."""
    assert TERMS["ccpa"].confirm_by(received) == by
    assert TERMS["gdpr"].confirm_by(received) is None
