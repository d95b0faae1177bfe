"""The one place where live objects are put together: stores from URLs, checked against each other, made ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from getpass import getpass
from pathlib import Path

from securemem.backends.memory import MemoryBackend
from securemem.config import Settings, file_of
from securemem.destruction import Destruction
from securemem.errors import ConfigurationError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.ledger.store import Ledger
from securemem.policy import Policy
from securemem.ports import Backend, Clock, KeyManagementService
from securemem.readiness import Stores, agree, catch_up, space_name
from securemem.retention.sweep import Sweep
from securemem.rights.erase import Erasure
from securemem.sqlitefile import MEMORY

DEFAULT_SPACE = "messages"


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

        return PassphraseKms(file_of(url, "passphrase"), _ask_passphrase())
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
    stores = Stores(backend, keystore, ledger, kms, clock)
    try:
        stamps = await agree(stores)
        keyring = await open_keyring(keystore, kms, space_name(space, tenant))
        await catch_up(stores, stamps, keyring, space, partial(make_backend, settings))
    except BaseException:
        await _close_all(backend.aclose, keystore.aclose, ledger.aclose, kms.aclose)
        raise
    destruction = Destruction(backend, keyring, ledger, clock, stamps.deployment)
    return Deployment(
        stamps.deployment,
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
