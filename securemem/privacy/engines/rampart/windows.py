"""Texts longer than the network takes: windows of 480 characters that share 64, each token taken from one of them.

The network was trained on short texts, and sees less at the edges of a window. So a window answers for what is 32
characters away from an edge that it shares with another, and every token has one answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from securemem.privacy.engines.rampart.network import Token, TooManyTokensError

WINDOW, SHARED = 480, 64
_KEPT = 64
"""Windows of one text that are remembered."""


class Reader(Protocol):
    """What reads one window: `network.Network`."""

    def tokens(self, text: str) -> list[Token]:
        """Give the tokens of a text; raises TooManyTokensError where it is too long."""


def tokens(reader: Reader, text: str) -> Iterator[Token]:
    """Give the tokens of a text of any length, in order, read window by window; what repeats itself is read once."""
    seen: dict[str, list[Token]] = {}
    start = 0
    while True:
        end = min(start + WINDOW, len(text))
        low = start + SHARED // 2 if start else 0
        high = end - SHARED // 2 if end < len(text) else end
        window = text[start:end]
        if window not in seen:
            if len(seen) == _KEPT:
                seen.clear()
            seen[window] = _read(reader, window)
        for token in seen[window]:
            if low <= token.start + start < high:
                yield Token(token.start + start, token.end + start, token.name, token.place)
        if end == len(text):
            return
        start = end - SHARED


def _read(reader: Reader, text: str) -> list[Token]:
    """Read one window; halve one of a script that has more tokens than characters."""
    try:
        return reader.tokens(text)
    except TooManyTokensError:
        middle = len(text) // 2
        second = [
            Token(token.start + middle, token.end + middle, token.name, token.place)
            for token in _read(reader, text[middle:])
        ]
        return _read(reader, text[:middle]) + second
