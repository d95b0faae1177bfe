"""A streaming replica of a PostgreSQL server, that can be made to lag and be promoted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from securemem.testing.servers.postgres import SUPERUSER, PostgresServer, execute, fetch_value, run_blocking
from securemem.testing.servers.server import HOST, wait_until


class PostgresReplica(PostgresServer):
    """A hot standby; the primary keeps the WAL that it has not had yet, in a slot.

    It has the primary's roles, passwords and databases, so `url` and `admin_url` give them on this server. Set
    `recovery_min_apply_delay` among the settings to make it lag by a fixed time.
    """

    name = "postgres-replica"

    def __init__(self, primary: PostgresServer, *, settings: Mapping[str, str] | None = None) -> None:
        """Say whose replica it is.

        Args:
            primary: it runs when this is started.
            settings: lines for postgresql.conf, over those that the primary has.
        """
        super().__init__(settings=settings, tls=primary.tls, program=primary.program)
        self.primary = primary
        self.passwords = primary.passwords

    def pause_replay(self) -> None:
        """Let what the primary does wait here, unseen, until `resume_replay`; it is still received."""
        run_blocking(execute(self.admin_url(), "SELECT pg_wal_replay_pause()"))
        self._wait("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    def resume_replay(self) -> None:
        """Catch up."""
        run_blocking(execute(self.admin_url(), "SELECT pg_wal_replay_resume()"))

    def catch_up(self) -> None:
        """Wait until everything that the primary has committed can be read here."""
        place = run_blocking(fetch_value(self.primary.admin_url(), "SELECT pg_current_wal_lsn()::text"))
        self._wait(f"SELECT pg_last_wal_replay_lsn() >= '{place}'")

    def promote(self) -> None:
        """Make it a primary of its own."""
        run_blocking(execute(self.admin_url(), "SELECT pg_promote()"))

    def _wait(self, query: str) -> None:
        wait_until(lambda: run_blocking(fetch_value(self.admin_url(), query)) is True, query)

    def create_data(self) -> None:
        """Copy the primary."""
        source = f"host={HOST} port={self.primary.port} user={SUPERUSER} dbname=postgres"
        if self.tls is not None:
            source += f" sslmode=verify-full sslrootcert={self.tls.authority}"
        slot = f"replica_{secrets.token_hex(6)}"
        self.run(
            "pg_basebackup",
            *("--dbname", source, "--pgdata", str(self.data), "--write-recovery-conf", "--checkpoint=fast"),
            *("--wal-method=stream", "--create-slot", "--slot", slot, "--no-sync"),
            environment={"PGPASSWORD": self.primary.passwords[SUPERUSER]},
        )
        self.add_settings(self.settings)

    def create_roles(self) -> None:
        """Have those of the primary."""
