"""The part of the keystore that knows epochs and tenants: what every key in it hangs on, and how it moves on."""

from __future__ import annotations

import asyncio
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
    Minted,
    Rewrapped,
    SessionRow,
    TenantKeyRow,
    UserRow,
)
from securemem.sqlitefile import SqliteFile

APPLICATION_ID = 0x534D4B53
SCHEMA_VERSION = 1


class EpochStore:
    """Epochs, tenants and their keys, in a SQLite file or in memory; `Keystore` adds users and sessions."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self._sql = sql.load(Path(__file__).with_name("keystore.sql"))
        self.file = SqliteFile(path, application_id=APPLICATION_ID, version=SCHEMA_VERSION, schema=self._sql["schema"])

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

    async def rewrap(self, row: UserRow, new: Rewrapped) -> None:
        """Put a user's key under a new epoch and give new tags, if the old blob still stands."""
        await self.file.write_one(self._rewrap, row, new)

    async def delete_tenant_keys(self, epoch: int) -> None:
        """Delete the tenants' keys under an epoch that was rewrapped."""
        await self.file.write_one(self._run, "delete_tenant_keys", (epoch,))

    async def set_destroyed(self, epoch: int, since: int) -> None:
        """Say that an epoch's KEK is destroyed."""
        await self.file.write_one(self._run, "set_epoch", (DESTROYED, since, epoch))

    def check_backup_place(self, path: Path) -> None:
        """Refuse a place where a backup cannot be written, before anything is done.

        Raises:
            ConfigurationError: the file exists already, or its folder does not.
        """
        if path.exists():
            raise ConfigurationError(f"{path} exists already: name a new file for the backup")
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {path} does not exist: create it first")

    async def backup(self, path: Path) -> str:
        """Copy the keystore into a new file (mode 0600) and read it back.

        Returns:
            The SHA-256 of its key rows, in hex, which the copy's equals.

        Raises:
            ConfigurationError: the file exists already.
            NotReadyError: what was read back is not what is here.
        """
        self.check_backup_place(path)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from exc
        try:
            here, there = await self.file.read_one(_copy, str(path))
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        if here != there:
            raise NotReadyError(f"the backup {path} does not hold what the keystore does: take it anew")
        return str(there)

    # What follows runs in the connections' threads.

    def _row(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...] = ()) -> object:
        return con.execute(self._sql[query], arguments).fetchone()

    def _rows(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...] = ()) -> list[object]:
        return con.execute(self._sql[query], arguments).fetchall()

    def _run(self, con: sqlite3.Connection, query: str, arguments: tuple[object, ...]) -> int:
        return con.execute(self._sql[query], arguments).rowcount

    def _open_epoch(self, con: sqlite3.Connection) -> int:
        return int(con.execute(self._sql["open_epoch"]).fetchone()[0] or 0)

    def _add_tenant(self, con: sqlite3.Connection, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        if any(key.epoch != self._open_epoch(con) for key in keys):
            return Minted.EPOCH_MOVED
        if not con.execute(self._sql["add_tenant"], (handle, name)).rowcount:
            return Minted.EXISTS
        tenant = con.execute(self._sql["tenant"], (name,)).fetchone()[0]
        con.executemany(self._sql["add_tenant_key"], [(tenant, *key) for key in keys])
        return Minted.DONE

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

    def _rewrap(self, con: sqlite3.Connection, row: UserRow, new: Rewrapped) -> None:
        if con.execute(self._sql["rewrap_user"], (*new[:3], row.number, row.wrapped)).rowcount:
            con.executemany(self._sql["retag_session"], new.sessions)


def _digest(con: sqlite3.Connection) -> str:
    """Give the SHA-256 of all key rows."""
    digest = hashlib.sha256()
    for table, order in (
        ("epochs", "epoch"),
        ("tenant_keys", "rowid"),
        ("users", "user"),
        ("sessions", "session"),
        ("guests", "rowid"),
    ):
        for row in con.execute(f"SELECT * FROM {table} ORDER BY {order}"):  # noqa: S608  (constants)
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _copy(con: sqlite3.Connection, path: str) -> tuple[str, str]:
    """Copy a database and give the digests of both, each from one state."""
    copy = sqlite3.connect(path)
    con.execute("BEGIN")
    try:
        here = _digest(con)
        con.backup(copy)
    finally:
        con.execute("COMMIT")
        copy.close()
    copy = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return here, _digest(copy)
    finally:
        copy.close()
