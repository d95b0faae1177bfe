"""Settles a change whose answer was lost: made or not is said by what stands, so that it is made exactly once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from securemem.errors import BackendUnavailableError
from securemem.model import Change

RowsAt = Callable[[bytes, list[int]], Awaitable[dict[int, bytes]]]
"""Gives the rows of a session at some seqs, those that are there."""


async def settle(change: Change, current: bytes, rows_at: RowsAt, *, again: bool) -> bytes | None:
    """Give what a change that met another head than it expected comes to.

    A sealed row is like no other: where the rows stand the change was made, whatever came after it.

    Args:
        change: that was tried.
        current: the head that stands.
        rows_at: reads rows.
        again: whether an earlier try may have been carried out.

    Returns:
        None where it was made, else the head that stands.

    Raises:
        BackendUnavailableError: its rows were trimmed since, or never came: that cannot be told.
    """
    if not again or not current:
        return current
    if not change.rows:
        return None if current == change.head else current
    stood = await rows_at(change.session, [seq for seq, _ in change.rows])
    if all(stood.get(seq) == body for seq, body in change.rows):
        return None
    if not stood:
        raise BackendUnavailableError(
            f"session {change.session.hex()}: the connection failed in an append, and others have written so much "
            "since that it cannot be told whether it was made: look at the history before trying again"
        )
    return current
