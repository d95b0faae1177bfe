"""Two servers, and a store whose tenants lie on one or the other."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from securemem import SecureMemory
from securemem.adapters import make_backend
from securemem.config import resolve
from securemem.keys import routes
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import HOME, Change, Tail
from securemem.ports import Backend

ALL_ROWS = 0xFFFFFFFF
MOST = 1_000_000
"""More messages than any test writes to a session."""
SECOND = "second"
Copy = dict[bytes, Tail]
"""What lies on a server of some sessions: heads and rows."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a deployment lies: two servers for its data, and everything else in one folder."""

    folder: Path
    urls: dict[str, str]

    @property
    def options(self) -> dict[str, Any]:
        """What opening the store takes besides its URL."""
        return {
            "keystore": f"sqlite:///{self.folder}/keys.db",
            "ledger": f"sqlite:///{self.folder}/ledger.db",
            "kms": f"file:///{self.folder}/kek",
        }

    def open(self, tenant: str = "default", **options: Any) -> SecureMemory:
        """Give the store, by the settings in the folder."""
        return SecureMemory.open(self.urls[HOME], tenant=tenant, **self.options, **options)

    def settle(self, *names: str) -> None:
        """Write the settings: the store's own server, and those of the others that are named."""
        lines = [f'{name} = "{self.urls[name]}"\n' for name in names]
        (self.folder / "securemem.toml").write_text(f"[servers]\n{''.join(lines)}" if lines else "")

    @asynccontextmanager
    async def server(self, name: str) -> AsyncIterator[Backend]:
        """Give a plain connection to a server, that no route bends."""
        backend = make_backend(resolve(self.urls[name]), "messages")
        await backend.open()
        yield backend
        await backend.aclose()

    async def handles(self) -> list[bytes]:
        """Give the sessions that have a key, of all tenants."""
        keystore = SqliteKeystore(f"{self.folder}/keys.db")
        await keystore.open()
        found = []
        for tenant, _, _ in await keystore.tenants():
            found += [row.handle for _, _, row in await keystore.page(tenant, after=0, limit=10_000, user=None)]
        await keystore.aclose()
        return found

    async def copy(self, name: str, sessions: list[bytes] | None = None) -> Copy:
        """Give what lies on a server."""
        async with self.server(name) as backend:
            wanted = sessions if sessions is not None else await self.handles()
            found = {session: await backend.tail(session, ALL_ROWS) for session in wanted}
        return {session: tail for session, tail in found.items() if tail.head or tail.rows}

    async def put_back(self, name: str, copy: Copy) -> None:
        """Put on a server what lay there, or on another, before, in place of what lies there now."""
        async with self.server(name) as backend:
            await backend.delete(list(copy), heads=True)
            for session, (head, rows) in copy.items():
                assert await backend.swap(Change(session, b"", head, rows=rows[::-1])) is None

    async def take_heads(self, name: str) -> None:
        """Take the heads from a server, and leave the rows."""
        if self.urls[name].startswith("sqlite"):
            await self._execute(name, "DELETE FROM messages WHERE id & 4294967295 = 4294967295")
        else:
            await self._execute(name, "DELETE FROM messages_sessions")

    async def count(self, name: str) -> int:
        """Give how many rows and heads lie on a server, whoever's."""
        url, query = (
            self.urls[name],
            "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM messages_sessions)",
        )
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as con:
                return int(con.execute(query).fetchone()[0])
        connection = await asyncpg.connect(url)
        found = await connection.fetchval(query)
        await connection.close()
        return int(found)

    async def set_counter(self, name: str, counter: int) -> None:
        """Set back what a server's stamp counts, as a backup of then has it."""
        await self._execute(name, f"UPDATE securemem_stamp SET counter = {counter}")

    async def counter(self, name: str) -> int:
        """Give what a server's stamp counts."""
        backend = make_backend(resolve(self.urls[name]), "messages")
        stamp = await backend.open()
        await backend.aclose()
        return stamp.counter if stamp is not None else -1

    async def _execute(self, name: str, statement: str) -> None:
        url = self.urls[name]
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as con:
                con.execute(statement)
                con.commit()
            return
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process know of a route at once."""
    monkeypatch.setattr(routes, "ROUTE_SECONDS", 0.02)


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Give two servers of a kind; both are named in the settings."""
    if request.param == "sqlite":
        urls = {HOME: f"sqlite:///{tmp_path}/home.db", SECOND: f"sqlite:///{tmp_path}/second.db"}
    else:
        server = request.getfixturevalue("postgres_server")
        urls = {HOME: server.create_database(), SECOND: server.create_database()}
    found = Stage(tmp_path, urls)
    found.settle(SECOND)
    yield found
    if request.param == "postgresql":
        for url in urls.values():
            server.drop_database(url)


@pytest.fixture
async def pair(stage: Stage) -> AsyncIterator[tuple[SecureMemory, SecureMemory]]:
    """Give two open stores, each as another process is."""
    async with stage.open(max_messages=MOST) as here, stage.open(max_messages=MOST) as there:
        yield here, there


async def everything(memory: SecureMemory) -> dict[tuple[str, str], list[Any]]:
    """Read all sessions, verified."""
    found = {}
    async for info in memory.sessions():
        messages = await memory.session(info.session_id, user_id=info.user_id).history(MOST)
        found[info.user_id, info.session_id] = [message.content for message in messages]
    return found
