"""The proof on every backend: nothing is found after an erasure, and all is where the erasure leaves something."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from securemem import ConfigurationError, Message, SecureMemory, Session
from securemem.backends.postgres import PostgresBackend
from securemem.backends.redis import RedisBackend
from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.model import Residue
from securemem.proving.place import CLEAN, FOUND, LEFT, UNPROVEN
from securemem.proving.plant import Canaries
from securemem.proving.prove import Proof
from securemem.proving.scan import Kind
from securemem.sqlitefile import SqliteFile
from securemem.testing.servers import PostgresServer, RedisServer
from securemem.testing.servers.postgres import execute
from securemem.testing.servers.replica import PostgresReplica
from tests.faults.store import at_port, open_store
from tests.retention.store import policy

LONG = 60.0
RIGHTS = ("GRANT pg_monitor, pg_checkpoint TO securemem", "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO securemem")
KEEPS = (
    "  - {id: mails, match: {entity: EMAIL_ADDRESS}, ttl: 30d, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}, "
    "while_kept: restrict}\n"
)
PSEUDONYMS = "pii: {entities: {EMAIL_ADDRESS: pseudonymise}}\n"


@pytest.fixture
async def memory(file_url: str) -> AsyncIterator[SecureMemory]:
    """Give an open store in a file."""
    async with SecureMemory.open(file_url) as memory:
        yield memory


def states(proof: Proof) -> dict[str, str]:
    """Give what each place came to, by whose it is and what it is."""
    return {f"{look.place.store} {look.place.what}": look.state for look in proof.looks}


def found_in(proof: Proof) -> dict[str, frozenset[Kind]]:
    """Give what was found where, places where nothing was left out."""
    return {f"{look.place.store} {look.place.what}": look.wrong for look in proof.looks if look.wrong}


async def is_empty(memory: SecureMemory) -> bool:
    """Tell whether nobody has anything in a store."""
    deployment = await memory.host.ready()
    return await deployment.keyring.keystore.counts() == (0, 0)


@pytest.fixture(params=["postgresql", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer | RedisServer]:
    """Give a server of the test's own, of each kind."""
    made = PostgresServer() if request.param == "postgresql" else RedisServer()
    with made:
        yield made


async def on_server(server: PostgresServer | RedisServer, folder: Path) -> SecureMemory:
    """Name a store whose data, and keystore if it can, lie on a server, with the rights that docs/servers.md names."""
    if isinstance(server, RedisServer):
        return open_store(f"{server.url}?prefix=app:", folder, max_messages=100)
    urls = [server.create_database() for _ in range(3)]
    for url in urls:
        await execute(server.admin_url(url.rpartition("/")[2]), *RIGHTS)
    return open_store(urls[0], folder, keystore=urls[1], ledger=urls[2], max_messages=100)


# SQLite


async def test_nothing_is_found_in_files(memory: SecureMemory) -> None:
    """Data, keystore and ledger are clean, the control is found, and a real person's messages are as they were."""
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "hello")
    proof = await memory.prove_erasure()
    assert proof.is_proven
    assert {place: state for place, state in states(proof).items() if state != CLEAN} == {
        "process memory": "not looked at"
    }
    assert proof.forms_found == proof.forms > 20
    assert proof.sealed > 100
    assert all(look.control for look in proof.looks if look.place.control)
    assert [message.content for message in await chat.history()] == ["hello"]
    assert [info.user_id async for info in memory.sessions()] == ["alice"]


