"""The keystore contract: tenants, and the way from one epoch to the next."""

from __future__ import annotations

import os

import pytest

from securemem.errors import NotReadyError
from securemem.keys.keystore import Keystore
from securemem.keys.rows import COMING, OPEN, EpochRow, Found, Minted, Rewrapped
from securemem.testing.keystore.hooks import (
    FIRST,
    TENANT,
    Hooks,
    handle,
    mint,
    new_session,
    number_of,
    person,
    session_row,
    tag,
    tenant_keys,
    tenant_of,
)

SECOND = 2


async def open_second(keystore: Keystore) -> None:
    """Move on to the second epoch."""
    await keystore.add_epoch(SECOND, COMING, 2000)
    for tenant, _, _ in await keystore.tenants():
        for row in tenant_keys(SECOND):
            await keystore.add_tenant_key(tenant, row)
    assert await keystore.switch_epoch(FIRST, SECOND, 3000)


def rewrapped(sessions: list[tuple[bytes, bytes]]) -> Rewrapped:
    """Give a user's key under the second epoch."""
    return Rewrapped(SECOND, os.urandom(80), tag(), sessions)


class Rotating(Hooks):
    """`Tenants` and `Epochs`."""

    async def test_a_tenant_comes_back(self, keystore: Keystore) -> None:
        """A tenant is found by name, with its keys by ascending epoch; an unknown one is not."""
        own, keys = handle(), tenant_keys(FIRST)
        assert await keystore.add_tenant(own, "ünï 'quoted'", keys) is Minted.DONE
        known = await keystore.tenant("ünï 'quoted'")
        assert known is not None
        number, found = known
        assert found == own
        assert (number, own, "ünï 'quoted'") in await keystore.tenants()
        assert len(await keystore.tenants()) == 2
        assert sorted(await keystore.tenant_keys(number)) == sorted(keys)
        await keystore.add_epoch(SECOND, COMING, 2000)
        for row in tenant_keys(SECOND):
            await keystore.add_tenant_key(number, row)
        assert [row.epoch for row in await keystore.tenant_keys(number)] == [1, 1, 1, 2, 2, 2]
        assert await keystore.tenant("nobody") is None

    async def test_a_tenant_is_made_once(self, keystore: Keystore) -> None:
        """A name that is there keeps its handle and keys; keys under another epoch than the open one are refused."""
        before = await keystore.tenant(TENANT)
        assert before is not None
        keys = await keystore.tenant_keys(before[0])
        assert await keystore.add_tenant(handle(), TENANT, tenant_keys(FIRST)) is Minted.EXISTS
        assert await keystore.add_tenant(handle(), "late", tenant_keys(SECOND)) is Minted.EPOCH_MOVED
        assert await keystore.tenant(TENANT) == before
        assert await keystore.tenant_keys(before[0]) == keys
        assert await keystore.tenant("late") is None

    async def test_tenants_are_renamed(self, keystore: Keystore) -> None:
        """Under its new name a tenant is who it was; once more, or of nobody, changes nothing."""
        known = await keystore.tenant(TENANT)
        assert await keystore.add_tenant(handle(), "another", tenant_keys(FIRST)) is Minted.DONE
        for _ in range(2):
            await keystore.rename_tenants({TENANT: "ünï 'quoted'", "nobody": "somebody"})
        assert await keystore.tenant("ünï 'quoted'") == known
        assert await keystore.route("ünï 'quoted'") is not None
        assert sorted(name for _, _, name in await keystore.tenants()) == ["another", "ünï 'quoted'"]

    async def test_tenants_whose_names_begin_otherwise(self, keystore: Keystore) -> None:
        """One is found among many; none where all names begin so, wildcards or not."""
        await keystore.rename_tenants({TENANT: "a_%\x1fone"})
        assert await keystore.add_tenant(handle(), "a_%\x1fünï", tenant_keys(FIRST)) is Minted.DONE
        assert not await keystore.is_any_apart("a_%\x1f")
        assert not await keystore.is_any_apart("")
        assert await keystore.is_any_apart("A_%\x1f")
        assert await keystore.add_tenant(handle(), "abc\x1fone", tenant_keys(FIRST)) is Minted.DONE
        assert await keystore.is_any_apart("a_%\x1f")

    async def test_a_tenants_key_stays(self, keystore: Keystore) -> None:
        """A key that is there is not replaced by another of its kind and epoch."""
        tenant = await tenant_of(keystore)
        before = await keystore.tenant_keys(tenant)
        for row in tenant_keys(FIRST):
            await keystore.add_tenant_key(tenant, row)
        assert await keystore.tenant_keys(tenant) == before

    async def test_keys_of_an_epoch_go(self, keystore: Keystore) -> None:
        """Deleting the tenants' keys of an epoch leaves those of others, and can be repeated."""
        await open_second(keystore)
        tenant = await tenant_of(keystore)
        for _ in range(2):
            await keystore.delete_tenant_keys(FIRST)
            assert {row.epoch for row in await keystore.tenant_keys(tenant)} == {SECOND}

    async def test_epochs_are_told_in_order(self, keystore: Keystore) -> None:
        """Epochs come ascending with state and time; one that is there stays as it is."""
        await keystore.add_epoch(3, COMING, 3000)
        await keystore.add_epoch(SECOND, COMING, 2000)
        await keystore.add_epoch(FIRST, COMING, 9000)
        assert await keystore.epochs() == [
            EpochRow(FIRST, OPEN, 1000),
            EpochRow(SECOND, COMING, 2000),
            EpochRow(3, COMING, 3000),
        ]

    async def test_a_switch_seals_and_opens(self, keystore: Keystore) -> None:
        """After a switch the old epoch is sealed and refused, and the new one open."""
        ann = await person(keystore)
        await open_second(keystore)
        assert await keystore.epochs() == [EpochRow(FIRST, "sealed", 3000), EpochRow(SECOND, OPEN, 3000)]
        assert (await keystore.find([], [])).open_epoch == SECOND
        assert await mint(keystore, ann.row) is Minted.EPOCH_MOVED
        assert await mint(keystore, ann.row, epoch=SECOND) is Minted.DONE
        await keystore.set_destroyed(FIRST, 4000)
        assert (await keystore.epochs())[0] == EpochRow(FIRST, "destroyed", 4000)

    async def test_a_switch_waits_for_every_tenant(self, keystore: Keystore) -> None:
        """While a tenant lacks any of its keys under the next epoch, nothing is switched."""
        await keystore.add_epoch(SECOND, COMING, 2000)
        tenant = await tenant_of(keystore)
        for row in tenant_keys(SECOND):
            assert not await keystore.switch_epoch(FIRST, SECOND, 3000)
            await keystore.add_tenant_key(tenant, row)
        assert [row.state for row in await keystore.epochs()] == [OPEN, COMING]
        assert await keystore.switch_epoch(FIRST, SECOND, 3000)

    async def test_only_the_open_epoch_is_sealed(self, keystore: Keystore) -> None:
        """A switch from an epoch that is not open, for another process was faster, is refused and changes nothing."""
        await open_second(keystore)
        before = await keystore.epochs()
        for old, new in ((FIRST, SECOND), (3, 4)):
            with pytest.raises(NotReadyError):
                await keystore.switch_epoch(old, new, 5000)
        assert await keystore.epochs() == before

    async def test_a_user_is_rewrapped(self, keystore: Keystore) -> None:
        """Under the new epoch a user and their sessions are found by their new tags alone, the sessions' keys kept."""
        ann, bob, second = await person(keystore), await person(keystore), new_session()
        assert await mint(keystore, ann.row, second) is Minted.DONE
        await open_second(keystore)
        assert await keystore.users_by_epoch() == {FIRST: 2}
        [(tenant, row), other] = await keystore.users_under(SECOND, 9)
        assert (tenant, row._replace(number=0), other[1].handle) == (
            await tenant_of(keystore),
            ann.row,
            bob.user.handle,
        )
        sessions = await keystore.sessions_to_retag(row.number)
        assert [session.handle for session in sessions] == [ann.session.handle, second.handle]
        assert [(session.wrapped, session.title) for session in sessions] == [
            (ann.session.wrapped, ann.session.title),
            (second.wrapped, second.title),
        ]
        new = rewrapped([(tag(), session.handle) for session in sessions])
        await keystore.rewrap(row, new)
        moved = row._replace(epoch=SECOND, wrapped=new.wrapped)
        assert await keystore.find([new.tag], [new.sessions[1][0]]) == Found(SECOND, moved, session_row(second))
        assert await keystore.find([ann.user.tag], [second.tag]) == Found(SECOND, None, None)
        assert await keystore.users_by_epoch() == {FIRST: 1, SECOND: 1}
        assert [user.handle for _, user in await keystore.users_under(SECOND, 9)] == [bob.user.handle]
        assert len(await keystore.users_under(3, 1)) == 1

    async def test_a_user_is_rewrapped_once(self, keystore: Keystore) -> None:
        """Where the old blob does not stand any more, neither the user nor a session's tag is changed."""
        ann = await person(keystore)
        await open_second(keystore)
        [(_, row)] = await keystore.users_under(SECOND, 9)
        first = rewrapped([(tag(), ann.session.handle)])
        await keystore.rewrap(row, first)
        for late in (rewrapped([(tag(), ann.session.handle)]), rewrapped([])):
            await keystore.rewrap(row, late)
        found = await keystore.find([first.tag], [first.sessions[0][0]])
        assert found.user == row._replace(epoch=SECOND, wrapped=first.wrapped)
        assert found.session == session_row(ann.session)

    async def test_who_was_shredded_is_not_rewrapped(self, keystore: Keystore) -> None:
        """Rewrapping a row that is gone, or without sessions, brings nothing back."""
        ann = await person(keystore)
        await open_second(keystore)
        [(_, row)] = await keystore.users_under(SECOND, 9)
        assert await keystore.shred_user(await number_of(keystore, ann.user), known={ann.session.handle})
        await keystore.rewrap(row, rewrapped([(tag(), ann.session.handle)]))
        assert await keystore.counts() == (0, 0)
