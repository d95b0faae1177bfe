"""Makes one list of spans of what several engines found: ascending, apart from each other, nothing left standing.

Where spans touch the same characters they become one that covers all of them, of the entity that weighs most: a secret
before all, then what a check digit or a fixed form vouches for, then what the surest engine says, then the longest.
"""

from __future__ import annotations

from collections.abc import Iterable

from securemem.model import Span

_VOUCHED_FOR = frozenset(
    {"CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "CRYPTO", "URL"}
)


def settle(spans: Iterable[Span]) -> list[Span]:
    """Give spans that do not overlap, ascending by start."""
    settled: list[Span] = []
    for span in sorted(spans):
        if settled and span.start < settled[-1].end:
            settled[-1] = _joined(settled[-1], span)
        else:
            settled.append(span)
    return settled


def _joined(one: Span, other: Span) -> Span:
    weightier = max(one, other, key=_weight)
    return Span(min(one.start, other.start), max(one.end, other.end), weightier.entity, weightier.score)


def _weight(span: Span) -> tuple[bool, bool, float, int]:
    return (span.entity == "SECRET", span.entity in _VOUCHED_FOR, span.score, span.end - span.start)
