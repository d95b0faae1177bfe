"""How long the removal of what deletions leave on disk is waited for."""

from __future__ import annotations

from securemem.errors import InvalidInputError

PURGE_SECONDS = 5.0
"""How long a purge waits and works, where the caller does not say."""

_MOST_SECONDS = 604_800.0


def check_purge_seconds(value: object) -> float:
    """Give how long a purge may take, cut to a week.

    Raises:
        InvalidInputError: no number, negative, or without an end.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InvalidInputError("purge_seconds has to be a number of seconds, 0 or more, and not infinite")
    return float(min(value, _MOST_SECONDS))
