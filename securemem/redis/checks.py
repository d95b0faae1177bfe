"""What is asked of a server before it is used, so that it refuses at `open` and not at the hundredth call."""

from __future__ import annotations

from collections.abc import Mapping

from redis import exceptions as rx

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.redis.node import Ask, Node, Script
from securemem.redis.refusals import DepartedError
from securemem.redis.server import RedisServer

LEAST_VERSION = (7, 0)

_UNSYNCED = {
    b"everysec": "appendfsync is everysec: a crash of the machine may lose the last second",
    b"no": "appendfsync is no: a crash of the machine may lose half a minute and more",
}
_VOLATILE = "neither append-only file nor snapshots are on: a restart of the server loses everything"
_SNAPSHOTS = "appendonly is no: a crash of the server loses what was written since its last snapshot"
_UNTOLD = "appendonly is no; whether snapshots are on cannot be told: this user may not CONFIG GET"
_UNKNOWN = "the server does not say how it syncs its append-only file (CONFIG GET)"


async def examine(
    server: RedisServer, node: Node, key: bytes, pattern: bytes, scripts: Mapping[str, Script]
) -> list[str]:
    """Look a server over, leave our scripts with it, and make sure of our rights.

    Args:
        server: all of them.
        node: the one.
        key: one that nobody has, which lies on it.
        pattern: of our keys.
        scripts: by name, `rights` among them.

    Returns:
        Which of its settings may lose what was written.

    Raises:
        ConfigurationError: too old, of another kind than named, without the rights, or one that evicts.
        BackendUnavailableError: it cannot be reached, or only reads.
        DepartedError: in its cluster another one has these keys by now.
    """
    facts = await information(server, node)
    _check_version(node.name, facts)
    _check_kind(node.name, facts, cluster=server.cluster)
    if facts.get("role") == "slave":
        if server.cluster:
            raise DepartedError(f"{node.name} is a replica by now")
        raise BackendUnavailableError(f"{node.name} is a replica, which only reads: name the primary")
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
        raise ConfigurationError(
            f"{node.name} throws keys away when its memory is full ({policy}): set maxmemory-policy noeviction"
        )
    await server.require(node, *((b"SCRIPT", b"LOAD", script.text) for script in scripts.values()))
    await server.require(
        node,
        scripts["rights"].on(key),
        *([(b"ASKING",)] if server.cluster else []),  # it holds for the next one alone
        (b"EVAL", b"return 1", 1, key),
        (b"LRANGE", key, 0, 0),
        (b"LINDEX", key, 0),
        (b"SCAN", 0, b"MATCH", pattern, b"COUNT", 1),
    )
    return await _caveats(node, facts)


async def information(server: RedisServer, node: Node) -> dict[str, str]:
    """Give what a server says of itself (INFO)."""
    [text] = await server.require(node, (b"INFO",))
    return parsed(text)


def parsed(text: bytes) -> dict[str, str]:
    """Read the answer to INFO."""
    lines = text.decode("utf-8", "replace").splitlines()
    return {name: value for name, mark, value in (line.partition(":") for line in lines) if mark}


def _check_version(name: str, facts: Mapping[str, str]) -> None:
    """Refuse what is older than Redis 7; Valkey and others say which Redis they are like."""
    version = facts.get("redis_version", "0")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < LEAST_VERSION:
        raise ConfigurationError(f"{name} is of version {version}: Redis 7.0 or later, or Valkey, is needed")


def _check_kind(name: str, facts: Mapping[str, str], *, cluster: bool) -> None:
    mode = facts.get("redis_mode") or facts.get("server_mode")  # as Valkey calls it
    if mode == "sentinel":
        raise ConfigurationError(f"{name} is a sentinel: name it as redis+sentinel://host:port/service")
    if (mode == "cluster") != cluster:
        raise ConfigurationError(
            f"{name} is no cluster: name it as redis:// or rediss://"
            if cluster
            else f"{name} is a node of a cluster: name it as redis+cluster://"
        )


async def _caveats(node: Node, facts: Mapping[str, str]) -> list[str]:
    async with node.connection(node.seconds) as ask:
        settings = await configured(ask, "appendfsync", "save")
    if facts.get("aof_enabled") == "1":
        if "appendfsync" not in settings:
            return [_UNKNOWN]
        return [_UNSYNCED[settings["appendfsync"]]] if settings["appendfsync"] in _UNSYNCED else []
    if "save" not in settings:
        return [_UNTOLD]
    return [_SNAPSHOTS if settings["save"] else _VOLATILE]


async def configured(ask: Ask, *names: str) -> dict[str, bytes]:
    """Give settings of a server; none where it does not say."""
    try:
        reply = await ask(b"CONFIG", b"GET", *names)
    except rx.ResponseError:
        return {}
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
