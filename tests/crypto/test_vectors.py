"""Frozen vectors: every byte format of ours, made once with fixed keys and random bytes, and committed.

Today's code opens each of them, and makes exactly these bytes again where its randomness is fixed. A change that is
meant gets a new format or label, and a new file beside the old one. Made by hand with

    python tests/crypto/test_vectors.py
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from securemem import codec
from securemem.crypto.aead import Aead
from securemem.crypto.envelope import RowTags, Sealer, parse
from securemem.crypto.head import HeadSeal
from securemem.crypto.mac import hmac_sha256_state
from securemem.crypto.notice import key_context, open_notice, seal_notice
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer, to_pem
from securemem.crypto.stream import (
    HEADER_BYTES,
    NO_HOLDER,
    Frames,
    Header,
    parse_header,
    unwrap_backup_key,
    wrap_backup_key,
)
from securemem.crypto.wrapping import box_of, check, enclose, unwrap_under, wrap_under
from securemem.errors import CorruptRecordError
from securemem.keys.rows import SessionRow, UserRow
from securemem.keys.tenant import TenantKeys, wrap_tenant_key
from securemem.keys.unwrapped import Title, UserKey, open_name, open_title, seal_name, seal_title, user_context
from securemem.kms.file import FileKms
from securemem.kms.memory import MemoryKms
from securemem.kms.passphrase import PassphraseKms
from securemem.model import Head, Message, Residue
from securemem.rights.receipt import issue, verify_receipt

_FOLDER = Path(__file__).parent / "vectors"
_TENANT, _USER, _SESSION, _GUEST = (bytes(range(start, start + 16)) for start in (0x10, 0x20, 0x30, 0x40))
_PREV = bytes(range(0x50, 0x60))
_AT = datetime(2026, 11, 5, 12, 30, tzinfo=UTC)
_COLUMNS = {"seq": 7, "expiry": 1_800_000_000_000, "retention_class": 0xC1A55, "hour": 500_000}
_PAYLOAD = codec.encode(Message("user", "Call me on +44 20 7946 0958", metadata={"channel": "web"}), _AT, guest=False)
# Compressed by zstandard 0.25; the compressor's output is its own, so it is an input here.
_PACKED = bytes.fromhex("28b52ffd20c88d0000507365637572656d656d200100bb520509")

Vector = dict[str, Any]


def _key(fill: int) -> RawKey:
    return RawKey(bytes(range(fill, fill + 32)))


_SESSION_KEY, _HEAD_KEY, _USER_KEY, _KEK, _GUEST_KEY = 0x01, 0x41, 0x81, 0xA1, 0xC1
_USER_ROW = UserRow(0, _USER, 1, 1, b"", b"")


def _sealer(*, guest: bool = False) -> Sealer:
    user = _GUEST if guest else _USER
    rows = RowTags(_key(_HEAD_KEY), tenant=_TENANT, user=user, session=_SESSION)
    key = _key(_GUEST_KEY if guest else _SESSION_KEY)
    return Sealer(key, rows, tenant=_TENANT, user=user, session=_SESSION, generation=1, guest=guest)


def _record(payload: bytes, *, guest: bool = False, compressed: bool = False) -> Vector:
    raw, tag = _sealer(guest=guest).seal(payload, prev=_PREV, compressed=compressed, **_COLUMNS)
    return {
        "payload": payload.hex(),
        "tag": tag.hex(),
        "row_tag": parse(raw, session=_SESSION, seq=7).row_tag.hex(),
        "bytes": raw.hex(),
    }


def _seal() -> HeadSeal:
    return HeadSeal(_key(_HEAD_KEY), tenant=_TENANT, session=_SESSION)


_PLAIN_HEAD = Head(version=3, generation=1, next=8, last_tag=_PREV)
_FULL_HEAD = Head(
    version=9,
    generation=2,
    epoch=4,
    flags=1,
    first=3,
    next=12,
    last_tag=_PREV,
    holes=2,
    due=1_800_000_000_000,
    latest_expiry=1_900_000_000_000,
    edits={5: _TENANT, 4: _USER},
    pins=(3, 11),
)


def _user_key() -> UserKey:
    return UserKey(_TENANT, _USER_ROW, "alice", _key(_USER_KEY))


def _tenant_keys() -> TenantKeys:
    index = {1: hmac_sha256_state(_key(0x61)), 2: hmac_sha256_state(_key(0x62))}
    return TenantKeys(1, _TENANT, 2, index, _key(_HEAD_KEY), Signer(_key(0x21)))


async def _memory_kms() -> MemoryKms:
    kms = MemoryKms()
    kms._keks[1] = _key(_KEK)
    return kms


def _passphrase_kms(path: Path) -> PassphraseKms:
    kms = PassphraseKms(path, "correct horse", cost=2**10)
    kms._parameters["salt"] = "5a" * 16
    return kms


async def _kek_file(kms: FileKms) -> str:
    await kms.open(_TENANT, create=True)
    for epoch in (1, 2):
        await kms.create_epoch(epoch)
    return kms.path.read_text()


_BACKUP = Header("data", _USER, 5, 1_800_000_000_000, _TENANT, 0)
_KEYSTORE_BACKUP = Header("keystore", _USER, 5, 1_800_000_000_000, NO_HOLDER, 3, b"\x07" * 12)
_BACKUP_KEY = 0xB1
_NOTICE = b'{"type":"person.erased","data":{"user_id":"alice"}}'


def _backup() -> Vector:
    """Give a backup whose stream is shorter than a frame."""
    wrapped = wrap_backup_key(_key(_HEAD_KEY), _key(_BACKUP_KEY), context=_BACKUP.context)
    header = _BACKUP._replace(wrapped=wrapped).encode()
    frame = Frames(_key(_BACKUP_KEY), header).seal(b"sealed pages", last=True)
    return {"stream": b"sealed pages".hex(), "bytes": (header + frame).hex()}


def _receipt() -> Vector:
    receipt = issue(
        Signer(_key(0x21)),
        receipt_id="ab" * 16,
        handle=_USER,
        tenant=_TENANT,
        state="SHREDDED",
        at=_AT,
        stores={"data": {"state": "SHREDDED", "records": 3}},
        residue=[Residue("kms", "backups of the keystore"), Residue("process", "keys in memory", _AT)],
        policy={"name": "plain", "sha256": "00" * 32},
    )
    return {"document": receipt.to_json(), "public_key": to_pem(Signer(_key(0x21)).public_key)}


async def _make(folder: Path) -> dict[str, Vector]:
    """Make all vectors; every draw of random bytes gives a count, so that each is another."""
    counter = itertools.count(1)
    with mock.patch("os.urandom", lambda size: bytes([next(counter)]) * size):
        kms, tenant = await _memory_kms(), _tenant_keys()
        context = user_context(_TENANT, _USER, 1)
        return {
            "record": _record(_PAYLOAD),
            "record_guest": _record(_PAYLOAD, guest=True),
            "record_compressed": _record(_PACKED, compressed=True),
            "head": {"bytes": _seal().encode(_PLAIN_HEAD).hex()},
            "head_full": {"bytes": _seal().encode(_FULL_HEAD).hex()},
            "stub": {"bytes": _seal().stub(seq=7, tag=_TENANT, prev=_PREV).hex()},
            "pae": {"parts": ["", "00", "7531"], "bytes": pae(b"", b"\0", b"u1").hex()},
            "wrapped_key": {"bytes": wrap_under(Aead(_key(_KEK)), _key(1), context=context).hex()},
            "user_key": {"bytes": enclose(_key(_USER_KEY), await kms.wrap(1, _key(_USER_KEY), context=context)).hex()},
            "tenant_key": {"bytes": (await wrap_tenant_key(kms, _TENANT, "head", 1, _key(_HEAD_KEY))).wrapped.hex()},
            "session_key": {"bytes": _user_key().wrap_session_key(_SESSION, 1, _key(_SESSION_KEY)).hex()},
            "name": {"bytes": seal_name(_key(_USER_KEY), _TENANT, _USER, "alice").hex()},
            "title": {
                "bytes": seal_title(
                    _key(_SESSION_KEY), _TENANT, _USER, _SESSION, Title("order-4711", 1_800_000_000_000, ("web",))
                ).hex()
            },
            "lookup_tags": {
                "user": [tag.hex() for tag in tenant.user_tags("alice")],
                "session": [tag.hex() for tag in tenant.session_tags("alice", "order-4711")],
            },
            "receipt": _receipt(),
            "kek_file": {"text": await _kek_file(FileKms(folder / "plain.kek"))},
            "kek_file_passphrase": {"text": await _kek_file(_passphrase_kms(folder / "sealed.kek"))},
            "backup": _backup(),
            "backup_keystore": {"context": _KEYSTORE_BACKUP.context.hex(), "bytes": _KEYSTORE_BACKUP.encode().hex()},
            "notice": {
                "context": key_context(_TENANT, _PREV).hex(),
                "bytes": seal_notice(_key(_USER_KEY), _NOTICE, tenant=_TENANT, request=_PREV, recipient="crm").hex(),
            },
        }


def _frozen(name: str) -> Vector:
    vector: Vector = json.loads((_FOLDER / f"{name}.json").read_text())
    return vector


def _bytes(name: str) -> bytes:
    return bytes.fromhex(_frozen(name)["bytes"])


async def test_makes_the_frozen_bytes(tmp_path: Path) -> None:
    """With its randomness fixed, today's code makes every vector byte for byte, and none is missing or left over."""
    made = await _make(tmp_path)
    assert {path.stem for path in _FOLDER.iterdir()} == set(made)
    for name, vector in made.items():
        assert vector == _frozen(name), name


