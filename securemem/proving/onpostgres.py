"""What of a PostgreSQL can be looked at: our tables, row by row; and on this machine its files and its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from asyncpg import exceptions as pg

from securemem.config import options_of
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.postgres import OPTIONS, Connection, PostgresServer
from securemem.postgresurl import place_of
from securemem.proving.files import below, of_files
from securemem.proving.place import ERASED, Missed, Place, Reading, UnseenError, unseen
from securemem.proving.processes import folder_of, is_here, of_memory, parent_of
from securemem.proving.scan import Kind, Scan

_LONG = 24 * 3600.0
_FAR = "it does not run on this machine, or in another container: run this there too, or name its files (--also)"
_TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname ~ $2 ORDER BY 1
"""
_SELF = "SELECT pg_backend_pid(), current_database(), (SELECT oid FROM pg_database WHERE datname = current_database())"


class Tables(NamedTuple):
    """A part of a store in a database.

    Attributes:
        store: "data", "keystore", "ledger" or "replica".
        url: of the database.
        named: a regular expression for the names of its tables.
        tenant: whose rows are asked for, where the rows have a policy.
        control: what of the control lies there; none where it need not.
        forbidden: what must not be there.
    """

    store: str
    url: str
    named: str
    tenant: bytes
    control: frozenset[Kind]
    forbidden: frozenset[Kind] = ERASED

    def server(self) -> PostgresServer:
        """Give the server, for connections of its own."""
        server = PostgresServer(*options_of(self.url, OPTIONS))
        server.bind(self.tenant)
        return server

    def place(self) -> Place:
        """Give the tables as a place."""
        where = f"PostgreSQL at {place_of(options_of(self.url, OPTIONS)[0])}"
        return Place(self.store, "tables", where, self._rows(), self.control, self.forbidden)

    def _rows(self) -> Reading:
        async def read(scan: Scan, missed: Missed) -> None:
            server = self.server()

            async def take(data: bytes) -> None:
                await asyncio.to_thread(scan.feed, data)

            async with server.connection(None) as con:
                for (table,) in await con.fetch(_TABLES, server.schema, self.named):
                    try:
                        await con.copy_from_query(f"SELECT * FROM {table}", output=take, format="binary", timeout=_LONG)  # noqa: S608  (quoted by the server)
                    except pg.InsufficientPrivilegeError:
                        missed.append(f"{table}: this user may not read it")
                    scan.end()

        return read

    async def whereabouts(self) -> Whereabouts:
        """Find out where the server is.

        Raises:
            UnseenError: it cannot be looked at from here.
        """
        try:
            async with self.server().connection(None) as con:
                return await _whereabouts(con)
        except (BackendUnavailableError, ConfigurationError) as exc:
            raise UnseenError(str(exc)) from exc


async def on_this_machine(parts: Sequence[Tables], *, memory: bool) -> list[Place]:
    """Give the files and the memory of servers on this machine, as places; those of one server once."""
    found: list[Place] = []
    servers: dict[int, list[tuple[Tables, Whereabouts]]] = {}
    for part in parts:
        try:
            here = await part.whereabouts()
        except UnseenError as exc:
            what = "files and memory" if memory else "files"
            found.append(Place(part.store, what, part.place().where, unseen(str(exc))))
        else:
            servers.setdefault(here.process, []).append((part, here))
    for process, each in servers.items():
        store = ", ".join(part.store for part, _ in each)
        control = frozenset(kind for part, _ in each for kind in part.control)
        folder, databases = each[0][1].folder, {str(here.database) for _, here in each}
        read = of_files(partial(_files, folder, databases), nothing="this process may not read its data directory")
        where = str(folder) if folder is not None else each[0][0].place().where
        found.append(Place(store, "files", where, read, control))
        if memory:
            where = f"PostgreSQL, process {process}"
            found.append(Place(store, "memory", where, of_memory(process, children=True), passing=ERASED - {Kind.TEXT}))
    return found


class Whereabouts(NamedTuple):
    """Where a server on this machine is: its process, its data directory if that can be told, and our database."""

    process: int
    folder: Path | None
    database: int


async def _whereabouts(con: Connection) -> Whereabouts:
    """Ask a server where it is.

    Raises:
        UnseenError: it is not here.
    """
    [(own, name, database)] = await con.fetch(_SELF)
    number = parent_of(own) if is_here(own, name) else 0
    if not number:
        raise UnseenError(_FAR)
    try:
        folder: Path | None = Path(await con.fetchval("SHOW data_directory"))
    except pg.InsufficientPrivilegeError:
        folder = folder_of(number)
    return Whereabouts(number, folder, database)


def _files(folder: Path | None, databases: set[str]) -> Iterator[Path]:
    """Give the files of a data directory, those of other databases left out."""
    if folder is None:
        return
    base = folder / "base"
    others = [each for each in base.iterdir() if each.name.isdecimal() and each.name not in databases]
    yield from below(folder, without=others)
