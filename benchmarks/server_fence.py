"""Our store behind PostgreSQL's row level security, set up as `deploy/postgresql-tenants.sql` says."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from benchmarks.server_places import Place, open_ours
from benchmarks.stores import Ours
from securemem.testing.servers.postgres import execute

_SCRIPT = Path(__file__).parents[1] / "deploy" / "postgresql-tenants.sql"
_ROLE = "securemem_app"
POOLER = "?pooler=transaction"
"""What a URL says behind a pooler by transaction; the tenant is then set in every transaction anew."""


@contextlib.asynccontextmanager
async def open_fenced(
    place: Place, folder: Path, *, max_messages: int, ttl: float, options: str = ""
) -> AsyncIterator[Ours]:
    """Open our store in an empty database as a role that owns nothing.

    Args:
        place: the database, by the URL of a user who may make roles.
        folder: as `open_ours`.
        max_messages: likewise.
        ttl: likewise.
        options: likewise.
    """
    async with open_ours(place, folder):
        """The tables are there now."""
    role, password = f"securemem_test_{secrets.token_hex(6)}", secrets.token_hex(16)
    script = _SCRIPT.read_text(encoding="utf-8").replace(_ROLE, role)
    await execute(place.url, script, f"ALTER ROLE {role} PASSWORD '{password}'")
    url = make_url(place.url).set(username=role, password=password).render_as_string(hide_password=False)
    try:
        async with open_ours(
            place._replace(url=url), folder, max_messages=max_messages, ttl=ttl, options=options
        ) as ours:
            yield ours
        await _check_fence(place.url, url)
    finally:
        await execute(place.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def _check_fence(owner: str, role: str) -> None:
    """Make sure that the role sees nothing without a tenant, lest the variant measure nothing.

    Raises:
        RuntimeError: it does, or there is nothing to be seen.
    """
    seen = []
    for url in (owner, role):
        connection = await asyncpg.connect(url)
        try:
            seen.append(await connection.fetchval("SELECT count(*) FROM messages"))
        finally:
            await connection.close()
    if not seen[0] or seen[1]:
        raise RuntimeError(f"row level security does not hold: the owner sees {seen[0]} rows, the role {seen[1]}")