@pytest.mark.parametrize(
    ("name", "guest", "flags"), [("record", False, 0), ("record_guest", True, 2), ("record_compressed", False, 1)]
)
async def test_opens_records(name: str, *, guest: bool, flags: int) -> None:
    """The frozen records open to their payloads, with the clear columns that were sealed."""
    frozen = _frozen(name)
    sealed = parse(_bytes(name), session=_SESSION, seq=7)
    assert _sealer(guest=guest).open(sealed).hex() == frozen["payload"]
    assert (sealed.tag.hex(), sealed.prev, sealed.flags, sealed.generation) == (frozen["tag"], _PREV, flags, 1)
    assert {name: getattr(sealed, name) for name in _COLUMNS} == _COLUMNS
    assert sealed.subject == (_GUEST if guest else None)


async def test_opens_payloads() -> None:
    """The frozen payloads are the messages that they were, the compressed one included."""
    message = codec.decode(bytes.fromhex(_frozen("record")["payload"]), seq=7, expires_at=None)
    assert message == Message("user", "Call me on +44 20 7946 0958", timestamp=_AT, metadata={"channel": "web"}, seq=7)
    assert codec.decompress(bytes.fromhex(_frozen("record_compressed")["payload"]), seq=7) == b"securemem " * 20


async def test_row_tag() -> None:
    """The frozen row tags hold for the frozen records, without any user's key."""
    for name, user in (("record", _USER), ("record_guest", _GUEST)):
        sealed = parse(_bytes(name), session=_SESSION, seq=7)
        assert _seal().row_tags(user).holds(sealed)
        assert sealed.row_tag.hex() == _frozen(name)["row_tag"]