async def _overwriting_off(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securemem.sqlitefile._rewrite", lambda con: True)

    def switch_off(con: sqlite3.Connection, asked: list[None]) -> list[Any]:
        return [con.execute("PRAGMA secure_delete = OFF").fetchone()[0] for _ in asked]

    deployment = await memory.host.ready()
    files: list[SqliteFile] = [deployment.backend._file, deployment.keyring.keystore.file]  # type: ignore[attr-defined]
    for file in files:
        assert await file.write(switch_off, None) == 0


async def test_what_sqlite_leaves_is_found(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with `secure_delete` and the rewrite off the remains are found, in the data and in the keystore."""
    await _overwriting_off(memory, monkeypatch)
    proof = await memory.prove_erasure()
    assert not proof.is_proven
    found = found_in(proof)
    assert found["data files"] == {Kind.RECORD}
    assert Kind.KEY in found["keystore files"]


async def test_a_text_in_a_log_is_found(memory: SecureMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where an application writes down what is said, that file is named, and it alone."""
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir()
    add_many = Session.add_many

    async def logged(self: Session, messages: list[Message], **options: Any) -> list[Message]:
        with log.open("a", encoding="utf-8") as file:
            file.writelines(f"{message.content!r}\n" for message in messages)
        return await add_many(self, messages, **options)

    monkeypatch.setattr(Session, "add_many", logged)
    proof = await memory.prove_erasure(also=[log.parent, tmp_path / "store.kek"])
    assert found_in(proof) == {"also files": {Kind.TEXT}}


async def test_a_backup_from_before_is_found(memory: SecureMemory, tmp_path: Path) -> None:
    """The control: a copy of the keystore that somebody took while the canaries lived opens them, and is named."""
    copy = tmp_path / "copies" / "old.db"
    copy.parent.mkdir()

    def take(step: str) -> None:
        if step == "Erasing":
            copy.write_bytes(b"".join(path.read_bytes() for path in tmp_path.glob("store.keys.db*")))

    proof = await memory.prove_erasure(also=[copy], say=take)
    assert Kind.KEY in found_in(proof)["also files"]


async def test_a_search_that_finds_no_control_proves_nothing(
    memory: SecureMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where another file is searched than the one that is written, the proof is refused."""
    (tmp_path / "other.db").write_bytes(bytes(4096))
    monkeypatch.setattr("securemem.proving.whereabouts.file_of", lambda url, scheme: tmp_path / "other.db")
    proof = await memory.prove_erasure()
    assert states(proof)["data files"] == UNPROVEN
    assert not proof.is_proven
    assert not proof.found


# Servers


async def test_nothing_is_found_on_a_server(server: PostgresServer | RedisServer, tmp_path: Path) -> None:
    """Tables or keys, files and what is beside them are clean; memory holds no text, and what was freed is named."""
    async with await on_server(server, tmp_path) as memory:
        proof = await memory.prove_erasure(purge_seconds=LONG)
        assert found_in(proof) == {}
        assert proof.is_proven
        assert set(states(proof).values()) <= {CLEAN, LEFT, "not looked at"}
        files = [look for look in proof.looks if look.place.what == "files" and "data" in look.place.store]
        assert [look.state for look in files] == [CLEAN]
        assert all(look.control for look in files)
        assert await is_empty(memory)


async def test_what_a_server_keeps_is_found(
    server: PostgresServer | RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the purge the same search finds the erased in the server's files."""

    async def no_purge(_: object, seconds: float) -> list[Residue]:
        return []

    for adapter in (PostgresBackend, PostgresKeystore, RedisBackend):
        monkeypatch.setattr(adapter, "purge", no_purge)
    async with await on_server(server, tmp_path) as memory:
        proof = await memory.prove_erasure(memory=False)
        assert not proof.is_proven
        [(place, kinds)] = found_in(proof).items()
        assert place.startswith("data")
        assert place.endswith("files")
        assert Kind.RECORD in kinds


async def test_rows_that_stay_are_found_in_tables(url: str, monkeypatch: pytest.MonkeyPatch, file_url: str) -> None:
    """The control on each backend: where rows are not deleted, they are found by asking, and in tables and keys."""

    async def no_deletion(_: object, sessions: Any, *, heads: bool) -> int:
        return 0

    async with SecureMemory.open(url) as memory:
        backend = (await memory.host.ready()).backend
        monkeypatch.setattr(type(backend), "delete", no_deletion)
        proof = await memory.prove_erasure(purge_seconds=0.5, memory=False)
        found = found_in(proof)
        assert Kind.RECORD in found["data answers"]
        if not url.startswith("memory"):
            assert any(Kind.RECORD in kinds for place, kinds in found.items() if place in _WHERE_ROWS_LIE)


_WHERE_ROWS_LIE = ("data files", "data tables", "data keys")


def of_replica(proof: Proof) -> tuple[str, frozenset[Kind]]:
    """Give what a replica's tables came to."""
    [look] = [look for look in proof.looks if (look.place.store, look.place.what) == ("replica", "tables")]
    return look.state, look.wrong


@pytest.mark.servers
async def test_a_replica_is_waited_for_and_searched(postgres_replica: PostgresReplica, tmp_path: Path) -> None:
    """What a standby has is searched once it has caught up; the control: one that does not is `found` or `unproven`."""
    url = postgres_replica.primary.create_database()
    postgres_replica.catch_up()
    replica = at_port(url, postgres_replica.port)
    async with open_store(url, tmp_path, replica=replica, max_messages=100) as memory:
        try:
            assert of_replica(await memory.prove_erasure(memory=False)) == (CLEAN, frozenset())

            def stop(step: str) -> None:
                if step == "Erasing":
                    postgres_replica.catch_up()
                    postgres_replica.pause_replay()

            proof = await memory.prove_erasure(memory=False, purge_seconds=1, say=stop)
            assert of_replica(proof) == (FOUND, frozenset({Kind.RECORD}))
            proof = await memory.prove_erasure(memory=False, purge_seconds=1)
            assert of_replica(proof)[0] == UNPROVEN
        finally:
            postgres_replica.resume_replay()
            postgres_replica.catch_up()
    postgres_replica.primary.drop_database(url)


# Cleaning up


@pytest.mark.parametrize("step", ["Planting", "Erasing", "Searching data: files"])
async def test_an_interrupted_run_leaves_nothing(
    memory: SecureMemory, step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whenever it is cancelled, no canary is in the store afterwards, and no scratch file on the disk."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    running: asyncio.Task[Proof]

    def interrupt(now: str) -> None:
        if now == step:
            running.cancel()

    running = asyncio.create_task(memory.prove_erasure(say=interrupt))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await is_empty(memory)
    assert list(scratch.iterdir()) == []


# Policies


async def test_what_a_law_keeps_is_not_planted(file_url: str) -> None:
    """What a rule with a basis would keep is left out, so that every canary can be erased; the rest proves."""
    async with SecureMemory.open(file_url, policy=policy(PSEUDONYMS, KEEPS)) as memory:
        proof = await memory.prove_erasure()
        assert proof.is_proven
        assert proof.left_out >= 1
        assert await is_empty(memory)


async def test_a_policy_that_keeps_everything_is_refused(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all would be kept, nothing is planted, and the error says so."""
    monkeypatch.setattr(Canaries, "contents", lambda self: [f"{self.marks[0]}.lee@example.com"])
    async with SecureMemory.open(file_url, policy=policy(PSEUDONYMS, KEEPS)) as memory:
        with pytest.raises(ConfigurationError, match="keeps by law"):
            await memory.prove_erasure()
        assert await is_empty(memory)


async def test_pseudonyms_are_proven_gone(file_url: str) -> None:
    """Vaults are sessions of the erased, and go with them."""
    async with SecureMemory.open(file_url, policy="plain") as memory:
        plain = await memory.prove_erasure()
    async with SecureMemory.open(file_url, policy=policy(PSEUDONYMS)) as memory:
        proof = await memory.prove_erasure()
    assert proof.is_proven
    assert proof.sealed > plain.sealed
