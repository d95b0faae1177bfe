"""Heads, stubs and the walk: what the chain says and what lies there have to be the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securemem.crypto.envelope import Sealer
from securemem.crypto.head import MAX_EDITS, MAX_PINS, HeadSeal, Walk, is_fence, is_moved, is_stub
from securemem.crypto.secret import RawKey
from securemem.errors import (
    ConfigurationError,
    CorruptRecordError,
    IntegrityError,
    PlaintextError,
    ReorderedError,
)
from securemem.model import Head, HeadFlag

_TENANT, _USER, _SESSION = b"T" * 16, b"U" * 16, b"S" * 16
_COUNT = 6
_U64 = st.integers(0, 2**64 - 1)
_U32 = st.integers(0, 2**32 - 1)
_TAG = st.binary(min_size=16, max_size=16)

_HEADS = st.builds(
    Head,
    version=_U64,
    generation=_U32,
    epoch=_U32,
    flags=st.integers(0, 255),
    first=_U64,
    next=_U64,
    last_tag=_TAG,
    holes=_U32,
    due=_U64,
    latest_expiry=_U64,
    edits=st.dictionaries(_U64, _TAG, max_size=MAX_EDITS),
    pins=st.lists(_U64, max_size=MAX_PINS).map(tuple),
)


def _seal(head_key: int = 2, tenant: bytes = _TENANT, session: bytes = _SESSION) -> HeadSeal:
    return HeadSeal(RawKey(bytes([head_key]) * 32), tenant=tenant, session=session)


def _full_head() -> Head:
    return Head(
        version=7,
        generation=1,
        epoch=2,
        flags=1,
        first=3,
        next=9,
        last_tag=b"L" * 16,
        holes=1,
        due=5,
        latest_expiry=6,
        edits={4: b"e" * 16, 5: b"f" * 16},
        pins=(3, 8),
    )


def _flips(raw: bytes) -> list[bytes]:
    out = []
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        out.append(bytes(changed))
    return out


class _Chain:
    """Six sealed records, the head over them, and a second record for each place that was not the last written."""

    def __init__(self) -> None:
        seal, prev = _seal(), bytes(16)
        self.sealer = Sealer(
            RawKey(bytes(32)), seal.row_tags(_USER), tenant=_TENANT, user=_USER, session=_SESSION, generation=1
        )
        self.rows: dict[int, bytes] = {}
        self.tags: dict[int, bytes] = {}
        self.prevs: dict[int, bytes] = {}
        self.others: dict[int, bytes] = {}
        self.other_tags: dict[int, bytes] = {}
        for seq in range(1, _COUNT + 1):
            self.prevs[seq] = prev
            self.others[seq], self.other_tags[seq] = self.record(seq, prev)
            self.rows[seq], self.tags[seq] = self.record(seq, prev)
            prev = self.tags[seq]
        self.head = Head(version=1, generation=1, next=_COUNT + 1, last_tag=prev)

    def record(self, seq: int, prev: bytes) -> tuple[bytes, bytes]:
        """Seal a record for a place."""
        return self.sealer.seal(b"text", seq=seq, prev=prev, expiry=0, retention_class=0, hour=0)

    def stub(self, seq: int) -> bytes:
        """Make the stub of the record at a place."""
        return _seal().stub(seq=seq, tag=self.tags[seq], prev=self.prevs[seq])

    def walk(self, changed: dict[int, bytes | None], page: int = 100, **head: Any) -> list[int]:
        """Walk the rows, some of them changed or taken away, in pages; gives the seqs of the records."""
        rows = {seq: raw for seq, raw in (self.rows | changed).items() if raw is not None}
        found = sorted(rows.items(), reverse=True)
        values = {name: getattr(self.head, name) for name in self.head.__struct_fields__} | head
        walk = Walk(_seal(), Head(**values), session=_SESSION, owner=_USER)
        seqs = []
        for start in range(0, len(found), page):
            seqs += [sealed.seq for sealed in walk.page(found[start : start + page])]
        walk.finish()
        return seqs


@given(_HEADS)
def test_round_trip(head: Head) -> None:
    """Every head that fits its fields comes back as it was."""
    assert _seal().decode(_seal().encode(head), moved=True) == head


@pytest.mark.parametrize("version", [0, 1, 2**63])
def test_a_session_that_goes_on_elsewhere(version: int) -> None:
    """A head that says so is read by nobody but who can go there, and one of version 0 is a fence."""
    head = Head(version=version, generation=1, flags=HeadFlag.MOVED | HeadFlag.KEEP)
    raw = _seal().encode(head)
    with pytest.raises(ConfigurationError, match=rf"{_SESSION.hex()}.*\[servers\]"):
        _seal().decode(raw)
    assert _seal().decode(raw, moved=True) == head
    assert is_moved(raw)
    assert is_fence(raw) == (version == 0)
    for other in (_seal().encode(_full_head()), raw[:4], b""):
        assert not is_moved(other)
        assert not is_fence(other)


@given(_HEADS, _HEADS)
def test_encoding_is_injective(one: Head, other: Head) -> None:
    """Two heads have the same bytes only where they are the same, so a comparison of bytes is one of heads."""
    assert (_seal().encode(one) == _seal().encode(other)) == (one == other)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(raw: bytes) -> None:
    """Whatever bytes lie where a head should, the answer is an IntegrityError."""
    for forged in (raw, b"SH" + raw, b"SH\1" + raw):
        with pytest.raises(IntegrityError):
            _seal().decode(forged)
        with pytest.raises(IntegrityError):
            _seal().open_stub(forged, 1)


@pytest.mark.parametrize("head", [Head(version=1, generation=1), _full_head()])
async def test_every_bit_of_a_head(head: Head) -> None:
    """Each bit of a head, flipped, is caught: in the magic as no head, elsewhere as a corrupt one."""
    raw = _seal().encode(head)
    for bit, changed in enumerate(_flips(raw)):
        with pytest.raises(PlaintextError if bit < 16 else CorruptRecordError) as caught:
            _seal().decode(changed)
        assert (caught.value.session, caught.value.seq) == (_SESSION.hex(), None)


async def test_every_truncation_of_a_head() -> None:
    """No part of a head is one, and none with bytes after it."""
    raw = _seal().encode(_full_head())
    for size in range(len(raw)):
        with pytest.raises(PlaintextError if size < 2 else CorruptRecordError):
            _seal().decode(raw[:size])
    for longer in (raw + b"\0", raw[:-16] + bytes(24) + raw[-16:], raw + raw):
        with pytest.raises(CorruptRecordError):
            _seal().decode(longer)


@pytest.mark.parametrize(
    "other",
    [
        _seal(head_key=3),
        _seal(tenant=b"t" * 16),
        _seal(session=b"s" * 16),
        _seal(tenant=_TENANT + _SESSION[:1], session=_SESSION[1:]),
        _seal(tenant=_SESSION, session=_TENANT),
    ],
)
async def test_another_place(other: HeadSeal) -> None:
    """Heads and stubs of another tenant, session or key are refused, boundary shifts included."""
    head, stub = _full_head(), _seal().stub(seq=1, tag=bytes(16), prev=bytes(16))
    assert _seal().decode(_seal().encode(head)) == head
    assert _seal().open_stub(stub, 1).seq == 1
    with pytest.raises(CorruptRecordError):
        other.decode(_seal().encode(head))
    with pytest.raises(CorruptRecordError):
        other.open_stub(stub, 1)


async def test_one_mac_is_not_another() -> None:
    """A stub's MAC is none of a head's or a row's over the same bytes: each has a purpose of its own."""
    seal = _seal()
    stub = seal.stub(seq=1, tag=bytes(16), prev=bytes(16))
    states = [seal._heads.copy(), seal.row_tags(b"")._state.copy()]
    for state in states:
        state.update(stub[:-16])
        with pytest.raises(CorruptRecordError):
            seal.open_stub(stub[:-16] + state.digest(), 1)


