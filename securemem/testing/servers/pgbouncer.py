"""PgBouncer in front of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from securemem.testing.servers.binaries import pgbouncer_program
from securemem.testing.servers.home import unprivileged
from securemem.testing.servers.postgres import OWNER, PostgresServer
from securemem.testing.servers.server import HOST, Server

_SETTINGS = {
    "listen_addr": HOST,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": "20",
    "max_client_conn": "500",
}


class PgBouncer(Server):
    """PgBouncer in transaction mode, for all databases and roles of one server."""

    name = "pgbouncer"

    def __init__(self, server: PostgresServer, *, settings: Mapping[str, str] | None = None) -> None:
        """Say where it stands.

        Args:
            server: what is behind it; it runs when this is started.
            settings: lines for pgbouncer.ini, over those of `_SETTINGS`.
        """
        self.program = pgbouncer_program()
        super().__init__(unprivileged())
        self.server = server
        self._settings = {**_SETTINGS, **(settings or {})}

    def url(self, database: str = "postgres", role: str = OWNER) -> str:
        """Give the URL of a database through it."""
        return f"postgresql://{role}:{self.server.passwords[role]}@{HOST}:{self.port}/{database}"

    def through(self, url: str) -> str:
        """Give the URL of one of the server's databases as one through it."""
        parts = urlsplit(url)
        return self.url(parts.path[1:], parts.username or OWNER)

    def _command(self) -> list[str]:
        users, configuration = self.folder / "users", self.folder / "pgbouncer.ini"
        self.write(users, "".join(f'"{role}" "{secret}"\n' for role, secret in self.server.passwords.items()))
        settings = {**self._settings, "auth_file": str(users), "listen_port": str(self.port)}
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        databases = f"[databases]\n* = host={HOST} port={self.server.port}\n"
        self.write(configuration, f"{databases}[pgbouncer]\n{''.join(lines)}")
        return [str(self.program.path), str(configuration)]

    def _is_ready(self) -> bool:
        return "process up" in self.log()
