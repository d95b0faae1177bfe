"""The envelope under attack: three chained records, read as a reader reads them, with one of them changed."""

from __future__ import annotations

import pytest

from securemem.crypto.envelope import HEADER_BYTES, MAX_RECORD_BYTES, SEALED_OVERHEAD, Sealed, Sealer, parse
from securemem.crypto.head import HeadSeal, Walk
from securemem.crypto.secret import RawKey
from securemem.errors import CorruptRecordError, IntegrityError, PlaintextError, WrongKeyError
from securemem.model import Head

_TENANT, _USER, _SESSION, _GUEST = b"T" * 16, b"U" * 16, b"S" * 16, b"G" * 16
_PAYLOAD = b"twenty bytes of text"
_NONCE = HEADER_BYTES + 16
_RECORD_BYTES = SEALED_OVERHEAD + len(_PAYLOAD)
_TARGET = 2


def _sealer(
    *,
    key: int = 1,
    head_key: int = 2,
    tenant: bytes = _TENANT,
    user: bytes = _USER,
    session: bytes = _SESSION,
    generation: int = 1,
    guest: bool = False,
) -> Sealer:
    rows = HeadSeal(RawKey(bytes([head_key]) * 32), tenant=tenant, session=session).row_tags(user)
    session_key = RawKey(bytes([key]) * 32)
    return Sealer(session_key, rows, tenant=tenant, user=user, session=session, generation=generation, guest=guest)


def _chain(sealers: list[Sealer]) -> tuple[dict[int, bytes], Head]:
    """Seal one record by each sealer, and give them with the head that they make."""
    rows, prev = {}, bytes(16)
    for seq, sealer in enumerate(sealers, 1):
        rows[seq], prev = sealer.seal(_PAYLOAD, seq=seq, prev=prev, expiry=1, retention_class=2, hour=3)
    return rows, Head(version=1, generation=1, next=len(rows) + 1, last_tag=prev)


def _read(
    rows: dict[int, bytes], head: Head, sealer: Sealer, guest: Sealer | None = None, *, fast: bool = True
) -> list[bytes]:
    """Read the way `conversation` does: a run of ordinary records first, then the general path for what is left."""
    seal = HeadSeal(RawKey(bytes([2]) * 32), tenant=_TENANT, session=_SESSION)
    sealers = {None: sealer, _GUEST: guest or sealer}
    walk = Walk(seal, head, session=_SESSION, owner=_USER, genuine=lambda each: sealers[each.subject].opens(each))
    found = sorted(rows.items(), reverse=True)
    out = [payload for _, _, _, payload, _, _ in (walk.run(sealer, found) if fast else [])]
    page = walk.page(found[len(out) :])
    out += [sealers[each.subject].open(each) for each in page]
    walk.finish()
    return out


def _flips(start: int, end: int) -> list[int]:
    return list(range(start * 8, end * 8))


def _flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


_ROWS, _HEAD = _chain([_sealer()] * 3)
_RAW = _ROWS[_TARGET]


def _refusals(changed: list[bytes], error: type[IntegrityError]) -> int:
    """Put each in the middle record's place; how many were refused as that record's, with exactly this error."""
    refused = 0
    for raw in changed:
        right = []
        for fast in (True, False):
            with pytest.raises(IntegrityError) as caught:
                _read(_ROWS | {_TARGET: raw}, _HEAD, _sealer(), fast=fast)
            found = caught.value
            right.append(type(found) is error and found.seq == _TARGET and found.session == _SESSION.hex())
            assert _PAYLOAD.decode() not in str(found)
        refused += all(right)
    return refused


@pytest.mark.parametrize("fast", [True, False])
async def test_control(*, fast: bool) -> None:
    """Three untouched records are read, newest first, by either path."""
    assert _read(_ROWS, _HEAD, _sealer(), fast=fast) == [_PAYLOAD] * 3
    assert {len(raw) for raw in _ROWS.values()} == {_RECORD_BYTES}


async def test_fast_path_takes_no_changed_record() -> None:
    """The path for ordinary records stops before one with any bit flipped."""
    seal = HeadSeal(RawKey(bytes([2]) * 32), tenant=_TENANT, session=_SESSION)
    sealer, stopped = _sealer(), 0
    for bit in range(_RECORD_BYTES * 8):
        walk = Walk(seal, _HEAD, session=_SESSION, owner=_USER)
        found = walk.run(sealer, [(3, _ROWS[3]), (2, _flipped(_RAW, bit)), (1, _ROWS[1])])
        stopped += [seq for seq, *_ in found] == [3] and (walk.seq, walk.expected) == (3, _RAW[-16:])
    assert stopped == _RECORD_BYTES * 8


