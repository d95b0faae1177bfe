"""The search that shows where a text or sealed bytes have got to, in whatever form.

A text is looked for as UTF-8, UTF-16 (both orders), hex, base64 (each of its three alignments, both alphabets), with
JSON's and with a URL's escapes; and in each of these within what zlib, gzip or zstandard have compressed. Bytes are
looked for as they are.
"""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import zstandard

Needle = str | bytes
_ZLIB_STARTS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP_START = b"\x1f\x8b\x08"
_ZSTD_START = b"\x28\xb5\x2f\xfd"
_MOST_UNPACKED = 64 * 1024 * 1024
_MANY = 250
"""So many patterns of one length are sought one by one: beyond that a look at every place in Python is quicker."""
_DEPTH = 2


class Finding(NamedTuple):
    """Where a canary was found: which one, in which file, at which byte, in which form."""

    needle: Needle
    place: str
    offset: int
    form: str


def make_canary(name: str = "canary") -> str:
    """Give a text that occurs nowhere else, in words that survive lower-casing and splitting at spaces."""
    return f"{name}{secrets.token_hex(12)}"


def pieces(blob: bytes, size: int = 16) -> list[bytes]:
    """Cut bytes into pieces, so that what is left of a part of them is found too; a shorter rest is left out."""
    return [blob[start : start + size] for start in range(0, len(blob) - size + 1, size)]


def search(places: Iterable[Path], needles: Needle | Iterable[Needle]) -> list[Finding]:
    """Search files, and all files below folders, for canaries.

    Args:
        places: files and folders; one that is not there is passed over, for a store may have removed it.
        needles: one text or bytes, or several.
    """
    sought = as_list(needles)
    return [
        finding
        for place in places
        for file in _files(place)
        for finding in search_bytes(file.read_bytes(), sought, place=str(file))
    ]


def search_bytes(haystack: bytes, needles: Needle | Iterable[Needle], *, place: str = "") -> list[Finding]:
    """Search bytes for canaries, and what is compressed in them too; gives the first place of each form."""
    sought = [(needle, form, pattern) for needle in as_list(needles) for form, pattern in forms(needle)]
    return list(_search(haystack, sought, place, _DEPTH))


def as_list(needles: Needle | Iterable[Needle]) -> list[Needle]:
    """Give one or several canaries as a list.

    Raises:
        ValueError: one is empty.
    """
    sought = [needles] if isinstance(needles, str | bytes) else list(needles)
    if any(not needle for needle in sought):
        raise ValueError("an empty canary is found everywhere")
    return sought


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(path for path in place.rglob("*") if path.is_file())
    elif place.is_file():
        yield place


def forms(needle: Needle) -> Iterator[tuple[str, bytes]]:
    """Give the forms of a canary, each once."""
    if isinstance(needle, bytes):
        yield "bytes", needle
        return
    plain = needle.encode("utf-8", "surrogatepass")
    forms = {
        "utf-8": plain,
        "utf-16-le": needle.encode("utf-16-le", "surrogatepass"),
        "utf-16-be": needle.encode("utf-16-be", "surrogatepass"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "json": json.dumps(needle)[1:-1].encode(),
        "url": quote(plain, safe="").encode(),
    }
    for shift in range(3):
        encoded = _base64_core(plain, shift)
        forms[f"base64+{shift}"] = encoded
        forms[f"base64url+{shift}"] = encoded.translate(bytes.maketrans(b"+/", b"-_"))
    seen: set[bytes] = set()
    for form, pattern in forms.items():
        if pattern and pattern not in seen:
            seen.add(pattern)
            yield form, pattern


def _base64_core(plain: bytes, shift: int) -> bytes:
    """Give those characters of a text's base64 that do not hang on its neighbours, `shift` bytes being before it."""
    encoded = base64.b64encode(bytes(shift) + plain)
    whole = (shift + len(plain)) // 3 * 4
    return encoded[(0, 2, 3)[shift] : whole]


def _search(haystack: bytes, sought: list[tuple[Needle, str, bytes]], place: str, depth: int) -> Iterator[Finding]:
    first = _first_places(haystack, [pattern for _, _, pattern in sought])
    for needle, form, pattern in sought:
        if pattern in first:
            yield Finding(needle, place, first[pattern], form)
    if depth:
        for offset, how, inner in unpacked(haystack):
            yield from _search(inner, sought, f"{place}[{how} at {offset}]", depth - 1)


def _first_places(haystack: bytes, patterns: Iterable[bytes]) -> dict[bytes, int]:
    """Give where each pattern that is there comes first; in one pass for each length that many of them have."""
    by_length: dict[int, set[bytes]] = {}
    for pattern in patterns:
        by_length.setdefault(len(pattern), set()).add(pattern)
    found: dict[bytes, int] = {}
    for length, wanted in by_length.items():
        if len(wanted) <= _MANY:
            found |= {pattern: place for pattern in wanted if (place := haystack.find(pattern)) >= 0}
            continue
        for start in range(len(haystack) - length + 1):
            window = haystack[start : start + length]
            if window in wanted:
                found.setdefault(window, start)
    return found


def unpacked(haystack: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Give what can be decompressed in a haystack, cut-off streams included."""
    for start in (*_ZLIB_STARTS, _GZIP_START):
        for offset in _everywhere(haystack, start):
            inner = _inflate(memoryview(haystack)[offset:])
            if inner:
                yield offset, "zlib" if start in _ZLIB_STARTS else "gzip", inner
    for offset in _everywhere(haystack, _ZSTD_START):
        try:
            inner = zstandard.ZstdDecompressor().decompressobj().decompress(haystack[offset:])
        except zstandard.ZstdError:
            continue
        yield offset, "zstd", inner


def _inflate(data: memoryview) -> bytes:
    """Give what can be decompressed up to where a stream was cut off, whatever lies behind that."""
    whole = _inflate_all(data)
    if whole is None:
        damaged = bisect_left(range(len(data)), True, key=lambda size: _inflate_all(data[:size]) is None)
        whole = _inflate_all(data[: damaged - 1])
    return whole or b""


def _inflate_all(data: memoryview) -> bytes | None:
    """Decompress a stream, whole or not; None if it is none, or something else comes in it."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, _MOST_UNPACKED)
    except zlib.error:
        return None


def _everywhere(haystack: bytes, start: bytes) -> Iterator[int]:
    offset = haystack.find(start)
    while offset >= 0:
        yield offset
        offset = haystack.find(start, offset + 1)
