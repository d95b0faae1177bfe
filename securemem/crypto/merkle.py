"""Merkle trees over the hashes of a log's entries, as RFC 9162 has them: heads, and proofs that are checked offline.

    hash of a leaf = SHA-256(0x00 ‖ entry)        hash of a node = SHA-256(0x01 ‖ left ‖ right)

A tree of `size` leaves is split at the largest power of two below its size, and so on down. What a proof consists of
is named by the ranges of leaves, from a first one to one past the last, whose heads it gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from securemem.errors import IntegrityError

HASH_BYTES = 32
Range = tuple[int, int]


def leaf_hash(entry: bytes) -> bytes:
    """Give the hash of a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of a node above two others."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(heads: Iterable[bytes]) -> bytes:
    """Give the head of a tree of the heads of its full parts, the left one first; that of an empty one has none."""
    head = None
    for each in reversed(list(heads)):
        head = each if head is None else node_hash(each, head)
    return hashlib.sha256().digest() if head is None else head


class Frontier:
    """A tree that grows, of which only the heads of its full parts are kept: one for each bit of its size.

    Attributes:
        size: how many leaves it has.
    """

    def __init__(self, size: int = 0, heads: Sequence[bytes] = ()) -> None:
        """Go on from a size, whose full parts have these heads, the left one first."""
        self.size = size
        self._heads = list(heads)

    def append(self, entry: bytes) -> bytes:
        """Add a leaf; gives the head of the largest full part that ends with it."""
        head = leaf_hash(entry)
        size = self.size
        while size & 1:
            head = node_hash(self._heads.pop(), head)
            size >>= 1
        self._heads.append(head)
        self.size += 1
        return head

    def root(self) -> bytes:
        """Give the tree's head."""
        return fold(self._heads)


def _split(size: int) -> int:
    """Give the largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)


def full_parts(low: int, high: int) -> list[Range]:
    """Give the full parts, powers of two in size and aligned to it, of a range that a split has made."""
    parts = []
    while low < high:
        size = 1 << ((high - low).bit_length() - 1)
        parts.append((low, low + size))
        low += size
    return parts


def inclusion(index: int, size: int) -> list[Range]:
    """Give the ranges whose heads prove that a leaf is in a tree, the lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Range]:
    """Give the ranges whose heads prove that a tree has grown out of a smaller one.

    Raises:
        ValueError: it is not smaller, or empty.
    """
    if not 0 < first <= second:
        raise ValueError("a tree grows out of one that is smaller and not empty")
    low, high, whole, path = 0, second, True, []
    while first < high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low, whole = middle, False
    return ([] if whole else [(low, high)]) + path[::-1]


def check_inclusion(entry: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that an entry is the leaf of a tree (RFC 9162, 2.1.3.2).

    Raises:
        IntegrityError: it is not.
    """
    head, place, last = leaf_hash(entry), index, size - 1
    fits = 0 <= index < size
    for other in path:
        fits = fits and last > 0
        if place & 1 or place == last:
            head = node_hash(other, head)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            head = node_hash(head, other)
        place, last = place >> 1, last >> 1
    if not fits or last != 0 or head != root:
        raise IntegrityError("the entry is not in the tree at that place")


def check_consistency(first: int, second: int, path: Sequence[bytes], roots: tuple[bytes, bytes]) -> None:
    """Check that a tree has grown out of a smaller one (RFC 9162, 2.1.4.2).

    Args:
        first: the size of the smaller one.
        second: that of the larger one.
        path: as `consistency` names it.
        roots: their heads, likewise.

    Raises:
        IntegrityError: it has not.
    """
    heads = list(path) if first & (first - 1) else [roots[0], *path]
    if first == second and first:
        holds = not path and roots[0] == roots[1]
    else:
        holds = 0 < first < second and bool(path) and _grown(first, second, heads, roots)
    if not holds:
        raise IntegrityError("the tree did not grow out of the smaller one")


def _grown(first: int, second: int, heads: list[bytes], roots: tuple[bytes, bytes]) -> bool:
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = heads[0]
    for other in heads[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, other)
        place, last = place >> 1, last >> 1
    return last == 0 and (old, new) == roots
