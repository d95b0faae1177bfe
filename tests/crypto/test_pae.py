"""PAE: no two lists of parts share an encoding."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from securemem.crypto.pae import pae, u32

_PARTS = st.lists(st.binary(max_size=12), max_size=6)


def _parts_of(encoded: bytes) -> list[bytes]:
    """Take an encoding apart, by the layout in the room's docstring; what is left over is an error."""
    (count,) = struct.unpack_from(">I", encoded)
    place, parts = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", encoded, place)
        parts.append(encoded[place + 4 : place + 4 + size])
        place += 4 + size
    assert place == len(encoded)
    return parts


@given(_PARTS)
def test_can_be_taken_apart(parts: list[bytes]) -> None:
    """Every encoding gives back its parts, so it is the encoding of no other list."""
    assert _parts_of(pae(*parts)) == parts


@given(_PARTS, _PARTS)
def test_is_injective(one: list[bytes], other: list[bytes]) -> None:
    """Two lists have one encoding only where they are the same."""
    assert (pae(*one) == pae(*other)) == (one == other)


@given(st.lists(st.binary(max_size=6), min_size=2, max_size=5), st.data())
def test_boundaries_cannot_shift(parts: list[bytes], data: st.DataObject) -> None:
    """The same bytes cut in other places are another encoding."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=len(parts) - 1, max_size=len(parts) - 1)))
    shifted = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert (pae(*parts) == pae(*shifted)) == (parts == shifted)


async def test_empty_parts_count() -> None:
    """No part, one empty part and two empty parts are three encodings, and a nested list is none of its own."""
    assert len({pae(), pae(b""), pae(b"", b""), pae(pae()), pae(pae(b""))}) == 5


async def test_shifted_ids() -> None:
    """("t", "u1") and ("tu", "1") are told apart."""
    assert pae(b"t", b"u1") != pae(b"tu", b"1")


async def test_numbers_are_of_fixed_width() -> None:
    """Numbers are parts of four bytes, big-endian."""
    assert u32(1) == b"\0\0\0\1"
