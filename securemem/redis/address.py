"""Where a Redis is, by a URL or by a caller's own client, and how connections to it are made.

    redis://user:password@host:6379/0                       one server; rediss:// with TLS
    redis+cluster://user:password@host:6379,host:6379       nodes of a cluster; rediss+cluster:// with TLS
    redis+sentinel://user:password@host:26379,host/service  who knows the primary; rediss+sentinel:// with TLS

The parameters of the query are redis-py's. Connections are redis-py's own, which do TLS, AUTH and SELECT; from a
caller's client only its settings are taken, and what it decodes is not decoded here.
"""

from __future__ import annotations

import codecs
import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import redis
import redis.asyncio as aio
import redis.sentinel as blocking
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from securemem.errors import ConfigurationError
from securemem.remote import Patience

SENTINEL_PORT = 26379

_SENTINEL_SECONDS = 1.0
"""How long one sentinel is waited for, where nobody says less and there are few: they are asked one after the other."""
_UNREADABLE = (
    "the URL of Redis cannot be read: give redis://user:password@host:port/number, redis+cluster://host:port,host:port "
    "or redis+sentinel://host:port,host:port/service, with special characters escaped (%2F for /)"
)
_KINDS: dict[type, type[AbstractConnection]] = {
    redis.Connection: aio.Connection,
    redis.SSLConnection: SSLConnection,
    redis.UnixDomainSocketConnection: UnixDomainSocketConnection,
    blocking.SentinelManagedConnection: SentinelManagedConnection,
    blocking.SentinelManagedSSLConnection: SentinelManagedSSLConnection,
}
_OURS = frozenset(
    {
        *("decode_responses", "protocol", "legacy_responses", "parser_class", "encoder_class", "response_callbacks"),
        *("socket_timeout", "retry", "retry_on_error", "retry_on_timeout", "health_check_interval"),
        *("connection_class", "max_connections", "event_dispatcher", "himport_registry", "cache", "cache_config"),
        *("maint_notifications_config", "maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler"),
        *("orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
    }
)
"""Of a client's settings what is decided here: bytes stay bytes, and time limits and further tries are `Remote`'s."""
_BLOCKING = frozenset({"redis_connect_func", "command_packer"})
"""Settings of a client that blocks which an asyncio connection cannot use."""
_OBJECTS = ("credential_provider", "redis_connect_func", "socket_keepalive_options")
"""Parameters of which redis-py takes any text, and can use none."""
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class Address:
    """One server.

    Attributes:
        name: for errors; with no password in it.
        kind: of connection.
        settings: a connection's.
    """

    name: str
    kind: type[AbstractConnection]
    settings: Mapping[str, Any] = field(repr=False)

    def connection(self) -> AbstractConnection:
        """Make a connection, not open yet."""
        return self.kind(**self.settings, decode_responses=False, protocol=2, socket_timeout=None)

    @property
    def key(self) -> tuple[str, int]:
        """Host and port."""
        return self.settings["host"], int(self.settings.get("port", 6379))

    def at(self, host: str, port: int) -> Address:
        """Give the same settings for another node of a cluster."""
        return Address(f"Redis at {host}:{port}", self.kind, {**self.settings, "host": host, "port": port})


@dataclass(frozen=True, slots=True)
class Place:
    """A server, or several of which one is told the rest.

    Attributes:
        addresses: the server, or nodes of a cluster.
        cluster: whether it is one.
        timeout: what the caller set for an answer, in seconds, or None.
        remap: gives the host and port under which a node of a cluster is reached from here.
        sentinel: who is asked for the primary, or None.
        pool: what connections behind sentinels only refer to, so that it lives as long as they do.
    """

    addresses: list[Address]
    cluster: bool = False
    timeout: float | None = None
    remap: Callable[[str, int], tuple[str, int]] = field(default=lambda host, port: (host, port))
    sentinel: Sentinel | None = None
    pool: object = None

    async def aclose(self) -> None:
        """Close the connections to sentinels; those to servers are their nodes' to close."""
        for client in self.sentinel.sentinels if self.sentinel is not None else ():
            await client.aclose()


def place_of_url(url: str, options: Mapping[str, str]) -> Place:
    """Give what a URL names; nothing is opened.

    Args:
        url: one of the forms above.
        options: what else the URL says: `timeout` and `patience`, and for sentinels `sentinel_username` and
            `sentinel_password`.

    Raises:
        ConfigurationError: the URL or a parameter cannot be used.
    """
    parts = _parsed(url)
    scheme, _, form = parts.scheme.partition("+")
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, number = parts.path.strip("/").partition("/") if form == "sentinel" else ("", "", parts.path.strip("/"))
    if scheme not in ("redis", "rediss") or form not in ("", "cluster", "sentinel") or not (number or "0").isdecimal():
        raise ConfigurationError(_UNREADABLE)
    several = hosts.split(",") if form else [hosts]
    urls = [f"{scheme}://{user}{at}{host}/{number}?{parts.query}" for host in several]
    pools = [_pool(each) for each in urls]
    if form == "cluster" and not all("host" in pool.connection_kwargs for pool in pools):
        raise ConfigurationError(_UNREADABLE)
    timeout = pools[0].connection_kwargs.get("socket_timeout")
    if form == "sentinel":
        return _behind_sentinels(pools, service, options, timeout)
    addresses = [_address(pool.connection_class, pool.connection_kwargs) for pool in pools]
    if form == "cluster" and addresses[0].settings.get("db"):
        raise ConfigurationError("a cluster has no databases by number: leave it out of the URL")
    return Place(addresses, cluster=form == "cluster", timeout=timeout)


def _parsed(url: str) -> SplitResult:
    """Take a URL apart.

    What is wrong with it may be a part of the password, so nothing of it is told.

    Raises:
        ConfigurationError: it cannot be read, as where a password has characters that were to be escaped.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(_UNREADABLE) from None
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.fragment or "@" in parts.path or not all(name.isidentifier() for name in names):
        raise ConfigurationError(_UNREADABLE)
    return parts


def place_of_client(client: Any, options: Mapping[str, str]) -> Place:
    """Give where a caller's client leads, synchronous or not; it is not used itself.

    Args:
        client: of redis-py.
        options: `timeout` and `patience`, as `place_of_url`.

    Raises:
        ConfigurationError: it is no client of redis-py, or has settings that cannot be taken over.
    """
    if isinstance(client, aio.RedisCluster | redis.RedisCluster):
        return _of_cluster(client)
    if not isinstance(client, aio.Redis | redis.Redis):
        raise ConfigurationError("client has to be a Redis or RedisCluster of redis-py, asyncio or not")
    pool = client.connection_pool
    kind, settings = _asyncio(pool.connection_class, pool.connection_kwargs)
    timeout = settings.get("socket_timeout")
    if isinstance(pool, SentinelConnectionPool | blocking.SentinelConnectionPool):
        return _of_sentinels(pool, kind, settings, Patience.of(options, timeout), timeout)
    return Place([_address(kind, settings)], timeout=timeout, pool=pool)


def _of_sentinels(
    pool: SentinelConnectionPool | blocking.SentinelConnectionPool,
    kind: type[AbstractConnection],
    settings: dict[str, Any],
    patience: Patience,
    timeout: float | None,
) -> Place:
    """Ask the sentinels of a caller's client, by clients of our own."""
    theirs = pool.sentinel_manager
    hosts = [(each.connection_pool.connection_kwargs["host"], _port(each.connection_pool)) for each in theirs.sentinels]
    settings_there = theirs.sentinel_kwargs if isinstance(theirs, Sentinel) else _unblocked(theirs.sentinel_kwargs)
    asked = _brief(settings_there, len(hosts), patience)
    sentinel = _like(theirs)
    sentinel.sentinels = [aio.Redis(host=host, port=port, **asked) for host, port in hosts]
    ours = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        pool.service_name,
        sentinel,
        connection_class=kind,
        is_master=pool.is_master,
        check_connection=pool.check_connection,
        **{name: value for name, value in _clean(settings).items() if name != "connection_pool"},
    )
    address = _address(ours.connection_class, ours.connection_kwargs, _service_name(pool.service_name))
    return Place([address], timeout=timeout, sentinel=sentinel, pool=ours)


