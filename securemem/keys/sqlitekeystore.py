"""The keystore in a SQLite file (`sqlite:///…`) or in memory (`memory://`), by plain SQL: every cold load asks it."""

from __future__ import annotations

import sqlite3

from securemem.keys.rows import (
    Floor,
    Found,
    Guard,
    GuestKey,
    GuestRow,
    Minted,
    NewSession,
    NewUser,
    Owner,
    Renewed,
    SessionRow,
    UserRow,
)
from securemem.keys.sqliteepochs import SqliteEpochs
from securemem.model import Residue, Stamp
from securemem.sqlitefile import placeholders


class SqliteKeystore(SqliteEpochs):
    """Wrapped keys in a SQLite file, or in memory."""

    @property
    def place(self) -> str:
        """As `keystore.Store`."""
        return self.file.path

    async def open(self) -> Stamp | None:
        """As `keystore.Store`."""
        row = await self.file.read_one(self._row, "stamp") if await self.file.open() else None
        return Stamp(*row) if row else None

    async def stamp_now(self) -> Stamp:
        """As `keystore.Store`."""
        return Stamp(*await self.file.read_one(self._row, "stamp"))

    async def stamp(self, stamp: Stamp) -> None:
        """As `keystore.Store`."""
        await self.file.write_one(self._run, "set_stamp", stamp)

    async def find(self, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        """As `keystore.Lookup`."""
        found: Found | None = self.file.read_here_one(self._find, user_tags, session_tags)
        return found if found is not None else await self.file.read_one(self._find, user_tags, session_tags)

    async def mint(self, user: NewUser | UserRow, session: NewSession, guard: Guard) -> Minted:
        """As `keystore.Lookup`."""
        status: Minted = await self.file.write_one(self._mint, user, session, guard)
        return status

    async def add_guest(self, session: bytes, user: NewUser | UserRow, key: GuestKey, guard: Guard) -> Minted:
        """As `keystore.Lookup`."""
        status: Minted = await self.file.write_one(self._add_guest, session, user, key, guard)
        return status

    async def guests(self, session: bytes) -> list[GuestRow]:
        """As `keystore.Lookup`."""
        rows = await self.file.read_one(self._rows, "guests", (session,))
        return [GuestRow(UserRow(0, *row[:5]), GuestKey(*row[5:])) for row in rows]

    async def page(
        self, tenant: int, *, after: int, limit: int, user: bytes | None
    ) -> list[tuple[int, UserRow, SessionRow]]:
        """As `keystore.Lookup`."""
        rows = await self.file.read_one(self._rows, "list", (tenant, after, user, user, limit))
        return [(row[0], UserRow(*row[1:7]), SessionRow(*row[7:])) for row in rows]

    async def sessions_of(self, user: int) -> tuple[list[bytes], list[bytes]]:
        """As `keystore.Shredding`."""
        own = await self.file.read_one(self._rows, "sessions_of_user", (user,))
        visited = await self.file.read_one(self._rows, "guest_sessions_of_user", (user,))
        return [handle for (handle,) in own], [handle for (handle,) in visited]

    async def user_row(self, user: bytes) -> UserRow | None:
        """As `keystore.Shredding`."""
        row = await self.file.read_one(self._row, "user_row", (user,))
        return UserRow(*row) if row else None

    async def owner_of(self, session: bytes) -> Owner | None:
        """As `keystore.Shredding`."""
        row = await self.file.read_one(self._row, "session_owner", (session,))
        return Owner(*row) if row else None

    async def shred_user(self, user: int, *, known: set[bytes]) -> bool:
        """As `keystore.Shredding`."""
        done: bool = await self.file.write_one(self._shred_user, user, known)
        return done

    async def renew_user(self, new: Renewed, *, known: set[bytes]) -> Minted:
        """As `keystore.Shredding`."""
        status: Minted = await self.file.write_one(self._renew_user, new, known)
        return status

    async def shred_session(self, session: bytes) -> None:
        """As `keystore.Shredding`."""
        await self.file.write_one(self._shred_session, session)

    async def raise_floors(self, floors: list[Floor]) -> None:
        """As `keystore.Lookup`."""
        await self.file.write_one(self._raise_floors, floors)

    async def forget_floors(self, sessions: list[bytes]) -> None:
        """As `keystore.Lookup`."""
        await self.file.write_one(self._forget_floors, sessions)

    async def counts(self) -> tuple[int, int]:
        """As `keystore.Store`."""
        row: tuple[int, int] = await self.file.read_one(self._row, "count")
        return row

    async def purge(self, seconds: float) -> list[Residue]:
        """As `keystore.Store`."""
        return [Residue("keystore", left) for left in await self.file.scrub(seconds)]

    async def aclose(self) -> None:
        """As `keystore.Store`."""
        await self.file.aclose()

    # What follows runs in the connections' threads.

    def _with_tags(self, con: sqlite3.Connection, query: str, *tags: list[bytes]) -> sqlite3.Cursor:
        text = self._sql[query]
        for some in tags:
            text = text.replace("{tags}", placeholders(len(some)), 1)
        return con.execute(text, [tag for some in tags for tag in some])

    def _find(self, con: sqlite3.Connection, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        epoch, *row = self._with_tags(con, "find", user_tags, session_tags).fetchone()
        user = UserRow(*row[:6]) if row[0] is not None else None
        return Found(epoch or 0, user, SessionRow(*row[6:]) if row[6] is not None else None)

    def _user_number(self, con: sqlite3.Connection, user: NewUser | UserRow, guard: Guard) -> int | Minted:
        if self._open_epoch(con) != guard.epoch:
            return Minted.EPOCH_MOVED
        if isinstance(user, UserRow):
            row = con.execute(self._sql["user_number"], (user.handle, user.generation)).fetchone()
            return int(row[0]) if row else Minted.USER_GONE
        if self._with_tags(con, "user_by_tag", guard.user_tags).fetchone():
            return Minted.EXISTS
        return int(con.execute(self._sql["add_user"], user).fetchone()[0])

    def _mint(self, con: sqlite3.Connection, user: NewUser | UserRow, session: NewSession, guard: Guard) -> Minted:
        if self._with_tags(con, "session_by_tag", guard.session_tags).fetchone():
            return Minted.EXISTS
        number = self._user_number(con, user, guard)
        if isinstance(number, Minted):
            return number
        con.execute(self._sql["add_session"], (number, *session))
        return Minted.DONE

    def _add_guest(
        self, con: sqlite3.Connection, session: bytes, user: NewUser | UserRow, key: GuestKey, guard: Guard
    ) -> Minted:
        if con.execute(self._sql["session_owner"], (session,)).fetchone() is None:
            return Minted.USER_GONE
        number = self._user_number(con, user, guard)
        if isinstance(number, Minted):
            return number
        done = con.execute(self._sql["add_guest"], (session, number, *key)).rowcount
        return Minted.DONE if done else Minted.EXISTS

    def _sessions_of(self, con: sqlite3.Connection, user: int) -> tuple[set[bytes], set[bytes]]:
        own = {handle for (handle,) in con.execute(self._sql["sessions_of_user"], (user,))}
        return own, {handle for (handle,) in con.execute(self._sql["guest_sessions_of_user"], (user,))}

    def _renew_user(self, con: sqlite3.Connection, new: Renewed, known: set[bytes]) -> Minted:
        if self._open_epoch(con) != new.epoch:
            return Minted.EPOCH_MOVED
        row = con.execute(self._sql["user_number"], (new.handle, new.generation)).fetchone()
        if row is None:
            return Minted.USER_GONE
        own, visited = self._sessions_of(con, row[0])
        if not new.covers(own, visited, known):
            return Minted.EXISTS
        for handle in own - {handle for handle, _, _ in new.sessions}:
            self._shred_session(con, handle)
        for handle in visited - {handle for handle, _ in new.visits}:
            con.execute(self._sql["delete_visit"], (handle, row[0]))
        con.execute(self._sql["renew_user"], (new.epoch, new.wrapped, new.name, new.tag, row[0]))
        con.executemany(self._sql["renew_session"], new.sessions)
        con.executemany(self._sql["renew_visit"], [(wrapped, handle, row[0]) for handle, wrapped in new.visits])
        return Minted.DONE

    def _shred_user(self, con: sqlite3.Connection, user: int, known: set[bytes]) -> bool:
        own, visited = self._sessions_of(con, user)
        if not own | visited <= known:
            return False
        for handle in own:
            con.execute(self._sql["delete_session_guests"], (handle,))
        for query in ("delete_user_guests", "delete_user_sessions", "delete_user"):
            con.execute(self._sql[query], (user,))
        return True

    def _shred_session(self, con: sqlite3.Connection, session: bytes) -> None:
        con.execute(self._sql["delete_session_guests"], (session,))
        con.execute(self._sql["delete_session"], (session,))

    def _raise_floors(self, con: sqlite3.Connection, floors: list[Floor]) -> None:
        con.executemany(self._sql["raise_floor"], floors)

    def _forget_floors(self, con: sqlite3.Connection, sessions: list[bytes]) -> None:
        con.executemany(self._sql["forget_floor"], [(session,) for session in sessions])
