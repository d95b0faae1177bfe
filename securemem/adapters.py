"""Gives the adapter that a URL names: a data store, a keystore, a ledger, a KMS. Each is imported where it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from getpass import getpass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from securemem.backends.memory import MemoryBackend
from securemem.config import SERVERS, Settings, file_of, options_of
from securemem.errors import ConfigurationError
from securemem.keys.keystore import Keystore
from securemem.keys.routes import TenantRoute
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.ledger.store import Ledger
from securemem.model import HOME, Detection
from securemem.places import beside
from securemem.ports import AuditSink, Backend, KeyManagementService, PIIEngine, Replica
from securemem.sqlitefile import MEMORY
from securemem.terminal import interruptible

if TYPE_CHECKING:
    from securemem.privacy.detector import Detector

DEFAULT_SPACE = "messages"
_REPLICA_PATIENCE = {"timeout": "1", "patience": "0"}
"""What a replica is given where its URL does not say: one try of a second, for the primary has every answer too."""
PATTERNS = "patterns"


def make_backend(settings: Settings, space: str, client: Any = None) -> Backend:
    """Give the data store that a URL names.

    Args:
        settings: that name it.
        space: the table, or the prefix of names on Redis.
        client: the caller's own, for Redis.

    Raises:
        ConfigurationError: a scheme that nobody knows.
    """
    scheme = settings.url.partition("://")[0]
    if settings.url == "memory://":
        return MemoryBackend()
    if scheme == "sqlite":
        from securemem.backends.sqlite import SqliteBackend  # noqa: PLC0415

        return SqliteBackend(str(file_of(settings.url, "sqlite")), table_name=space)
    if scheme in ("postgresql", "postgres"):
        from securemem.backends.postgres import PostgresBackend  # noqa: PLC0415
        from securemem.postgres import OPTIONS  # noqa: PLC0415

        return PostgresBackend(*options_of(settings.url, OPTIONS), table_name=space)
    if scheme in SERVERS:
        from securemem.backends.redis import OPTIONS as REDIS_OPTIONS  # noqa: PLC0415
        from securemem.backends.redis import RedisBackend  # noqa: PLC0415

        return RedisBackend(*options_of(settings.url, REDIS_OPTIONS), prefix=space, client=client)
    return _installed(scheme)(settings.url, space)


def make_data(settings: Settings, space: str, route: TenantRoute, client: Any = None) -> Backend:
    """Give the data store of a tenant, which lies where its route says if the settings name several servers.

    Raises:
        ConfigurationError: as `make_backend`.
    """
    if not settings.servers:
        return make_backend(settings, space, client)
    from securemem.backends.routed import RoutedBackend  # noqa: PLC0415

    urls = {HOME: settings.url, **settings.servers}

    def make(server: str) -> Backend:
        if server not in urls:
            raise ConfigurationError(f"there is no server {server!r}: name it under [servers] in securemem.toml")
        return make_backend(replace(settings, url=urls[server]), space)

    return RoutedBackend(make, route)


def make_replica(settings: Settings, space: str) -> Replica | None:
    """Give the replica of the data that settings name; None where they name none.

    Raises:
        ConfigurationError: the data does not lie in PostgreSQL.
    """
    if settings.replica is None:
        return None
    if not {settings.url.partition(":")[0], settings.replica.partition(":")[0]} <= {"postgresql", "postgres"}:
        raise ConfigurationError("replica is for data in PostgreSQL, and names the standby as postgresql://…")
    from securemem.backends.postgres import PostgresBackend  # noqa: PLC0415
    from securemem.postgres import OPTIONS  # noqa: PLC0415

    url, options = options_of(settings.replica, OPTIONS)
    return PostgresBackend(url, _REPLICA_PATIENCE | options, table_name=space)


def _installed(scheme: str) -> Callable[[str, str], Backend]:
    """Give what makes the data stores of a scheme that another package knows."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    for entry in entry_points(group="securemem.backends", name=scheme):
        make: Callable[[str, str], Backend] = entry.load()
        return make
    raise ConfigurationError(
        "data lies in memory://, sqlite:///file.db, postgresql://…, redis://…, redis+cluster://… or "
        "redis+sentinel://…; with TLS rediss://…, rediss+cluster://… or rediss+sentinel://…"
    )


def space_of(settings: Settings) -> str:
    """Give the name under which a store's sessions are apart from others in the same place."""
    if not settings.url.startswith("redis"):
        return settings.table_name or DEFAULT_SPACE
    return settings.prefix or _prefix_of(settings.table_name or DEFAULT_SPACE)


def space_from_elsewhere(settings: Settings, space: str) -> str | None:
    """Give the name here of a store that lay in another kind of place: its table's on Redis, and the other way round.

    None where it has no counterpart, for its prefix was one that somebody chose.
    """
    if settings.url.startswith("redis"):
        return _prefix_of(space)
    table = space.removeprefix("securemem:").removesuffix(":")
    return table if _prefix_of(table) == space else None


def _prefix_of(table: str) -> str:
    return f"securemem:{table}:"


def _file_or_memory(url: str | None, settings: Settings, ending: str) -> str | None:
    """Give the file of a small store, or MEMORY; None where it lies on a server."""
    if url is None:
        place = beside(settings, ending)
        return str(place) if place is not None else MEMORY
    if url == "memory://":
        return MEMORY
    return str(file_of(url, "sqlite")) if url.startswith("sqlite://") else None


