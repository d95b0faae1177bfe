"""Finds the memory that an agent is given: by the name of its kind, by a URL, by a dict, or as an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from securemem.agent.memories import InMemoryMemory, Memory, PostgresMemory, RedisMemory, SQLiteMemory, check_options
from securemem.errors import ConfigurationError
from securemem.memory import SecureMemory

KINDS: dict[str, type[Memory]] = {
    "memory": InMemoryMemory,
    "redis": RedisMemory,
    "sqlite": SQLiteMemory,
    "postgres": PostgresMemory,
}
_SCHEMES = KINDS | {scheme: kind for kind in KINDS.values() for scheme in kind.schemes}
_TYPE = "type"


def find_memory(memory: object, config: Mapping[str, Any]) -> tuple[Memory, bool]:
    """Give a memory, and whether it was made for the caller alone.

    Args:
        memory: a kind's name, a URL, a dict with `type` and options, a memory object, or an open store; None for the
            default, which is this process's memory.
        config: options of the kind.

    Raises:
        ConfigurationError: there is no such kind, or it does not take one of the options.
    """
    if isinstance(memory, Memory | SecureMemory):
        if config:
            raise ConfigurationError(
                f"{', '.join(sorted(config))}: belongs to the memory object, which is made with it"
            )
        return (memory if isinstance(memory, Memory) else Memory(memory)), False
    if isinstance(memory, Mapping):
        named = {name: value for name, value in memory.items() if name != _TYPE}
        return _make(_kind(memory.get(_TYPE, "memory")), {**named, **config}), True
    if memory is None:
        return _make(InMemoryMemory, config), True
    if not isinstance(memory, str):
        raise ConfigurationError("memory is a kind's name, a URL, a dict with 'type', a memory object or a store")
    if "://" not in memory:
        return _make(_kind(memory), config), True
    return _make(*_by_url(memory, config)), True


def _kind(name: object) -> type[Memory]:
    kind = _SCHEMES.get(name.lower()) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(f"there is no such kind of memory: it is one of {', '.join(KINDS)}, or a URL")
    return kind


def _by_url(url: str, config: Mapping[str, Any]) -> tuple[type[Memory], Mapping[str, Any]]:
    scheme, _, rest = url.partition("://")
    kind = _kind(scheme)
    if kind is InMemoryMemory:
        if rest:
            raise ConfigurationError("memory:// has nothing behind it")
        return kind, config
    if kind is SQLiteMemory and not rest.startswith("/"):
        url = f"sqlite:///{rest}"  # as aa-kit has it: sqlite://file.db
    if "url" in config:
        raise ConfigurationError("memory is a URL already: leave out url")
    return kind, {"url": url, **config}


def _make(kind: type[Memory], config: Mapping[str, Any]) -> Memory:
    if not all(isinstance(name, str) for name in config):
        raise ConfigurationError("memory_config has options by their names")
    check_options(kind, config)
    make: Any = kind
    made: Memory = make(**config)
    return made
