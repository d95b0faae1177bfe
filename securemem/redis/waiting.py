"""Waits until a failure of a Redis would not take away what was written, as far as its settings let that be.

A server waits for what a connection has written, so each of these writes something of its own, behind all else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from redis import exceptions as rx

from securemem.errors import BackendUnavailableError
from securemem.redis.checks import configured, parsed
from securemem.redis.node import Ask, Node, Script

_MOST_KEYS = 500
_GRACE_SECONDS = 5.0


class Probe:
    """Writes something to a server and takes it away again: a server waits for what a connection has written."""

    def __init__(self, script: Script, key: bytes, make_key: Callable[[], bytes]) -> None:
        """Say how.

        Args:
            script: does it, under a key.
            key: that lies on the server, as far as is known.
            make_key: gives others that nobody has.
        """
        self._script = script
        self._key = key
        self._make_key = make_key

    async def write(self, ask: Ask) -> None:
        """Write.

        Raises:
            redis.exceptions.ResponseError: it was refused; by a node of a cluster that has none of many keys, too.
        """
        for left in reversed(range(_MOST_KEYS)):
            try:
                await ask(b"EVAL", self._script.text, 1, self._key)
            except rx.AskError:
                if not left:
                    raise
                self._key = self._make_key()  # the slot of that one is another node's by now
            else:
                return


async def persist(node: Node, probe: Probe, seconds: float) -> None:
    """Wait until what was written is at a replica, where there is one, and in the append-only file, if it is kept.

    Args:
        node: a server.
        probe: of it.
        seconds: how long, at most.

    Raises:
        BackendUnavailableError: it cannot be reached.
    """
    try:
        await _persist(node, probe, seconds)
    except ReplacedError:
        await _persist(node, probe, seconds)


async def _persist(node: Node, probe: Probe, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    async with node.connection(seconds + _GRACE_SECONDS) as ask:
        facts, settings = parsed(await ask(b"INFO")), await configured(ask, "appendfsync")
        await check_same(node, facts)
        await probe.write(ask)
        await replicated(ask, facts, deadline)
        if facts.get("aof_enabled") == "1" and settings.get("appendfsync") != b"always":
            with contextlib.suppress(rx.ResponseError):  # before Redis 7.2 nobody can wait for it
                await ask(b"WAITAOF", 1, 0, max(int(1000 * (deadline - time.monotonic())), 1))


async def replicated(ask: Ask, facts: Mapping[str, str], deadline: float) -> None:
    """Wait until a replica has what this connection has written, where one is connected."""
    if facts.get("connected_slaves", "0") != "0":
        with contextlib.suppress(rx.ResponseError):  # this user may not, or the server knows no such command
            await ask(b"WAIT", 1, max(int(1000 * (deadline - time.monotonic())), 1))


class ReplacedError(BackendUnavailableError):
    """It is another server by now than the one that was written to; the next call goes to that one."""


async def check_same(node: Node, facts: Mapping[str, str]) -> None:
    """Refuse another server than the one that calls were sent to: sentinels may name a new one by now.

    Args:
        node: which name.
        facts: what the server says of itself that a new connection leads to.

    Raises:
        ReplacedError: it is another.
    """
    [reply] = await node.remote.call(lambda _: node.exchange([(b"INFO", b"server")]))
    if not isinstance(reply, Exception) and parsed(reply).get("run_id") != facts.get("run_id"):
        node.renew()
        raise ReplacedError(f"{node.name} is another server by now than what was written to")
