"""When a server takes its next snapshot by itself, as its settings and what INFO says of it tell.

`save 3600 1 300 100` begins one as soon as an hour has passed since the last with one change, or five minutes with a
hundred. Writing it takes time: a minute is allowed, or twice what the last one took. One that is being written now may
have begun before the deletion: then the next after it counts, and of the changes since it no more than one is sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

_LEAST_WRITING_SECONDS = 60
_MOST_SECONDS = 366 * 86_400


def next_snapshot(facts: Mapping[str, str], save: bytes) -> datetime | None:
    """Give by when the next one is there; None where the settings name none, or the last one failed.

    Args:
        facts: all of INFO.
        save: the setting.
    """
    try:
        numbers = [int(word) for word in save.split()]
        now = int(facts["server_time_usec"]) // 1_000_000
        last, changes = int(facts["rdb_last_save_time"]), int(facts["rdb_changes_since_last_save"])
        writing = max(_LEAST_WRITING_SECONDS, 2 * int(facts["rdb_last_bgsave_time_sec"]))
    except (KeyError, ValueError):
        return None
    if facts.get("rdb_last_bgsave_status") != "ok":
        return None
    if facts.get("rdb_bgsave_in_progress") != "0":
        last, changes = now + writing, 1
    rules = zip(numbers[::2], numbers[1::2], strict=False)
    periods = [seconds for seconds, least in rules if least <= changes and seconds <= _MOST_SECONDS]
    return datetime.fromtimestamp(max(now, last + min(periods)) + writing, UTC) if periods else None
