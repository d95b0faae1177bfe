"""An open keystore on PostgreSQL, and a plain connection beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.keys.rows import OPEN
from securemem.postgres import Connection
from securemem.testing.keystore.hooks import FIRST, STAMP, TENANT, handle, tenant_keys


@asynccontextmanager
async def _begun(url: str) -> AsyncIterator[PostgresKeystore]:
    keystore = PostgresKeystore(url, {})
    await keystore.open()
    await keystore.stamp(STAMP)
    await keystore.add_epoch(FIRST, OPEN, 1000)
    await keystore.add_tenant(handle(), TENANT, tenant_keys(FIRST))
    yield keystore
    await keystore.aclose()


@pytest.fixture
async def keystore(postgres_url: str) -> AsyncIterator[PostgresKeystore]:
    """Give a keystore with one epoch and one tenant."""
    async with _begun(postgres_url) as keystore:
        yield keystore


@pytest.fixture
async def own_keystore(own_postgres_url: str) -> AsyncIterator[PostgresKeystore]:
    """Give such a keystore on the session's own server, whatever was named."""
    async with _begun(own_postgres_url) as keystore:
        yield keystore


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Connection]:
    """Give a plain connection to the keystore's database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()