@pytest.mark.parametrize(
    ("field", "start", "end", "error"),
    [
        ("magic", 0, 2, PlaintextError),
        ("format", 2, 3, CorruptRecordError),
        ("suite", 3, 4, CorruptRecordError),
        ("flags", 4, 5, CorruptRecordError),
        ("seq", 5, 13, CorruptRecordError),
        ("prev", 13, 29, CorruptRecordError),
        ("expiry", 29, 37, CorruptRecordError),
        ("class", 37, 41, CorruptRecordError),
        ("hour", 41, 45, CorruptRecordError),
        ("generation", 45, HEADER_BYTES, CorruptRecordError),
        ("row tag", HEADER_BYTES, _NONCE, CorruptRecordError),
        ("nonce", _NONCE, _NONCE + 12, CorruptRecordError),
        ("ciphertext", _NONCE + 12, _RECORD_BYTES - 16, CorruptRecordError),
        ("GCM tag", _RECORD_BYTES - 16, _RECORD_BYTES, CorruptRecordError),
    ],
)
async def test_every_bit(field: str, start: int, end: int, error: type[IntegrityError]) -> None:
    """Each bit of a record, flipped, is caught by the field's own error, which names the record that was changed."""
    bits = _flips(start, end)
    assert _refusals([_flipped(_RAW, bit) for bit in bits], error) == len(bits), field


async def test_every_truncation() -> None:
    """No part of a record, from either end, passes for one."""
    raw = _RAW
    assert _refusals([raw[:size] for size in range(2)], PlaintextError) == 2
    assert _refusals([raw[:size] for size in range(2, len(raw))], CorruptRecordError) == len(raw) - 2
    assert _refusals([raw[size:] for size in range(1, len(raw))], PlaintextError) == len(raw) - 1


async def test_additions() -> None:
    """Bytes before, after or within a record, and a record beyond the largest, are refused."""
    raw = _RAW
    longer = [raw + b"\0", raw + raw, raw + bytes(MAX_RECORD_BYTES), raw[:60] + b"\0" + raw[60:]]
    assert _refusals(longer, CorruptRecordError) == len(longer)
    assert _refusals([b"\0" + raw], PlaintextError) == 1


@pytest.mark.parametrize("text", [b"", b"S", b"SH", b"hello", b'{"role":"user","content":"hi"}', b"sm" + bytes(200)])
async def test_plaintext(text: bytes) -> None:
    """What was never sealed is no record, whatever it looks like."""
    assert _refusals([text], PlaintextError) == 1


async def test_plaintext_with_the_magic() -> None:
    """Text that begins as a record does is refused, short or long."""
    forged = [b"SM", b"SM" + b"x" * 40, b"SM\1\1\0" + b"x" * 200]
    assert _refusals(forged, CorruptRecordError) == len(forged)


@pytest.mark.parametrize("form", [0, 2, 255])
async def test_downgrade(form: int) -> None:
    """A record of an older or newer format is refused, not read as the one that is known."""
    raw = _RAW
    assert _refusals([raw[:2] + bytes((form,)) + raw[3:]], CorruptRecordError) == 1


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (_sealer(tenant=b"t" * 16), CorruptRecordError),
        (_sealer(user=b"u" * 16), CorruptRecordError),
        (_sealer(session=b"s" * 16), CorruptRecordError),
        (_sealer(key=9), CorruptRecordError),
        (_sealer(generation=2), WrongKeyError),
        (_sealer(tenant=_TENANT + _USER, user=b""), CorruptRecordError),
        (_sealer(user=_SESSION, session=_USER), CorruptRecordError),
    ],
)
async def test_another_context(other: Sealer, error: type[IntegrityError]) -> None:
    """A record sealed for another place, or under another key, is refused even where the chain vouches for it."""
    rows, head = _chain([_sealer(), other, _sealer()])
    for fast in (True, False):
        with pytest.raises(error) as caught:
            _read(rows, head, _sealer(), fast=fast)
        assert type(caught.value) is error
        assert caught.value.seq == _TARGET


