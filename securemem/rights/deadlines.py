"""Until when a request has to be answered, by the law that it is made under. Pure: dates in, dates out.

| law | to confirm receipt | to answer | extended once by |
|---|---|---|---|
| GDPR Art. 12(3) | | one month | two months, with a notice within the first |
| UK GDPR Art. 12(3), DPA s. 54 | | one month; the clock may be stopped | two months, likewise |
| CCPA regulations § 7021 | ten business days | 45 days | 45 days, with a notice within the first |
| LGPD Art. 19(II) | | 15 days | |
| HIPAA 45 CFR 164.524(b)(2) | | 30 days | 30 days, likewise |

A month ends on the day of the same number, or on the last of a month that has none (Regulation 1182/71, Art. 3), at
the end of that day in UTC. That a last day on a week-end or a holiday may be put off is not made use of: what is early
is in time everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from securemem.model import from_milliseconds, to_milliseconds
from securemem.policy.durations import Duration

_DAY = timedelta(days=1)
_WEEK_DAYS = 5


@dataclass(frozen=True, slots=True)
class Term:
    """How long a law gives.

    Attributes:
        answer: to answer.
        more: by how much that may be extended, once; None where it may not.
        business_days: to confirm receipt; 0 where the law has no time for it.
        pauses: whether the clock may be stopped while the person has to say something.
    """

    answer: Duration
    more: Duration | None = None
    business_days: int = 0
    pauses: bool = False

    def due(self, received: datetime, *, extended: bool = False) -> datetime:
        """Give the last moment at which a request may be answered.

        Args:
            received: when it came.
            extended: whether the time was extended.
        """
        more = self.more if extended and self.more is not None else Duration(0, 0, "")
        whole = Duration(self.answer.months + more.months, self.answer.seconds + more.seconds, "")
        last = from_milliseconds(whole.after(to_milliseconds(received))).date()
        return _end_of(last)

    def confirm_by(self, received: datetime) -> datetime | None:
        """Give until when its receipt has to be confirmed; None where the law has no time for that."""
        if not self.business_days:
            return None
        day, left = received.astimezone(UTC).date(), self.business_days
        while left:
            day += _DAY
            left -= day.weekday() < _WEEK_DAYS
        return _end_of(day)


TERMS = {
    "gdpr": Term(Duration.of("1mo"), Duration.of("2mo")),
    "ukgdpr": Term(Duration.of("1mo"), Duration.of("2mo"), pauses=True),
    "ccpa": Term(Duration.of("45d"), Duration.of("45d"), business_days=10),
    "lgpd": Term(Duration.of("15d")),
    "hipaa": Term(Duration.of("30d"), Duration.of("30d")),
}


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59, 999_000), UTC)