async def test_every_bit_of_a_stub() -> None:
    """Each bit of a stub, flipped or cut off, is caught where it lies."""
    chain = _Chain()
    stub = chain.stub(3)
    assert is_stub(stub)
    for changed in [*_flips(stub), *(stub[:size] for size in range(len(stub))), stub + b"\0"]:
        with pytest.raises(PlaintextError if changed[:2] != b"SM" else CorruptRecordError) as caught:
            chain.walk({3: changed}, holes=1)
        assert caught.value.seq == 3


@pytest.mark.parametrize("page", [1, 2, 5, 100])
async def test_walk_control(page: int) -> None:
    """An untouched chain is walked to its beginning in pages of any size, with stubs and edits in it."""
    chain = _Chain()
    assert chain.walk({}, page) == [6, 5, 4, 3, 2, 1]
    assert chain.walk({2: chain.stub(2), 5: chain.stub(5)}, page, holes=2) == [6, 4, 3, 1]
    assert chain.walk({1: None, 2: None}, page, first=3) == [6, 5, 4, 3]
    for seq in chain.rows:
        assert chain.walk({seq: chain.others[seq]}, page, edits={seq: chain.other_tags[seq]}) == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("page", [1, 100])
@pytest.mark.parametrize("seq", range(1, _COUNT + 1))
async def test_another_copy(seq: int, page: int) -> None:
    """A record of this very place that is not the one written last is refused: the loser's, or an older copy."""
    chain = _Chain()
    with pytest.raises(ReorderedError) as lost:
        chain.walk({seq: chain.others[seq]}, page)
    with pytest.raises(ReorderedError) as older:
        chain.walk({}, page, edits={seq: chain.other_tags[seq]})
    assert (lost.value.seq, older.value.seq) == (seq, seq)


