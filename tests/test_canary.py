"""What was cleared, has expired or was erased is in no byte of any file; nor is anything in clear, at any time."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory, sqlitefile
from securemem.compose import Deployment
from securemem.sqlitefile import SqliteFile
from securemem.testing import Finding, assert_absent, assert_found, pieces, search

_HEAD = 0xFFFFFFFF
_HEADER_BYTES, _GUEST_HEADER_BYTES, _TAGS_BYTES = 49, 65, 32
_GUEST_FLAG = 2
_KEEP = 20

SPLITTING = (6, 10, 5, 9, 12, 15, 1, 2, *range(20, 30))
"""Seeds with which SQLite leaves something where it splits a page, those first that were seen to (3.40)."""


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Give the moment it stands at."""
        return self.now


class Evidence:
    """Raw sealed bytes as they lay in the files: records by (session, seq), key rows by session and by user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.records: dict[tuple[bytes, int], bytes] = {}
        self.keys: dict[bytes, set[bytes]] = {}

    def collect(self) -> None:
        """Take what lies there now; what was taken before is kept."""
        with closing(sqlite3.connect(self._folder / "store.db")) as con:
            handles = {number: handle for handle, number in con.execute("SELECT handle, number FROM messages_sessions")}
            for row, body in con.execute("SELECT id, body FROM messages"):
                if row & _HEAD != _HEAD:
                    # Neither the header, which has what head and ledger have, nor the tags, which the neighbours know.
                    header = _GUEST_HEADER_BYTES if body[4] & _GUEST_FLAG else _HEADER_BYTES
                    self.records[handles[row >> 32], row & _HEAD] = body[header:-_TAGS_BYTES]
        with closing(sqlite3.connect(self._folder / "store.keys.db")) as con:
            for query in (
                "SELECT handle, wrapped, title, tag FROM sessions",
                "SELECT handle, wrapped, name, tag FROM users",
                "SELECT session, wrapped FROM guests",
            ):
                for handle, *blobs in con.execute(query):
                    self.keys.setdefault(handle, set()).update(piece for blob in blobs for piece in pieces(blob[3:]))

    def of(self, handles: Iterable[bytes]) -> list[bytes]:
        """Give every piece of the records and keys of some handles."""
        wanted = set(handles)
        found = {piece for (session, _), body in self.records.items() if session in wanted for piece in pieces(body)}
        return sorted(found.union(*(self.keys.get(handle, set()) for handle in wanted)))

    def trimmed(self) -> list[bytes]:
        """Give every piece of those records that are not in the file any more."""
        with closing(sqlite3.connect(self._folder / "store.db")) as con:
            handles = {number: handle for handle, number in con.execute("SELECT handle, number FROM messages_sessions")}
            here = {(handles[row >> 32], row & _HEAD) for (row,) in con.execute("SELECT id FROM messages")}
        return sorted({piece for key, body in self.records.items() if key not in here for piece in pieces(body)})


def _inside(memory: SecureMemory) -> Deployment:
    assert memory.host.deployment is not None
    return memory.host.deployment


async def _handle(memory: SecureMemory, user: str, session: str) -> tuple[bytes, bytes]:
    """Give the handles of a session and of its user."""
    keys = await _inside(memory).keyring.find(user, session)
    assert keys is not None
    return keys.handle, keys.user


async def _overwriting_off(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: let deletions leave in the files what they leave in a SQLite that does not overwrite or rewrite."""
    monkeypatch.setattr("securemem.sqlitefile._rewrite", lambda con: True)

    def switch_off(con: sqlite3.Connection, asked: list[None]) -> list[Any]:
        return [con.execute("PRAGMA secure_delete = OFF").fetchone()[0] for _ in asked]

    files: list[SqliteFile] = [_inside(memory).backend._file, _inside(memory).keyring.keystore.file]  # type: ignore[attr-defined]
    for file in files:
        assert await file.write(switch_off, None) == 0


USERS = ("ann", "bob", "cleo")
SESSIONS = ("one", "two", "three")


async def _converse(memory: SecureMemory, evidence: Evidence, *, seed: int, messages: int = 240) -> None:
    """Write interleaved messages of very different lengths: pages split, rows overflow, fronts are trimmed."""
    draw = random.Random(seed)
    for number in range(messages):
        user, session = draw.choice(USERS), draw.choice(SESSIONS)
        guest = draw.choice(USERS) if draw.random() < 0.1 else None
        text = "x" * draw.choice([1, 30, 200, 200, 200, 900, 2500, 9000])
        await memory.session(session, user_id=user).add("user", text, user_id=guest)
        if number % 7 == 0 and draw.random() < 0.3:
            await memory.session(f"short {number}", user_id=user).add("user", text)
        if number % 10 == 0:
            evidence.collect()
    evidence.collect()


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


@pytest.fixture
async def memory(tmp_path: Path, clock: Clock) -> AsyncIterator[SecureMemory]:
    """Give an open store that keeps few messages a session."""
    async with SecureMemory.open(f"sqlite:///{tmp_path}/store.db", max_messages=_KEEP, clock=clock) as memory:
        await memory.session("first").add("user", "hello")
        yield memory


