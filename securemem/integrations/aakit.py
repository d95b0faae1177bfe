"""The memory of aa-kit 0.3.0, kept in a store: its `MemoryBackend`, its configurations, and its factory.

The methods are those of the published package, which its agents call. Where its backends differ from each other, ours
are all alike: `limit` gives the newest, oldest first. Sessions have no user there, so that each is its own subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, Self, Unpack

from securemem import codec
from securemem.agent.kinds import KINDS, find_memory
from securemem.agent.memories import InMemoryMemory, Memory, Options, PostgresMemory, RedisMemory, SQLiteMemory
from securemem.model import Message

_NOTHING_IS_TRIMMED = codec.MAX_SEQ


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One message, as aa-kit has it.

    Attributes:
        session_id: where it was said.
        timestamp: when, in seconds since 1970.
        role: who said it.
        content: what.
        metadata: {} for none.
    """

    session_id: str
    timestamp: float
    role: str
    content: Any
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give it as a dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Take it from one."""
        return cls(**data)


class MemoryBackend:
    """Keeps messages in a memory, which agents may share."""

    def __init__(self, memory: Memory) -> None:
        """Take the memory; closing this closes it."""
        self.memory = memory

    async def store(self, session_id: str, role: str, content: Any, metadata: dict[str, Any] | None = None) -> None:
        """Append a message to a session.

        Raises:
            InvalidInputError: it cannot be stored.
        """
        await self.memory.store.session(session_id).add(role, content, metadata=metadata or None)

    async def retrieve(self, session_id: str, limit: int | None = None, offset: int = 0) -> list[MemoryRecord]:
        """Give messages of a session, oldest first.

        Args:
            session_id: of the session; one that is not there gives [].
            limit: the newest so many; all if not given.
            offset: how many of the newest to pass over first.
        """
        offset = codec.check_count(offset, "offset")
        most = codec.MAX_SEQ if limit is None else codec.check_count(limit, "limit")
        found = await self.memory.store.session(session_id).history(most + offset if most else 0)
        kept = found[: max(0, len(found) - offset)] if offset else found
        return [_record(session_id, message) for message in kept]

    async def clear(self, session_id: str) -> None:
        """Destroy a session: its key and its messages."""
        await self.memory.store.session(session_id).clear()

    async def get_sessions(self) -> list[str]:
        """Give the ids of all sessions that have no other user than themselves, in the order they were made."""
        return [info.session_id async for info in self.memory.store.sessions() if info.user_id == info.session_id]

    async def close(self) -> None:
        """Close the memory."""
        await self.memory.close()


class InMemoryBackend(MemoryBackend):
    """In the memory of this process."""

    def __init__(self, **options: Unpack[Options]) -> None:
        """Take the options of `InMemoryMemory`."""
        super().__init__(InMemoryMemory(**_untrimmed(options)))


class SQLiteBackend(MemoryBackend):
    """In a file."""

    def __init__(self, db_path: str | PathLike[str] | None = None, **options: Unpack[Options]) -> None:
        """Take the options of `SQLiteMemory`."""
        super().__init__(SQLiteMemory(db_path, **_untrimmed(options)))


class RedisBackend(MemoryBackend):
    """On a Redis."""

    def __init__(self, redis_url: str | None = None, key_prefix: str | None = None, **options: Unpack[Options]) -> None:
        """Take the options of `RedisMemory`; without `ttl` messages have no end, as aa-kit has it."""
        options.setdefault("ttl", None)
        super().__init__(RedisMemory(redis_url, prefix=key_prefix, **_untrimmed(options)))


class PostgresBackend(MemoryBackend):
    """On a PostgreSQL, which aa-kit has announced."""

    def __init__(self, url: str | None = None, **options: Unpack[Options]) -> None:
        """Take the options of `PostgresMemory`."""
        super().__init__(PostgresMemory(url, **_untrimmed(options)))


class MemoryFactory:
    """Makes backends of configurations."""

    @classmethod
    async def create(cls, config: str | Mapping[str, Any], session_id: str | None = None) -> MemoryBackend:  # noqa: ARG003
        """Give the backend of a URL or a dict.

        Args:
            config: `memory://`, `redis://…`, `sqlite:///file.db`, `postgresql://…`, or a dict with `type` and the
                options of the kind: `host`, `port`, `db`, `password`, `key_prefix`, `ttl`, `db_path`, `url` …
            session_id: taken, as aa-kit does, and not looked at.

        Raises:
            ConfigurationError: there is no such kind, or it does not take one of the options.
        """
        return MemoryBackend(_memory(config))

    @classmethod
    def get_supported_backends(cls) -> dict[str, str]:
        """Give the kinds that there are, and what each is."""
        return {name: (kind.__doc__ or "").partition("\n")[0] for name, kind in KINDS.items()}

    @classmethod
    def validate_config(cls, config: str | Mapping[str, Any]) -> bool:
        """Tell whether a configuration is right; nothing is opened.

        Raises:
            ConfigurationError: it is not.
        """
        _memory(config)
        return True


async def create_memory(config: str | Mapping[str, Any], session_id: str | None = None) -> MemoryBackend:
    """Give the backend of a URL or a dict, as `MemoryFactory.create`."""
    return await MemoryFactory.create(config, session_id)


def _memory(config: str | Mapping[str, Any]) -> Memory:
    given = dict(config) if isinstance(config, Mapping) else {}
    usual = {"max_messages": _NOTHING_IS_TRIMMED, "ttl": None}
    memory, _ = find_memory(config, {name: value for name, value in usual.items() if name not in given})
    return memory


def _untrimmed(options: Options) -> Options:
    return {"max_messages": _NOTHING_IS_TRIMMED, **options}


def _record(session_id: str, message: Message) -> MemoryRecord:
    seconds = message.timestamp.timestamp() if message.timestamp is not None else 0.0
    return MemoryRecord(session_id, seconds, message.role, message.content, message.metadata or {})
