"""The one place where live objects are put together: stores from URLs, checked against each other, made ready."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path

from securemem.backends.memory import MemoryBackend
from securemem.config import Settings, file_of
from securemem.destruction import Destruction
from securemem.errors import ConfigurationError, NotReadyError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.rows import OPEN
from securemem.ledger.acts import Act
from securemem.ledger.store import Ledger, Peek
from securemem.model import HANDLE_BYTES, Stamp, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Backend, Clock, KeyManagementService
from securemem.rights.erase import Erasure
from securemem.retention.sweep import Sweep
from securemem.sqlitefile import MEMORY

PURGE_SECONDS = 5.0
DEFAULT_SPACE = "messages"
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The live objects of one open store, and how they are closed."""

    id: bytes
    settings: Settings
    policy: Policy
    clock: Clock
    backend: Backend
    keyring: Keyring
    ledger: Ledger
    destruction: Destruction
    erasure: Erasure
    sweep: Sweep

    async def aclose(self) -> None:
        """Close every store; what one of them raises does not keep the others open."""
        await _close_all(
            self.keyring.aclose,
            self.backend.aclose,
            self.keyring.keystore.aclose,
            self.ledger.aclose,
            self.keyring.kms.aclose,
        )


async def _close_all(*closes: Callable[[], Awaitable[None]]) -> None:
    first: Exception | None = None
    for close in closes:
        try:
            await close()
        except Exception as exc:  # noqa: BLE001  (raised below, once all are closed)
            first = first or exc
    if first is not None:
        raise first


def beside(settings: Settings, ending: str) -> Path | None:
    """Give the file that lies beside the data by default; None where the data is in memory."""
    if not settings.url.startswith("sqlite://"):
        return None
    data = file_of(settings.url, "sqlite")
    stem = data.name.removesuffix(".db")
    return data.with_name(f"{stem}{ending}")


def make_backend(settings: Settings, space: str) -> Backend:
    """Give the data store that a URL names.

    Raises:
        ConfigurationError: a scheme that this version does not know.
    """
    if settings.url == "memory://":
        return MemoryBackend()
    if settings.url.startswith("sqlite://"):
        from securemem.backends.sqlite import SqliteBackend  # noqa: PLC0415  (where it is used)

        return SqliteBackend(str(file_of(settings.url, "sqlite")), table_name=space)
    raise ConfigurationError("this version keeps data in memory:// or sqlite:///file.db")


def _file_or_memory(url: str | None, settings: Settings, ending: str, what: str) -> str:
    if url is None:
        place = beside(settings, ending)
        return str(place) if place is not None else MEMORY
    if url == "memory://":
        return MEMORY
    if url.startswith("sqlite://"):
        return str(file_of(url, "sqlite"))
    raise ConfigurationError(f"this version keeps its {what} in memory:// or sqlite:///file.db")


def _ask_passphrase() -> str:
    given = os.environ.get("SECUREMEM_PASSPHRASE")
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationError("the KEK file wants a passphrase: set SECUREMEM_PASSPHRASE")
    return getpass("Passphrase of the SecureMem KEK file: ")


def make_kms(settings: Settings) -> KeyManagementService:
    """Give the KMS that a URL names, or the file beside the data.

    Raises:
        ConfigurationError: a scheme that this version does not know.
    """
    place = beside(settings, ".kek")
    url = settings.kms
    if url == "memory://" or (url is None and place is None):
        from securemem.kms.memory import MemoryKms  # noqa: PLC0415

        return MemoryKms()
    if url is None or url.startswith("file://"):
        from securemem.kms.file import FileKms  # noqa: PLC0415

        return FileKms(place if url is None and place is not None else file_of(url or "", "file"))
    if url.startswith("passphrase://"):
        from securemem.kms.passphrase import PassphraseKms  # noqa: PLC0415

        return PassphraseKms(file_of(url, "passphrase"), _ask_passphrase)
    raise ConfigurationError("this version takes its KEKs from file:///, passphrase:/// or memory://")


