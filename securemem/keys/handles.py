"""Lists sessions by their handles, without unwrapping anything: a tenant's, and a person's."""

from __future__ import annotations

from collections.abc import AsyncIterator

from securemem.keys.keyring import Keyring


async def of_tenant(keyring: Keyring, *, at_once: int) -> AsyncIterator[list[bytes]]:
    """Go through the sessions of the keyring's tenant, so many at a time."""
    after = 0
    while page := await keyring.keystore.page(keyring.tenant_number, after=after, limit=at_once, user=None):
        after = page[-1][0]
        yield [row.handle for _, _, row in page]


async def of_person(keyring: Keyring, person: bytes) -> tuple[list[bytes], list[bytes]]:
    """Give a person's own sessions, and those in which they are a guest; none of who is not there any more."""
    row = await keyring.keystore.user_row(person)
    return await keyring.keystore.sessions_of(row.number) if row is not None else ([], [])
