"""block: the whole message is refused."""

from __future__ import annotations

from typing import NoReturn

from securemem.errors import PIIBlockedError
from securemem.model import Span
from securemem.privacy.treatments.treatment import Hand


def block(_value: str, span: Span, _hand: Hand) -> NoReturn:
    """Refuse the message.

    Raises:
        PIIBlockedError: always; it says what was found and where, not the value.
    """
    raise PIIBlockedError(
        f"the policy refuses {span.entity}, found at characters {span.start} to {span.end}: nothing was written",
        entity=span.entity,
        start=span.start,
        end=span.end,
    )
