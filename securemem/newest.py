"""The newest state of a session that this process has seen. Pure: no I/O.

Its head's version never goes back, and of two heads of one version only the one that was seen is accepted. With the
head go the places in the chain that were verified, from which older pages can be read.
"""

from __future__ import annotations

from securemem.crypto.head import Walk
from securemem.errors import ReorderedError
from securemem.keys.unwrapped import SessionKeys
from securemem.model import Head

MOST_BOUNDARIES = 256
"""How many places a session remembers from which older pages can be read."""


class Newest:
    """What is known of one session's state, under one handle.

    Attributes:
        handle: the session's; None where none is known.
        head: the newest one, verified; None where none was seen.
        raw: its bytes.
        version: its version; 0 where none was seen.
        certain: whether it stood when it was last looked at, and nothing was tried since that may have moved it.
        boundaries: verified tags of the records below the places that pages have ended at, by the seqs of those places.
    """

    __slots__ = ("_floors", "boundaries", "certain", "handle", "head", "raw", "version")

    def __init__(self, floors: dict[bytes, tuple[int, int]]) -> None:
        """Know nothing yet.

        Args:
            floors: is told version and latest expiry of every head that is taken over, by the session's handle.
        """
        self._floors = floors
        self.begin(None)

    def begin(self, handle: bytes | None) -> None:
        """Know nothing of a session but its handle."""
        self.handle = handle
        self.head: Head | None = None
        self.raw = b""
        self.version = 0
        self.certain = False
        self.boundaries: dict[int, bytes] = {}

    @property
    def epoch(self) -> int:
        """The head's epoch; a session begins in 0."""
        return self.head.epoch if self.head is not None else 0

    def adopt(self, handle: bytes, raw: bytes, head: Head) -> None:
        """Take over a verified head, if it is a newer one of the session that is known."""
        if handle == self.handle and head.version > self.version:
            if head.epoch != self.epoch:
                self.boundaries = {}  # the chain may be another now
            self.raw, self.head, self.version, self.certain = raw, head, head.version, True
            self._floors[handle] = (head.version, head.latest_expiry)

    def accept(self, keys: SessionKeys, raw: bytes, seen: int) -> Head:
        """Verify a head that was read, and take it over if it is newer.

        Args:
            keys: the session's.
            raw: the head's bytes.
            seen: the newest version that had been seen when the read was asked for.

        Raises:
            IntegrityError: it is not as it was written, an older one, or another of the version that was seen.
        """
        if raw == self.raw and self.head is not None and keys.handle == self.handle:
            self.certain = True
            return self.head
        head = keys.head.decode(raw)
        if head.version < max(seen, keys.floor) or head.generation != keys.generation:
            raise ReorderedError("the session was rolled back to an older state", session=keys.handle)
        if keys.handle == self.handle and head.version == self.version:
            raise ReorderedError("the session has two states of one version", session=keys.handle)
        self.adopt(keys.handle, raw, head)
        return head

    def rows_above(self, before: int | None) -> int:
        """Give how many rows lie between the newest head and a page from the middle, if there is one."""
        if before is None or self.head is None or before <= self.head.first:
            return 0
        return max(0, self.head.next - before)

    def remember_boundary(self, walk: Walk) -> None:
        """Keep the verified tag that the next older page begins with, if the chain is still the one that was walked."""
        if walk.epoch != self.epoch:
            return
        if len(self.boundaries) >= MOST_BOUNDARIES:
            del self.boundaries[next(iter(self.boundaries))]
        self.boundaries[walk.seq] = walk.expected
