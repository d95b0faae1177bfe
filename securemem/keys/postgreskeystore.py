"""The keystore in PostgreSQL (`postgresql://…`): one statement a look-up and one a new session, gathered under load.

It may share a database and a schema with the ledger or with anything else: its tables have names of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from securemem.batch import Batch, Crowd
from securemem.errors import ConfigurationError
from securemem.keys import backup
from securemem.keys.postgresepochs import READ_COMMITTED, columns_of
from securemem.keys.postgresshredding import PostgresShredding
from securemem.keys.rows import (
    Floor,
    Found,
    Guard,
    GuestKey,
    GuestRow,
    Minted,
    NewSession,
    NewUser,
    SessionRow,
    UserRow,
)
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import Residue, Stamp
from securemem.postgres import Connection
from securemem.postgrespurge import purge

_LANES = 2
_BACKUP_ROWS = 1000


class _Query(NamedTuple):
    users: list[bytes]
    sessions: list[bytes]


class _Mint(NamedTuple):
    user: NewUser | UserRow
    session: NewSession
    guard: Guard


class PostgresKeystore(PostgresShredding):
    """Wrapped keys in a PostgreSQL schema."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Name the database; nothing is opened yet.

        Args:
            url: `postgresql://…`, with the driver's own parameters.
            options: of `postgres.OPTIONS`.

        Raises:
            ConfigurationError: an option that cannot be.
        """
        super().__init__(url, options)
        lanes, crowd = min(_LANES, self._server.size), Crowd()
        self._finds: Batch[_Query, Found] = Batch(self._find, self._find_all, lanes=lanes, crowd=crowd)
        self._mints: Batch[_Mint, Minted] = Batch(self._mint, self._mint_all, lanes=lanes, crowd=crowd)

    @property
    def place(self) -> str:
        """As `keystore.Store`."""
        return self._server.name

    async def stamp_now(self) -> Stamp:
        """As `keystore.Store`."""
        [row] = await self._rows("stamp")
        return Stamp(*row)

    async def stamp(self, stamp: Stamp) -> None:
        """As `keystore.Store`."""
        await self._run("set_stamp", *stamp)

    async def counts(self) -> tuple[int, int]:
        """As `keystore.Store`."""
        [(users, sessions)] = await self._rows("counts")
        return users, sessions

    async def purge(self, seconds: float) -> list[Residue]:
        """As `keystore.Store`."""
        return await purge(self._server, self._part.tables, store="keystore", seconds=seconds)

    async def backup(self, path: Path) -> str:
        """As `keystore.Store`."""
        return await backup.take(path, self._copy)

    async def adopt(self, copy: Path) -> None:
        """As `keystore.Store`."""
        await SqliteKeystore.brought_up(copy)
        await self._run("counts")  # makes the tables where they are not there yet
        seconds = self._server.seconds
        async with self._server.connection(None) as con:
            # Where it fails it ends with the connection: to end it in so many words could wait for a silent server.
            await con.execute("BEGIN ISOLATION LEVEL READ COMMITTED", timeout=seconds)
            await con.execute(self._sql["seize_stamp"], timeout=seconds)
            if await con.fetchrow(self._sql["stamp"], timeout=seconds) is not None:
                raise ConfigurationError(f"{self.place} has a keystore: a backup is restored where there is none")
            for table, columns in backup.TABLES.items():
                async for rows in backup.rows_of(copy, table, columns, at_once=_BACKUP_ROWS):
                    await con.executemany(self._sql[f"adopt_{table}"], rows, timeout=seconds)
            await con.execute(self._sql["go_on_counting"], timeout=seconds)
            await con.execute("COMMIT", timeout=seconds)
        await asyncio.to_thread(copy.unlink)

    async def aclose(self) -> None:
        """As `keystore.Store`."""
        await self._finds.aclose()
        await self._mints.aclose()
        await self._server.aclose()

    async def _copy(self, path: Path) -> str:
        """Copy every row as of one moment into a file."""
        digest, copy = backup.Digest(), SqliteKeystore(str(path))
        try:
            async with self._server.connection(None) as con:
                seconds = self._server.seconds
                # Ended with the connection: to end it in so many words could wait for a server that is silent.
                await con.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", timeout=seconds)
                for table, columns in backup.TABLES.items():
                    cursor = await con.cursor(self._sql[f"backup_{table}"], timeout=seconds)
                    while rows := [tuple(row) for row in await cursor.fetch(_BACKUP_ROWS, timeout=seconds)]:
                        digest.update(table, rows)
                        await copy.fill(table, columns, rows)
        finally:
            await copy.aclose()
        return digest.hex()

    # Looking up

    async def find(self, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        """As `keystore.Lookup`."""
        return await self._finds.call(_Query(user_tags, session_tags))

    async def _find(self, query: _Query) -> Found:
        if len(query.users) != 1 or len(query.sessions) > 1:  # after a rotation, until its old epoch is closed
            [found] = await self._find_all([query])
            return found
        [row] = await self._rows("find", query.users[0], query.sessions[0] if query.sessions else None)
        return _found(row)

    async def _find_all(self, queries: list[_Query]) -> list[Found]:
        users, sessions = _tags([query.users for query in queries]), _tags([query.sessions for query in queries])
        rows = await self._rows("finds", *users, *sessions)
        found = {place: _found(row) for place, *row in rows}
        nobody = Found(rows[0][1] or 0, None, None)
        return [found.get(place, nobody) for place in range(len(queries))]

    async def guests(self, session: bytes) -> list[GuestRow]:
        """As `keystore.Lookup`."""
        rows = await self._rows("guests", session)
        return [GuestRow(UserRow(0, *row[:5]), GuestKey(*row[5:])) for row in rows]

    async def page(
        self, tenant: int, *, after: int, limit: int, user: bytes | None
    ) -> list[tuple[int, UserRow, SessionRow]]:
        """As `keystore.Lookup`."""
        if user is None:
            rows = await self._rows("page", tenant, after, limit)
        else:
            rows = await self._rows("page_of_user", tenant, after, limit, user)
        return [(row[0], UserRow(*row[1:7]), SessionRow(*row[7:])) for row in rows]

    # Inserting

    async def mint(self, user: NewUser | UserRow, session: NewSession, guard: Guard) -> Minted:
        """As `keystore.Lookup`."""
        return await self._mints.call(_Mint(user, session, guard))

    async def _mint(self, mint: _Mint) -> Minted:
        [status] = await self._mint_all([mint])
        return status

    async def _mint_all(self, mints: list[_Mint]) -> list[Minted]:
        return await self._call(lambda con, again: self._insert(con, mints, again))

    async def _insert(self, con: Connection, mints: list[_Mint], again: bool) -> list[Minted]:  # noqa: FBT001
        if again:
            # Another insertion under these handles could follow upon an erasure of what the first one made.
            rows = await con.fetch(self._sql["minted"], [mint.session.handle for mint in mints])
            there = {handle for (handle,) in rows}
            return [Minted.DONE if mint.session.handle in there else Minted.EXISTS for mint in mints]
        asked = [
            (place, guard.epoch, user.handle, user.generation, *session)
            for place, (user, session, guard) in enumerate(mints)
        ]
        new = [(place, *mint.user) for place, mint in enumerate(mints) if isinstance(mint.user, NewUser)]
        session_tags = _tags([mint.guard.session_tags for mint in mints])
        user_tags = _tags([mint.guard.user_tags if isinstance(mint.user, NewUser) else [] for mint in mints])
        rows = await con.fetch(self._sql["mint"], *columns_of(asked, 9), *columns_of(new, 8), *session_tags, *user_tags)
        return [_minted(*row) for row in rows]

    async def add_guest(self, session: bytes, user: NewUser | UserRow, key: GuestKey, guard: Guard) -> Minted:
        """As `keystore.Lookup`."""

        async def work(con: Connection, again: bool) -> Minted:  # noqa: FBT001
            if again:
                done = await con.fetchval(self._sql["guest_added"], session, key.wrapped)
                return Minted.DONE if done else Minted.EXISTS
            async with con.transaction(isolation=READ_COMMITTED):
                if not await con.fetchval(self._sql["lock_epoch"], guard.epoch):
                    return Minted.EPOCH_MOVED
                if not await con.fetchval(self._sql["lock_session"], session):
                    return Minted.USER_GONE
                number = await self._guest_number(con, user, guard)
                if isinstance(number, Minted):
                    return number
                done = await con.fetchval(self._sql["add_guest"], session, number, *key)
            return Minted.DONE if done else Minted.EXISTS

        return await self._call(work)

    async def _guest_number(self, con: Connection, user: NewUser | UserRow, guard: Guard) -> int | Minted:
        """Give the number of a guest's row, which is inserted where it is new."""
        number: int | None
        if isinstance(user, UserRow):
            number = await con.fetchval(self._sql["lock_user"], user.handle, user.generation)
            return number or Minted.USER_GONE
        if await con.fetchval(self._sql["user_by_tag"], guard.user_tags):
            return Minted.EXISTS
        number = await con.fetchval(self._sql["add_user"], *user)
        return number or Minted.EXISTS

    async def forget_floors(self, sessions: list[bytes]) -> None:
        """As `keystore.Lookup`."""
        await self._run("forget_floors", sessions)

    async def raise_floors(self, floors: list[Floor]) -> None:
        """As `keystore.Lookup`."""
        await self._run("raise_floors", *columns_of(floors, 3))


def _tags(of_each: list[list[bytes]]) -> tuple[list[int], list[bytes]]:
    """Give tags, and beside each the place of the one whose it is."""
    pairs = [(place, tag) for place, tags in enumerate(of_each) for tag in tags]
    return [place for place, _ in pairs], [tag for _, tag in pairs]


def _found(row: Any) -> Found:
    epoch, *columns = row
    if columns[0] is None:
        return Found(epoch or 0, None, None)
    return Found(epoch, UserRow(*columns[:6]), SessionRow(*columns[6:]) if columns[6] is not None else None)


def _minted(made: bool, taken: bool, live: bool, there: bool) -> Minted:  # noqa: FBT001
    if made:
        return Minted.DONE
    if taken:
        return Minted.EXISTS
    if not live:
        return Minted.EPOCH_MOVED
    return Minted.EXISTS if there else Minted.USER_GONE
