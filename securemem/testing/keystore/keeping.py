"""The keystore contract: the stamp, opening and closing, backups, purging."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from securemem.errors import ConfigurationError
from securemem.keys.keystore import Keystore
from securemem.keys.rows import OPEN, Floor, Minted
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import Residue, Stamp
from securemem.testing.keystore.hooks import (
    FIRST,
    STAMP,
    TENANT,
    Connect,
    Hooks,
    OpenKeystore,
    Person,
    guard,
    guest_key,
    handle,
    mint,
    new_session,
    number_of,
    person,
    tenant_keys,
    tenant_of,
)
from securemem.testing.keystore.rotating import open_second


async def _everything(keystore: Keystore) -> list[object]:
    tenant = await tenant_of(keystore)
    page = await keystore.page(tenant, after=0, limit=99, user=None)
    guests = [await keystore.guests(session.handle) for _, _, session in page]
    keys = sorted(await keystore.tenant_keys(tenant))
    return [page, guests, keys, await keystore.epochs(), await keystore.tenants(), await keystore.stamp_now()]


async def _begin(keystore: Keystore) -> None:
    await keystore.open()
    await keystore.stamp(STAMP)
    await keystore.add_epoch(FIRST, OPEN, 1000)
    await keystore.add_tenant(handle(), TENANT, tenant_keys(FIRST))


async def _fill(keystore: Keystore) -> list[Person]:
    """Fill a keystore with some of everything."""
    people = [await person(keystore) for _ in range(5)]
    host = people[0].session.handle
    assert await mint(keystore, people[0].row, new_session()) is Minted.DONE
    for guest in people[1:3]:
        assert await keystore.add_guest(host, guest.row, guest_key(), guard(guest.row)) is Minted.DONE
    await keystore.raise_floors([Floor(host, 2**60, 2**52)])
    return people


class Keeping(Hooks):
    """`Store`."""

    async def test_an_unused_keystore_has_no_stamp(self, connect: Connect) -> None:
        """A keystore that no deployment has used yet opens with None, however often it is opened."""
        for _ in range(2):
            keystore = connect()
            assert await keystore.open() is None
            await keystore.aclose()

    async def test_the_deployment_is_set_once(self, keystore: Keystore, connect: Connect) -> None:
        """The first stamp's deployment stays, and the counter only rises."""
        for counter in (5, 3, 2**40, 8):
            await keystore.stamp(Stamp(b"another's number", counter))
        other = connect()
        assert await other.open() == Stamp(STAMP.deployment, 2**40)
        assert await other.stamp_now() == await keystore.stamp_now()
        await other.aclose()

    async def test_two_stamp_at_once(self, open_keystore: OpenKeystore) -> None:
        """Of two that begin a deployment in an unused keystore at once, one is there, with the higher counter."""
        one, two = await open_keystore(), await open_keystore()
        stamps = [Stamp(b"a" * 16, 3), Stamp(b"b" * 16, 9)]
        await asyncio.gather(one.stamp(stamps[0]), two.stamp(stamps[1]))
        assert await one.stamp_now() == await two.stamp_now()
        assert await one.stamp_now() in (Stamp(b"a" * 16, 9), Stamp(b"b" * 16, 9))

    async def test_everything_is_there_after_reopening(self, keystore: Keystore, connect: Connect) -> None:
        """After `aclose`, which can be repeated, what is opened next has every row."""
        await _fill(keystore)
        before = await _everything(keystore)
        for _ in range(2):
            await keystore.aclose()
        again = connect()
        assert await again.open() == STAMP
        assert await _everything(again) == before
        await again.aclose()

    async def test_the_place_is_named(self, keystore: Keystore) -> None:
        """The place is a text without a password."""
        assert keystore.place
        assert "@" not in keystore.place

    async def test_a_backup_is_a_keystore(self, keystore: Keystore, tmp_path: Path) -> None:
        """A backup is a file for its owner alone, opens as a SQLite keystore, and has every row; the digest is its."""
        await _fill(keystore)
        path = tmp_path / "backup.db"
        digest = await keystore.backup(path)
        assert path.stat().st_mode & 0o777 == 0o600
        copy = SqliteKeystore(str(path))
        assert await copy.open() == await keystore.stamp_now()
        assert await _everything(copy) == await _everything(keystore)
        assert await copy.backup(tmp_path / "second.db") == digest
        assert await mint(copy, (await copy.page(1, after=0, limit=1, user=None))[0][1]) is Minted.DONE
        assert await copy.backup(tmp_path / "third.db") != digest
        await copy.aclose()

    async def test_a_backup_is_taken_of_one_moment(self, keystore: Keystore, tmp_path: Path) -> None:
        """While sessions are minted and people are shredded, a backup has no session without its user."""
        stop = asyncio.Event()

        async def come_and_go() -> None:
            while not stop.is_set():
                ann = await person(keystore)
                assert await keystore.shred_user(await number_of(keystore, ann.user), known={ann.session.handle})

        tasks = [asyncio.create_task(come_and_go()) for _ in range(4)]
        for number in range(5):
            path = tmp_path / f"{number}.db"
            await keystore.backup(path)
            copy = SqliteKeystore(str(path))
            await copy.open()
            users, sessions = await copy.counts()
            assert users == sessions
            await copy.aclose()
        stop.set()
        await asyncio.gather(*tasks)

    async def test_a_backup_is_adopted(self, connect: Connect, tmp_path: Path) -> None:
        """An unused keystore takes over another's backup with every row; numbers go on above those that are there."""
        source = SqliteKeystore(str(tmp_path / "source.db"))
        await _begin(source)
        people = await _fill(source)
        keystore = connect()
        assert await keystore.open() is None
        await source.backup(tmp_path / "copy.db")
        await keystore.adopt(tmp_path / "copy.db")
        assert not (tmp_path / "copy.db").exists()
        await keystore.aclose()
        keystore = connect()
        assert await keystore.open() == STAMP
        assert await _everything(keystore) == await _everything(source)
        newest = await number_of(keystore, people[-1].user)
        await source.aclose()
        assert await number_of(keystore, (await person(keystore)).user) > newest
        await keystore.aclose()

    async def test_what_is_not_adopted(self, keystore: Keystore, connect: Connect, tmp_path: Path) -> None:
        """Where a keystore is, none is put, and a file that is none is put nowhere; all stays as it was."""
        before = await _everything(keystore)
        await keystore.backup(tmp_path / "copy.db")
        await keystore.aclose()
        keystore = connect()
        with pytest.raises(ConfigurationError):
            await keystore.adopt(tmp_path / "copy.db")
        await keystore.open()
        assert await _everything(keystore) == before
        await keystore.aclose()

    async def test_floors_are_forgotten(self, keystore: Keystore) -> None:
        """Where data was restored on purpose, any state of what it lacks is accepted; others keep theirs."""
        people = [await person(keystore) for _ in range(3)]
        handles = [each.session.handle for each in people]
        await keystore.raise_floors([Floor(session, 9, 7) for session in handles])
        await keystore.forget_floors(handles[:2])
        owners = [await keystore.owner_of(session) for session in handles]
        assert [owner.floor for owner in owners if owner is not None] == [0, 0, 9]
        page = await keystore.page(await tenant_of(keystore), after=0, limit=9, user=None)
        assert [(row.floor, row.floor_ends) for _, _, row in page] == [(0, 0), (0, 0), (9, 7)]

    async def test_where_a_backup_cannot_lie(self, keystore: Keystore, tmp_path: Path) -> None:
        """An existing file, and a missing folder, are refused and left as they were."""
        taken = tmp_path / "taken.db"
        taken.write_text("mine")
        for path in (taken, tmp_path / "no" / "backup.db"):
            with pytest.raises(ConfigurationError):
                await keystore.backup(path)
        assert taken.read_text() == "mine"

    async def test_purge_takes_nothing_that_lives(self, keystore: Keystore) -> None:
        """Purging after deletions and a rewrap gives a list of residues, and what was not deleted stays."""
        people = await _fill(keystore)
        await open_second(keystore)
        gone = people[4]
        assert await keystore.shred_user(await number_of(keystore, gone.user), known={gone.session.handle})
        before = await _everything(keystore)
        left = await keystore.purge(5.0)
        assert all(residue == Residue("keystore", residue.what, residue.until, residue.kind) for residue in left)
        assert await _everything(keystore) == before
