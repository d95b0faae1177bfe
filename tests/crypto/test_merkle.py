"""Merkle trees as RFC 9162 has them: heads that others have published, and proofs that hold, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.crypto.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency,
    full_parts,
    inclusion,
    leaf_hash,
    node_hash,
)
from securemem.errors import IntegrityError

VECTORS = json.loads((Path(__file__).parent / "published" / "merkle.json").read_text())
MOST = 300


def naive(entries: list[bytes]) -> bytes:
    """Give the head as RFC 9162, 2.1.1 defines it."""
    if len(entries) < 2:
        return leaf_hash(entries[0])
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    return node_hash(naive(entries[:middle]), naive(entries[middle:]))


def entries_of(size: int) -> list[bytes]:
    """Give leaves, each another."""
    return [number.to_bytes(4, "big") for number in range(size)]


def grown(size: int) -> Frontier:
    """Give a tree of so many leaves."""
    tree = Frontier()
    for entry in entries_of(size):
        tree.append(entry)
    return tree


sizes = st.integers(1, MOST)


@pytest.mark.parametrize("size", range(9))
def test_heads_are_those_that_others_have(size: int) -> None:
    """The heads of the trees that implementations of RFC 6962 test each other by."""
    tree = Frontier()
    for entry in VECTORS["entries"][:size]:
        tree.append(bytes.fromhex(entry))
    assert (tree.size, tree.root().hex()) == (size, VECTORS["roots"][size])


@given(sizes)
def test_a_tree_that_grows_has_the_head_that_is_defined(size: int) -> None:
    """Leaf by leaf it comes to what the definition makes of all of them; and so does one that was put down between."""
    tree = grown(size)
    assert tree.root() == naive(entries_of(size))
    heads = [naive(entries_of(size)[low:high]) for low, high in full_parts(0, size)]
    assert Frontier(size, heads).root() == tree.root()


@given(sizes, st.data())
def test_a_proof_of_inclusion_holds_for_its_leaf_alone(size: int, data: st.DataObject) -> None:
    """And for no other leaf, place, size, path or head."""
    index = data.draw(st.integers(0, size - 1))
    entries, root = entries_of(size), grown(size).root()
    path = [naive(entries[low:high]) for low, high in inclusion(index, size)]
    check_inclusion(entries[index], index, size, path, root)
    altered = [bytes(32), *path[1:]] if path else [bytes(32)]
    wrong = [
        (b"another", index, size, path, root),
        (entries[index], index + size, size, path, root),
        (entries[index], index, size, altered, root),
        (entries[index], index, size, [*path, root], root),
        (entries[index], index, size, path, bytes(32)),
        (entries[index], -1, size, path, root),
    ]
    if size > 1:
        wrong += [(entries[index], (index + 1) % size, size, path, root), (entries[index], index, size, path[1:], root)]
    for claim in wrong:
        with pytest.raises(IntegrityError, match="not in the tree"):
            check_inclusion(*claim)


@given(sizes, st.data())
def test_a_proof_of_consistency_holds_for_what_grew_alone(second: int, data: st.DataObject) -> None:
    """And not where a leaf of the smaller tree was another one, or the path was altered."""
    first = data.draw(st.integers(1, second))
    entries, roots = entries_of(second), (grown(first).root(), grown(second).root())
    path = [naive(entries[low:high]) for low, high in consistency(first, second)]
    check_consistency(first, second, path, roots)
    changed = data.draw(st.integers(0, first - 1))
    other = naive([b"another" if place == changed else entry for place, entry in enumerate(entries[:first])])
    wrong = [
        (first, second, path, (other, roots[1])),
        (first, second, path, (roots[0], bytes(32))),
        (first, second, [*path, bytes(32)], roots),
        (second + 1, second, path, roots),
        (0, second, path, roots),
    ]
    wrong += [(first, second, path[:-1], roots), (first, second, [], roots)] if path else []
    for claim in wrong:
        with pytest.raises(IntegrityError, match="did not grow"):
            check_consistency(*claim)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    """A leaf outside, and a tree that is empty or larger, are refused."""
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ValueError, match="no such leaf"):
            inclusion(index, size)
    for first, second in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="smaller"):
            consistency(first, second)
