"""redact: gone for good, and what it was remains: `[EMAIL_ADDRESS]`."""

from __future__ import annotations

from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand


def redact(_value: str, span: Span, _hand: Hand) -> str:
    """Give the name of the entity in brackets."""
    return f"[{span.entity}]"
