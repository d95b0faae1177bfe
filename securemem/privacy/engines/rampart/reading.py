"""A text read from beginning to end: network, words, what is known besides, spans."""

from __future__ import annotations

from securemem.model import Span
from securemem.privacy.engines.rampart.addresses import with_addresses
from securemem.privacy.engines.rampart.cues import with_cued_names
from securemem.privacy.engines.rampart.network import Token
from securemem.privacy.engines.rampart.places import with_known_places
from securemem.privacy.engines.rampart.spans import spans as spans_of
from securemem.privacy.engines.rampart.windows import Reader, tokens
from securemem.privacy.engines.rampart.words import words


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
    found = with_known_places(text, with_cued_names(text, list(words(text, read))))
    return spans_of(text, with_addresses(text, found), threshold)