@pytest.mark.parametrize("page", [1, 100])
@pytest.mark.parametrize("seq", range(1, _COUNT + 1))
async def test_missing(seq: int, page: int) -> None:
    """A gap, a cut tail and a missing oldest record are each named."""
    chain = _Chain()
    with pytest.raises(ReorderedError, match="missing") as caught:
        chain.walk({seq: None}, page)
    assert caught.value.seq == seq


async def test_swaps_and_doubles() -> None:
    """Any record in any other's place is refused, and the place that is named is where it lies."""
    chain = _Chain()
    for seq in chain.rows:
        for other in chain.rows:
            if seq != other:
                with pytest.raises(ReorderedError) as caught:
                    chain.walk({seq: chain.rows[other], other: chain.rows[seq]})
                assert caught.value.seq == max(seq, other)
                with pytest.raises(ReorderedError) as doubled:
                    chain.walk({seq: chain.rows[other]})
                assert doubled.value.seq == seq


async def test_beyond_the_newest() -> None:
    """A record after the newest one is refused, and it is that one which is named."""
    chain = _Chain()
    following, _ = chain.record(_COUNT + 1, chain.tags[_COUNT])
    with pytest.raises(ReorderedError) as caught:
        chain.walk({_COUNT + 1: following})
    assert caught.value.seq == _COUNT + 1


async def test_before_the_first() -> None:
    """A record that was trimmed from the front and put back is refused, though the chain still leads to it."""
    chain = _Chain()
    with pytest.raises(ReorderedError) as caught:
        chain.walk({1: None}, first=3)
    assert caught.value.seq == 2


@pytest.mark.parametrize("first", [1, 2, 3])
async def test_removed_and_put_back(first: int) -> None:
    """A removed record in its stub's place, and a stub in a living record's, are refused."""
    chain = _Chain()
    gone: dict[int, bytes | None] = dict.fromkeys(range(1, first))
    with pytest.raises(ReorderedError):
        chain.walk(gone, first=first, holes=1)
    with pytest.raises(ReorderedError):
        chain.walk(gone | {4: chain.stub(4)}, first=first)
    assert len(chain.walk(gone | {4: chain.stub(4)}, first=first, holes=1)) == _COUNT - first


async def test_stub_of_another_place() -> None:
    """A stub of this session at another record's place is refused."""
    chain = _Chain()
    with pytest.raises(ReorderedError) as caught:
        chain.walk({4: chain.stub(3)}, holes=1)
    assert caught.value.seq == 4


async def test_page_from_the_middle() -> None:
    """A page that begins in the middle is held to the tag it has to begin with, to its own links and to the edits."""
    chain = _Chain()

    def page(changed: dict[int, bytes], edits: dict[int, bytes] | None = None, tag: bytes = chain.tags[4]) -> list[int]:
        head = Head(version=1, generation=1, next=_COUNT + 1, last_tag=chain.tags[_COUNT], edits=edits or {})
        walk = Walk(_seal(), head, session=_SESSION, owner=_USER, page=(5, tag))
        rows = chain.rows | changed
        return [sealed.seq for sealed in walk.page([(seq, rows[seq]) for seq in (4, 3, 2)])]

    assert page({}) == [4, 3, 2]
    assert page({4: chain.others[4]}, tag=chain.other_tags[4]) == [4, 3, 2], "the control: the tag decides which copy"
    for tag in (chain.other_tags[4], chain.tags[3], chain.tags[5], bytes(16)):
        with pytest.raises(ReorderedError) as caught:
            page({}, tag=tag)
        assert caught.value.seq == 4
    for changed, edits in (
        ({4: chain.others[4]}, {}),
        ({3: chain.others[3]}, {}),
        ({4: chain.rows[3]}, {}),
        ({3: chain.rows[4], 4: chain.rows[3]}, {}),
        ({}, {4: chain.other_tags[4]}),
    ):
        with pytest.raises(ReorderedError):
            page(changed, edits)
