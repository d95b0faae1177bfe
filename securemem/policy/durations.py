"""Durations as a policy writes them: a whole number and a unit, `30m`, `24h`, `90d`, `2w`, `18mo`, `7y`.

Months and years are the calendar's: a month after 31 January is the last day of February. Moments are milliseconds
since 1970, in UTC; what would lie beyond the year 9999 is its last moment.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

PATTERN = r"^[1-9][0-9]{0,5}(s|m|h|d|w|mo|y)$"
HINT = "a whole number and a unit, such as 24h, 90d, 18mo or 7y"
MOST_YEARS = 1000

_TEXT = re.compile(PATTERN)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS = {"mo": 1, "y": 12}
_MONTH_SECONDS = 2_629_746
_LIKE = re.compile(r"\s*([0-9]{1,6})\s*([a-z]+)\s*\Z", re.IGNORECASE)
_UNITS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")
_ABBREVIATED = {"sec": "s", "secs": "s", "min": "m", "mins": "m", "hr": "h", "hrs": "h", "yr": "y", "yrs": "y"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""The last moment there is, in milliseconds."""


class Duration(NamedTuple):
    """A length of time.

    Attributes:
        months: of the calendar, and
        seconds: besides.
        text: as it was written.
    """

    months: int
    seconds: int
    text: str

    @classmethod
    def of(cls, text: str) -> Duration:
        """Read a duration that matches `PATTERN`.

        Raises:
            ValueError: it does not, or is over a thousand years.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("no duration")
        unit = match.group(1)
        count = int(text[: match.start(1)])
        found = cls(count * _MONTHS.get(unit, 0), count * _SECONDS.get(unit, 0), text)
        if found.rough_seconds > MOST_YEARS * 12 * _MONTH_SECONDS:
            raise ValueError("over a thousand years")
        return found

    @property
    def rough_seconds(self) -> int:
        """Its length with months as long as they are on average, 30.4 days, to put durations in order."""
        return self.seconds + self.months * _MONTH_SECONDS

    def after(self, moment: int) -> int:
        """Give the moment that is so much later, in milliseconds."""
        if self.months:
            moment = _shifted(moment, self.months)
        return min(LAST, moment + 1000 * self.seconds)

    def before(self, moment: int) -> int:
        """Give the moment that is so much earlier, in milliseconds; 1970 at the earliest."""
        if self.months:
            moment = _shifted(moment, -self.months)
        return max(1, moment - 1000 * self.seconds)

    def __str__(self) -> str:
        return self.text


def meant(text: str) -> str | None:
    """Give the duration that a text was probably meant to be: "9d" for "9 days", "3mo" for "3M"; None for others."""
    match = _LIKE.match(text)
    if match is None or not int(match.group(1)):
        return None
    if match.group(2) == "M":  # which is months to some, and minutes to others
        return f"{int(match.group(1))}mo"
    word = match.group(2).lower()
    unit = _ABBREVIATED.get(word, word if word in {**_SECONDS, **_MONTHS} else "")
    if not unit:
        near = next((each for each in _UNITS if word in (each, each[:-1])), None)
        unit = "mo" if near == "months" else near[0] if near is not None else ""
    return f"{int(match.group(1))}{unit}" if unit else None


def _shifted(moment: int, months: int) -> int:
    """Give the same time of the same day so many months away; the month's last day where it has none of that number."""
    start = _EPOCH + moment * _MILLISECOND
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > 9999:  # noqa: PLR2004  (the calendar's last year)
        return LAST
    if year < 1970:  # noqa: PLR2004  (moments are counted from there)
        return 1
    day = min(start.day, monthrange(year, month + 1)[1])
    return (start.replace(year=year, month=month + 1, day=day) - _EPOCH) // _MILLISECOND
