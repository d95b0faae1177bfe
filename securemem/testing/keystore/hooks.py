"""What the chapters of the keystore contract stand on: the hook that a subclass gives, and short ways to make rows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio

from securemem.keys.keystore import Keystore
from securemem.keys.rows import (
    OPEN,
    TENANT_KEY_KINDS,
    Guard,
    GuestKey,
    Minted,
    NewSession,
    NewUser,
    SessionRow,
    TenantKeyRow,
    UserRow,
)
from securemem.model import HANDLE_BYTES, NEVER, Stamp

STAMP = Stamp(b"deployment of 16", 1)
TENANT = "organisation"
FIRST = 1
"""The epoch that is open when a test begins."""

Connect = Callable[[], Keystore]
"""Gives an adapter over the test's own keys, not open yet."""

OpenKeystore = Callable[[], Awaitable[Keystore]]
"""Gives an open adapter over the test's own keys; it is closed when the test ends."""


class Person(NamedTuple):
    """A user's row as it is inserted, and a session's."""

    user: NewUser
    session: NewSession

    @property
    def row(self) -> UserRow:
        """The user's row as it is held by whoever inserted it."""
        return row_of(self.user)


def handle() -> bytes:
    """Give a handle that nobody has."""
    return os.urandom(HANDLE_BYTES)


def tag() -> bytes:
    """Give a lookup tag that nobody has."""
    return os.urandom(32)


def new_user(tenant: int, *, epoch: int = FIRST, user_tag: bytes | None = None) -> NewUser:
    """Give the row of somebody who is not there yet."""
    return NewUser(tenant, handle(), user_tag or tag(), epoch, 1, os.urandom(80), os.urandom(40))


def new_session(session_tag: bytes | None = None) -> NewSession:
    """Give the row of a session that is not there yet."""
    return NewSession(handle(), session_tag or tag(), 1, os.urandom(80), os.urandom(60))


def guest_key() -> GuestKey:
    """Give a guest's key."""
    return GuestKey(1, os.urandom(80))


def row_of(user: NewUser) -> UserRow:
    """Give a user's row as it is held by whoever inserted it."""
    return UserRow(0, user.handle, user.epoch, user.generation, user.wrapped, user.name)


def session_row(session: NewSession, floor: int = 0, ends: int = NEVER) -> SessionRow:
    """Give a session's row as it is found."""
    return SessionRow(session.handle, session.generation, floor, ends, session.wrapped, session.title)


def guard(user: NewUser | UserRow, session: NewSession | None = None, *, epoch: int = FIRST) -> Guard:
    """Give what has to hold for these to be inserted."""
    user_tags = [user.tag] if isinstance(user, NewUser) else [tag()]
    return Guard(epoch, user_tags, [session.tag] if session is not None else [])


async def mint(
    keystore: Keystore, user: NewUser | UserRow, session: NewSession | None = None, *, epoch: int = FIRST
) -> Minted:
    """Insert a session, by default a new one."""
    session = session or new_session()
    return await keystore.mint(user, session, guard(user, session, epoch=epoch))


async def tenant_of(keystore: Keystore) -> int:
    """Give the number of the test's tenant."""
    known = await keystore.tenant(TENANT)
    assert known is not None
    return known[0]


async def person(keystore: Keystore) -> Person:
    """Insert somebody with one session."""
    made = Person(new_user(await tenant_of(keystore)), new_session())
    assert await mint(keystore, *made) is Minted.DONE
    return made


async def number_of(keystore: Keystore, user: NewUser) -> int:
    """Give the number of a user's row that is there."""
    row = await keystore.user_row(user.handle)
    assert row is not None
    return row.number


def tenant_keys(epoch: int) -> list[TenantKeyRow]:
    """Give a tenant's keys under an epoch."""
    return [TenantKeyRow(kind, epoch, os.urandom(80)) for kind in TENANT_KEY_KINDS]


class Hooks:
    """The fixtures of the contract; a subclass of the contract gives `connect`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def connect(self) -> Connect:
        """Give what makes adapters; see `KeystoreContract`."""
        raise NotImplementedError("a subclass of KeystoreContract gives the fixture `connect`")

    @pytest_asyncio.fixture
    async def open_keystore(self, connect: Connect) -> AsyncIterator[OpenKeystore]:
        """Give what opens adapters, and close them when the test ends."""
        opened: list[Keystore] = []

        async def open_keystore() -> Keystore:
            keystore = connect()
            opened.append(keystore)
            await keystore.open()
            return keystore

        yield open_keystore
        for keystore in opened:
            await keystore.aclose()

    @pytest_asyncio.fixture
    async def keystore(self, open_keystore: OpenKeystore) -> Keystore:
        """Give one open adapter over a keystore with one epoch and one tenant."""
        keystore = await open_keystore()
        await keystore.stamp(STAMP)
        await keystore.add_epoch(FIRST, OPEN, 1000)
        assert await keystore.add_tenant(handle(), TENANT, tenant_keys(FIRST)) is Minted.DONE
        return keystore