@pytest.fixture
def evidence(tmp_path: Path, memory: SecureMemory) -> Evidence:
    """Give a collector for the store's files."""
    return Evidence(tmp_path)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_of_a_cleared_session(
    memory: SecureMemory, evidence: Evidence, tmp_path: Path, seed: int
) -> None:
    """After `clear` no piece of the session's records or wrapped keys is in any file, nor of what was trimmed."""
    await _converse(memory, evidence, seed=seed)
    session, _ = await _handle(memory, "ann", "one")
    assert_found([tmp_path], sorted(evidence.keys[session]))
    await memory.session("one", user_id="ann").clear()
    assert len(evidence.of([session])) > 200
    assert_absent([tmp_path], evidence.of([session]))
    assert_absent([tmp_path], evidence.trimmed())


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_of_an_erased_person(
    memory: SecureMemory, evidence: Evidence, tmp_path: Path, seed: int
) -> None:
    """After `erase_user` no piece of their records, guest messages, wrapped keys, names or tags is in any file."""
    await _converse(memory, evidence, seed=seed)
    handles = [await _handle(memory, info.user_id, info.session_id) async for info in memory.sessions(user_id="bob")]
    gone = {handle for pair in handles for handle in pair}
    receipt = await memory.erase_user("bob")
    assert bytes.fromhex(receipt.handle) in gone
    assert receipt.state == "SHREDDED"
    assert_absent([tmp_path], evidence.of(gone))
    assert_absent([tmp_path], evidence.trimmed())


async def _left_of_many(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int) -> list[Finding]:
    """Erase many among many living, and give what is left in the files of their keys, sealed names, titles and tags."""
    folder.mkdir()
    draw, names = random.Random(seed), []
    with monkeypatch.context() as patch:
        # Which pages of an index split is a matter of the tags, so that a run that finds something can be had again.
        patch.setattr(os, "urandom", random.Random(seed).randbytes)
        async with SecureMemory.open(f"sqlite:///{folder}/store.db", clock=clock) as memory:
            for number in range(500):
                names.append(f"user {number}" + "n" * draw.choice([1, 30, 300]))
                await memory.session("s", user_id=names[-1]).add("user", "hello")
            evidence = Evidence(folder)
            evidence.collect()
            gone = {name: await _handle(memory, name, "s") for name in draw.sample(names, 250)}
            needles = evidence.of({handle for handles in gone.values() for handle in handles})
            assert len(needles) > 10 * len(gone)
            assert_found([folder], needles)
            for name in gone:
                assert (await memory.erase_user(name)).state == "SHREDDED"
            return search([folder], needles)


