"""What a deletion leaves behind: how long its removal is waited for, and until when what is left will last.

A date comes from the store itself where its settings bound what is left, and else from the operator, who alone knows
how long copies of it live. Where neither says so there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from securemem.errors import InvalidInputError
from securemem.model import Residue, ResidueKind

PURGE_SECONDS = 5.0
"""How long a purge waits and works, where the caller does not say."""

UNANSWERED = "deleted rows on the server's disk: it did not answer while they were removed"
"""What is left where a purge found no server."""

_MOST_SECONDS = 604_800.0
_FOLLOWS = {"kms": "keystore"}
"""Copies that are named under one store and made of another: a KEK opens backups of the keystore."""


def check_purge_seconds(value: object) -> float:
    """Give how long a purge may take, cut to a week.

    Raises:
        InvalidInputError: no number, negative, or without an end.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InvalidInputError("purge_seconds has to be a number of seconds, 0 or more, and not infinite")
    return float(min(value, _MOST_SECONDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """How long lasts, at the most, what no store can tell of: the operator's own statement; None where there is none.

    Attributes:
        backups: until every backup, archive, standby and snapshot, and the log that a server keeps for them, is past
            what was deleted.
        memory: until a server that keeps its data in memory was started anew.
    """

    backups: timedelta | None = None
    memory: timedelta | None = None

    def or_backups(self, days: int | None) -> Lasting:
        """Give the same with what a policy says of backups, where the operator has said nothing."""
        if self.backups is not None or days is None:
            return self
        return replace(self, backups=timedelta(days=days))

    def dated(self, residue: Iterable[Residue], at: datetime) -> list[Residue]:
        """Give what was left of something at a moment, with the dates that the operator states.

        A copy that is made while something is left in the store itself holds that too: its time begins when the store
        is clean, and where that has no date it has none either.
        """
        found = list(residue)
        clean: dict[str, datetime | None] = {}
        for each in found:
            if each.kind is ResidueKind.PLACE:
                clean[each.store] = _later(clean.get(each.store, at), each.until)
        return [self._dated(each, clean.get(_FOLLOWS.get(each.store, each.store), at), at) for each in found]

    def _dated(self, residue: Residue, clean: datetime | None, at: datetime) -> Residue:
        if residue.until is not None or residue.kind is ResidueKind.PLACE:
            return residue
        begins, life = (at, self.memory) if residue.kind is ResidueKind.MEMORY else (clean, self.backups)
        if begins is None or life is None:
            return residue
        return replace(residue, what=f"{residue.what} (the date is the operator's statement)", until=begins + life)


def latest(found: Iterable[Residue]) -> list[Residue]:
    """Give what several servers have left, each kind once: until the last of them is past it."""
    merged: dict[str, Residue] = {}
    for each in found:
        known = merged.setdefault(each.what, each)
        merged[each.what] = replace(each, until=_later(known.until, each.until))
    return list(merged.values())


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)
