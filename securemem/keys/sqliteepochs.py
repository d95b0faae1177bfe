"""The part of the SQLite keystore that knows epochs and tenants; its backups."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from securemem import sql
from securemem.errors import ConfigurationError, NotReadyError
from securemem.keys import backup
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
from securemem.model import NEVER, Route
from securemem.newfile import check_database_place, put_database
from securemem.sqlitefile import MEMORY, SqliteFile, placeholders

APPLICATION_ID = 0x534D4B53


class SqliteEpochs:
    """Epochs, tenants and their keys in a SQLite file or in memory; `SqliteKeystore` adds users and sessions."""

    def __init__(self, path: str) -> None:
        """Name the file, or ":memory:"; nothing is opened yet."""
        self._sql = sql.load(Path(__file__).with_name("sqlitekeystore.sql"))
        self.file = SqliteFile(
            path, application_id=APPLICATION_ID, schema=self._sql["schema"], upgrades=[self._sql["to_version_2"]]
        )

    async def epochs(self) -> list[EpochRow]:
        """As `keystore.Epochs`."""
        return [EpochRow(*row) for row in await self.file.read_one(self._rows, "epochs")]

    async def add_epoch(self, epoch: int, state: str, since: int) -> None:
        """As `keystore.Epochs`."""
        await self.file.write_one(self._run, "add_epoch", (epoch, state, since))

    async def tenants(self) -> list[tuple[int, bytes, str]]:
        """As `keystore.Tenants`."""
        rows: list[tuple[int, bytes, str]] = await self.file.read_one(self._rows, "tenants")
        return rows

    async def tenant(self, name: str) -> tuple[int, bytes] | None:
        """As `keystore.Tenants`."""
        row: tuple[int, bytes] | None = await self.file.read_one(self._row, "tenant", (name,))
        return row

    async def is_any_apart(self, beginning: str) -> bool:
        """As `keystore.Tenants`."""
        [found] = await self.file.read_one(self._row, "is_any_apart", (beginning,))
        return bool(found)

    async def add_tenant(self, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        """As `keystore.Tenants`."""
        status: Minted = await self.file.write_one(self._add_tenant, handle, name, keys)
        return status

    async def rename_tenants(self, names: Mapping[str, str]) -> None:
        """As `keystore.Tenants`."""
        await self.file.write_one(self._rename_tenants, names)

    async def tenant_keys(self, tenant: int) -> list[TenantKeyRow]:
        """As `keystore.Tenants`."""
        return [TenantKeyRow(*row) for row in await self.file.read_one(self._rows, "tenant_keys", (tenant,))]

    async def add_tenant_key(self, tenant: int, row: TenantKeyRow) -> None:
        """As `keystore.Tenants`."""
        await self.file.write_one(self._run, "add_tenant_key", (tenant, *row))

    async def routes(self) -> list[tuple[str, Route]]:
        """As `keystore.Routes`."""
        return [(name, Route(*row)) for name, *row in await self.file.read_one(self._rows, "routes")]

    async def route(self, name: str) -> Route | None:
        """As `keystore.Routes`."""
        row = await self.file.read_one(self._row, "route", (name,))
        return Route(*row) if row else None

    async def set_route(self, name: str, expected: Route, new: Route) -> bool:
        """As `keystore.Routes`."""
        return bool(await self.file.write_one(self._run, "set_route", (*new, name, expected.version)))

    async def users_by_epoch(self) -> dict[int, int]:
        """As `keystore.Epochs`."""
        return dict(await self.file.read_one(self._rows, "count_by_epoch"))

    async def switch_epoch(self, old: int, new: int, since: int) -> bool:
        """As `keystore.Epochs`."""
        done: bool = await self.file.write_one(self._switch_epoch, old, new, since)
        return done

    async def users_under(self, epoch: int, limit: int) -> list[tuple[int, UserRow]]:
        """As `keystore.Epochs`."""
        rows = await self.file.read_one(self._rows, "users_under", (epoch, limit))
        return [(tenant, UserRow(number, *rest)) for number, tenant, *rest in rows]

    async def sessions_to_retag(self, user: int) -> list[SessionRow]:
        """As `keystore.Epochs`."""
        rows = await self.file.read_one(self._rows, "sessions_to_retag", (user,))
        return [SessionRow(handle, generation, 0, NEVER, wrapped, title) for handle, generation, wrapped, title in rows]

    async def rewrap(self, row: UserRow, new: Rewrapped) -> None:
        """As `keystore.Epochs`."""
        await self.file.write_one(self._rewrap, row, new)

    async def delete_tenant_keys(self, epoch: int) -> None:
        """As `keystore.Tenants`."""
        await self.file.write_one(self._run, "delete_tenant_keys", (epoch,))

    async def set_destroyed(self, epoch: int, since: int) -> None:
        """As `keystore.Epochs`."""
        await self.file.write_one(self._run, "set_epoch", (DESTROYED, since, epoch))

    async def backup(self, path: Path) -> str:
        """As `keystore.Store`."""

        async def fill(path: Path) -> str:
            return str(await self.file.read_one(_copy, str(path)))

        return await backup.take(path, fill)

    async def adopt(self, copy: Path) -> None:
        """As `keystore.Store`."""
        if self.file.path == MEMORY:
            raise ConfigurationError("memory:// is gone with this process: name a place for the keystore")
        check_database_place(Path(self.file.path))
        await self.brought_up(copy)
        await asyncio.to_thread(put_database, copy, Path(self.file.path))

    @classmethod
    async def brought_up(cls, copy: Path) -> None:
        """Bring a backup up to this version.

        Raises:
            ConfigurationError: it is no keystore, or of a newer version.
        """
        keystore = cls(str(copy))
        try:
            if not await keystore.file.open() or await keystore.file.read_one(keystore._row, "stamp") is None:
                raise ConfigurationError(f"{copy} is no keystore")
        finally:
            await keystore.file.aclose()

    async def fill(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows as they are: a backup's."""
        await self.file.write_one(_fill, table, columns, rows)

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

    def _rename_tenants(self, con: sqlite3.Connection, names: Mapping[str, str]) -> None:
        con.executemany(self._sql["rename_tenant"], [(new, old) for old, new in names.items()])

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


def _fill(con: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    names, values = ", ".join(columns), placeholders(len(columns))
    con.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)  # noqa: S608  (of `backup.TABLES`)


def _copy(con: sqlite3.Connection, path: str) -> str:
    """Copy a database, and give the digest of what was copied, from one state."""
    con.execute("BEGIN")
    try:
        digest = backup.digest_of(con)  # the first read of the transaction: what is copied is of that moment
        with closing(sqlite3.connect(path)) as copy:
            con.backup(copy)
        return digest
    finally:
        con.execute("COMMIT")
