"""pseudonymise: a token stands for it, and only the person's own vault says for what: `[PERSON_1]`."""

from __future__ import annotations

from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand


def pseudonymise(value: str, span: Span, hand: Hand) -> str:
    """Give the value's token."""
    return hand.pseudonym(span.entity, value)