def _like(theirs: Sentinel | blocking.Sentinel) -> Sentinel:
    """Give an object of our own that asks as a caller's does, which may block."""
    if isinstance(theirs, Sentinel):
        return copy.copy(theirs)
    ours = Sentinel([])  # type: ignore[no-untyped-call]
    vars(ours).update(vars(theirs))
    return ours


def _of_cluster(client: aio.RedisCluster | redis.RedisCluster) -> Place:
    nodes: list[Any] = list(client.nodes_manager.startup_nodes.values())
    if isinstance(client, redis.RedisCluster):
        pool = nodes[0].redis_connection.connection_pool
        kind, settings = _asyncio(pool.connection_class, pool.connection_kwargs)
    else:
        kind, settings = client.connection_kwargs["connection_class"], client.connection_kwargs
    settings = {name: value for name, value in settings.items() if name not in ("host", "port", "db")}
    addresses = [_address(kind, {**settings, "host": node.host, "port": node.port}) for node in nodes]
    return Place(
        addresses, cluster=True, timeout=settings.get("socket_timeout"), remap=client.nodes_manager.remap_host_port
    )


def _behind_sentinels(
    pools: list[aio.ConnectionPool], service: str, options: Mapping[str, str], timeout: float | None
) -> Place:
    if not service:
        raise ConfigurationError("the URL names no service: give redis+sentinel://host:port,host:port/service")
    settings = _clean(pools[0].connection_kwargs)
    secure = {"ssl": True} if issubclass(pools[0].connection_class, SSLConnection) else {}
    hosts = [(pool.connection_kwargs.get("host", "localhost"), _port(pool)) for pool in pools]
    settings.pop("host", None)
    settings.pop("port", None)
    shared = {name: value for name, value in settings.items() if name.startswith(("ssl_", "socket_"))}
    own = {name.removeprefix("sentinel_"): options[name] for name in options if name.startswith("sentinel_")}
    asked = _brief({**secure, **shared, **own}, len(hosts), Patience.of(options, timeout))
    sentinel = Sentinel(hosts, sentinel_kwargs=asked, **secure, **settings)  # type: ignore[no-untyped-call]
    pool = sentinel.master_for(service).connection_pool
    address = _address(pool.connection_class, pool.connection_kwargs, _service_name(service))
    return Place([address], timeout=timeout, sentinel=sentinel, pool=pool)


