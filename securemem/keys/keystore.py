"""The keystore: where wrapped keys lie, and the map from a real id (as a keyed hash) to a random handle.

It holds nothing that opens anything without the KMS, and no id in clear. Its answers are rows; what they mean is the
keyring's. On the path of every cold load, so it is plain SQL on SQLite (`sqlite:///…`, `memory://`).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

from securemem import sql
from securemem.errors import ConfigurationError, NotReadyError
from securemem.keys.rows import (
    DESTROYED,
    OPEN,
    SEALED,
    TENANT_KEY_KINDS,
    EpochRow,
    Found,
    GuestRow,
    Minted,
    NewSession,
    NewUser,
    SessionRow,
    TenantKeyRow,
    UserRow,
)
from securemem.model import Stamp
from securemem.sqlitefile import MEMORY, SqliteFile, placeholders

APPLICATION_ID = 0x534D4B53
SCHEMA_VERSION = 1


class Keystore:
    """Wrapped keys in a SQLite file, or in memory."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self._sql = sql.load(Path(__file__).with_suffix(".sql"))
        self.file = SqliteFile(path, application_id=APPLICATION_ID, version=SCHEMA_VERSION, schema=self._sql["schema"])

    async def open(self) -> Stamp | None:
        """Open or create it; gives its stamp, or None where no deployment has used it yet."""
        await self.file.open()
        row = await self.file.read_one(self._row, "stamp")
        return Stamp(*row) if row else None

    async def stamp_now(self) -> Stamp:
        """Give the stamp of a keystore that belongs to a deployment."""
        return Stamp(*await self.file.read_one(self._row, "stamp"))

    async def stamp(self, stamp: Stamp) -> None:
        """Set the deployment where there is none, and raise the counter to the stamp's where that is higher."""
        await self.file.write_one(self._run, "set_stamp", stamp)

    async def epochs(self) -> list[EpochRow]:
        """Give all epochs that ever were, ascending."""
        return [EpochRow(*row) for row in await self.file.read_one(self._rows, "epochs")]

    async def add_epoch(self, epoch: int, state: str, since: int) -> None:
        """Add an epoch, the first one open and later ones coming; one that is there stays."""
        await self.file.write_one(self._run, "add_epoch", (epoch, state, since))

    async def tenants(self) -> list[tuple[int, bytes, str]]:
        """Give (number, handle, name) of all tenants."""
        rows: list[tuple[int, bytes, str]] = await self.file.read_one(self._rows, "tenants")
        return rows

    async def tenant(self, name: str) -> tuple[int, bytes] | None:
        """Give (number, handle) of a tenant."""
        row: tuple[int, bytes] | None = await self.file.read_one(self._row, "tenant", (name,))
        return row

    async def add_tenant(self, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        """Insert a tenant with its keys, which are wrapped under the open epoch."""
        status: Minted = await self.file.write_one(self._add_tenant, handle, name, keys)
        return status

    async def tenant_keys(self, tenant: int) -> list[TenantKeyRow]:
        """Give a tenant's wrapped keys, by ascending epoch."""
        return [TenantKeyRow(*row) for row in await self.file.read_one(self._rows, "tenant_keys", (tenant,))]

    async def add_tenant_key(self, tenant: int, row: TenantKeyRow) -> None:
        """Insert a tenant's key for one more epoch; one that is there stays."""
        await self.file.write_one(self._run, "add_tenant_key", (tenant, *row))

    async def find(self, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        """Look up a user, and a session of that user where tags of one are given."""
        found: Found = await self.file.read_one(self._find, user_tags, session_tags)
        return found

    async def mint(
        self, user: NewUser | UserRow, session: NewSession, *, epoch: int, user_tags: list[bytes], tags: list[bytes]
    ) -> Minted:
        """Insert a session, and its user if that is new, in one commit that needs the user's row.

        Args:
            user: the row to insert, or the one that has to be there still.
            session: the row to insert.
            epoch: the epoch that has to be open.
            user_tags: the user's tags under every epoch that lives.
            tags: the session's tags likewise.
        """
        status: Minted = await self.file.write_one(self._mint, user, session, epoch, user_tags, tags)
        return status

    async def add_guest(
        self,
        session: bytes,
        user: NewUser | UserRow,
        generation: int,
        wrapped: bytes,
        *,
        epoch: int,
        user_tags: list[bytes],
    ) -> Minted:
        """Insert a guest's key for a session that has to be there still, and the guest's row if that is new."""
        status: Minted = await self.file.write_one(
            self._add_guest, session, user, (generation, wrapped), epoch, user_tags
        )
        return status

    async def guests(self, session: bytes) -> list[GuestRow]:
        """Give the guests' keys of a session."""
        rows = await self.file.read_one(self._rows, "guests", (session,))
        return [GuestRow(UserRow(0, *row[:5]), *row[5:]) for row in rows]

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

    async def owner_of(self, session: bytes) -> tuple[bytes, int] | None:
        """Give the handle of a session's owner and the generation of its key."""
        row: tuple[bytes, int] | None = await self.file.read_one(self._row, "session_owner", (session,))
        return row

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

    async def users_by_epoch(self) -> dict[int, int]:
        """Give how many users' keys are wrapped under each epoch."""
        return dict(await self.file.read_one(self._rows, "count_by_epoch"))

    async def switch_epoch(self, old: int, new: int, since: int) -> bool:
        """Seal one epoch and open the next; False where a tenant has no index key under the next yet."""
        done: bool = await self.file.write_one(self._switch_epoch, old, new, since)
        return done

    async def users_under(self, epoch: int, limit: int) -> list[tuple[int, UserRow]]:
        """Give users (tenant, row) whose keys are wrapped under an older epoch than this."""
        rows = await self.file.read_one(self._rows, "users_under", (epoch, limit))
        return [(tenant, UserRow(number, *rest)) for number, tenant, *rest in rows]

    async def sessions_to_retag(self, user: int) -> list[SessionRow]:
        """Give all sessions of a user, for a new tag."""
        rows = await self.file.read_one(self._rows, "sessions_to_retag", (user,))
        return [SessionRow(handle, generation, 0, wrapped, title) for handle, generation, wrapped, title in rows]

    async def rewrap(
        self, row: UserRow, *, epoch: int, wrapped: bytes, tag: bytes, sessions: list[tuple[bytes, bytes]]
    ) -> None:
        """Put a user's key under a new epoch and give new tags, if the old blob still stands."""
        await self.file.write_one(self._rewrap, row, epoch, wrapped, tag, sessions)

    async def end_epoch(self, epoch: int, since: int) -> None:
        """Delete the tenants' keys under an epoch whose KEK is destroyed, and say that it is."""
        await self.file.write_one(self._end_epoch, epoch, since)

    async def backup(self, path: Path) -> str:
        """Copy the keystore into a new file (mode 0600) and read it back.

        Returns:
            The SHA-256 of its key rows, in hex, which the copy's equals.

        Raises:
            ConfigurationError: the file exists already.
            NotReadyError: what was read back is not what is here.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise ConfigurationError(f"{path} exists already: name a new file for the backup") from None
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from exc
        here, there = await self.file.read_one(_copy, str(path))
        if here != there:
            raise NotReadyError(f"the backup {path} does not hold what the keystore does: take it anew")
        return str(there)

    async def purge(self, seconds: float) -> bool:
        """Cut the write-ahead log; False if another process kept it in use."""
        return self.file.path == MEMORY or await self.file.truncate_log(seconds)

    async def aclose(self) -> None:
        """Close the file."""
        await self.file.aclose()

    # What follows runs in the connections' threads.

    def _row(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...] = ()) -> object:
        return con.execute(self._sql[query], arguments).fetchone()

    def _rows(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...] = ()) -> list[object]:
        return con.execute(self._sql[query], arguments).fetchall()

    def _run(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...]) -> int:
        return con.execute(self._sql[query], arguments).rowcount

    def _with_tags(self, con: sqlite3.Connection, query: str, *tags: list[bytes]) -> sqlite3.Cursor:
        text = self._sql[query]
        for some in tags:
            text = text.replace("{tags}", placeholders(len(some)), 1)
        return con.execute(text, [tag for some in tags for tag in some])

    def _open_epoch(self, con: sqlite3.Connection) -> int:
        return int(con.execute(self._sql["open_epoch"]).fetchone()[0] or 0)

    def _find(self, con: sqlite3.Connection, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        row = self._with_tags(con, "find", session_tags, user_tags).fetchone()
        epoch = self._open_epoch(con)
        if row is None:
            return Found(epoch, None, None)
        return Found(epoch, UserRow(*row[:6]), SessionRow(*row[6:]) if row[6] is not None else None)

    def _add_tenant(self, con: sqlite3.Connection, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        if any(key.epoch != self._open_epoch(con) for key in keys):
            return Minted.EPOCH_MOVED
        if not con.execute(self._sql["add_tenant"], (handle, name)).rowcount:
            return Minted.EXISTS
        tenant = con.execute(self._sql["tenant"], (name,)).fetchone()[0]
        con.executemany(self._sql["add_tenant_key"], [(tenant, *key) for key in keys])
        return Minted.DONE

    def _user_number(
        self, con: sqlite3.Connection, user: NewUser | UserRow, epoch: int, tags: list[bytes]
    ) -> int | Minted:
        if self._open_epoch(con) != epoch:
            return Minted.EPOCH_MOVED
        if isinstance(user, UserRow):
            row = con.execute(self._sql["user_number"], (user.handle, user.generation)).fetchone()
            return int(row[0]) if row else Minted.USER_GONE
        if self._with_tags(con, "user_by_tag", tags).fetchone():
            return Minted.EXISTS
        return int(con.execute(self._sql["add_user"], user).fetchone()[0])

    def _mint(
        self,
        con: sqlite3.Connection,
        user: NewUser | UserRow,
        session: NewSession,
        epoch: int,
        user_tags: list[bytes],
        tags: list[bytes],
    ) -> Minted:
        if self._with_tags(con, "session_by_tag", tags).fetchone():
            return Minted.EXISTS
        number = self._user_number(con, user, epoch, user_tags)
        if isinstance(number, Minted):
            return number
        con.execute(self._sql["add_session"], (number, *session))
        return Minted.DONE

    def _add_guest(
        self,
        con: sqlite3.Connection,
        session: bytes,
        user: NewUser | UserRow,
        key: tuple[int, bytes],
        epoch: int,
        user_tags: list[bytes],
    ) -> Minted:
        if con.execute(self._sql["session_owner"], (session,)).fetchone() is None:
            return Minted.USER_GONE
        number = self._user_number(con, user, epoch, user_tags)
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

    def _switch_epoch(self, con: sqlite3.Connection, old: int, new: int, since: int) -> bool:
        if self._open_epoch(con) != old:
            raise NotReadyError("another process rotates just now: look at `securemem keys status`, then try again")
        for tenant, _, _ in con.execute(self._sql["tenants"]).fetchall():
            kinds = {kind for kind, epoch, _ in con.execute(self._sql["tenant_keys"], (tenant,)) if epoch == new}
            if len(kinds) < len(TENANT_KEY_KINDS):
                return False
        con.execute(self._sql["set_epoch"], (SEALED, since, old))
        con.execute(self._sql["set_epoch"], (OPEN, since, new))
        return True

    def _rewrap(
        self,
        con: sqlite3.Connection,
        row: UserRow,
        epoch: int,
        wrapped: bytes,
        tag: bytes,
        sessions: list[tuple[bytes, bytes]],
    ) -> None:
        if con.execute(self._sql["rewrap_user"], (epoch, wrapped, tag, row.number, row.wrapped)).rowcount:
            con.executemany(self._sql["retag_session"], sessions)

    def _end_epoch(self, con: sqlite3.Connection, epoch: int, since: int) -> None:
        con.execute(self._sql["delete_tenant_keys"], (epoch,))
        con.execute(self._sql["set_epoch"], (DESTROYED, since, epoch))


def _digest(con: sqlite3.Connection) -> str:
    """Give the SHA-256 of all key rows."""
    digest = hashlib.sha256()
    for table, order in (("epochs", "epoch"), ("tenant_keys", "rowid"), ("users", "user"), ("sessions", "session")):
        for row in con.execute(f"SELECT * FROM {table} ORDER BY {order}"):  # noqa: S608  (constants)
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _copy(con: sqlite3.Connection, path: str) -> tuple[str, str]:
    """Copy a database and give the digests of both, each from one state."""
    copy = sqlite3.connect(path)
    try:
        con.execute("BEGIN")
        here = _digest(con)
        con.backup(copy)
        con.execute("COMMIT")
    finally:
        copy.close()
    copy = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return here, _digest(copy)
    finally:
        copy.close()
