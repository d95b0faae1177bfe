"""A Redis Cluster of six nodes: three primaries, each with a replica that takes over when it is gone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import redis

from securemem.testing.servers.redis import RedisServer
from securemem.testing.servers.server import HOST, ServerFailedError, Tls, free_port, wait_until

_PRIMARIES, _SLOTS = 3, 16_384
_LOG_TAIL = 2_000
_PATIENCE = 90.0
_SETTINGS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1500",  # milliseconds; after about twice that a replica takes over
    "repl-ping-replica-period": "1",  # seconds; a replica is listed once it has been sent something
    "cluster-replica-validity-factor": "0",  # it may, however long it was without its primary
}


class ClusterNode(RedisServer):
    """One node; its bus has a port of its own."""

    name = "redis-node"

    def __init__(self, *, settings: Mapping[str, str], tls: Tls | None = None) -> None:
        """Say how it is to be run."""
        secure = {} if tls is None else {"tls-cluster": "yes", "tls-replication": "yes"}
        super().__init__(settings={**_SETTINGS, **secure, **settings}, tls=tls)
        self.bus_port = free_port()

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-port", str(self.bus_port)]

    def _launch(self) -> None:
        try:
            super()._launch()
        except ServerFailedError:
            self.bus_port = free_port()  # somebody may have taken that one since
            raise

    def ask(self, *words: str) -> Any:
        """Send one command."""
        with self.client() as client:
            return client.execute_command(*words)

    def forget(self) -> None:
        """Remove what it has written of its data and of other nodes; it does not run."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix in (".rdb", ".aof") or path.name == "nodes.conf":
                path.unlink()

    def state(self) -> dict[str, str]:
        """Give what CLUSTER INFO says."""
        with self.client() as client:
            found: dict[str, str] = client.execute_command("CLUSTER INFO")
            return found

    def ranges(self) -> list[tuple[int, int, list[int]]]:
        """Give the first and last slot of every range as it sees them, and the ports of its primary and replicas."""
        with self.client() as client:
            client.response_callbacks.clear()
            found: list[Any] = client.execute_command("CLUSTER", "SLOTS")
        return [(start, end, [node[1] for node in nodes]) for start, end, *nodes in found]


class RedisCluster:
    """Six nodes on 127.0.0.1 for as long as its context lasts.

    Attributes:
        nodes: all of them; the first three began as primaries, each of the last three as the replica of one.
    """

    def __init__(self, *, settings: Mapping[str, str] | None = None, tls: Tls | None = None) -> None:
        """Say how the nodes are to be run.

        Args:
            settings: lines for every node's redis.conf, over `_SETTINGS` and those of `RedisServer`.
            tls: makes them speak TLS and nothing else, to each other too.
        """
        self.nodes = [ClusterNode(settings=settings or {}, tls=tls) for _ in range(2 * _PRIMARIES)]
        self.program = self.nodes[0].program
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the nodes and make a cluster of them."""
        with self._open as started:
            for node in self.nodes:
                started.enter_context(node)
            self._join()
            self._open = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all nodes and remove their data."""
        self._open.close()

    @property
    def url(self) -> str:
        """The URL of the cluster, by its first node."""
        scheme, _, rest = self.nodes[0].url.partition("://")
        return f"{scheme}+cluster://{rest.replace('/0', '', 1)}"

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every node."""
        return [(HOST, node.port) for node in self.nodes]

    @property
    def running(self) -> list[ClusterNode]:
        """The nodes that run."""
        return [node for node in self.nodes if node.running]

    def primary_of(self, key: str) -> ClusterNode:
        """Give the running node that a key lies on."""
        asked = self.running[0]
        slot = asked.ask("CLUSTER", "KEYSLOT", key)
        [port] = [ports[0] for start, end, ports in asked.ranges() if start <= slot <= end]
        [found] = [node for node in self.running if node.port == port]
        return found

    def replica_of(self, key: str) -> ClusterNode:
        """Give the running node that has a copy of a key."""
        port = self.primary_of(key).port
        [found] = [node for node in self.running if node.info("replication").get("master_port") == port]
        return found

    def fail_over(self, key: str) -> None:
        """Let a key's replica take over from its primary in good order."""
        replica = self.replica_of(key)
        replica.ask("CLUSTER", "FAILOVER")
        wait_until(lambda: replica.info("replication")["role"] == "master", "the replica has taken over")
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until all running nodes agree: every slot has a primary that runs, every running replica is linked.

        Raises:
            TimeoutError: they do not, though an operator gave a hand; it says what each node sees.
        """
        ports = {node.port for node in self.running}

        def is_whole() -> bool:
            return all(_is_well(node, ports) for node in self.running)

        try:
            wait_until(is_whole, "the cluster is whole")
        except TimeoutError:
            self._take_over(ports)
        try:
            wait_until(is_whole, "the cluster is whole", patience=_PATIENCE)
        except TimeoutError as exc:
            for node in self.nodes:
                exc.add_note(f"{node.port} ({'running' if node.running else 'down'}): {_view(node)}")
            raise

    def _take_over(self, running: set[int]) -> None:
        """Let replicas whose primaries are gone take over without a vote: on a busy machine none may come about."""
        for node in self.running:
            if node.info("replication").get("master_port", node.port) not in running:
                node.ask("CLUSTER", "FAILOVER", "TAKEOVER")

    def restore(self) -> None:
        """Start the nodes that do not run, and wait until all is well."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.wait_until_whole()

    def begin_anew(self) -> None:
        """Make another cluster of the nodes, that knows of nothing."""
        for node in self.nodes:
            node.kill()
            node.forget()
        for node in self.nodes:
            node.start()
        self._join()

    def flush(self) -> None:
        """Remove all keys, scripts and functions."""
        for node in self.nodes:
            if node.info("replication")["role"] == "master":
                node.flush()

    def _join(self) -> None:
        primaries, replicas = self.nodes[:_PRIMARIES], self.nodes[_PRIMARIES:]
        first = primaries[0]
        bounds = [_SLOTS * number // _PRIMARIES for number in range(_PRIMARIES + 1)]
        for number, node in enumerate(self.nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number))
        for node, start, end in zip(primaries, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(start), str(end - 1))
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", HOST, str(first.port), str(first.bus_port))
        wait_until(lambda: all(_knows_all(node) for node in self.nodes), "the nodes have met")
        for primary, replica in zip(primaries, replicas, strict=True):
            name = primary.ask("CLUSTER", "MYID")
            replica.ask("CLUSTER", "REPLICATE", name.decode())
        self.wait_until_whole()


def _knows_all(node: ClusterNode) -> bool:
    return node.state()["cluster_known_nodes"] == str(2 * _PRIMARIES)


def _view(node: ClusterNode) -> str:
    """Give what a node sees, and the end of its log, for an error."""
    try:
        nodes = node.ask("CLUSTER", "NODES")
    except (OSError, redis.RedisError) as exc:
        nodes = repr(exc)
    return f"{nodes}\n{node.log()[-_LOG_TAIL:]}"


def _is_well(node: ClusterNode, running: set[int]) -> bool:
    replication = node.info("replication")
    linked = replication["role"] == "master" or replication["master_link_status"] == "up"
    listed = {port for _, _, ports in node.ranges() for port in ports}
    return linked and listed == running and node.state()["cluster_state"] == "ok"
