"""Has servers write their files anew without what was deleted, and says what is left.

A deleted row stays in the append-only file until that is written anew (BGREWRITEAOF), and in the last snapshot until
the next (BGSAVE). What was written anew is on the disk, and so is the deletion. Where it could not be, the server is
waited for until it has synced the deletion itself, which a crash would undo otherwise. What its memory held is freed,
and nobody overwrites it there: that is always named.

A snapshot that we cannot have taken, or not wait for, is taken by the server itself where its `save` says so: after so
many seconds with so many changes since the last one, and a deletion is a change. That gives what is left in the last
one a date (`schedule`). An append-only file is written anew when it has grown, which is no date.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from redis import exceptions as rx

from securemem.errors import BackendUnavailableError, NotReadyError
from securemem.model import Residue, ResidueKind
from securemem.redis import schedule
from securemem.redis.checks import configured, parsed
from securemem.redis.node import Ask, Node, Script
from securemem.redis.server import RedisServer
from securemem.redis.waiting import Probe, check_same, replicated
from securemem.residue import UNANSWERED, latest

_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.01, 0.5
_GRACE_SECONDS = 5.0
_SYNC_SECONDS = 2.0
"""After so long `appendfsync everysec` has synced, unless the disk is behind, which the server says."""

_LOG = "deleted rows in the server's append-only file: "
_SNAPSHOT = "deleted rows in the server's last snapshot: "
_UNSYNCED = "the deletion may not be on the server's disk yet, and a crash would undo it"
_MEMORY = "memory that the server and its replicas have freed and not used again"
_OLDER = "deleted rows on a server that went back to an older state: they go when the store is opened anew"
_REPLICAS = "deleted rows in the append-only files and snapshots of the server's replicas, until they write them anew"
_REPLICAS_IF_ANY = "deleted rows in the append-only files and snapshots of replicas, if that server has any"


class _Left(NamedTuple):
    """What is left at one server: in words, until when, and who else can tell."""

    what: str
    until: datetime | None = None
    kind: ResidueKind = ResidueKind.PLACE


class _File(NamedTuple):
    """A kind of file: what writes it anew, where INFO tells how far that is, and how we name what is left in it."""

    command: tuple[bytes, ...]
    times: str
    busy: tuple[str, ...]
    status: str
    late: str
    failed: str
    refused: str


_AOF = _File(
    (b"BGREWRITEAOF",),
    "aof_rewrites",
    ("aof_rewrite_in_progress", "aof_rewrite_scheduled"),
    "aof_last_bgrewrite_status",
    late=_LOG + "there was no time to wait until it is written anew",
    failed=_LOG + "it could not be written anew; the server's log says why",
    refused=_LOG + "this user may not have it written anew (BGREWRITEAOF); its operator can",
)
_RDB = _File(
    (b"BGSAVE", b"SCHEDULE"),
    "rdb_saves",
    ("rdb_bgsave_in_progress",),
    "rdb_last_bgsave_status",
    late=_SNAPSHOT + "there was no time to wait for the next",
    failed=_SNAPSHOT + "the next could not be taken; the server's log says why",
    refused=_SNAPSHOT + "this user may not have the next one taken (BGSAVE); its operator can",
)


async def purge(
    server: RedisServer, make_key: Callable[[], bytes], script: Script, *, store: str, seconds: float
) -> list[Residue]:
    """Have every server write its files anew.

    Args:
        server: one, or a cluster.
        make_key: gives keys that nobody has.
        script: writes something under a key and takes it away again.
        store: whose residue it is.
        seconds: how long to wait, at most.

    Returns:
        What is left, also at a server that does not answer, or went back to an older state.

    Raises:
        ConfigurationError: a server does not let this user in.
    """
    deadline = time.monotonic() + seconds
    # Where nobody says who has what it is as it was known.
    with contextlib.suppress(BackendUnavailableError, NotReadyError, TimeoutError):
        async with asyncio.timeout(_GRACE_SECONDS):
            await server.primaries()
    places = server.keys_everywhere(make_key)
    work = [_Purge(node, Probe(script, key, make_key), deadline).run() for node, key in places.items()]
    found = await asyncio.gather(*work, return_exceptions=True)
    every: list[Residue] = []
    for left in found:
        if isinstance(left, BaseException):
            raise left
        every += [Residue(store, *what) for what in left]
    return [*latest(every), Residue(store, _MEMORY, kind=ResidueKind.MEMORY)]


class _Purge:
    """The files of one server."""

    def __init__(self, node: Node, probe: Probe, deadline: float) -> None:
        """Say which.

        Args:
            node: the server.
            probe: of it.
            deadline: until when to wait, by the monotonic clock.
        """
        self._node = node
        self._probe = probe
        self._deadline = deadline

    async def run(self) -> list[_Left]:
        """Give what is left; begins anew, as long as there is time, where the connection fails."""
        while True:
            try:
                return await self._once()
            except NotReadyError:
                return [_Left(_OLDER), _Left(_REPLICAS_IF_ANY, kind=ResidueKind.COPY)]
            except BackendUnavailableError:
                if not self._seconds():
                    return [_Left(UNANSWERED), _Left(_REPLICAS_IF_ANY, kind=ResidueKind.COPY)]
            await asyncio.sleep(min(_LONGEST_POLL_SECONDS, self._seconds()))

    async def _once(self) -> list[_Left]:
        async with self._node.connection(self._seconds() + _GRACE_SECONDS) as ask:
            settings = await configured(ask, "appendfsync", "save")
            facts = parsed(await ask(b"INFO"))
            await check_same(self._node, facts)
            files = _files(facts, settings)
            hindrances = [await self._renew(ask, file) for file in files]
            left = [_Left(what, await self._until(ask, what, settings)) for what in hindrances if what is not None]
            if left and None not in hindrances and not await self._synced(ask, facts, settings):
                left.append(_Left(_UNSYNCED))
            replicas = facts.get("connected_slaves", "0") != "0"
            if replicas:
                with contextlib.suppress(rx.ResponseError):  # what it refuses to write it need not be waited for with
                    await self._probe.write(ask)
                    await replicated(ask, facts, self._deadline)
            return left + ([_Left(_REPLICAS, kind=ResidueKind.COPY)] if replicas else [])

    async def _until(self, ask: Ask, hindrance: str, settings: Mapping[str, bytes]) -> datetime | None:
        """Give when the server does by itself what it could not be had to do in time."""
        if hindrance not in (_RDB.late, _RDB.refused):
            return None
        return schedule.next_snapshot(parsed(await ask(b"INFO")), settings.get("save", b""))

    def _seconds(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    async def _renew(self, ask: Ask, file: _File) -> str | None:
        """Have a file written anew; gives what is in the way, in words."""
        while True:
            before = await self._idle(ask, file, 0)  # one that is under way may have begun before the deletion
            if before is None:
                return file.late
            try:
                await ask(*file.command)
                break
            except rx.NoPermissionError:
                return file.refused
            except rx.ResponseError as exc:
                if "unknown command" in str(exc):
                    return file.refused
                if "in progress" not in str(exc):
                    return file.failed
        after = await self._idle(ask, file, int(before[file.times]) + 1)
        if after is None:
            return file.late
        return None if after[file.status] == "ok" else file.failed

    async def _idle(self, ask: Ask, file: _File, times: int) -> Mapping[str, str] | None:
        """Wait until a file was written so many times since the server started and is not being written.

        Returns:
            What the server says then; None if that takes too long.
        """
        pause = _FIRST_POLL_SECONDS
        while True:
            facts = parsed(await ask(b"INFO", b"persistence"))
            if int(facts[file.times]) >= times and all(facts[name] == "0" for name in file.busy):
                return facts
            if not self._seconds():
                return None
            await asyncio.sleep(min(pause, self._seconds()))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    async def _synced(self, ask: Ask, facts: Mapping[str, str], settings: Mapping[str, bytes]) -> bool:
        """Wait until the append-only file is on the disk up to now."""
        if facts.get("aof_enabled") != "1":
            return False
        if settings.get("appendfsync") == b"always":
            return True
        try:
            await self._probe.write(ask)  # WAITAOF looks at what this connection has written
            local, _ = await ask(b"WAITAOF", 1, 0, max(int(1000 * self._seconds()), 1))
            return bool(local)
        except rx.ResponseError:
            if settings.get("appendfsync") != b"everysec" or self._seconds() < _SYNC_SECONDS:
                return False  # before Redis 7.2 it only says how far it is behind
        await asyncio.sleep(_SYNC_SECONDS)
        facts = parsed(await ask(b"INFO", b"persistence"))
        return facts["aof_pending_bio_fsync"] == "0" and facts["aof_last_write_status"] == "ok"


def _files(facts: Mapping[str, str], settings: Mapping[str, bytes]) -> list[_File]:
    """Give which files a server keeps; where it does not say, it is taken to keep snapshots."""
    logs = facts.get("aof_enabled") == "1"
    loaded = not logs and facts.get("rdb_last_load_keys_loaded", "0") != "0"
    snapshots = settings.get("save") != b"" or facts.get("rdb_saves", "0") != "0" or loaded
    return [file for file, kept in ((_AOF, logs), (_RDB, snapshots)) if kept]
