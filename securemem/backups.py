"""Takes backups of the three stores, each sealed in a file of its own (`memory.backup`).

One of the data is of each session as of one moment; its counter is that of the last act before which all was done when
it began, so that what happens meanwhile is carried out again when it is restored. `crypto.stream` has the format.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from securemem.compose import Deployment
from securemem.crypto.secret import RawKey
from securemem.crypto.stream import NO_HOLDER, STORES, Header, wrap_backup_key
from securemem.crypto.wrapping import enclose
from securemem.datapages import ROWS, Page, encode, of_session
from securemem.errors import InvalidInputError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.rows import OPEN
from securemem.keys.tenant import load_tenant
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.model import to_milliseconds
from securemem.newfile import check_place, told
from securemem.ports import Backend
from securemem.readiness import bind, named
from securemem.sealedfile import Progress, SealedWriter

_SESSIONS = 16
_PIECE = 2**20


@dataclass(slots=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        path: its file.
        store: "data", "keystore" or "ledger".
        counter: how many acts the store had taken part in.
        size: of the file, in bytes.
        sessions: how many sessions it holds; 0 for a ledger.
        records: how many records, stubs included; 0 for what is no data.
        epoch: of the KEK without which a keystore's does not open; None for the others.
    """

    path: str
    store: str
    counter: int
    size: int = 0
    sessions: int = 0
    records: int = 0
    epoch: int | None = None


def nobody_told(_: int, __: int) -> None:
    """Tell nobody how far it is."""


class Backups:
    """Takes one backup of an open store."""

    def __init__(self, deployment: Deployment, progress: Progress | None) -> None:
        """Take the store, and who is told of sessions or bytes, done and in all."""
        self._deployment = deployment
        self._stores = deployment.stores
        self._keystore = deployment.stores.keystore
        self._told = progress or nobody_told

    async def take(self, path: Path, store: str) -> BackupReport:
        """Write a backup; the file is there, whole, or not at all.

        Raises:
            InvalidInputError: there is no such store.
            ConfigurationError: the file exists, its folder does not, or the store is in memory.
            BackendUnavailableError: the disk is full, or a store does not answer.
        """
        if store not in STORES:
            raise InvalidInputError(f"store is one of {', '.join(STORES)}")
        writer = await asyncio.to_thread(SealedWriter, path)
        try:
            await self._log(store)
            report = await self._write(writer, path, store)
            report.size = await writer.finish()
        finally:
            await writer.discard()
        return report

    async def _write(self, writer: SealedWriter, path: Path, store: str) -> BackupReport:
        key = RawKey.generate()
        if store == "keystore":
            header = await self._under_kek(key)
        else:
            header = await self._under_head_key(key, store)
        report = BackupReport(str(path), store, header.counter, epoch=header.epoch or None)
        await writer.begin(key, header)
        if store == "data":
            await self._data(writer, report)
        else:
            await self._database(writer, path, store)
        if store == "keystore":
            _, report.sessions = await self._keystore.counts()
        return report

    async def _log(self, store: str) -> None:
        deployment = self._deployment
        tenant, at = deployment.keyring.tenant, to_milliseconds(deployment.clock())
        event = Event(EventKind.BACKUP, tenant, None, None, deployment.policy.digest, at, rule=rule_name(store))
        await Audit(deployment.ledger).write(event)

    async def _header(self, store: str, *, holder: bytes, epoch: int) -> Header:
        deployment, at = self._deployment, to_milliseconds(self._deployment.clock())
        counter = await self._counter(store)
        return Header(store, deployment.id, counter, at, holder, epoch)

    async def _counter(self, store: str) -> int:
        """Give up to which act all is done; for the ledger, which of them it knows."""
        if store == "keystore":
            return (await self._keystore.stamp_now()).counter
        ledger = self._deployment.ledger
        peek = await ledger.peek()  # of one in memory there is none
        newest = peek.stamp.counter if peek is not None else (await self._keystore.stamp_now()).counter
        return newest if store == "ledger" else min(newest, await ledger.settled(newest + 1))

    async def _under_kek(self, key: RawKey) -> Header:
        epoch = max(row.epoch for row in await self._keystore.epochs() if row.state == OPEN)
        header = await self._header("keystore", holder=NO_HOLDER, epoch=epoch)
        box = await self._stores.kms.wrap(epoch, key, context=header.context)
        return header._replace(wrapped=enclose(key, box))

    async def _under_head_key(self, key: RawKey, store: str) -> Header:
        """Wrap a key under the head key of the first tenant, which every backup of this keystore has."""
        _, handle, name = min(await self._keystore.tenants())
        tenant = await load_tenant(self._keystore, self._stores.kms, name)
        try:
            header = await self._header(store, holder=handle, epoch=0)
            return header._replace(wrapped=wrap_backup_key(tenant.head, key, context=header.context))
        finally:
            tenant.wipe()

    async def _database(self, writer: SealedWriter, path: Path, store: str) -> None:
        """Seal a keystore or a ledger, by way of a copy of it beside the backup."""
        copy = path.with_name(f".{path.name}.{secrets.token_hex(4)}.copy")
        await asyncio.to_thread(check_place, copy)
        try:
            if store == "keystore":
                await self._keystore.backup(copy)
            else:
                await self._deployment.ledger.backup(copy)
            await self._file(writer, copy)
        finally:
            await asyncio.to_thread(remove_database, copy)

    async def _file(self, writer: SealedWriter, copy: Path) -> None:
        size, done = (await asyncio.to_thread(copy.stat)).st_size, 0
        with told(copy), copy.open("rb") as file:
            while piece := await asyncio.to_thread(_read, file):
                await writer.write(piece)
                done += len(piece)
                self._told(done, size)

    # The data

    async def _data(self, writer: SealedWriter, report: BackupReport) -> None:
        _, total = await self._keystore.counts()
        seen = 0
        for number, handle, name in sorted(await self._keystore.tenants()):
            async with self._tenant(handle, name) as (backend, keyring):
                after = 0
                while page := await self._keystore.page(number, after=after, limit=_SESSIONS, user=None):
                    after = page[-1][0]
                    sessions = [session.handle for _, _, session in page]
                    tails = await asyncio.gather(*(backend.tail(session, ROWS) for session in sessions))
                    for session, tail in zip(sessions, tails, strict=True):
                        seal = keyring.head_seal(session)
                        async for head, rows in of_session(backend, seal, session, tail):
                            report.sessions += bool(head)
                            report.records += len(rows)
                            await writer.write(encode(Page(handle, name, session, head, rows)))
                    seen += len(page)
                    self._told(seen, max(total, seen))

    @contextlib.asynccontextmanager
    async def _tenant(self, handle: bytes, name: str) -> AsyncIterator[tuple[Backend, Keyring]]:
        """Give a tenant's data store and keyring."""
        ours = self._deployment.keyring
        if handle == ours.tenant:
            yield self._deployment.backend, ours
            return
        async with (
            contextlib.aclosing(await open_keyring(self._keystore, self._stores.kms, name)) as keyring,
            contextlib.aclosing(self._deployment.make_data(named(name)[0], name, keyring)) as backend,
        ):
            await backend.open()
            bind(backend, handle)
            yield backend, keyring


def _read(file: BinaryIO) -> bytes:
    return file.read(_PIECE)


def remove_database(copy: Path) -> None:
    """Remove a database and what lies beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        copy.with_name(copy.name + ending).unlink(missing_ok=True)