async def assemble(settings: Settings, *, tenant: str, policy: Policy, clock: Clock) -> Deployment:
    """Open the stores, hold them against each other, and bring a restored one up to date.

    Raises:
        ConfigurationError: stores that do not belong together, or are not there.
        NotReadyError: a ledger older than what it decided about.
        WrongKeyError: a KMS that does not open this keystore.
        BackendUnavailableError: a store that cannot be reached, read or written.
    """
    space = settings.table_name or DEFAULT_SPACE
    backend = make_backend(settings, space)
    keystore = Keystore(_file_or_memory(settings.keystore, settings, ".keys.db", "keystore"))
    ledger = Ledger(_file_or_memory(settings.ledger, settings, ".ledger.db", "ledger"))
    kms = make_kms(settings)
    try:
        data, peek = await backend.open(), await ledger.peek()
        deployment = _agree(data, await _keystore_stamp(keystore, data, peek), peek)
        await _ready_kms(kms, keystore, deployment, clock)
        await ledger.create(deployment)
        keyring = await open_keyring(keystore, kms, f"{space}{_SEPARATOR}{tenant}")
        counter = peek.stamp.counter if peek is not None else 0
        if data is None:
            await backend.stamp(Stamp(deployment, counter))
        await _catch_up(settings, backend, keyring, ledger, clock, deployment, data, peek)
    except BaseException:
        await _close_all(backend.aclose, keystore.aclose, ledger.aclose, kms.aclose)
        raise
    destruction = Destruction(backend, keyring, ledger, clock, deployment)
    return Deployment(
        deployment,
        settings,
        policy,
        clock,
        backend,
        keyring,
        ledger,
        destruction,
        Erasure(destruction, keyring, ledger, clock, policy),
        Sweep(backend, keyring, ledger, destruction, clock),
    )


async def _keystore_stamp(keystore: Keystore, data: Stamp | None, peek: Peek | None) -> Stamp:
    """Give the keystore's stamp, made for a deployment that is new; keys are never made for data that is there."""
    stamp = await keystore.open()
    if stamp is not None:
        return stamp
    held = data or (peek.stamp if peek is not None else None)
    if held is not None:
        raise ConfigurationError(
            f"what is stored here belongs to deployment {held.deployment.hex()}, and the keystore "
            f"{keystore.file.path} is empty: name or restore the keystore of that deployment"
        )
    await keystore.stamp(Stamp(secrets.token_bytes(HANDLE_BYTES), 0))
    return await keystore.stamp_now()


def _agree(data: Stamp | None, keys: Stamp, peek: Peek | None) -> bytes:
    """Give the deployment that all three stores name."""
    for what, stamp in (("data", data), ("ledger", peek.stamp if peek is not None else None)):
        if stamp is not None and stamp.deployment != keys.deployment:
            raise ConfigurationError(
                f"the {what} belongs to deployment {stamp.deployment.hex()}, the keystore to "
                f"{keys.deployment.hex()}: name the stores that were made together"
            )
    newest = max(keys.counter, data.counter if data is not None else 0)
    if newest > (peek.stamp.counter if peek is not None else 0):
        raise NotReadyError(
            "the ledger is missing, or older than the data or the keystore: restore its newest copy, "
            "or who was forgotten since may come back"
        )
    return keys.deployment


async def _ready_kms(kms: KeyManagementService, keystore: Keystore, deployment: bytes, clock: Clock) -> None:
    new = not await keystore.epochs()
    await kms.open(deployment, create=new)
    if new:
        await kms.create_epoch(1)
        await keystore.add_epoch(1, OPEN, to_milliseconds(clock()))


async def _catch_up(
    settings: Settings,
    backend: Backend,
    keyring: Keyring,
    ledger: Ledger,
    clock: Clock,
    deployment: bytes,
    data: Stamp | None,
    peek: Peek | None,
) -> None:
    """Carry out what was interrupted, and what a restored store has missed."""
    if peek is None:
        return
    keys = await keyring.keystore.stamp_now()
    behind = min(keys.counter, data.counter if data is not None else peek.stamp.counter)
    if behind == peek.stamp.counter and not peek.unfinished:
        return
    acts = {act.counter: act for act in await ledger.acts(unfinished=True)}
    acts |= {act.counter: act for act in await ledger.acts(after=behind)}
    by_tenant: dict[bytes, list[Act]] = {}
    for counter in sorted(acts):
        by_tenant.setdefault(acts[counter].tenant, []).append(acts[counter])
    names = {handle: name for _, handle, name in await keyring.keystore.tenants()}
    for tenant, missed in by_tenant.items():
        name = names.get(tenant)
        if name is None:
            continue
        space = name.partition(_SEPARATOR)[0]
        here = space == (settings.table_name or DEFAULT_SPACE)
        store = backend if here else make_backend(settings, space)
        ring = keyring if tenant == keyring.tenant else await open_keyring(keyring.keystore, keyring.kms, name)
        try:
            if not here:
                await store.open()
            await Destruction(store, ring, ledger, clock, deployment).catch_up(missed, purge_seconds=PURGE_SECONDS)
        finally:
            if not here:
                await store.aclose()
            if ring is not keyring:
                await ring.aclose()