def _brief(settings: Mapping[str, Any], count: int, patience: Patience) -> dict[str, Any]:
    """Give settings for clients of sentinels by which all are asked, and the primary reached, within one try."""
    most, limits = patience.attempt / (count + 1), ("socket_timeout", "socket_connect_timeout")
    seconds = {name: min(settings.get(name) or _SENTINEL_SECONDS, most) for name in limits}
    return {**settings, **seconds, "retry": Retry(NoBackoff(), 0)}


def _service_name(service: str) -> str:
    return f"Redis service {service}"


def _port(pool: aio.ConnectionPool) -> int:
    return int(pool.connection_kwargs.get("port", SENTINEL_PORT))


def _pool(url: str) -> aio.ConnectionPool:
    """Let redis-py read a URL; by TLS a certificate has to be for the host, as is the default of its newer versions."""
    try:
        pool = aio.ConnectionPool.from_url(url)
        if issubclass(pool.connection_class, SSLConnection) and pool.connection_kwargs.get("ssl_cert_reqs") != "none":
            pool.connection_kwargs.setdefault("ssl_check_hostname", True)
    except (ValueError, TypeError, RedisError):
        raise ConfigurationError(_UNREADABLE) from None
    for name in _OBJECTS:
        if name in pool.connection_kwargs:
            raise ConfigurationError(f"{name} cannot be given in a URL: give a client that has it")
    return pool


def _asyncio(kind: type, settings: Mapping[str, Any]) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """Give the kind of connection that an asyncio client would have, and its settings."""
    if issubclass(kind, AbstractConnection):
        return kind, dict(settings)
    if kind not in _KINDS:
        raise ConfigurationError(f"a client with a {kind.__name__} cannot be taken over: give an asyncio client")
    return _KINDS[kind], _unblocked(settings)


def _unblocked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a client that blocks which one of asyncio has too."""
    stapled = [name for name, value in settings.items() if "ocsp" in name and value]
    if stapled:
        raise ConfigurationError(f"an asyncio connection cannot do what {stapled[0]} asks for")
    return {name: value for name, value in settings.items() if name not in _BLOCKING and "ocsp" not in name}


def _clean(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _OURS}


def _address(kind: type[AbstractConnection], settings: Mapping[str, Any], name: str | None = None) -> Address:
    """Put an address together, and make sure that a connection can be made of it.

    Raises:
        ConfigurationError: it cannot.
    """
    cleaned = _clean(settings)
    address = Address(name or _name(cleaned), kind, cleaned)
    for setting in _FILES:
        if cleaned.get(setting) is not None and not Path(cleaned[setting]).is_file():
            raise ConfigurationError(f"{address.name}: the file that {setting} names is not there")
    try:
        address.connection()
        "".encode(cleaned.get("encoding", "utf-8"))
        codecs.lookup_error(cleaned.get("encoding_errors", "strict"))
    except (TypeError, ValueError, LookupError, RedisError) as exc:
        unknown = re.search(r"argument '(\w+)'", str(exc))
        which = f"redis-py knows no parameter {unknown[1]}" if unknown else "a parameter cannot be used"
        raise ConfigurationError(f"{address.name}: {which}") from None
    return address


def _name(settings: Mapping[str, Any]) -> str:
    if "path" in settings:
        return f"Redis at {settings['path']}"
    host, port = settings.get("host", "localhost"), settings.get("port", 6379)
    return f"Redis at {host}:{port}/{settings.get('db') or 0}"
