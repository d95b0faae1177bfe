"""What was erased is in no byte of a server's files: PostgreSQL's data directory, Redis's append-only file and dump.

What is looked for are the sealed bytes, as they lay in our own tables and lists before and do not lie there any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from securemem import Receipt, SecureMemory
from securemem.backends.postgres import PostgresBackend
from securemem.backends.redis import RedisBackend
from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.model import Residue, ResidueKind
from securemem.redis import durability
from securemem.testing import pieces
from securemem.testing.servers import PostgresServer, RedisServer, wait_until
from securemem.testing.servers.postgres import execute
from tests.faults.store import open_store

LONG = 60.0
TEXT = "x" * 200
ALONE, AS_GUEST, KEYS = 4, 2, 7
"""How many messages of the person there are, in their session and in another's, and how many blobs of their keys."""
_HEADER_BYTES, _TAGS_BYTES = 65, 32
"""What stands before and after a record's ciphertext, at most: heads and neighbours know of it too."""
_VERSION_BYTES = 3
_RIGHTS = ("GRANT pg_monitor, pg_checkpoint TO securemem", "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO securemem")
_ROWS = "SELECT body FROM messages"
_KEYS = """
SELECT unnest(ARRAY[wrapped, name, tag]) FROM securemem_keystore_users
UNION ALL SELECT unnest(ARRAY[wrapped, title, tag]) FROM securemem_keystore_sessions
UNION ALL SELECT wrapped FROM securemem_keystore_guests
"""


class OnPostgres:
    """Data, and the keystore in a database of its own, on a server whose log the application may move on.

    Attributes:
        data: the folder of the server's files.
        url: of the data.
        options: of `SecureMemory.open` besides.
    """

    blobs = ALONE + AS_GUEST + KEYS
    places = frozenset({"base", "pg_wal"})
    left: tuple[Residue, ...] = ()

    def __init__(self, server: PostgresServer) -> None:
        """Make both databases on a server that is the test's alone."""
        self._server = server
        self.data = server.data
        self.url, self._keystore = server.create_database(), server.create_database()
        self.options = {"keystore": self._keystore}

    async def prepare(self) -> None:
        """Grant what docs/servers.md names."""
        for url in (self.url, self._keystore):
            await execute(self._server.admin_url(url.rpartition("/")[2]), *_RIGHTS)

    async def sealed(self) -> set[bytes]:
        """Give what lies there now of records' ciphertexts, and of keys."""
        rows, keys = await _fetch(self.url, _ROWS), await _fetch(self._keystore, _KEYS)
        return {_ciphertext(row) for row in rows} | {key[_VERSION_BYTES:] for key in keys}

    async def persist(self) -> None:
        """Have all that lies in memory written to files."""
        await execute(self._server.admin_url(), "CHECKPOINT")


class OnRedis:
    """Data on a server that keeps an append-only file and snapshots; what they hold is not compressed."""

    blobs = ALONE + AS_GUEST
    places = frozenset({"appendonlydir", "dump.rdb"})
    left = (Residue("data", durability._MEMORY, kind=ResidueKind.MEMORY),)

    def __init__(self, server: RedisServer) -> None:
        """Take a server that is the test's alone."""
        self._server = server
        self.data = server.data
        self.url, self.options = f"{server.url}?prefix=app:", dict[str, str]()

    async def prepare(self) -> None:
        """There is nothing to be granted."""

    async def sealed(self) -> set[bytes]:
        """As `OnPostgres.sealed`, without the keys."""
        with self._server.client() as client:
            lists = [client.lrange(key, 0, -2) for key in client.scan_iter(match="app:{*")]
        return {_ciphertext(row) for rows in lists for row in rows}

    async def persist(self) -> None:
        """As `OnPostgres.persist`."""
        with self._server.client() as client:
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file is rewritten")
            client.save()


Kept = OnPostgres | OnRedis


def _ciphertext(row: bytes) -> bytes:
    return row[_HEADER_BYTES:-_TAGS_BYTES]


async def _fetch(url: str, query: str) -> list[bytes]:
    connection = await asyncpg.connect(url)
    try:
        return [value for (value,) in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.fixture(params=["postgresql", "redis"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Give a store's place on a server of the test's own, of each kind."""
    if request.param == "postgresql":
        with PostgresServer() as postgres:
            yield OnPostgres(postgres)
    else:
        with RedisServer(settings={"rdbcompression": "no"}) as redis:
            yield OnRedis(redis)


class Erasure(NamedTuple):
    """What came of an erasure: the sealed bytes that it took from the tables, those that stayed, and its receipt."""

    gone: set[bytes]
    stayed: set[bytes]
    receipt: Receipt


@pytest.fixture
async def memory(kept: Kept, tmp_path: Path) -> AsyncIterator[SecureMemory]:
    """Give a store with messages of two people, of whom one is a guest of the other too."""
    await kept.prepare()
    async with open_store(kept.url, tmp_path, **kept.options) as memory:
        for _ in range(ALONE):
            await memory.session("room", user_id="ann").add("user", TEXT)
        for _ in range(ALONE):
            await memory.session("alone", user_id="bob").add("user", TEXT)
        for _ in range(AS_GUEST):
            await memory.session("room", user_id="ann").add("user", TEXT, user_id="bob")
        yield memory


def _found(data: Path, blobs: Iterable[bytes]) -> dict[bytes, set[str]]:
    """Give the folders and files in which the first or the last piece of each blob is found."""
    places: dict[bytes, set[str]] = {blob: set() for blob in blobs}
    for file in data.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        for blob, found in places.items():
            if pieces(blob)[0] in content or pieces(blob)[-1] in content:
                found.add(file.relative_to(data).parts[0])
    return places


async def _erase(memory: SecureMemory, kept: Kept) -> Erasure:
    """Forget one of them, after all of it has reached the files."""
    before = await kept.sealed()
    await kept.persist()
    assert all(_found(kept.data, before).values()), "the control: the search finds what is there"
    receipt = await memory.erase_user("bob", purge_seconds=LONG)
    after = await kept.sealed()
    assert len(before - after) == kept.blobs
    return Erasure(before - after, before & after, receipt)


async def test_nothing_is_left_of_an_erased_person(memory: SecureMemory, kept: Kept) -> None:
    """After `erase_user` no piece of their records, guest messages and keys is in any file; the others' still are."""
    erasure = await _erase(memory, kept)
    for _ in range(2):
        found = _found(kept.data, erasure.gone | erasure.stayed)
        assert {blob for blob, places in found.items() if places} == erasure.stayed
        await kept.persist()
    assert erasure.receipt.state == "SHREDDED"
    assert [entry for entry in erasure.receipt.residue if entry.store in ("data", "keystore")] == [*kept.left]


async def test_a_deletion_alone_leaves_all(memory: SecureMemory, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the purge the same search finds every one of these bytes, in every place that keeps them."""

    async def no_purge(_: object, seconds: float) -> list[Residue]:
        return []

    for adapter in (PostgresBackend, PostgresKeystore, RedisBackend):
        monkeypatch.setattr(adapter, "purge", no_purge)
    erasure = await _erase(memory, kept)
    assert list(_found(kept.data, erasure.gone).values()) == [kept.places] * kept.blobs
