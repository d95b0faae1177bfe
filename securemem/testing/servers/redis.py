"""A Redis or Valkey server for tests: its append-only file is on, synced every second unless said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from securemem.testing.servers.binaries import Program, redis_program
from securemem.testing.servers.server import HOST, Server, Tls, wait_until

_SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "repl-diskless-sync-delay": "0",  # a replica that is alone need not wait for others
}


class RedisServer(Server):
    """Redis as in production: durable to the second, no password and no memory limit unless settings say so."""

    name = "redis"

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        password: str | None = None,
        tls: Tls | None = None,
        replica_of: RedisServer | None = None,
        program: Program | None = None,
        data: Path | None = None,
    ) -> None:
        """Say how it is to be run.

        Args:
            settings: lines for redis.conf, over those of `_SETTINGS`.
            password: what `requirepass` is to be.
            tls: makes it speak TLS and nothing else.
            replica_of: makes it a replica of a server that runs, read-only as replicas are.
            program: another server than the one that is found.
            data: where it keeps its files, for a disk of its own; by default in its folder.
        """
        self.program = program or redis_program()
        super().__init__()
        self.data = data or self.folder
        self.password = password
        self._settings = {**_SETTINGS, "dir": str(self.data), **(settings or {})}
        if password is not None:
            self._settings |= {"requirepass": password, "masterauth": password}
        if tls is not None:
            self._settings |= {
                "port": "0",
                "tls-cert-file": str(tls.certificate),
                "tls-key-file": str(tls.key),
                "tls-ca-cert-file": str(tls.authority),
                "tls-auth-clients": "no",
            }
        if replica_of is not None:
            self._settings["replicaof"] = f"{HOST} {replica_of.port}"
        self._tls = tls
        self._primary = replica_of

    @property
    def url(self) -> str:
        """The URL of database 0."""
        scheme = "redis" if self._tls is None else "rediss"
        secret = "" if self.password is None else f":{self.password}@"
        query = "" if self._tls is None else f"?ssl_ca_certs={self._tls.authority}"
        return f"{scheme}://{secret}{HOST}:{self.port}/0{query}"

    def client(self) -> redis.Redis:
        """Give a client that blocks; close it."""
        return redis.Redis.from_url(self.url)

    def flush(self) -> None:
        """Make it as it was when new: no keys, scripts or functions."""
        with self.client() as client:
            client.flushall()
            client.script_flush()
            client.function_flush()

    def _command(self) -> list[str]:
        """Give the port beside the file of settings: the server may rewrite that."""
        configuration = self.folder / "redis.conf"
        if not configuration.exists():
            self.write(configuration, "".join(f'{name} "{value}"\n' for name, value in self._settings.items()))
        port = "--port" if self._tls is None else "--tls-port"
        return [str(self.program.path), str(configuration), port, str(self.port)]

    def _is_ready(self) -> bool:
        return "Ready to accept connections" in self.log()

    def info(self, section: str) -> dict[str, Any]:
        """Give a section of what INFO says."""
        with self.client() as client:
            return dict(client.info(section))

    def catch_up(self) -> None:
        """Wait until this replica has all that its primary has."""
        if self._primary is None:
            raise RuntimeError("only a replica can catch up")
        wanted = self._primary.info("replication")["master_repl_offset"]
        wait_until(lambda: self._received() >= wanted, "the replica has what the primary has")

    def _received(self) -> int:
        said = self.info("replication")
        return int(said["slave_repl_offset"]) if said.get("master_link_status") == "up" else -1