async def test_opens_heads_and_stubs() -> None:
    """The frozen heads and stub are those that they were."""
    assert _seal().decode(_bytes("head")) == _PLAIN_HEAD
    assert _seal().decode(_bytes("head_full")) == _FULL_HEAD
    assert _seal().open_stub(_bytes("stub"), 7) == (7, _TENANT, _PREV)


async def test_opens_keys() -> None:
    """The frozen wrapped keys unwrap to the keys that they hold."""
    context, kms = user_context(_TENANT, _USER, 1), await _memory_kms()
    direct = unwrap_under(Aead(_key(_KEK)), _bytes("wrapped_key"), context=context)
    user = check(await kms.unwrap(1, box_of(_bytes("user_key")), context=context), _bytes("user_key"))
    session = _user_key().unwrap_session_key(_SESSION, 1, _bytes("session_key"))
    found = [direct.expose_secret(), user.expose_secret(), session.expose_secret()]
    assert found == [_key(fill).expose_secret() for fill in (1, _USER_KEY, _SESSION_KEY)]


async def test_opens_names_and_titles() -> None:
    """The frozen name and title are the ids that they were."""
    row = SessionRow(_SESSION, 1, 0, 0, b"", _bytes("title"))
    title = open_title(_key(_SESSION_KEY), _TENANT, _USER, row)
    assert title == Title("order-4711", 1_800_000_000_000, ("web",))
    assert open_name(_key(_USER_KEY), _TENANT, _USER_ROW._replace(name=_bytes("name"))) == "alice"


