"""Puts backups in place, and opens the store once, so that all that was decided since is applied before anybody reads.

    backup verified whole → keystore put → ledger put → data put, session by session → stamps → opened once

Each store is put where there is none. A keystore and a ledger come all at once. While data is put, the ledger has an
act that is not through, and nobody opens the store; a restore that was interrupted is gone on with by the next one. The
data's stamp is the backup's, so that opening carries out every act since: who was erased stays gone, what was held or
restricted is so again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from securemem.adapters import make_data, make_keystore, make_kms, make_ledger, space_of
from securemem.backups import nobody_told, remove_database
from securemem.compose import assemble
from securemem.config import Settings
from securemem.crypto.secret import RawKey
from securemem.crypto.stream import unwrap_backup_key
from securemem.crypto.wrapping import box_of, check
from securemem.errors import ConfigurationError, InvalidInputError, NotReadyError, WrongKeyError
from securemem.keys.keystore import Keystore
from securemem.keys.routes import TenantRoute
from securemem.keys.tenant import load_tenant
from securemem.ledger.acts import Act, ActKind
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.ledger.store import Ledger
from securemem.model import Stamp, to_milliseconds
from securemem.newfile import open_new, told
from securemem.places import make_home
from securemem.policy import resolve as policy_of
from securemem.ports import Backend, Clock, KeyManagementService
from securemem.readiness import named
from securemem.relearning import Relearned, Stores, relearn
from securemem.restoringdata import DataRestore, Target
from securemem.restoringnames import names_here
from securemem.sealedfile import Progress, SealedReader


@dataclass(slots=True)
class RestoreReport:
    """What was restored.

    Attributes:
        stores: "data", "keystore" or "ledger", each with how many acts it had taken part in.
        sessions: how many sessions were put in the data store.
        records: how many records, stubs included.
        left_out: how many sessions of the backup have no key any more, and were not put.
        acts: how many acts were decided since the oldest of the backups, and hold now.
        is_open: whether the store could be opened: not where its data is not there yet.
        relearned: what an older ledger was told of by the other stores; None where it was not to be accepted.
    """

    stores: dict[str, int] = field(default_factory=dict)
    sessions: int = 0
    records: int = 0
    left_out: int = 0
    acts: int = 0
    is_open: bool = False
    relearned: Relearned | None = None


class Restoring:
    """Restores one deployment."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        client: Any,
        progress: Progress | None,
        accept_older_ledger: bool = False,
    ) -> None:
        """Take the settings of the stores.

        Args:
            settings: of the deployment.
            clock: the store's.
            client: the caller's own for Redis, if any.
            progress: is told of bytes, done and in all.
            accept_older_ledger: whether a ledger is gone on with that knows less than the other stores.

        Raises:
            ConfigurationError: a store in memory, which would be gone at once.
        """
        if "memory://" in (settings.url, settings.keystore, settings.ledger, settings.kms):
            raise ConfigurationError("memory:// is gone with this process: restore into a file or a server")
        self._settings = settings
        self._clock = clock
        self._client = client
        self._told = progress or nobody_told
        self._accepts = accept_older_ledger
        self._keystore: Keystore = make_keystore(settings)
        self._ledger: Ledger = make_ledger(settings)
        self._kms: KeyManagementService = make_kms(settings)
        self._report = RestoreReport()

    async def run(self, paths: Sequence[Path]) -> RestoreReport:
        """Restore from backups of different stores, and open the store once.

        Raises:
            ConfigurationError: what is no backup, another deployment's, or put where something is.
            InvalidInputError: two backups of one store.
            IntegrityError: a backup that was cut short or altered, or that opens no more.
            NotReadyError: another store is missing, or older than what it decided about.
        """
        readers = await asyncio.to_thread(lambda: {reader.header.store: reader for reader in map(SealedReader, paths)})
        if not (paths or self._accepts) or len(readers) != len(paths):
            raise InvalidInputError("give one backup of each store that is restored")
        try:
            await self._put_all(readers)
        finally:
            for store in (self._keystore, self._ledger, self._kms):
                await store.aclose()
        await self._open_once()
        return self._report

    async def _put_all(self, readers: dict[str, SealedReader]) -> None:
        make_home(self._settings, create=True)
        keys = await self._keystore.open()
        deployment = _deployment_of(readers, keys)
        await self._check_same(deployment, keys)
        await self._kms.open(deployment, create=False)
        begun = await self._begun(readers, deployment) if keys is not None else None
        if keys is not None and begun is not None:
            # The act came after all that the ledger knew when it was put.
            _check_as_new({"keystore": keys.counter, "ledger": begun.counter - 1}, readers)
        wanted = readers.keys() - ({"keystore", "ledger"} if begun is not None else set())
        if "keystore" in wanted:
            await self._put_keystore(readers["keystore"])
            await self._keystore.open()
        elif keys is None:
            raise ConfigurationError(
                f"the keystore {self._keystore.place} is missing: restore its backup first, or together with this one"
            )
        names = await names_here(self._settings, self._keystore) if "data" in readers else {}
        if "ledger" in wanted:
            await self._put_ledger(readers["ledger"], deployment)
        elif not self._accepts and await self._ledger.peek() is None:
            raise NotReadyError(
                f"the ledger {self._ledger.place} is missing, which knows who was forgotten: its URL may not be the "
                "right one; if it is, restore its newest backup, or accept an empty ledger, if there is none"
            )
        await self._ledger.create(deployment)
        if "data" in readers:
            await self._put_data(readers["data"], names)
        for name, reader in readers.items():
            self._report.stores[name] = reader.header.counter
        acts = await self._ledger.acts(after=min(self._report.stores.values(), default=0))
        self._report.acts = sum(act.kind is not ActKind.RESTORE for act in acts)
        for name in dict.fromkeys([*readers, *(["ledger"] if self._accepts else [])]):
            await self._log(name)

    async def _check_same(self, deployment: bytes, keys: Stamp | None) -> None:
        """Refuse stores of another deployment.

        Raises:
            ConfigurationError: one is.
        """
        peek = await self._ledger.peek()
        for what, stamp in (("keystore", keys), ("ledger", peek.stamp if peek is not None else None)):
            if stamp is not None and stamp.deployment != deployment:
                raise ConfigurationError(
                    f"the backup is of deployment {deployment.hex()}, and the {what} here of {stamp.deployment.hex()}: "
                    "name the stores of that deployment"
                )

    async def _begun(self, readers: dict[str, SealedReader], deployment: bytes) -> Act | None:
        """Give the act by which the data of these backups is being put already; the other stores are in place then."""
        peek = await self._ledger.peek()
        if "data" not in readers or peek is None or not peek.unfinished:
            return None
        await self._ledger.create(deployment)
        created = readers["data"].header.created
        acts = await self._ledger.acts(unfinished=True)
        return next((act for act in acts if act.kind is ActKind.RESTORE and act.at == created), None)

    # Keystore and ledger

    async def _put_keystore(self, reader: SealedReader) -> None:
        header = reader.header
        if header.epoch not in await self._kms.epochs():
            raise WrongKeyError(
                f"{reader.path} opens with the KEK of epoch {header.epoch}, which was destroyed or is not in this KMS: "
                "a keystore backup opens nobody once its epoch is closed; take a newer one"
            )
        box = box_of(header.wrapped)
        key = check(await self._kms.unwrap(header.epoch, box, context=header.context), header.wrapped)
        async with self._unsealed(reader, key, self._keystore.place) as copy:
            await self._rename_tenants(copy)
            await self._keystore.adopt(copy)

    async def _rename_tenants(self, copy: Path) -> None:
        """Give the tenants of a keystore's backup the names that they have here, before it is put."""
        keystore = make_keystore(replace(self._settings, keystore=f"sqlite:///{copy}"))
        try:
            if await keystore.open() is not None and (names := await names_here(self._settings, keystore)):
                await keystore.rename_tenants(names)
        finally:
            await keystore.aclose()

    async def _put_ledger(self, reader: SealedReader, deployment: bytes) -> None:
        keys = await self._keystore.stamp_now()
        if keys.counter > reader.header.counter and not self._accepts:
            raise NotReadyError(
                f"{reader.path} is older than the keystore: it does not know who was forgotten since; "
                "restore a newer one, or accept an older ledger, if there is none"
            )
        async with self._unsealed(reader, await self._head_wrapped(reader), self._ledger.place) as copy:
            await self._ledger.adopt(deployment, copy)

    async def _head_wrapped(self, reader: SealedReader) -> RawKey:
        """Give the key of a backup that is wrapped under a tenant's head key."""
        names = {handle: name for _, handle, name in await self._keystore.tenants()}
        header = reader.header
        if header.holder not in names:
            raise WrongKeyError(f"{reader.path} was made with a newer keystore than this one: restore that one first")
        tenant = await load_tenant(self._keystore, self._kms, names[header.holder])
        try:
            return unwrap_backup_key(tenant.head, header.wrapped, context=header.context)
        finally:
            tenant.wipe()

    @contextlib.asynccontextmanager
    async def _unsealed(self, reader: SealedReader, key: RawKey, place: str) -> AsyncIterator[Path]:
        """Give a backup's stream as a file, in the folder of the store if that is one; removed if it is left."""
        folder = Path(place).parent if "://" not in place and Path(place).parent.is_dir() else None
        name = f".restored.{secrets.token_hex(4)}.db"
        copy = (folder or Path(tempfile.gettempdir())) / name
        try:
            done = 0
            with told(copy), open_new(copy) as file:
                async for piece in reader.pieces(key):
                    await asyncio.to_thread(file.write, piece)
                    done += len(piece)
                    self._told(done, max(done, reader.size))
            yield copy
        finally:
            await asyncio.to_thread(remove_database, copy)

    # All the rest

    async def _put_data(self, reader: SealedReader, names: Mapping[str, str]) -> None:
        make = self._maker(self._keystore)
        servers = bool(self._settings.servers)
        target = Target(self._keystore, self._ledger, self._kms, self._clock, make, names, many_servers=servers)
        restore = DataRestore(target, reader, await self._head_wrapped(reader), self._told)
        await restore.verify()
        put = await restore.put()
        self._report.sessions, self._report.records, self._report.left_out = put.sessions, put.records, put.left_out

    async def _log(self, store: str) -> None:
        """Write down in the audit that a store was restored."""
        _, tenant, _ = min(await self._keystore.tenants())
        at, rule = to_milliseconds(self._clock()), rule_name(store)
        await Audit(self._ledger).write(Event(EventKind.RESTORE, tenant, None, None, bytes(32), at, rule=rule))

    async def _open_once(self) -> None:
        """Open the store as anybody does, which applies what was decided since; but where there is no data yet."""
        keystore = make_keystore(self._settings)
        space = space_of(self._settings)
        try:
            await keystore.open()
            names = [name for _, _, name in sorted(await keystore.tenants()) if named(name)[0] == space]
            self._report.is_open = await self._has_data(keystore, names[0]) if names else False
        finally:
            await keystore.aclose()
        if not self._report.is_open:
            return
        if self._accepts:
            await self._relearn()
        tenant, policy = named(names[0])[1], policy_of("plain")
        deployment = await assemble(
            self._settings, tenant=tenant, policy=policy, clock=self._clock, client=self._client, create=False
        )
        await deployment.aclose()

    async def _relearn(self) -> None:
        """Let the ledger learn what data and keystore know and it does not."""
        keystore, ledger, kms = make_keystore(self._settings), make_ledger(self._settings), make_kms(self._settings)
        try:
            keys = await keystore.open()
            if keys is None:
                raise ConfigurationError(f"the keystore {keystore.place} is missing: restore its backup first")
            await kms.open(keys.deployment, create=False)
            await ledger.create(keys.deployment)
            make = self._maker(keystore)
            self._report.relearned = await relearn(Stores(keystore, ledger, kms, self._clock, make))
        finally:
            for store in (keystore, ledger, kms):
                await store.aclose()

    def _maker(self, keystore: Keystore) -> Callable[[str], Backend]:
        def make(name: str) -> Backend:
            route = TenantRoute(keystore, name, self._settings.servers)
            return make_data(self._settings, named(name)[0], route, self._client)

        return make

    async def _has_data(self, keystore: Keystore, name: str) -> bool:
        backend = self._maker(keystore)(name)
        try:
            return await backend.open() is not None
        finally:
            await backend.aclose()


def _deployment_of(readers: dict[str, SealedReader], keys: Stamp | None) -> bytes:
    """Give the deployment that backups are of; where there are none, that of the keystore.

    Raises:
        ConfigurationError: they are of different ones, or there is none.
    """
    found = {reader.header.deployment for reader in readers.values()}
    if not found and keys is not None:
        return keys.deployment
    if len(found) > 1:
        raise ConfigurationError("the backups are of different deployments: give those that belong together")
    if not found:
        raise ConfigurationError("there is no keystore here: restore its backup first")
    return found.pop()


def _check_as_new(in_place: dict[str, int], readers: dict[str, SealedReader]) -> None:
    """Refuse a backup of what a restore that is gone on with has put already, if it knows of more.

    Args:
        in_place: of how many acts each store knows.
        readers: the backups.

    Raises:
        ConfigurationError: one knows of more.
    """
    for store, counter in in_place.items():
        if store in readers and readers[store].header.counter > counter:
            raise ConfigurationError(
                f"{readers[store].path} is newer than the {store} that is in place, with which the data's restore has "
                f"begun: leave it out, to go on with that one; or, for this one, empty the data store, move keystore "
                "and ledger away, and restore all of them together"
            )
