"""What is known of a session's newest records: those that were verified and opened, as one run without a gap.

It hangs on the keys that opened them, gives no more than those could, and goes with them. A record is recalled only
where the bytes that lie there now are, all of them and in the same place, those that were opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from securemem.crypto.aead import TAG_BYTES

M = TypeVar("M")
Row = tuple[int, bytes]
"""Seq and record."""

MOST_RECORDS = 64
MOST_BYTES = 256 * 1024
"""How much of a session is held, of records as they are sealed; older ones are let go of first."""
_SLACK = 16
"""So many more are held before some are let go of, so that an append need not move all the others."""


class Known(Generic[M]):
    """Records, oldest first, and beside each what was in it."""

    __slots__ = ("_bytes", "_found", "_ordinary_from", "_prev", "_rows")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Let go of everything."""
        self._rows: list[Row] = []
        self._found: list[M] = []
        self._prev = b""
        self._bytes = 0
        self._ordinary_from = 0

    def newer(self, rows: Sequence[Row]) -> int:
        """Give how many rows, newest first, come after what is held; all of them where nothing is."""
        if not rows or not self._rows:
            return len(rows)
        return min(len(rows), max(0, rows[0][0] - self._rows[-1][0]))

    def are_ordinary(self, rows: Sequence[Row]) -> bool:
        """Tell whether all of some places, newest first, are held with what nobody has to look at before it is given.

        Of these `recall` gives all, or none where other bytes lie there now.
        """
        if not rows or not self._rows:
            return False
        oldest = rows[-1][0]
        return self._ordinary_from <= oldest and self._rows[0][0] <= oldest

    def recall(self, rows: Sequence[Row], before: int, tag: bytes) -> tuple[Sequence[M], bytes]:
        """Give what was in the records that rows begin with, where these are held.

        Args:
            rows: newest first.
            before: the seq after the newest.
            tag: the GCM tag that the newest has to bear.

        Returns:
            What was in them, newest first: of none, or of as many as are held; and the tag that the next older record
            has to bear.
        """
        held = self._rows
        if not rows or not held or rows[0][0] != before - 1:
            return (), tag
        last = before - held[0][0] - 1
        if not 0 <= last < len(held) or held[last][1][-TAG_BYTES:] != tag:
            return (), tag
        first = max(0, last + 1 - len(rows))
        part = slice(last, first - 1 if first else None, -1)
        same = held[part]
        if same != (rows if len(rows) == len(same) else rows[: len(same)]):
            return (), tag
        return self._found[part], held[first - 1][1][-TAG_BYTES:] if first else self._prev

    def add(self, rows: Sequence[Row], found: Sequence[M], prev: bytes, *, ordinary: bool = False) -> None:
        """Hold records that were just opened, or sealed, in this session.

        What comes right after what is held, or right before it, is joined to it; what goes on beyond it otherwise takes
        its place; of anything else no notice is taken.

        Args:
            rows: oldest first, without a gap.
            found: what is in each.
            prev: the tag of the record before the oldest of them.
            ordinary: whether what is in them can be given to whoever may read the session as it is, now and later.
        """
        if not rows:
            return
        held = self._rows
        end = 0 if ordinary else rows[-1][0] + 1
        if held and rows[0][0] == held[-1][0] + 1 and prev == held[-1][1][-TAG_BYTES:]:
            held += rows
            self._found += found
        elif held and rows[-1][0] == held[0][0] - 1 and rows[-1][1][-TAG_BYTES:] == self._prev:
            held[:0] = rows
            self._found[:0] = found
            self._prev = prev
        elif not held or rows[-1][0] > held[-1][0]:
            self.clear()
            self._rows, self._found, self._prev = [*rows], [*found], prev
        else:
            return
        self._ordinary_from = max(self._ordinary_from, end)
        self._bytes += sum([len(raw) for _, raw in rows])
        if len(self._rows) > MOST_RECORDS + _SLACK or self._bytes > MOST_BYTES:
            self._trim()

    def _trim(self) -> None:
        cut = max(0, len(self._rows) - MOST_RECORDS)
        size = self._bytes - sum([len(raw) for _, raw in self._rows[:cut]])
        while size > MOST_BYTES:
            size -= len(self._rows[cut][1])
            cut += 1
        self._prev = self._rows[cut - 1][1][-TAG_BYTES:]
        self._bytes = size
        del self._rows[:cut], self._found[:cut]
