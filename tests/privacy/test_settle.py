"""Settling what several engines found: one list, ascending, apart, with nothing left standing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.model import Span
from securemem.privacy.settle import settle

ENTITIES = ["SECRET", "EMAIL_ADDRESS", "URL", "PERSON", "PHONE_NUMBER"]
SPANS = st.lists(
    st.builds(
        lambda start, length, entity, score: Span(start, start + length, entity, score),
        st.integers(0, 40),
        st.integers(1, 12),
        st.sampled_from(ENTITIES),
        st.sampled_from([0.3, 0.5, 0.85, 1.0]),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        ([], []),
        ([(5, 9, "URL", 1), (0, 3, "PERSON", 1)], [(0, 3, "PERSON"), (5, 9, "URL")]),
        ([(0, 3, "PERSON", 1), (3, 9, "URL", 1)], [(0, 3, "PERSON"), (3, 9, "URL")]),
        ([(0, 4, "PERSON", 1), (3, 9, "PERSON", 1)], [(0, 9, "PERSON")]),
        ([(0, 9, "URL", 1), (0, 9, "SECRET", 0.3)], [(0, 9, "SECRET")]),
        ([(0, 20, "URL", 1), (8, 12, "SECRET", 0.3)], [(0, 20, "SECRET")]),
        ([(0, 20, "PERSON", 1), (8, 12, "EMAIL_ADDRESS", 0.5)], [(0, 20, "EMAIL_ADDRESS")]),
        ([(0, 9, "PERSON", 0.9), (4, 30, "LOCATION", 0.6)], [(0, 30, "PERSON")]),
        ([(0, 4, "PERSON", 0.5), (2, 12, "LOCATION", 0.5)], [(0, 12, "LOCATION")]),
        ([(0, 4, "AGE", 1), (3, 7, "AGE", 1), (6, 9, "AGE", 1)], [(0, 9, "AGE")]),
    ],
    ids=[
        "none",
        "ascending",
        "side by side",
        "one entity",
        "secret",
        "secret within",
        "vouched",
        "score",
        "longest",
        "chain",
    ],
)
def test_what_weighs_most_covers_all(
    found: list[tuple[int, int, str, float]], settled: list[tuple[int, int, str]]
) -> None:
    """A secret comes first, then what a form vouches for, then the surest, then the longest; it covers the rest."""
    assert [span[:3] for span in settle(Span(*span) for span in found)] == settled


@given(SPANS)
def test_spans_are_ascending_and_apart_and_cover_the_same(found: list[Span]) -> None:
    """Every character that some engine found is in one span, and no other is."""
    settled = settle(found)
    assert all(one.end <= other.start for one, other in pairwise(settled))
    covered = [place for span in settled for place in range(span.start, span.end)]
    assert len(covered) == len(set(covered))
    assert set(covered) == {place for span in found for place in range(span.start, span.end)}
    assert settle(settled) == settled


@given(SPANS.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_engines_makes_no_difference(orders: tuple[list[Span], list[Span]]) -> None:
    """The same spans in another order settle to the same."""
    assert settle(orders[0]) == settle(orders[1])


@given(SPANS)
def test_no_secret_becomes_something_else(found: list[Span]) -> None:
    """Where a secret was found the span is a secret, whatever else was found there, so that it is never given back."""
    for secret in (span for span in found if span.entity == "SECRET"):
        [over] = [span for span in settle(found) if span.start <= secret.start and secret.end <= span.end]
        assert over.entity == "SECRET"
