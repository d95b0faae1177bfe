"""keep: as it is."""

from __future__ import annotations

from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand


def keep(value: str, _span: Span, _hand: Hand) -> str:
    """Give the value."""
    return value
