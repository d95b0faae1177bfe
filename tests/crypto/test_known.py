"""What is known of a session: recalled byte for byte in its place, or not at all."""

from __future__ import annotations

import random

import pytest

from securemem.crypto.head import HeadSeal, Walk
from securemem.crypto.known import MOST_BYTES, MOST_RECORDS, Known, Row
from securemem.crypto.secret import RawKey
from securemem.model import Head

_SESSION = b"S" * 16
_SEAL = HeadSeal(RawKey(bytes(32)), tenant=b"T" * 16, session=_SESSION)


def _chain(count: int, size: int = 64) -> list[Row]:
    """Give made-up records, newest first, whose last 16 bytes are their tags."""
    draw = random.Random(count)
    return [(seq, draw.randbytes(size)) for seq in range(count, 0, -1)]


def _prev(rows: list[Row], seq: int) -> bytes:
    """Give the tag of the record before one."""
    return next((raw[-16:] for at, raw in rows if at == seq - 1), bytes(16))


def _known(rows: list[Row], newest: int, oldest: int) -> Known[int]:
    known = Known[int]()
    _add(known, rows, newest, oldest)
    return known


def _add(
    known: Known[int], rows: list[Row], newest: int, oldest: int, *, sign: int = 1, ordinary: bool = False
) -> None:
    part = [row for row in reversed(rows) if oldest <= row[0] <= newest]
    known.add(part, [sign * seq for seq, _ in part], _prev(rows, oldest), ordinary=ordinary)


def _walk(rows: list[Row], **changes: object) -> Walk:
    head = Head(version=1, generation=1, next=rows[0][0] + 1, last_tag=rows[0][1][-16:], **changes)  # type: ignore[arg-type]
    return Walk(_SEAL, head, session=_SESSION, owner=b"U" * 16)


def test_the_same_bytes_are_recalled() -> None:
    """Of a page all that is held is recalled, and the walk goes on at the next older record."""
    rows = _chain(9)
    for oldest in range(1, 10):
        walk = _walk(rows)
        assert list(walk.recall(rows, _known(rows, 9, oldest))) == [*range(9, oldest - 1, -1)]
        assert (walk.seq, walk.expected) == (oldest, _prev(rows, oldest))
    assert list(_walk(rows).recall(rows[:4], _known(rows, 9, 2))) == [9, 8, 7, 6]


def test_any_changed_bit_is_seen() -> None:
    """With any bit of any record flipped nothing at all is recalled, and the walk stays where it was."""
    rows = _chain(3, size=24)
    known = _known(rows, 3, 1)
    for place, (seq, raw) in enumerate(rows):
        for bit in range(len(raw) * 8):
            changed = bytearray(raw)
            changed[bit // 8] ^= 1 << bit % 8
            walk = _walk(rows)
            assert not walk.recall([*rows[:place], (seq, bytes(changed)), *rows[place + 1 :]], known)
            assert (walk.seq, walk.expected) == (4, rows[0][1][-16:])


def test_only_in_their_own_places() -> None:
    """Records that were swapped, moved, doubled or left out are not recalled."""
    rows = _chain(4)
    known = _known(rows, 4, 1)
    wrong = [
        [(4, rows[1][1]), (3, rows[0][1]), *rows[2:]],
        [(5, rows[0][1]), *rows[1:]],
        [rows[0], rows[0], *rows[1:]],
        [rows[0], *rows[2:]],
        rows[1:],
    ]
    for page in wrong:
        assert not _walk(rows).recall(page, known)
    assert len(_walk(rows).recall(rows, known)) == 4  # the control


def test_not_where_the_head_says_another() -> None:
    """Nothing is recalled under a head whose newest tag is another, that knows of edits, or that begins later."""
    rows = _chain(4)
    known, other = _known(rows, 4, 1), _chain(4, size=65)
    assert not Walk(
        _SEAL, Head(version=1, generation=1, next=5, last_tag=other[0][1][-16:]), session=_SESSION, owner=b"U" * 16
    ).recall(rows, known)
    assert not _walk(rows, edits={2: b"e" * 16}).recall(rows, known)
    assert not _walk(rows, first=2).recall(rows, known)


def test_what_comes_after_is_joined() -> None:
    """Newer and older records join what is held where the chain does; what leaves a gap takes its place."""
    rows = _chain(9)
    known = _known(rows, 5, 4)
    _add(known, rows, 9, 6)
    _add(known, rows, 3, 1)
    assert list(_walk(rows).recall(rows, known)) == [*range(9, 0, -1)]
    known = _known(rows, 5, 4)
    _add(known, rows, 9, 8)
    assert list(_walk(rows).recall(rows, known)) == [9, 8]


def test_another_chain_is_not_joined() -> None:
    """Records of another chain, whose tags do not fit, are not joined to what is held: newer ones take its place."""
    rows, other = _chain(9), _chain(9, size=65)
    older = _known(rows, 5, 4)
    _add(older, other, 3, 1, sign=-1)
    assert list(older.recall(rows[4:], 6, rows[4][1][-16:])[0]) == [5, 4]
    newer = _known(rows, 5, 4)
    _add(newer, other, 9, 6, sign=-1)
    assert not newer.recall(rows[4:], 6, rows[4][1][-16:])[0]
    assert list(_walk(other).recall(other, newer)) == [-9, -8, -7, -6]


@pytest.mark.parametrize(("count", "size", "least"), [(5 * MOST_RECORDS, 64, MOST_RECORDS), (40, MOST_BYTES // 10, 9)])
def test_it_is_bounded(count: int, size: int, least: int) -> None:
    """However much is added, at once or bit by bit, the newest are held, and not many more than the bounds say."""
    rows = _chain(count, size)
    at_once, by_twos = _known(rows, count, 1), Known[int]()
    for newest in range(2, count + 1, 2):
        _add(by_twos, rows, newest, newest - 1)
        assert len(by_twos.recall(rows[-newest:], newest + 1, rows[-newest][1][-16:])[0]) >= min(newest, least)
    for known in (at_once, by_twos):
        found, prev = known.recall(rows, count + 1, rows[0][1][-16:])
        assert least <= len(found) < 2 * least
        assert list(found) == [seq for seq, _ in rows[: len(found)]]
        assert prev == rows[len(found)][1][-16:]


def test_newer() -> None:
    """How many records of a page are newer than what is held."""
    rows = _chain(9)
    assert Known[int]().newer(rows) == 9
    assert [_known(rows, newest, 1).newer(rows) for newest in (9, 7, 1)] == [0, 2, 8]
    assert _known(rows, 9, 8).newer(rows[4:]) == 0
    assert _known(rows, 2, 1).newer(rows[:3]) == 3


def test_what_is_ordinary() -> None:
    """A page is ordinary where all of it is held and was added so; what was not counts for as long as it is held."""
    rows = _chain(9)
    known = _known(rows, 5, 4)
    _add(known, rows, 9, 6, ordinary=True)
    assert [known.are_ordinary(rows[:count]) for count in range(10)] == [False, *[True] * 4, *[False] * 5]
    known = Known[int]()
    _add(known, rows, 9, 6, ordinary=True)
    assert known.are_ordinary(rows[:4])
    assert not known.are_ordinary(rows[:5]), "the fifth is not held"
    _add(known, rows, 5, 4, ordinary=True)
    _add(known, rows, 3, 1)
    assert known.are_ordinary(rows[:6])
    assert not known.are_ordinary(rows[:7])
    known.clear()
    _add(known, rows, 9, 1, ordinary=True)
    assert known.are_ordinary(rows), "a control: nothing is left of what was let go of"
