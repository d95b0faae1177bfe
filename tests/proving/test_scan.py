"""One pass finds whatever is left of sealed bytes, and a text in whatever form, wherever either lies."""

from __future__ import annotations

import gzip
import os
import random
import zlib

import pytest

from securemem.proving.scan import BLOCK_BYTES, WINDOW, Kind, Needles, Scan
from securemem.proving.search import forms

MARKS = ("zukamoribexadofe", "zukamoriéß")
ENOUGH = 2 * WINDOW - 1
PART = 65_536


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """Give sealed bytes, which nothing else holds."""
    return os.urandom(300)


def scanned(data: bytes, sealed: bytes = b"", *, part: int = PART) -> set[Kind]:
    """Give what a scan finds in bytes that come part by part."""
    scan = Scan(Needles.of(MARKS, [(Kind.RECORD, sealed)]))
    for start in range(0, len(data), part):
        scan.feed(data[start : start + part])
    assert scan.size == len(data)
    return scan.end()


def test_fifteen_bytes_are_found_wherever_they_lie(sealed: bytes) -> None:
    """Of any fifteen bytes in a row, at any place, over the border of two blocks too, one window is met."""
    draw = random.Random(6)
    places = [*range(20), *(BLOCK_BYTES + each for each in range(-20, 20)), 2 * BLOCK_BYTES + 1]
    for place in places:
        start = draw.randrange(len(sealed) - ENOUGH)
        data = os.urandom(place) + sealed[start : start + ENOUGH] + os.urandom(draw.randrange(64))
        assert scanned(data, sealed) == {Kind.RECORD}, place


def test_seven_bytes_are_not_taken_for_a_find(sealed: bytes) -> None:
    """What is shorter than a window, or is not there, is not found."""
    assert scanned(os.urandom(99) + sealed[: WINDOW - 1] + os.urandom(99), sealed) == set()
    assert scanned(os.urandom(3 * BLOCK_BYTES), sealed) == set()


@pytest.mark.parametrize("mark", MARKS, ids=["ascii", "other"])
@pytest.mark.parametrize("place", [0, 5, BLOCK_BYTES - 3, BLOCK_BYTES + 1])
def test_a_text_is_found_in_every_form(mark: str, place: int) -> None:
    """Each form of a mark is found, over the border of two blocks too, and however small the parts are that come."""
    for _, pattern in forms(mark):
        assert scanned(bytes(place) + pattern + b"rest") == {Kind.TEXT}
    assert scanned(b"x" * 40 + MARKS[0].encode(), part=1) == {Kind.TEXT}


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
def test_a_text_is_found_in_what_is_compressed(compress: object, sealed: bytes) -> None:
    """What is compressed among other bytes is looked into, twice over too; sealed bytes in it are found as well."""
    assert callable(compress)
    inner = compress(b"said: " + MARKS[0].encode() * 2 + bytes(400) + sealed)
    assert scanned(os.urandom(301) + inner, sealed) == {Kind.TEXT, Kind.RECORD}
    assert scanned(os.urandom(77) + compress(inner + bytes(9)), sealed) == {Kind.TEXT, Kind.RECORD}


def test_one_end_is_the_next_beginning() -> None:
    """What is in two files is not read as one: half a text at the end and half at a beginning are none."""
    scan = Scan(Needles.of(MARKS, []))
    scan.feed(MARKS[0].encode()[:9])
    scan.end()
    scan.feed(MARKS[0].encode()[9:])
    assert scan.end() == set()
