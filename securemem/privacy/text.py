"""Puts what treatments make in place of what was found in a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from securemem.model import Span
from securemem.privacy import tokens
from securemem.privacy.treatments.treatment import Hand, Treatment

TOKEN = ""
"""The entity of a span that is a token already, and stays one."""


class Treated(NamedTuple):
    """A text after its treatment.

    Attributes:
        text: as it is stored.
        marked: whether tokens stand in it, or what looks like one with a backslash.
    """

    text: str
    marked: bool

    def __repr__(self) -> str:
        return f"Treated(marked={self.marked})"


def treat(
    text: str, spans: Sequence[Span], treatments: Mapping[str, Treatment], hand: Hand, *, reversible: frozenset[str]
) -> Treated:
    """Treat a text.

    Args:
        text: any.
        spans: ascending and apart from each other.
        treatments: by entity; of what has none the value stays.
        hand: of whose data it is.
        reversible: the entities whose treatment makes tokens; where there are some, what looks like one is marked.

    Raises:
        PIIBlockedError: a treatment refuses.
    """
    pieces: list[str] = []
    begins: set[int] = set()
    done = length = 0
    for span in spans:
        treatment = treatments.get(span.entity)
        value = text[span.start : span.end]
        made = value if treatment is None else treatment(value, span, hand)
        length += span.start - done
        if span.entity in reversible or span.entity == TOKEN:
            begins.add(length)
        pieces += (text[done : span.start], made)
        length += len(made)
        done = span.end
    pieces.append(text[done:])
    whole = "".join(pieces)
    if not reversible:
        return Treated(whole, marked=False)
    escaped = tokens.escape(whole, begins)
    return Treated(escaped, marked=bool(begins) or escaped != whole)
