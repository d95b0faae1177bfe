"""What the search can and cannot reach: other machines, files and memory that are not ours, rights that we lack."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from securemem.proving import onpostgres, onredis
from securemem.proving.files import of_files
from securemem.proving.place import CLEAN, FOUND, LEFT, UNSEEN, Look, Missed, Place
from securemem.proving.processes import is_here, of_memory, parent_of
from securemem.proving.prove import Proof
from securemem.proving.scan import Kind, Needles, Scan
from securemem.testing.servers import PostgresServer, RedisCluster, RedisServer
from tests.faults.store import open_store

MARK = "zukamoribexadofe"
NEEDLES = Needles.of([MARK], [])


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Give a Redis of the test's own."""
    with RedisServer() as server:
        yield server


def of(proof: Proof, what: str) -> Look:
    """Give what a look at the data showed."""
    [look] = [look for look in proof.looks if look.place.what == what and look.place.store == "data"]
    return look


async def test_a_user_that_may_not_dump_reads_lists(redis: RedisServer, tmp_path: Path) -> None:
    """Where the server refuses DUMP and CONFIG, keys are read as lists, and files by their usual names."""
    with redis.client() as client:
        rights = ("+@all", "-dump", "-config")
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~app:*", *rights)
    url = redis.url.replace("redis://", "redis://app:secret@") + f"?prefix={quote('app:')}"
    async with open_store(url, tmp_path, max_messages=100) as memory:
        proof = await memory.prove_erasure(purge_seconds=20)
    assert (of(proof, "keys").state, of(proof, "keys").control) == (CLEAN, True)
    assert (of(proof, "files").state, of(proof, "files").control) == (CLEAN, True)
    assert "dump" in of(proof, "keys").why
    assert proof.is_proven


async def test_keys_in_mid_failover(redis_cluster: RedisCluster, redis_prefix: str) -> None:
    """Of a cluster that has just lost a primary the keys of all nodes are read, of who takes over too."""
    killed = redis_cluster.primary_of("mine")
    assert killed.ask("SET", f"{redis_prefix}{{mine}}", MARK)
    assert killed.ask("WAIT", "1", "10000") == 1
    await asyncio.to_thread(killed.kill)
    url, scan, missed = f"redis+cluster://127.0.0.1:{redis_cluster.running[0].port}", Scan(NEEDLES), Missed()
    places, _ = await asyncio.gather(
        onredis.places_on(url, redis_prefix, memory=False), onredis._keys(url, redis_prefix)(scan, missed)
    )
    assert Kind.TEXT in scan.found
    assert not missed
    assert [place.what for place in places] == ["keys", "files", "files", "files"]


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
async def test_a_server_elsewhere_is_not_looked_at(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that does not run here rows and keys are searched, and files and memory said to be out of reach."""
    for module in (onpostgres, onredis):
        monkeypatch.setattr(module, "is_here", lambda number, *words: False)
    name = {"postgresql": "postgres_url", "redis": "redis_store_url"}[kind]
    async with open_store(request.getfixturevalue(name), tmp_path, max_messages=100) as memory:
        proof = await memory.prove_erasure(purge_seconds=1)
    assert proof.is_proven
    unseen = {look.place.what: look.why for look in proof.looks if look.state == UNSEEN and look.place.store == "data"}
    assert sorted(unseen) in (["files", "memory"], ["files and memory"])
    assert all("does not run on this machine" in why for why in unseen.values())


async def test_a_text_in_memory_is_found() -> None:
    """The control: the memory of a process that holds a text in clear is one in which it is found."""
    kept = [MARK]
    look = await Place("data", "memory", "this process", of_memory(os.getpid())).look(NEEDLES)
    assert (look.state, look.found) == (FOUND, frozenset({Kind.TEXT}))
    assert look.size > 1_000_000
    assert kept


async def test_memory_that_may_not_be_read_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to read it, the reason is given; a process that has ended has nothing to be looked at."""

    def refused(*_: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    ended = await Place("data", "memory", "gone", of_memory(2**22 + 1)).look(NEEDLES)
    assert (ended.state, ended.why) == (UNSEEN, "nothing of it can be read")
    monkeypatch.setattr(os, "open", refused)
    look = await Place("data", "memory", "another's", of_memory(os.getpid())).look(NEEDLES)
    assert (look.state, look.why) == (UNSEEN, "this process may not read its memory (Operation not permitted)")


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """One that fails in mid-read is named beside those that were searched."""
    (tmp_path / "log").write_text("nothing")
    unreadable = Path("/proc/self/mem")
    look = await Place("also", "files", "", of_files(lambda: [tmp_path / "log", unreadable])).look(NEEDLES)
    assert (look.state, look.size) == (CLEAN, len("nothing"))
    assert look.why.startswith("/proc/self/mem: ")


def test_processes_are_known_by_their_command() -> None:
    """A process is here if it runs and its command line holds the word; one that does not run has no parent."""
    assert is_here(os.getpid(), "python", "pytest")
    assert not is_here(os.getpid(), "postgres: nobody")
    assert not is_here(2**22 + 1, "")
    assert parent_of(os.getpid()) == os.getppid()
    assert parent_of(2**22 + 1) == 0


async def test_a_database_without_rights_still_shows_its_files(tmp_path: Path) -> None:
    """A user that may not see where the files are finds them by the server's process, and what its log still has."""
    with PostgresServer() as server:
        urls = [server.create_database() for _ in range(2)]
        async with open_store(urls[0], tmp_path, keystore=urls[1], max_messages=100) as memory:
            proof = await memory.prove_erasure(purge_seconds=1)
        [files] = [look for look in proof.looks if look.place.store == "data, keystore" and look.place.what == "files"]
        [held] = [look for look in proof.looks if look.place.store == "data, keystore" and look.place.what == "memory"]
        assert files.place.where == str(server.data)
    assert (files.state, files.wrong) == (FOUND, frozenset({Kind.RECORD, Kind.KEY}))
    assert held.state == LEFT
    assert any("write-ahead log" in left.what for left in proof.residue)
