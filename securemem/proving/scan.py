"""A search through as many bytes as a store has, in one pass, whatever the number of canaries.

Texts all hold one of a few marks, and are found by these, in every form that `search` knows. Sealed bytes are random,
so that eight of them in a row occur nowhere else: every eight-byte window of what is sought is in one set, and every
eighth byte of what is searched is where one window begins. So any fifteen bytes in a row are found that are left of
something, wherever they lie. The search itself takes a dozen seconds a gigabyte.
"""

from __future__ import annotations

import array
import enum
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from securemem.proving.search import forms, unpacked

WINDOW = 8
BLOCK_BYTES = 1024 * 1024
_MOST_DEPTH = 2


class Kind(enum.StrEnum):
    """What can be found."""

    TEXT = "a text in clear"
    RECORD = "a sealed message"
    KEY = "a wrapped key, a sealed name or a lookup tag"
    HANDLE = "a handle"
    LIVING_RECORD = "a sealed message of the control"
    LIVING_KEY = "a wrapped key of the control"


class Needles(NamedTuple):
    """What is looked for.

    Attributes:
        texts: the patterns of the marks.
        windows: of sealed bytes, each with what it is of.
    """

    texts: tuple[bytes, ...]
    windows: dict[int, Kind]

    @classmethod
    def of(cls, marks: Iterable[str], sealed: Iterable[tuple[Kind, bytes]]) -> Needles:
        """Make them of the marks that texts hold, and of sealed bytes."""
        texts = dict.fromkeys(pattern for mark in marks for _, pattern in forms(mark))
        windows = {window: kind for kind, blob in sealed for window in _windows(blob)}
        return cls(tuple(texts), windows)

    @property
    def overlap(self) -> int:
        """How many bytes two blocks share, so that nothing is missed between them; whole windows."""
        longest = max((len(pattern) for pattern in self.texts), default=0)
        return -(-longest // WINDOW) * WINDOW


def _windows(blob: bytes) -> Iterator[int]:
    for start in range(len(blob) - WINDOW + 1):
        yield int.from_bytes(blob[start : start + WINDOW], sys.byteorder)


class Scan:
    """One pass through bytes that come bit by bit.

    Attributes:
        size: how many came.
        found: what was found among them.
    """

    def __init__(self, needles: Needles, *, inside: bool = True) -> None:
        """Take what is looked for; `inside` says whether it may be compressed in what comes."""
        self.size = 0
        self.found: set[Kind] = set()
        self._needles = needles
        self._sought = frozenset(needles.windows)
        self._depth = _MOST_DEPTH if inside else 0
        self._held = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Take the bytes that follow."""
        self.size += len(data)
        self._held += data
        while len(self._held) >= BLOCK_BYTES:
            self._look(bytes(self._held[:BLOCK_BYTES]), self._depth)
            del self._held[: BLOCK_BYTES - self._needles.overlap]

    def end(self) -> set[Kind]:
        """Look at the rest; what comes next is something else, from its beginning."""
        if self._held:
            self._look(bytes(self._held), self._depth)
            self._held.clear()
        return self.found

    def _look(self, block: bytes, depth: int) -> None:
        if Kind.TEXT not in self.found and any(pattern in block for pattern in self._needles.texts):
            self.found.add(Kind.TEXT)
        words = array.array("Q", block[: len(block) // WINDOW * WINDOW])
        if not self._sought.isdisjoint(words):
            self.found.update(self._needles.windows[word] for word in self._sought.intersection(words))
        if depth:
            for _, _, inner in unpacked(block):
                self._look(inner, depth - 1)
