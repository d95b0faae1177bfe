"""What agents remember in: one store each, which several agents may share, with the locks of their turns.

A kind is a class that turns the options of its own into those of `SecureMemory.open`. `kinds` finds one by its name.
"""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote
from weakref import WeakValueDictionary

from securemem.config import SERVERS
from securemem.errors import ConfigurationError
from securemem.memory import SecureMemory
from securemem.policy import Policy
from securemem.ports import Clock, Tokenizer
from securemem.session import Session

REDIS_SECONDS = 3600.0
"""How long a message lives on Redis, if nothing else is said."""
DB_PATH = "conversations.db"
_REDIS_URL, _POSTGRES_URL = "REDIS_URL", "DATABASE_URL"


class Options(TypedDict, total=False):
    """What every kind of memory takes, as `SecureMemory.open` does."""

    max_messages: int
    ttl: float | None
    context_window: int
    compress: bool
    policy: str | os.PathLike[str] | Policy | None
    kms: str | None
    keystore: str | None
    ledger: str | None
    tenant: str
    tokenizer: Tokenizer | str | None
    clock: Clock | None
    backup_days: float | None
    memory_days: float | None


COMMON = frozenset(Options.__annotations__)


class Memory:
    """A store, and the locks under which the turns of each of its sessions follow each other."""

    takes: frozenset[str] = frozenset()
    """The options of its kind, besides those that all take."""
    schemes: tuple[str, ...] = ()
    """Those of the URLs that name a store of its kind."""

    def __init__(self, store: SecureMemory) -> None:
        """Take a store, open or not; whoever made it closes it."""
        self.store = store
        self._is_ours = False
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def _open(self, url: str | None, options: Options, **own: Any) -> None:
        """Name the store of a kind; it is opened by its first use.

        Raises:
            ConfigurationError: an option that this kind does not take, a URL of another kind, or settings that do not
                fit.
        """
        check_options(type(self), options)
        if url is not None:
            _check_url(type(self), url)
        given: dict[str, Any] = {**own, **options}
        Memory.__init__(self, SecureMemory.open(url, **given))
        self._is_ours = True

    def turn(self, session: Session) -> asyncio.Lock:
        """Give the lock that whoever has a turn in a session holds, whichever agent it is with."""
        name = (session.user_id, session.session_id)
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        return lock

    async def close(self) -> None:
        """Close the store, unless it is the caller's own; agents that share it cannot use it any more."""
        if self._is_ours:
            await self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class InMemoryMemory(Memory):
    """In the memory of this process, and gone with it."""

    schemes = ("memory",)

    def __init__(self, **options: Unpack[Options]) -> None:
        """Take what all kinds take."""
        self._open("memory://", options)