@pytest.mark.parametrize("seed", [SPLITTING[0], pytest.param(SPLITTING[1], marks=pytest.mark.soak)])
async def test_no_key_is_left_among_many(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Of many erased among many living, no wrapped key, sealed name, title or lookup tag is in any file."""
    assert await _left_of_many(tmp_path / "store", clock, monkeypatch, seed) == []


async def test_secure_delete_alone_leaves_something_among_many(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the rewrite the same search finds what SQLite has left where it split a page."""
    monkeypatch.setattr("securemem.sqlitefile._rewrite", lambda con: True)
    for seed in SPLITTING:
        if found := await _left_of_many(tmp_path / str(seed), clock, monkeypatch, seed):
            assert {Path(finding.place).name for finding in found} == {"store.keys.db"}
            return
    pytest.fail("nothing was left with any seed: find others, or the test above shows nothing")


async def _free_pages(file: SqliteFile) -> int:
    count: int = await file.read_one(lambda con: con.execute("PRAGMA freelist_count").fetchone()[0])
    return count


@pytest.mark.parametrize("large", [(), ("data",), ("data", "keystore")], ids=["none", "data", "both"])
async def test_a_file_that_is_not_rewritten_is_residue(
    memory: SecureMemory, monkeypatch: pytest.MonkeyPatch, large: tuple[str, ...]
) -> None:
    """A file too large to be rewritten keeps its free space; the receipt says so, and calls that store not shredded."""
    await memory.session("kept", user_id="ann").add("user", "kept")
    for _ in range(_KEEP):
        await memory.session("gone", user_id="dora").add("user", "x" * 9000)
    files: dict[str, SqliteFile] = {
        "data": _inside(memory).backend._file,  # type: ignore[attr-defined]
        "keystore": _inside(memory).keyring.keystore.file,  # type: ignore[attr-defined]
    }
    sizes = {store: await file.read_one(sqlitefile._size) for store, file in files.items()}
    assert sizes["data"] > sizes["keystore"] > 1
    limits = {(): sizes["data"], ("data",): sizes["keystore"], ("data", "keystore"): sizes["keystore"] - 1}
    monkeypatch.setattr(sqlitefile, "SCRUB_BYTES", limits[large])
    receipt = await memory.erase_user("dora")
    assert {store: receipt.stores[store]["state"] for store in files} == {
        store: "LOGICAL" if store in large else "SHREDDED" for store in files
    }
    assert receipt.state == ("LOGICAL" if "keystore" in large else "SHREDDED")
    assert {entry.store for entry in receipt.residue if entry.store in files} == set(large)
    assert (await _free_pages(files["data"]) > 0) == ("data" in large)
    for entry in receipt.residue:
        if entry.store in large:
            assert "free space" in entry.what
            assert entry.until is None
    assert [message.content for message in await memory.session("kept", user_id="ann").history()] == ["kept"]


async def test_nothing_is_left_of_what_has_expired(
    memory: SecureMemory, evidence: Evidence, clock: Clock, tmp_path: Path
) -> None:
    """After expiry and a sweep no piece of what has expired is in any file, be it a session or from between others."""
    whole, mixed = memory.session("whole", user_id="dora"), memory.session("mixed", user_id="dora")
    for number in range(15):
        await whole.add("user", "w" * 50 * number, ttl=60)
        await mixed.add("user", "m" * 50 * number, ttl=60 if number % 3 else None)
    evidence.collect()
    first, user = await _handle(memory, "dora", "whole")
    second, _ = await _handle(memory, "dora", "mixed")
    await _converse(memory, evidence, seed=7, messages=60)
    clock.now += timedelta(seconds=61)
    report = await memory.sweep()
    assert (report.sessions, report.records) == (1, 25)
    kept = {(second, seq) for seq in range(1, 16, 3)}
    expired = {
        piece
        for key, body in evidence.records.items()
        if key[0] in (first, second) and key not in kept
        for piece in pieces(body)
    }
    assert_absent([tmp_path], sorted(expired | evidence.keys[first]))
    assert_found([tmp_path], sorted({piece for key in kept for piece in pieces(evidence.records[key])}))
    assert_found([tmp_path], sorted(evidence.keys[user]))
    assert_absent([tmp_path], evidence.trimmed())


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_of_what_was_rectified(
    memory: SecureMemory, evidence: Evidence, tmp_path: Path, seed: int
) -> None:
    """After `rectify` no piece of the old records is in any file, while the others and the session's key are there."""
    chat = memory.session("wrong", user_id="dora")
    for number in range(15):
        await chat.add("user", "w" * 100 * (number + 1))
    await _converse(memory, evidence, seed=seed, messages=60)
    session, _ = await _handle(memory, "dora", "wrong")
    # Not the row tags, which come first and say of the new records' headers what they said of the old ones'.
    old = {seq: evidence.records[session, seq][16:] for seq in (1, 7, 15)}
    for seq in old:
        await chat.rectify(seq, "put right")
    assert_absent([tmp_path], sorted({piece for body in old.values() for piece in pieces(body)}))
    assert_found([tmp_path], sorted({*pieces(evidence.records[session, 8]), *evidence.keys[session]}))


@pytest.mark.parametrize("act", ["clear", "erase", "expire", "rectify"])
async def test_the_search_finds_what_sqlite_leaves(
    memory: SecureMemory, evidence: Evidence, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, act: str
) -> None:
    """The control: with `secure_delete` and the rewrite off the same search finds records and keys after each act."""
    await _overwriting_off(memory, monkeypatch)
    session = memory.session("gone", user_id="dora")
    for _ in range(15):
        await session.add("user", "x" * 300, ttl=60)
    evidence.collect()
    handle, user = await _handle(memory, "dora", "gone")
    await _converse(memory, evidence, seed=1, messages=40)
    clock.now += timedelta(seconds=0 if act == "rectify" else 61)
    if act == "clear":
        await session.clear()
    elif act == "erase":
        await memory.erase_user("dora")
    elif act == "rectify":
        await memory.session("gone", user_id="dora").rectify(15, "put right")
    else:
        await memory.sweep()
    if act == "rectify":
        assert search([tmp_path / "store.db"], pieces(evidence.records[handle, 15][16:]))
        return
    assert search([tmp_path / "store.db"], evidence.of([handle]))
    assert search([tmp_path / "store.keys.db"], sorted(evidence.keys[handle]))
    if act == "erase":
        assert search([tmp_path / "store.keys.db"], sorted(evidence.keys[user]))


async def test_old_wraps_are_gone_after_a_rotation(memory: SecureMemory, evidence: Evidence, tmp_path: Path) -> None:
    """After `rotate` no piece of the old wraps and lookup tags of any user is in any file."""
    await _converse(memory, evidence, seed=3, messages=40)
    before = dict(evidence.keys)
    with closing(sqlite3.connect(tmp_path / "store.keys.db")) as con:
        old = [blob for row in con.execute("SELECT wrapped, tag FROM users") for blob in row]
        old += [tag for (tag,) in con.execute("SELECT tag FROM sessions")]
    assert before
    needles = sorted({piece for blob in old for piece in pieces(blob[19:] if blob[:2] == b"SK" else blob)})
    assert_found([tmp_path], needles)
    await memory.keys.rotate()
    assert_absent([tmp_path], needles)