async def test_another_head_key() -> None:
    """A record whose row tag was made under another tenant's head key is refused where no user's key is at hand."""
    rows, head = _chain([_sealer(), _sealer(head_key=9), _sealer()])
    walk = Walk(
        HeadSeal(RawKey(bytes([2]) * 32), tenant=_TENANT, session=_SESSION), head, session=_SESSION, owner=_USER
    )
    with pytest.raises(CorruptRecordError) as caught:
        walk.page(sorted(rows.items(), reverse=True))
    assert caught.value.seq == _TARGET


async def test_boundary_shift() -> None:
    """A record of tenant "t", user "u1" is none of tenant "tu", user "1", under the very same keys."""
    one = _sealer(tenant=b"t", user=b"u1")
    other = _sealer(tenant=b"tu", user=b"1")
    raw, _ = one.seal(_PAYLOAD, seq=1, prev=bytes(16), expiry=0, retention_class=0, hour=0)
    sealed = parse(raw, session=_SESSION, seq=1)
    assert one.open(sealed) == _PAYLOAD
    with pytest.raises(CorruptRecordError):
        other.open(sealed)


async def test_the_cipher_binds_the_place_by_itself() -> None:
    """Where the row tag was made anew by a holder of the head key, the AEAD still refuses another place or header."""
    sealer = _sealer()
    raw, _ = sealer.seal(_PAYLOAD, seq=1, prev=bytes(16), expiry=0, retention_class=0, hour=0)
    accepted = 0
    for bit in _flips(5, 45):
        header = _flipped(raw[:HEADER_BYTES], bit)
        forged = header + sealer._rows.make(header) + raw[_NONCE:]
        sealed = parse(forged, session=_SESSION, seq=1)
        assert sealer._rows.holds(sealed)
        with pytest.raises(CorruptRecordError, match="changed"):
            accepted += bool(sealer.open(sealed))
    assert accepted == 0


def _guest_chain() -> tuple[dict[int, bytes], Head, Sealer, Sealer]:
    owner, guest = _sealer(), _sealer(user=_GUEST, key=5, guest=True)
    rows, head = _chain([owner, guest, owner])
    return rows, head, owner, guest


async def test_guest_control() -> None:
    """A guest's record names its subject and is read under the guest's key."""
    rows, head, owner, guest = _guest_chain()
    assert _read(rows, head, owner, guest) == [_PAYLOAD] * 3
    assert parse(rows[_TARGET], session=_SESSION, seq=_TARGET).subject == _GUEST


async def test_guest_every_bit_of_subject_and_flag() -> None:
    """A guest's record cannot be given to another subject, nor to the owner."""
    rows, head, owner, guest = _guest_chain()
    raw, refused = rows[_TARGET], 0
    changed = [_flipped(raw, bit) for bit in [4 * 8 + 1, *_flips(HEADER_BYTES, HEADER_BYTES + 16)]]
    for forged in [*changed, raw[:HEADER_BYTES] + raw[HEADER_BYTES + 16 :], raw[: SEALED_OVERHEAD + 15]]:
        with pytest.raises(CorruptRecordError) as caught:
            _read(rows | {_TARGET: forged}, head, owner, guest)
        refused += caught.value.seq == _TARGET
    assert refused == len(changed) + 2


async def test_guest_is_not_the_owner() -> None:
    """An owner's record that is marked as a guest's opens under neither key."""
    rows, head, owner, guest = _guest_chain()
    raw = rows[3]
    marked = raw[:4] + bytes((raw[4] | 2,)) + raw[5:HEADER_BYTES] + _GUEST + raw[HEADER_BYTES:]
    with pytest.raises(CorruptRecordError):
        _read(rows | {3: marked}, head, owner, guest)


async def test_nonces_are_fresh() -> None:
    """One message sealed a thousand times for one place has a thousand nonces and tags."""
    sealer = _sealer()
    sealed: list[Sealed] = []
    for _ in range(1000):
        raw, tag = sealer.seal(_PAYLOAD, seq=1, prev=bytes(16), expiry=0, retention_class=0, hour=0)
        sealed.append(parse(raw, session=_SESSION, seq=1))
        assert sealed[-1].tag == tag
    assert len({each.raw[_NONCE : _NONCE + 12] for each in sealed}) == 1000
    assert len({each.tag for each in sealed}) == 1000
