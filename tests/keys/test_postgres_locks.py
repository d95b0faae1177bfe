"""Insertions that are stopped half-way by a lock, and what may happen meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.keys.rows import COMING, Minted, NewUser
from securemem.postgres import Connection
from securemem.testing.keystore.hooks import (
    FIRST,
    Person,
    guard,
    guest_key,
    mint,
    new_user,
    person,
    tenant_keys,
    tenant_of,
)
from securemem.testing.keystore.rotating import SECOND

_USERS, _SESSIONS = "securemem_keystore_users", "securemem_keystore_sessions"
_WAIT = 0.2

Insert = Callable[[PostgresKeystore, NewUser, Person], Coroutine[None, None, Minted]]


async def _as_owner(keystore: PostgresKeystore, user: NewUser, _: Person) -> Minted:
    return await mint(keystore, user)


async def _as_guest(keystore: PostgresKeystore, user: NewUser, host: Person) -> Minted:
    return await keystore.add_guest(host.session.handle, user, guest_key(), guard(user))


@pytest.mark.parametrize("insert", [_as_owner, _as_guest])
async def test_an_epoch_is_not_sealed_under_an_insertion(
    keystore: PostgresKeystore, admin: Connection, insert: Insert
) -> None:
    """A switch waits for whoever has seen the old epoch open, and they are in before it."""
    host, new = await person(keystore), new_user(await tenant_of(keystore))
    await keystore.add_epoch(SECOND, COMING, 2000)
    for row in tenant_keys(SECOND):
        await keystore.add_tenant_key(await tenant_of(keystore), row)
    transaction = admin.transaction()
    await transaction.start()
    columns = "tenant, handle, tag, epoch, generation, wrapped, name"
    await admin.execute(f"INSERT INTO {_USERS} ({columns}) VALUES (1, 'x', $1, 1, 1, '', '')", new.tag)
    inserting = asyncio.create_task(insert(keystore, new, host))
    await asyncio.sleep(_WAIT)
    switching = asyncio.create_task(keystore.switch_epoch(FIRST, SECOND, 3000))
    await asyncio.sleep(_WAIT)
    assert not inserting.done(), "it waits for the other row of its tag"
    assert not switching.done(), "it waits for the insertion"
    assert (await keystore.find([host.user.tag], [])).user is not None, "look-ups go on"
    await transaction.rollback()
    assert await inserting is Minted.DONE
    assert await switching
    assert await keystore.users_by_epoch() == {FIRST: 2}


async def _row_as_owner(keystore: PostgresKeystore, user: Person, _: Person) -> Minted:
    return await mint(keystore, user.row)


async def _row_as_guest(keystore: PostgresKeystore, user: Person, host: Person) -> Minted:
    return await keystore.add_guest(host.session.handle, user.row, guest_key(), guard(user.row))


async def _row_as_host(keystore: PostgresKeystore, user: Person, host: Person) -> Minted:
    return await keystore.add_guest(user.session.handle, host.row, guest_key(), guard(host.row))


@pytest.mark.parametrize("insert", [_row_as_owner, _row_as_guest, _row_as_host])
@pytest.mark.parametrize("shredded", [True, False])
async def test_an_insertion_waits_for_a_shredding(
    keystore: PostgresKeystore,
    admin: Connection,
    insert: Callable[[PostgresKeystore, Person, Person], Coroutine[None, None, Minted]],
    *,
    shredded: bool,
) -> None:
    """Whoever meets a shredding under way waits; the person is gone for them where it was made, and else there."""
    user, host = await person(keystore), await person(keystore)
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(f"DELETE FROM {_SESSIONS} WHERE handle = $1", user.session.handle)
    await admin.execute(f"DELETE FROM {_USERS} WHERE handle = $1", user.user.handle)
    inserting = asyncio.create_task(insert(keystore, user, host))
    await asyncio.sleep(_WAIT)
    assert not inserting.done()
    await (transaction.commit() if shredded else transaction.rollback())
    assert await inserting is (Minted.USER_GONE if shredded else Minted.DONE)
