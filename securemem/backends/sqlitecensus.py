"""Counts the records in a SQLite file by what says how long they live, over a connection that holds up nobody."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path

from securemem.lane import translated

_LAST_SEQ = 0xFFFFFFFE


def census(path: str, statements: Mapping[str, str], sessions: Sequence[bytes] | None) -> dict[bytes, int]:
    """Count records, as `ports.Countable` has it.

    Args:
        path: of the file, which need not be there yet.
        statements: of the backend.
        sessions: whose; all that lie there if None.

    Raises:
        BackendUnavailableError, ConfigurationError: it cannot be read.
    """
    found: Counter[bytes] = Counter()
    if not Path(path).exists():
        return found
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as con:
            con.execute("PRAGMA busy_timeout = 5000")
            if sessions is None:  # SQLite would sort all records to group them, which takes twice as long
                found.update(map(itemgetter(0), con.execute(statements["census"])))
            for session in sessions or ():
                for (number,) in con.execute(statements["number"], (session,)).fetchall():
                    low = number << 32
                    found.update(dict(con.execute(statements["census_of"], (low, low | _LAST_SEQ))))
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc
    return found
