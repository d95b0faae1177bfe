"""What a pattern is: one row of data. The rows stand in the rooms beside this one, by entity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from securemem.privacy.engines.patterns.views import Trigger

Check = Callable[[str, int, int], int]
"""Takes a text and where a value seems to start and end in it; gives where it ends, or its start if it is none."""

CHECKED, SHAPED, TOLD = 1.0, 0.85, 0.7
"""Scores: vouched for by a check digit or an unmistakable form; by its form; by a word near it."""

_SEPARATORS = " .-/"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """How one form of an entity is found.

    Attributes:
        name: of this form, unlike all others'.
        entity: what it is, by presidio's names.
        trigger: what must be seen of a text before this is tried.
        also: of these one must be seen besides; none for no such demand.
        regex: of bounded length wherever it repeats, and linear in time. The value is what the last group took, if that
            has a name, else all of it. It begins with a character and looks back from behind that one: an expression
            that begins by looking back is five times as slow to search with.
        lower: whether `regex` is matched with the text in lower case.
        ahead: how many characters before the match belong to the value.
        behind: what else stands before it, as an expression for the text read backwards from the match; it must match.
        check: what settles where the value ends, or that it is none.
        context: words of which one must stand in the 48 characters before it or the 24 behind it, in lower case; none
            for no such demand.
        close: whether no other number may be between such a word and it.
        but_not: words that undo those.
        unless: what must not stand right before it, in lower case, as an expression for the text read backwards.
        score: of its spans.
        regions: of these one must be asked for, by ISO 3166-1; none for no such demand.
        by_default: whether a policy that names no regions has it.
    """

    name: str
    entity: str
    trigger: Trigger
    regex: str
    also: tuple[Trigger, ...] = ()
    lower: bool = False
    ahead: int = 0
    behind: str = ""
    check: Check | None = None
    context: frozenset[str] = frozenset()
    close: bool = False
    but_not: frozenset[str] = frozenset()
    unless: str = ""
    score: float = CHECKED
    regions: frozenset[str] = frozenset()
    by_default: bool = True


def whole(holds: Callable[[str], bool]) -> Check:
    """Make a check of what tells whether a value holds as a whole."""

    def check(text: str, start: int, end: int) -> int:
        return end if holds(text[start:end]) else start

    return check


def shrinking(holds: Callable[[str], bool]) -> Check:
    """Make a check that leaves out groups at the end until the rest holds."""

    def check(text: str, start: int, end: int) -> int:
        while end > start and not holds(text[start:end]):
            end -= 1
            while end > start and text[end] not in _SEPARATORS:
                end -= 1
            while end > start and text[end - 1] in _SEPARATORS:
                end -= 1
        return end

    return check