async def test_opens_backups() -> None:
    """The frozen backup gives the stream that is in it, and the headers say what they said."""
    raw = _bytes("backup")
    length = HEADER_BYTES + len(wrap_backup_key(_key(_HEAD_KEY), _key(_BACKUP_KEY), context=b""))
    header = parse_header(raw[:length])
    assert header._replace(wrapped=b"") == _BACKUP
    key = unwrap_backup_key(_key(_HEAD_KEY), header.wrapped, context=header.context)
    assert Frames(key, raw[:length]).open(raw[length:], last=True).hex() == _frozen("backup")["stream"]
    assert parse_header(_bytes("backup_keystore")) == _KEYSTORE_BACKUP


async def test_opens_notices() -> None:
    """The frozen notice opens to what it says, for its recipient, request and tenant alone, and changed not at all."""
    sealed, place = _bytes("notice"), {"tenant": _TENANT, "request": _PREV}
    assert open_notice(_key(_USER_KEY), sealed, **place, recipient="crm") == _NOTICE
    assert (len(sealed) - 31) % 512 == 0
    for other in ({"recipient": "mail"}, {"recipient": "crm", "request": _USER}, {"recipient": "crm", "tenant": _USER}):
        with pytest.raises(CorruptRecordError):
            open_notice(_key(_USER_KEY), sealed, **place | other)
    for changed in (b"", sealed[:30], b"SN\x02" + sealed[3:], sealed[:-1] + bytes([sealed[-1] ^ 1]), bytes(70_000)):
        with pytest.raises(CorruptRecordError):
            open_notice(_key(_USER_KEY), changed, **place, recipient="crm")


async def test_checks_receipts() -> None:
    """The frozen receipt holds under the frozen public key."""
    frozen = _frozen("receipt")
    assert verify_receipt(frozen["document"], frozen["public_key"])["state"] == "SHREDDED"


@pytest.mark.parametrize("name", ["kek_file", "kek_file_passphrase"])
async def test_reads_kek_files(name: str, tmp_path: Path) -> None:
    """The frozen KEK files give their epochs' KEKs."""
    path = tmp_path / "frozen.kek"
    path.write_text(_frozen(name)["text"])
    path.chmod(0o600)
    kms = FileKms(path) if name == "kek_file" else _passphrase_kms(path)
    await kms.open(_TENANT, create=False)
    assert await kms.epochs() == [1, 2]
    assert len({kek.expose_secret() for kek in kms._keks.values()}) == 2
    await kms.aclose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for stem, content in asyncio.run(_make(Path(place))).items():
            (_FOLDER / f"{stem}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
