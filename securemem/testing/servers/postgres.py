"""A PostgreSQL server for tests: durable as in production, with a database for everybody who asks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import subprocess
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from securemem.testing.servers.binaries import Program, postgres_program
from securemem.testing.servers.home import unprivileged
from securemem.testing.servers.server import HOST, Server, ServerFailedError, Tls

T = TypeVar("T")

SUPERUSER, OWNER = "postgres", "securemem"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path would have to be short
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
}
_REMOVE_SHARED_MEMORY = 0  # IPC_RMID
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
_ACCESS_BY_TLS = _ACCESS.replace("host ", "hostssl ")


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop in a thread of its own; the caller may be on a loop and blocks."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def execute(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch_value(url: str, query: str) -> Any:
    """Give the first value that a query finds."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def create_database(url: str, owner: str | None = None) -> str:
    """Make an empty database through any database of a server; its name is random.

    Returns:
        Its name.
    """
    name = f"securemem_test_{secrets.token_hex(6)}"
    await execute(url, f"CREATE DATABASE {name} TEMPLATE template0" + (f" OWNER {owner}" if owner else ""))
    return name


async def drop_database(url: str, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    await execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def with_database(url: str, name: str) -> str:
    """Give the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


class PostgresServer(Server):
    """PostgreSQL with scram passwords; `fsync` and `synchronous_commit` are on.

    Databases belong to the role `securemem`, which is no superuser; `admin_url` connects as one.
    """

    name = "postgres"
    stop_signal = Signals.SIGINT

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        program: Program | None = None,
        data: Path | None = None,
    ) -> None:
        """Say how it is to be run.

        Args:
            settings: lines for postgresql.conf, over those of `_SETTINGS`.
            tls: makes it refuse connections without TLS.
            program: another PostgreSQL than the one that is found.
            data: where its data directory is made, for a disk of its own; by default in its folder.
        """
        self.program = program or postgres_program()
        super().__init__(unprivileged())
        self.data = (data or self.folder) / "data"
        self.passwords = {role: secrets.token_hex(16) for role in (SUPERUSER, OWNER)}
        self.settings = {**_SETTINGS, **(settings or {})}
        self.tls = tls

    def url(self, database: str = "postgres", role: str = OWNER) -> str:
        """Give the URL of a database, as the role that owns those that `create_database` makes."""
        query = "" if self.tls is None else f"?sslmode=verify-full&sslrootcert={self.tls.authority}"
        return f"postgresql://{role}:{self.passwords[role]}@{HOST}:{self.port}/{database}{query}"

    def admin_url(self, database: str = "postgres") -> str:
        """Give the URL of a database, as the superuser."""
        return self.url(database, SUPERUSER)

    def start(self) -> None:
        """Start it, the first time on a new data directory."""
        if self.data.exists():
            super().start()
            return
        self.create_data()
        super().start()
        self.create_roles()

    def close(self) -> None:
        """End it and remove its data, and the shared memory that a killed one has left."""
        status = self.data / "postmaster.pid"
        if not self.running and status.exists():
            _, _, identifier = status.read_text(encoding="utf-8").splitlines()[6].rpartition(" ")
            ctypes.CDLL(None).shmctl(int(identifier), _REMOVE_SHARED_MEMORY, None)
        super().close()

    def create_database(self) -> str:
        """Make an empty database; give its URL as its owner."""
        return self.url(run_blocking(create_database(self.admin_url(), OWNER)))

    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made."""
        run_blocking(drop_database(self.admin_url(), urlsplit(url).path[1:]))

    def _command(self) -> list[str]:
        return [str(self.program.path), "-D", str(self.data), "-p", str(self.port)]

    def _is_ready(self) -> bool:
        """Go by the status that the postmaster keeps: it says `ready` once recovery has come to an end."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def create_data(self) -> None:
        """Make its data directory."""
        secret = self.folder / "password"
        self.write(secret, self.passwords[SUPERUSER])
        options = ["--username", SUPERUSER, "--pwfile", str(secret), "--auth=scram-sha-256"]
        self.run("initdb", *options, "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata", str(self.data))
        secret.unlink()
        self.write(self.data / "pg_hba.conf", _ACCESS if self.tls is None else _ACCESS_BY_TLS)
        self.add_settings(self.settings)
        if self.tls is not None:
            for name, source in (("server.crt", self.tls.certificate), ("server.key", self.tls.key)):
                self.write(self.data / name, source.read_text(encoding="ascii"))
            self.add_settings({"ssl": "on"})

    def create_roles(self) -> None:
        """Make the role that databases belong to."""
        statement = f"CREATE ROLE {OWNER} LOGIN PASSWORD '{self.passwords[OWNER]}'"
        run_blocking(execute(self.admin_url(), statement))

    def add_settings(self, settings: Mapping[str, str]) -> None:
        """Add lines to postgresql.conf, of which the last ones count; they are read when it starts."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Run one of the programs that come with the server, as the account that runs it.

        Raises:
            ServerFailedError: it failed.
        """
        user, group = self._account or (None, None)
        done = subprocess.run(  # noqa: S603  (the server's own programs)
            [self.program.path.with_name(program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            user=user,
            group=group,
            extra_groups=None if self._account is None else [],
        )
        if done.returncode:
            raise ServerFailedError(f"{program} failed:\n{done.stderr[-2_000:]}")