class SQLiteMemory(Memory):
    """In a file, with its keys, its ledger and its KEK in files beside it."""

    takes = frozenset({"db_path", "table_name", "url"})
    schemes = ("sqlite",)

    def __init__(
        self,
        db_path: str | os.PathLike[str] | None = None,
        *,
        table_name: str | None = None,
        url: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Name the file; it is made by the first use.

        Args:
            db_path: `conversations.db` if not given.
            table_name: sessions in another table are apart.
            url: in place of `db_path`, as `SecureMemory.open` takes it.
            options: what all kinds take.
        """
        if url is not None and db_path is not None:
            raise ConfigurationError("db_path and url both name the store: give one of them")
        self._open(url or file_url(DB_PATH if db_path is None else db_path), options, table_name=table_name)


class PostgresMemory(Memory):
    """On a PostgreSQL; its keys lie under `SECUREMEM_HOME` unless told otherwise."""

    takes = frozenset({"replica", "table_name", "url"})
    schemes = tuple(scheme for scheme in SERVERS if scheme.startswith("postgres"))

    def __init__(
        self,
        url: str | None = None,
        *,
        table_name: str | None = None,
        replica: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Name the server.

        Args:
            url: `postgresql://…`; that of `DATABASE_URL` if not given.
            table_name: sessions in another table are apart.
            replica: a standby that reads are asked of first.
            options: what all kinds take.

        Raises:
            ConfigurationError: no server is named, or one of another kind.
        """
        url = url or os.environ.get(_POSTGRES_URL)
        if not url:
            raise ConfigurationError(f"no PostgreSQL is named: give url='postgresql://…', or set {_POSTGRES_URL}")
        self._open(url, options, table_name=table_name, replica=replica)


class RedisMemory(Memory):
    """On a Redis or Valkey; its keys lie under `SECUREMEM_HOME` unless told otherwise."""

    takes = frozenset({"client", "db", "host", "key_prefix", "password", "port", "prefix", "url", "username"})
    schemes = tuple(scheme for scheme in SERVERS if scheme.startswith("redis"))

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        prefix: str | None = None,
        key_prefix: str | None = None,
        host: str | None = None,
        port: int = 6379,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Name the server.

        Args:
            url: `redis://…` and its kin; that of `REDIS_URL`, or this machine's, if nothing else names one.
            client: a redis-py client in its place, synchronous or asyncio, whose settings are taken.
            prefix: of all names there; sessions under another prefix are apart.
            key_prefix: the same, as aa-kit calls it.
            host: with `port`, `db`, `username` and `password`, in place of a URL.
            port: of the host.
            db: its database.
            username: for it.
            password: for it.
            options: what all kinds take; `ttl` is 3600 if not given, and None for no end.

        Raises:
            ConfigurationError: more than one server is named, or one of another kind.
        """
        if sum(each is not None for each in (url, client, host)) > 1:
            raise ConfigurationError("url, client and host each name the server: give one of them")
        if client is None and url is None:
            url = os.environ.get(_REDIS_URL) if host is None else None
            url = url or _redis_url(host or "localhost", port, db, username, password)
        options.setdefault("ttl", REDIS_SECONDS)
        self._open(url, options, client=client, prefix=prefix or key_prefix)


def _redis_url(host: str, port: int, db: int, username: str | None, password: str | None) -> str:
    if not all(type(number) is int for number in (port, db)):
        raise ConfigurationError("port and db of a Redis are whole numbers")
    if not all(text is None or isinstance(text, str) for text in (host, username, password)):
        raise ConfigurationError("host, username and password of a Redis are texts")
    login = f"{quote(username or '', safe='')}:{quote(password or '', safe='')}@" if username or password else ""
    return f"redis://{login}{f'[{host}]' if ':' in host else host}:{port}/{db}"


def file_url(db_path: object) -> str:
    """Give the URL of a database file.

    Raises:
        ConfigurationError: a name that is no file's.
    """
    name = os.fspath(db_path) if isinstance(db_path, str | os.PathLike) else None
    if not isinstance(name, str) or name in ("", ":memory:") or "?" in name or "\0" in name:
        raise ConfigurationError(
            "db_path names a file, without ? in it; what is to be gone at the end is kind 'memory'"
        )
    return f"sqlite:///{name}"


def _check_url(kind: type[Memory], url: object) -> None:
    """Refuse a URL that names no store of a kind; it is not repeated, for a password may be in it.

    Raises:
        ConfigurationError: what it has to begin with.
    """
    if not isinstance(url, str) or url.partition("://")[0] not in kind.schemes:
        known = ", ".join(f"{scheme}://" for scheme in kind.schemes)
        raise ConfigurationError(f"url names the store of a {kind.__name__}: it begins with {known}")


def check_options(kind: type[Memory], options: Any) -> None:
    """Refuse options that a kind does not take.

    Raises:
        ConfigurationError: their names, and those of what it takes.
    """
    unknown = sorted(set(options) - COMMON - kind.takes)
    if unknown:
        known = ", ".join(sorted(COMMON | kind.takes))
        raise ConfigurationError(f"{kind.__name__} takes no {', '.join(unknown)}: it takes {known}")
