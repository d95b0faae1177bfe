"""What can be done to whole rows, each with the error that it must raise and the place that the error must name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from securemem import CorruptRecordError, IntegrityError, PlaintextError, ReorderedError, WrongKeyError

from .access import HEAD, Rows, at
from .store import FOREIGN, GROUP, LONG, TRIP, WORK, Loot


class Attack(NamedTuple):
    """Something done to the rows, in whose session it shows, and how.

    Attributes:
        file_only: memory does not hold it.
        listed: how it shows where the rows are a list, whose last element is the head: a seq is a place before that.
    """

    name: str
    change: Callable[[Rows, Loot], object]
    error: type[IntegrityError]
    seq: int | None
    session: int = TRIP
    file_only: bool = False
    listed: tuple[type[IntegrityError], int | None] | None = None

    def shown(self, *, listed: bool) -> tuple[type[IntegrityError], int | None]:
        """Give the error, and the seq that it names."""
        return self.listed if listed and self.listed is not None else (self.error, self.seq)


def _move(rows: Rows, source: int, target: int) -> None:
    rows[target] = rows[source]


def _only(rows: Rows, session: int, kept: Rows) -> None:
    for row in [row for row in rows if row >> 32 == session]:
        del rows[row]
    rows.update({row: body for row, body in kept.items() if row >> 32 == session})


def _swap(rows: Rows, one: int, other: int) -> None:
    rows[one], rows[other] = rows[other], rows[one]


def _exchange(rows: Rows, one: int, other: int) -> None:
    """Give each of two sessions all rows of the other."""
    moved = {row ^ at(one ^ other, 0): body for row, body in rows.items() if row >> 32 in (one, other)}
    rows.update(moved)


ATTACKS = [
    Attack("JSON in a record's place", lambda r, _: r.update({at(TRIP, 5): b'{"role":"user"}'}), PlaintextError, 5),
    Attack("text in a record's place", lambda r, _: r.update({at(TRIP, 5): "hello"}), PlaintextError, 5),
    Attack("a number in its place", lambda r, _: r.update({at(TRIP, 5): 7}), PlaintextError, 5, file_only=True),
    Attack("nothing in a record's place", lambda r, _: r.update({at(TRIP, 5): b""}), PlaintextError, 5),
    Attack(
        "plaintext before the first", lambda r, _: r.update({at(TRIP, 0): b"hello"}), IntegrityError, 0, file_only=True
    ),
    Attack(
        "plaintext after the newest",
        lambda r, _: r.update({at(TRIP, 9): b"hello"}),
        IntegrityError,
        9,
        listed=(PlaintextError, 8),
    ),
    Attack("text in the head's place", lambda r, _: r.update({at(TRIP, HEAD): "hello"}), PlaintextError, None),
    Attack("a number there", lambda r, _: r.update({at(TRIP, HEAD): 7}), PlaintextError, None, file_only=True),
    Attack("a double in another's place", lambda r, _: _move(r, at(TRIP, 3), at(TRIP, 5)), ReorderedError, 5),
    Attack(
        "a double after the newest",
        lambda r, _: _move(r, at(TRIP, 8), at(TRIP, 9)),
        ReorderedError,
        9,
        listed=(ReorderedError, 7),
    ),
    Attack("a gap", lambda r, _: r.pop(at(TRIP, 5)), ReorderedError, 5),
    Attack("a cut tail", lambda r, _: r.pop(at(TRIP, 8)), ReorderedError, 8),
    Attack("the oldest record removed", lambda r, _: r.pop(at(TRIP, 1)), ReorderedError, 1),
    Attack("all records removed", lambda r, _: [r.pop(at(TRIP, seq)) for seq in range(1, 9)], ReorderedError, 8),
    Attack("two rows swapped", lambda r, _: _swap(r, at(TRIP, 3), at(TRIP, 5)), ReorderedError, 5),
    Attack("a guest's row swapped", lambda r, _: _swap(r, at(TRIP, 4), at(TRIP, 5)), ReorderedError, 5),
    Attack("the loser in the winner's place", lambda r, k: r.update({at(TRIP, 7): k.rival}), ReorderedError, 7),
    Attack("an old head with its own rows", lambda r, k: _only(r, TRIP, k.earlier), ReorderedError, None),
    Attack(
        "an old head with new rows",
        lambda r, k: r.update({at(TRIP, HEAD): k.earlier[at(TRIP, HEAD)]}),
        ReorderedError,
        None,
    ),
    Attack(
        "rows without a head",
        lambda r, _: r.pop(at(TRIP, HEAD)),
        ReorderedError,
        None,
        listed=(PlaintextError, None),
    ),
    Attack("the whole session removed", lambda r, _: _only(r, TRIP, {}), ReorderedError, None),
    Attack("another's head", lambda r, _: _move(r, at(WORK, HEAD), at(TRIP, HEAD)), CorruptRecordError, None),
    Attack("another's stub", lambda r, _: _move(r, at(GROUP, 3), at(TRIP, 3)), CorruptRecordError, 3),
    Attack("a row of another session", lambda r, _: _move(r, at(WORK, 5), at(TRIP, 5)), CorruptRecordError, 5),
    Attack("another user's row", lambda r, _: _move(r, at(GROUP, 2), at(TRIP, 2)), CorruptRecordError, 2),
    Attack("all of another session", lambda r, _: _exchange(r, TRIP, WORK), CorruptRecordError, None),
    Attack(
        "a row of this session of another tenant",
        lambda r, _: _move(r, at(FOREIGN, 5), at(TRIP, 5)),
        CorruptRecordError,
        5,
        file_only=True,
    ),
    Attack(
        "all of this session of another tenant",
        lambda r, _: _exchange(r, TRIP, FOREIGN),
        CorruptRecordError,
        None,
        file_only=True,
    ),
    Attack(
        "a removed guest's record put back",
        lambda r, k: r.update({at(GROUP, 3): k.earlier[at(GROUP, 3)]}),
        WrongKeyError,
        3,
        GROUP,
    ),
    Attack("a stub removed", lambda r, _: r.pop(at(GROUP, 3)), ReorderedError, 3, GROUP),
    Attack(
        "a stub in the place of another record",
        lambda r, _: _move(r, at(GROUP, 3), at(GROUP, 2)),
        ReorderedError,
        2,
        GROUP,
    ),
    Attack(
        "a trimmed record put back",
        lambda r, k: r.update({at(LONG, 2): k.earlier[at(LONG, 2)]}),
        ReorderedError,
        2,
        LONG,
    ),
]
