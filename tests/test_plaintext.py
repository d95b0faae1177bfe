"""No word and no real id is in clear in any file, at any time; and the search for them finds what it should."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from securemem import Message, SecureMemory
from securemem.crypto.aead import Aead
from securemem.testing import assert_absent, assert_found, make_canary, pieces, search, search_bytes

Note = Callable[[], None]


class Words:
    """Canaries in every place where a caller may put personal data."""

    def __init__(self) -> None:
        self.user, self.guest = make_canary("user"), make_canary("guest")
        self.session, self.branch, self.tag = make_canary("session"), make_canary("branch"), make_canary("tag")
        self.role, self.text, self.part = make_canary("role"), make_canary("text"), make_canary("part")
        self.key, self.value = make_canary("key"), make_canary("value")

    def all(self) -> list[str]:
        """Give them all."""
        return list(vars(self).values())


async def _live(folder: Path, words: Words, note: Note, *, compress: bool) -> None:
    """Go through a store's whole life, and call `note` at every turn of it."""
    async with SecureMemory.open(f"sqlite:///{folder}/store.db", compress=compress, max_messages=8) as memory:
        session = memory.session(words.session, user_id=words.user, tags=(words.tag,))
        own = memory.session(words.branch)
        for number in range(12):
            await session.add("user", f"{words.text} {number} " * 10, metadata={words.key: [words.value, number]})
            await session.add_many(
                [
                    Message(words.role, [{"type": "text", "text": words.part}]),
                    Message("user", words.text, user_id=words.guest),
                ]
            )
            await own.add("user", words.text, ttl=1000)
        note()
        await session.fork(f"{words.branch} 2")
        note()
        await memory.keys.rotate()
        note()
        await memory.keys.close_epoch(backup=folder / "backup.db")
        note()
        await session.clear()
        note()
        await session.add("user", words.text)
        receipt = await memory.erase_user(words.user)
        (folder / "receipt.json").write_text(json.dumps(receipt.to_json()))
        note()
        await own.add("user", words.text)
    note()


@pytest.mark.parametrize("compress", [False, True])
async def test_nothing_is_in_clear(tmp_path: Path, *, compress: bool) -> None:
    """From the first append to the last receipt no file shows a word, a role, metadata, or a real id."""
    words = Words()
    await _live(tmp_path, words, lambda: assert_absent([tmp_path], words.all()), compress=compress)


@pytest.mark.parametrize("compress", [False, True])
async def test_the_search_finds_what_is_not_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compress: bool
) -> None:
    """The control: with a cipher that does nothing the same search finds every one of them while they are there."""
    words, found = Words(), set[str]()

    def no_cipher(aead: Aead, *_: object) -> None:
        aead.encrypt = lambda nonce, plaintext, aad: bytes(plaintext) + bytes(16)  # type: ignore[assignment]
        aead.decrypt = lambda nonce, ciphertext, aad: bytes(ciphertext[:-16])  # type: ignore[assignment]

    def note() -> None:
        found.update(str(finding.needle) for finding in search([tmp_path], words.all()))

    monkeypatch.setattr(Aead, "__init__", no_cipher)
    await _live(tmp_path, words, note, compress=compress)
    assert found == set(words.all())


_FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "upper hex": lambda text: text.encode().hex().upper().encode(),
    "json": lambda text: json.dumps({"a": text}).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 after 1": lambda text: base64.b64encode(b"#" + text.encode() + b"#"),
    "base64 after 2": lambda text: base64.b64encode(b"##" + text.encode() + b"##"),
    "base64url": lambda text: base64.urlsafe_b64encode(b"?" + text.encode()),
    "zlib": lambda text: zlib.compress(text.encode()),
    "zlib, fast": lambda text: zlib.compress(text.encode() * 9, 1),
    "zlib, cut off": lambda text: zlib.compress((text * 9).encode() + bytes(range(256)))[:-20],
    "gzip": lambda text: gzip.compress(text.encode()),
    "zstd": lambda text: zstandard.compress(text.encode()),
    "base64 in zlib": lambda text: zlib.compress(base64.b64encode(text.encode())),
    "zlib in zstd": lambda text: zstandard.compress(zlib.compress(text.encode())),
}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("text", [make_canary(), "Müller, Jürgen ÿþ? ☂ >>>???"], ids=["ascii", "umlauts"])
def test_the_search_finds_every_form(tmp_path: Path, form: str, text: str) -> None:
    """A canary is found in every form that it may take, deep in a folder, and its file is named."""
    file = tmp_path / "deep" / "er" / "file.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x00before" + _FORMS[form](text) + b"after\xff")
    [finding] = search([tmp_path], [text, make_canary("absent")])[:1]
    assert finding.needle == text
    assert finding.place.startswith(str(file))
    with pytest.raises(AssertionError, match=r"file\.bin"):
        assert_absent([tmp_path], text)
    assert assert_found([tmp_path], text)


def test_the_search_reads_a_stream_up_to_its_damage() -> None:
    """A canary is found in a stream that was cut off, also where what lies behind it looks like more of the stream."""
    undamaged = 0
    for number in range(1000):
        text = f"canary{hashlib.sha256(b'%d' % number).hexdigest()[:24]}"
        cut = _FORMS["zlib, cut off"](text) + b"after\xff"
        assert [finding.needle for finding in search_bytes(cut, [text])][:1] == [text]
        with contextlib.suppress(zlib.error):
            zlib.decompressobj().decompress(cut)
            undamaged += 1
    assert undamaged < 1000, "no stream was damaged: this shows nothing"


def test_the_search_finds_nothing_else(tmp_path: Path) -> None:
    """A text that is not there is not found, a file that is not there is passed over, and a control then fails."""
    (tmp_path / "file").write_bytes(bytes(range(256)) * 100)
    assert search([tmp_path, tmp_path / "gone"], make_canary()) == []
    with pytest.raises(AssertionError, match="proves nothing"):
        assert_found([tmp_path], [make_canary(), b"\x00\x01\x02"])
    with pytest.raises(AssertionError):
        assert_found([tmp_path], [])
    with pytest.raises(ValueError, match="everywhere"):
        search([tmp_path], "")


def test_pieces_cover_what_is_left_of_a_part() -> None:
    """Bytes are cut into whole pieces, each of which is found alone."""
    blob = bytes(range(70))
    assert pieces(blob) == [blob[0:16], blob[16:32], blob[32:48], blob[48:64]]
    assert [finding.offset for finding in search_bytes(blob[20:60], pieces(blob))] == [12]
