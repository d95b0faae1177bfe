"""Where a deployment lies: every place of its three stores and its KEK, by its settings, and those that were named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from securemem.adapters import space_of
from securemem.compose import Deployment
from securemem.config import SERVERS, Settings, file_of
from securemem.model import HOME
from securemem.places import beside
from securemem.proving.files import below, of_files, of_sqlite
from securemem.proving.place import ERASED, Place, unseen
from securemem.proving.scan import Kind

if TYPE_CHECKING:
    from securemem.proving.onpostgres import Tables

_POSTGRES = ("postgresql", "postgres")
_FILES = ("sqlite", "file", "passphrase")
_RECORDS, _KEYS, _NONE = frozenset({Kind.LIVING_RECORD}), frozenset({Kind.LIVING_KEY}), frozenset[Kind]()
_HERE_ALONE = "it lies in the memory of this process, or in a store of another kind"
_SELF = "it holds what it planted and searches by, and would find itself; Python overwrites no text that it frees"


async def places_of(deployment: Deployment, *, also: Iterable[Path] = (), memory: bool = True) -> list[Place]:
    """Give all places of a deployment.

    Args:
        deployment: open.
        also: files and folders that the settings do not name: backups, logs, archives.
        memory: whether the memory of servers on this machine is one.
    """
    settings = deployment.settings
    home = (await deployment.stores.route.current()).place
    found: list[Place] = []
    for server, url in {HOME: settings.url, **settings.servers}.items():
        found += await _data(settings, url, _RECORDS if server == home else _NONE, memory=memory)
    found += [place for store, url in _small(settings).items() for place in _of_small(store, url, settings)]
    tables = _tables(settings, deployment.keyring.tenant, home)
    if tables:
        from securemem.proving.onpostgres import on_this_machine  # noqa: PLC0415  (as the driver, where it is wanted)

        found += [each.place() for each in tables]
        found += await on_this_machine([each for each in tables if each.store != "replica"], memory=memory)
    found += _rest(settings, also)
    if memory:
        found.append(Place("process", "memory", f"this process, {os.getpid()}", unseen(_SELF)))
    return found


async def _data(settings: Settings, url: str, control: frozenset[Kind], *, memory: bool) -> list[Place]:
    """Give the places of data that does not lie in PostgreSQL."""
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        path = file_of(url, "sqlite")
        return [Place("data", "files", str(path), of_sqlite(path), control)]
    if scheme in SERVERS and scheme not in _POSTGRES:
        from securemem.proving.onredis import places_on  # noqa: PLC0415  (as the driver, where it is wanted)

        return await places_on(url, space_of(settings), memory=memory)
    return [] if scheme in _POSTGRES else [Place("data", "files", f"{scheme}://", unseen(_HERE_ALONE))]


def _small(settings: Settings) -> dict[str, str | None]:
    return {"keystore": settings.keystore, "ledger": settings.ledger}


def _terms(store: str) -> tuple[frozenset[Kind], frozenset[Kind]]:
    """Give what of the control lies there, and what must not; the ledger keeps the handles of the erased."""
    return (_KEYS, ERASED | {Kind.HANDLE}) if store == "keystore" else (_NONE, ERASED)


def _of_small(store: str, url: str | None, settings: Settings) -> Iterator[Place]:
    """Give the place of the keystore or the ledger, if it does not lie in PostgreSQL."""
    if _is_table(url):
        return
    path = beside(settings, {"keystore": ".keys.db", "ledger": ".ledger.db"}[store]) if url is None else _file(url)
    read = of_sqlite(path) if path is not None else unseen(_HERE_ALONE)
    yield Place(store, "files", str(path or "memory://"), read, *_terms(store))


def _tables(settings: Settings, tenant: bytes, home: str) -> list[Tables]:
    """Give what lies in PostgreSQL."""
    parts: list[tuple[str, str, str, frozenset[Kind], frozenset[Kind]]] = []
    data = f"^({space_of(settings)}(_sessions|_due)?|securemem_stamp)$"
    for server, url in {HOME: settings.url, **settings.servers}.items():
        parts.append(("data", url, data, _RECORDS if server == home else _NONE, ERASED))
    if settings.replica is not None:
        parts.append(("replica", settings.replica, data, _RECORDS, ERASED))
    parts += [(store, url or "", f"^securemem_{store}_", *_terms(store)) for store, url in _small(settings).items()]
    parts = [part for part in parts if _is_table(part[1])]
    if not parts:
        return []
    from securemem.proving.onpostgres import Tables  # noqa: PLC0415

    return [Tables(store, url, named, tenant, *terms) for store, url, named, *terms in parts]


def _rest(settings: Settings, also: Iterable[Path]) -> Iterator[Place]:
    kek = beside(settings, ".kek") if settings.kms is None else _file(settings.kms)
    if kek is not None:
        yield Place("kms", "files", str(kek), of_files(lambda: [kek]))
    if settings.replica is not None:
        yield Place("replica", "files", "its disk", unseen("only who is there can look at it (--also)"))
    for path in also:
        yield Place("also", "files", str(path), of_files(partial(below, path)))


def _is_table(url: str | None) -> bool:
    return url is not None and url.partition("://")[0] in _POSTGRES


def _file(url: str) -> Path | None:
    scheme = url.partition("://")[0]
    return file_of(url, scheme) if scheme in _FILES else None
