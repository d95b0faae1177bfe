"""Says in a failure which of many cases it was, where one test goes through them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noting(case: object) -> Iterator[None]:
    """Add a case to whatever fails with it."""
    try:
        yield
    except BaseException as exc:
        exc.add_note(f"with: {case}")
        raise
