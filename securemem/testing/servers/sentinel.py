"""A Redis with a replica, and three Sentinels that watch over them and fail over."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import redis

from securemem.testing.servers.binaries import redis_program
from securemem.testing.servers.redis import RedisServer
from securemem.testing.servers.server import HOST, Server, wait_until

SERVICE = "securemem"
_COUNT, _QUORUM = 3, 2
_DOWN_AFTER_MS, _FAILOVER_MS = 1_000, 5_000


class Sentinel(Server):
    """One Sentinel."""

    name = "sentinel"

    def __init__(self, primary: RedisServer) -> None:
        """Say which server it watches; that runs when this is started."""
        self.program = redis_program()
        super().__init__()
        self._primary = primary

    def client(self) -> redis.Redis:
        """Give a client that blocks; close it."""
        return redis.Redis(host=HOST, port=self.port, protocol=2)

    def asked(self, *words: str) -> Any:
        """Give the answer to one of its commands, as it came."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command("SENTINEL", *words)

    def state(self) -> dict[bytes, bytes]:
        """Give what it says of the primary."""
        words: list[bytes] = self.asked("MASTER", SERVICE)
        return dict(zip(words[::2], words[1::2], strict=True))

    def _command(self) -> list[str]:
        """Write its settings once: it keeps what it learns in that file."""
        configuration = self.folder / "sentinel.conf"
        if not configuration.exists():
            self.write(configuration, self._lines())
        return [str(self.program.path), str(configuration), "--sentinel", "--port", str(self.port)]

    def _lines(self) -> str:
        lines = [
            f"bind {HOST}",
            f"dir {self.folder}",
            f"sentinel monitor {SERVICE} {HOST} {self._primary.port} {_QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {_FAILOVER_MS}",
        ]
        if self._primary.password is not None:
            lines.append(f"sentinel auth-pass {SERVICE} {self._primary.password}")
        return "\n".join((*lines, ""))

    def _is_ready(self) -> bool:
        return "+monitor" in self.log()


class RedisSentinel:
    """A primary, a replica and three Sentinels for as long as its context lasts.

    Attributes:
        service: the name under which the Sentinels know the pair.
        servers: the two; which of them is the primary may change.
        sentinels: the three.
    """

    service = SERVICE

    def __init__(self, *, settings: Mapping[str, str] | None = None, password: str | None = None) -> None:
        """Say how the two servers are to be run; see `RedisServer`."""
        primary = RedisServer(settings=settings, password=password)
        self._settings = settings
        self.servers = [primary]
        self.sentinels = [Sentinel(primary) for _ in range(_COUNT)]
        self.program = primary.program
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start all five, and wait until they know each other."""
        with self._open as started:
            primary = started.enter_context(self.servers[0])
            replica = RedisServer(settings=self._settings, password=primary.password, replica_of=primary)
            self.servers.append(started.enter_context(replica))
            replica.catch_up()
            for sentinel in self.sentinels:
                started.enter_context(sentinel)
            self.wait_until_whole()
            self._open = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all and remove their data."""
        self._open.close()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every Sentinel."""
        return [(HOST, sentinel.port) for sentinel in self.sentinels]

    def primary(self) -> RedisServer:
        """Give the server that the Sentinels hold for the primary, whether it runs or not."""
        running = next(sentinel for sentinel in self.sentinels if sentinel.running)
        port = int(running.asked("GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """Let the replica take over at once, whether the primary runs or not."""
        before = self.primary()
        running = next(sentinel for sentinel in self.sentinels if sentinel.running)
        wait_until(lambda: _starts_failover(running), "a Sentinel finds the replica fit")
        self.wait_until_replaced(before)

    def wait_until_whole(self) -> None:
        """Wait until each Sentinel knows the other two and the replica, and this has what the primary has."""
        wait_until(lambda: all(map(_is_well, self.sentinels)), "the Sentinels know each other and hold all for well")
        wait_until(lambda: self._replica_state() == "up", "the replica is linked to the primary")

    def wait_until_replaced(self, server: RedisServer) -> None:
        """Wait until all Sentinels that run name the other server, and hold it for well."""
        running = [sentinel for sentinel in self.sentinels if sentinel.running]
        wait_until(lambda: all(_has_replaced(each, server) for each in running), "the replica has taken over")

    def restore(self) -> None:
        """Start what does not run, a server as a replica of the other, and wait until all is well."""
        for sentinel in self.sentinels:
            if not sentinel.running:
                sentinel.start()
        primary = self.primary()
        for server in self.servers:
            if not server.running:
                server.start()
                if server is not primary:
                    with server.client() as client:
                        client.replicaof(HOST, primary.port)
        self.wait_until_whole()

    def _replica_state(self) -> object:
        primary = self.primary()
        [replica] = [server for server in self.servers if server is not primary]
        return replica.info("replication").get("master_link_status")

    def flush(self) -> None:
        """Remove all keys, scripts and functions."""
        self.primary().flush()


def _starts_failover(sentinel: Sentinel) -> bool:
    """Give the order; a Sentinel refuses it while it has not seen the replica well for some seconds."""
    try:
        sentinel.asked("FAILOVER", SERVICE)
    except redis.ResponseError as exc:
        if not str(exc).startswith(("NOGOODSLAVE", "INPROG")):
            raise
        return False
    return True


def _has_replaced(sentinel: Sentinel, server: RedisServer) -> bool:
    said = sentinel.state()
    return said[b"port"] != b"%d" % server.port and said[b"flags"] == b"master"


def _is_well(sentinel: Sentinel) -> bool:
    wanted = {b"num-other-sentinels": b"2", b"num-slaves": b"1", b"flags": b"master"}
    return wanted.items() <= sentinel.state().items()