def make_keystore(settings: Settings) -> Keystore:
    """Give the keystore that settings name, or the one beside the data.

    Raises:
        ConfigurationError: a scheme that this version does not know, or the data's own schema.
    """
    url = settings.keystore
    place = _file_or_memory(url, settings, ".keys.db")
    if place is not None:
        return SqliteKeystore(place)
    _check_server(url or "", "keystore")
    if any(_same_schema(url or "", data) for data in (settings.url, *settings.servers.values())):
        raise ConfigurationError(
            "the keystore must not lie with the data, for a backup of both opens itself: give it a database of its own"
        )
    from securemem.keys.postgreskeystore import PostgresKeystore  # noqa: PLC0415
    from securemem.postgres import OPTIONS  # noqa: PLC0415

    return PostgresKeystore(*options_of(url or "", OPTIONS))


def make_ledger(settings: Settings) -> Ledger:
    """Give the ledger that settings name, or the one beside the data.

    Raises:
        ConfigurationError: a scheme that this version does not know.
    """
    place = _file_or_memory(settings.ledger, settings, ".ledger.db")
    if place is None:
        _check_server(settings.ledger or "", "ledger")
    return Ledger(place if place is not None else settings.ledger or "")


def _check_server(url: str, what: str) -> None:
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        raise ConfigurationError(f"the {what} lies in memory://, sqlite:///file.db or postgresql://…")


def _same_schema(one: str, other: str) -> bool:
    """Tell whether two URLs name one schema of one database."""
    from securemem.postgres import OPTIONS, SCHEMA  # noqa: PLC0415
    from securemem.postgresurl import are_one  # noqa: PLC0415

    if other.partition("://")[0] not in ("postgresql", "postgres"):
        return False
    (one, here), (other, there) = options_of(one, OPTIONS), options_of(other, OPTIONS)
    return are_one(one, other) and here.get("schema", SCHEMA) == there.get("schema", SCHEMA)


def _ask_passphrase() -> str:
    given = os.environ.get("SECUREMEM_PASSPHRASE")
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationError("the KEK file wants a passphrase: set SECUREMEM_PASSPHRASE")
    try:
        with interruptible():
            return getpass("Passphrase of the SecureMem KEK file: ")
    except (EOFError, KeyboardInterrupt) as exc:
        print(file=sys.stderr)  # noqa: T201  (the line of the question ends)
        if isinstance(exc, KeyboardInterrupt):
            raise
        raise ConfigurationError("no passphrase was typed: the KEK file does not open without it") from None


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


def make_sink(url: str) -> AuditSink:
    """Give the place for checkpoints of the audit that a URL names.

    Raises:
        ConfigurationError: a scheme that this version does not know, or a URL that cannot be.
    """
    scheme = url.partition("://")[0]
    if scheme == "file":
        from securemem.sinks.file import FileSink  # noqa: PLC0415

        return FileSink(file_of(url, "file"))
    if scheme in ("https", "http"):
        from securemem.sinks.web import WebSink  # noqa: PLC0415

        return WebSink(url)
    if scheme == "s3":
        from securemem.sinks.s3 import S3Sink  # noqa: PLC0415

        return S3Sink(url)
    raise ConfigurationError("checkpoints go to file:///path, https://host/path or s3://bucket/prefix")


def make_engine(detection: Detection) -> PIIEngine | None:
    """Give the engine that looks for personal data besides `patterns`; None where there is no other.

    Raises:
        ConfigurationError: no package brings an engine of this name.
    """
    if detection.engine == PATTERNS:
        return None
    from importlib.metadata import entry_points  # noqa: PLC0415

    group = entry_points(group="securemem.pii_engines")
    for entry in group.select(name=detection.engine):
        make: Callable[[Detection], PIIEngine] = entry.load()
        return make(detection)
    raise ConfigurationError(f"there is no engine {detection.engine!r}: one of {', '.join(sorted(group.names))}")


def make_detector(detection: Detection) -> Detector:
    """Give the engines that a policy asks for, not yet open.

    Raises:
        ConfigurationError: as `make_engine`.
    """
    from securemem.privacy.detector import Detector  # noqa: PLC0415  (importing a store does without)
    from securemem.privacy.engines.patterns import make as make_patterns  # noqa: PLC0415

    return Detector(detection, make_patterns(detection), make_engine(detection))


def url_of(client: Any, url: str | None) -> str:
    """Give the URL that stands for a caller's own Redis client: where it connects to, with no password in it.

    Raises:
        ConfigurationError: it is no redis-py client, or the URL names something else.
    """
    if url is not None and not url.startswith("redis"):
        raise ConfigurationError("client is a redis-py client, for data on Redis: leave it out for this URL")
    pool = getattr(client, "connection_pool", None)
    nodes = getattr(getattr(client, "nodes_manager", None), "startup_nodes", None)
    if nodes:
        first = next(iter(nodes.values()))
        return f"redis+cluster://{first.host}:{first.port}"
    if pool is None:
        raise ConfigurationError("client has to be a redis-py client, asyncio or synchronous")
    settings = pool.connection_kwargs
    sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
    if sentinels:  # sorted, for redis-py moves the one that answered to the front
        asked = [each.connection_pool.connection_kwargs for each in sentinels]
        hosts = ",".join(sorted(f"{each.get('host', 'localhost')}:{each.get('port', 6379)}" for each in asked))
        number = f"/{settings['db']}" if settings.get("db") else ""
        return f"redis+sentinel://{hosts}/{quote(str(pool.service_name), safe='')}{number}"
    host = settings.get("path") or settings.get("host") or "localhost"
    return f"redis://{quote(str(host), safe='')}:{settings.get('port', 6379)}/{settings.get('db') or 0}"
