"""A text read from beginning to end: network, words, what is known besides, spans."""

from __future__ import annotations

from collections.abc import Sequence

from securemem.model import Span
from securemem.privacy.engines.rampart.addresses import with_addresses
from securemem.privacy.engines.rampart.cues import with_cued_names
from securemem.privacy.engines.rampart.givennames import load_given_names, with_given_names
from securemem.privacy.engines.rampart.network import Token
from securemem.privacy.engines.rampart.places import load_places, with_known_places
from securemem.privacy.engines.rampart.spans import spans as spans_of
from securemem.privacy.engines.rampart.windows import Reader, tokens
from securemem.privacy.engines.rampart.words import Word, words


def prepare() -> None:
    """Read the lists of names and places, which takes a tenth of a second; else the first text does."""
    load_places()
    load_given_names()


def spans(network: Reader, text: str, threshold: float) -> list[Span]:
    """Give the spans of names and places in a text, ascending.

    Args:
        network: that reads a window.
        text: of any length.
        threshold: the least score of a span.
    """
    return spans_from(text, list(tokens(network, text)), threshold)


def spans_from(text: str, read: list[Token], threshold: float) -> list[Span]:
    """Give the spans in a text that the network has read."""
    found: Sequence[Word] = list(words(text, read))
    for know_more in (with_cued_names, with_given_names, with_known_places, with_addresses):
        found = know_more(text, found)
    return spans_of(text, found, threshold)
