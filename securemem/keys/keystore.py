"""The keystore: where wrapped keys lie, and the map from a real id (as a keyed hash) to a random handle.

It holds nothing that opens anything without the KMS, and no id in clear. Its answers are rows; what they mean is the
keyring's. On the path of every cold load, so it is plain SQL on SQLite (`sqlite:///…`, `memory://`).
"""

from __future__ import annotations

import sqlite3

from securemem.keys.epochstore import EpochStore
from securemem.keys.rows import (
    Found,
    Guard,
    GuestKey,
    GuestRow,
    Minted,
    NewSession,
    NewUser,
    Owner,
    SessionRow,
    UserRow,
)
from securemem.model import Residue, Stamp
from securemem.sqlitefile import placeholders


class Keystore(EpochStore):
    """Wrapped keys in a SQLite file, or in memory."""

    async def open(self) -> Stamp | None:
        """Open it; gives its stamp, or None where no deployment has used it yet, and then nothing is created."""
        row = await self.file.read_one(self._row, "stamp") if await self.file.open() else None
        return Stamp(*row) if row else None

    async def stamp_now(self) -> Stamp:
        """Give the stamp of a keystore that belongs to a deployment."""
        return Stamp(*await self.file.read_one(self._row, "stamp"))

    async def stamp(self, stamp: Stamp) -> None:
        """Set the deployment where there is none, and raise the counter to the stamp's where that is higher."""
        await self.file.write_one(self._run, "set_stamp", stamp)

    async def find(self, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        """Look up a user, and a session of that user where tags of one are given."""
        found: Found = await self.file.read_one(self._find, user_tags, session_tags)
        return found

    async def mint(self, user: NewUser | UserRow, session: NewSession, guard: Guard) -> Minted:
        """Insert a session, and its user if that is new, in one commit that needs the user's row.

        Args:
            user: the row to insert, or the one that has to be there still.
            session: the row to insert.
            guard: the open epoch, and the tags of both under every epoch that lives.
        """
        status: Minted = await self.file.write_one(self._mint, user, session, guard)
        return status

    async def add_guest(self, session: bytes, user: NewUser | UserRow, key: GuestKey, guard: Guard) -> Minted:
        """Insert a guest's key for a session that has to be there still, and the guest's row if that is new."""
        status: Minted = await self.file.write_one(self._add_guest, session, user, key, guard)
        return status

    async def guests(self, session: bytes) -> list[GuestRow]:
        """Give the guests' keys of a session."""
        rows = await self.file.read_one(self._rows, "guests", (session,))
        return [GuestRow(UserRow(0, *row[:5]), GuestKey(*row[5:])) for row in rows]

    async def page(
        self, tenant: int, *, after: int, limit: int, user: bytes | None
    ) -> list[tuple[int, UserRow, SessionRow]]:
        """Give the next sessions of a tenant (or of one user in it), each with the number to go on after."""
        rows = await self.file.read_one(self._rows, "list", (tenant, after, user, user, limit))
        return [(row[0], UserRow(*row[1:7]), SessionRow(*row[7:])) for row in rows]

    async def sessions_of(self, user: int) -> tuple[list[bytes], list[bytes]]:
        """Give the handles of a user's own sessions, and of those in which they are a guest."""
        own = await self.file.read_one(self._rows, "sessions_of_user", (user,))
        visited = await self.file.read_one(self._rows, "guest_sessions_of_user", (user,))
        return [handle for (handle,) in own], [handle for (handle,) in visited]

    async def user_number(self, user: bytes) -> int | None:
        """Give the number of a user's row, or None where it is gone."""
        row: tuple[int] | None = await self.file.read_one(self._row, "user_by_handle", (user,))
        return row[0] if row else None

    async def owner_of(self, session: bytes) -> Owner | None:
        """Give whose session it is, or None where it has no key any more."""
        row = await self.file.read_one(self._row, "session_owner", (session,))
        return Owner(*row) if row else None

    async def shred_user(self, user: int, *, known: set[bytes]) -> bool:
        """Delete a user's key and every session key under it, in one commit.

        Args:
            user: the row's number.
            known: the sessions whose heads were closed or stubbed.

        Returns:
            False where there is a session that is not among them: nothing was deleted.
        """
        done: bool = await self.file.write_one(self._shred_user, user, known)
        return done

    async def shred_session(self, session: bytes) -> bool:
        """Delete a session's keys; False where it had none any more."""
        done: bool = await self.file.write_one(self._shred_session, session)
        return done

    async def raise_floors(self, floors: list[tuple[int, bytes]]) -> None:
        """Record, for (head version, session), that no older head is to be accepted."""
        await self.file.write_one(self._raise_floors, floors)

    async def counts(self) -> tuple[int, int]:
        """Give how many users and sessions have keys."""
        row: tuple[int, int] = await self.file.read_one(self._row, "count")
        return row

    async def purge(self, seconds: float) -> list[Residue]:
        """Remove what deletions left in the file, waiting at most so long, and say what is still left."""
        return [Residue("keystore", left) for left in await self.file.scrub(seconds)]

    async def aclose(self) -> None:
        """Close the file."""
        await self.file.aclose()

    # What follows runs in the connections' threads.

    def _with_tags(self, con: sqlite3.Connection, query: str, *tags: list[bytes]) -> sqlite3.Cursor:
        text = self._sql[query]
        for some in tags:
            text = text.replace("{tags}", placeholders(len(some)), 1)
        return con.execute(text, [tag for some in tags for tag in some])

    def _find(self, con: sqlite3.Connection, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        row = self._with_tags(con, "find", session_tags, user_tags).fetchone()
        epoch = self._open_epoch(con)
        if row is None:
            return Found(epoch, None, None)
        return Found(epoch, UserRow(*row[:6]), SessionRow(*row[6:]) if row[6] is not None else None)

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

    def _shred_user(self, con: sqlite3.Connection, user: int, known: set[bytes]) -> bool:
        own = {handle for (handle,) in con.execute(self._sql["sessions_of_user"], (user,))}
        visited = {handle for (handle,) in con.execute(self._sql["guest_sessions_of_user"], (user,))}
        if not own | visited <= known:
            return False
        for handle in own:
            con.execute(self._sql["delete_session_guests"], (handle,))
        for query in ("delete_user_guests", "delete_user_sessions", "delete_user"):
            con.execute(self._sql[query], (user,))
        return True

    def _shred_session(self, con: sqlite3.Connection, session: bytes) -> bool:
        con.execute(self._sql["delete_session_guests"], (session,))
        return bool(con.execute(self._sql["delete_session"], (session,)).rowcount)

    def _raise_floors(self, con: sqlite3.Connection, floors: list[tuple[int, bytes]]) -> None:
        con.executemany(self._sql["raise_floor"], floors)
