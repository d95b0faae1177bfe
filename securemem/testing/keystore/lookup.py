"""The keystore contract: finding, minting, guests, pages and floors."""

from __future__ import annotations

import asyncio

from securemem.keys.keystore import Keystore
from securemem.keys.rows import Floor, Found, Guard, GuestRow, Minted, Owner
from securemem.testing.keystore.hooks import (
    FIRST,
    TENANT,
    Hooks,
    OpenKeystore,
    Person,
    guard,
    guest_key,
    handle,
    mint,
    new_session,
    new_user,
    number_of,
    person,
    row_of,
    session_row,
    tag,
    tenant_keys,
    tenant_of,
)

NOBODY = Found(FIRST, None, None)
MANY = 64


def _without_number(found: Found) -> Found:
    return found._replace(user=found.user and found.user._replace(number=0))


class LookingUp(Hooks):
    """`find`, `mint`, `add_guest`, `guests`, `page`, `raise_floors`, `owner_of`."""

    async def test_what_was_minted_is_found(self, keystore: Keystore) -> None:
        """A user is found by their tag, and with the session's tag their session too; the rows come back whole."""
        user, session = ann = await person(keystore)
        found = await keystore.find([user.tag], [session.tag])
        assert _without_number(found) == Found(FIRST, ann.row, session_row(session))
        assert found.user is not None
        assert found.user == await keystore.user_row(user.handle)
        assert _without_number(await keystore.find([user.tag], [])) == Found(FIRST, ann.row, None)

    async def test_what_is_not_there_is_not_found(self, keystore: Keystore) -> None:
        """An unknown user, or none, gives only the open epoch; an unknown session of a known user gives the user."""
        user, session = await person(keystore)
        assert await keystore.find([tag()], [session.tag]) == NOBODY
        assert await keystore.find([], []) == NOBODY
        found = await keystore.find([user.tag], [tag()])
        assert (found.user is not None, found.session) == (True, None)

    async def test_a_session_is_found_with_its_own_user_only(self, keystore: Keystore) -> None:
        """One user's tag with another's session's finds the user without a session."""
        ann, bob = await person(keystore), await person(keystore)
        found = await keystore.find([ann.user.tag], [bob.session.tag])
        assert _without_number(found) == Found(FIRST, ann.row, None)

    async def test_any_of_several_tags_finds(self, keystore: Keystore) -> None:
        """Tags under several index keys are given, of which one is the row's."""
        user, session = await person(keystore)
        found = await keystore.find([tag(), user.tag], [tag(), session.tag, tag()])
        assert found.user is not None
        assert found.session == session_row(session)

    async def test_many_look_up_at_once(self, keystore: Keystore) -> None:
        """64 look-ups at once each find their own, those of nobody none."""
        people = [await person(keystore) for _ in range(8)]
        asked = [people[number % 8] if number % 5 else None for number in range(MANY)]
        found = await asyncio.gather(
            *(
                keystore.find([tag(), each.user.tag], [tag(), each.session.tag]) if each else keystore.find([tag()], [])
                for each in asked
            )
        )
        for each, answer in zip(asked, found, strict=True):
            expected = Found(FIRST, each.row, session_row(each.session)) if each else NOBODY
            assert _without_number(answer) == expected

    async def test_a_second_session(self, keystore: Keystore) -> None:
        """A session of a user who is there needs only their row, in its generation."""
        ann, second = await person(keystore), new_session()
        assert await mint(keystore, ann.row, second) is Minted.DONE
        assert (await keystore.find([ann.user.tag], [second.tag])).session == session_row(second)
        assert await mint(keystore, ann.row._replace(generation=2)) is Minted.USER_GONE
        assert await mint(keystore, row_of(new_user(1))) is Minted.USER_GONE
        assert await keystore.counts() == (1, 2)

    async def test_nothing_is_minted_twice(self, keystore: Keystore) -> None:
        """A user or a session that is there under any of the tags given is not inserted again, under no handle."""
        ann = await person(keystore)
        tenant = await tenant_of(keystore)
        again, other = new_user(tenant), new_session()
        assert await mint(keystore, new_user(tenant, user_tag=ann.user.tag)) is Minted.EXISTS
        assert await keystore.mint(again, other, Guard(FIRST, [again.tag, ann.user.tag], [other.tag])) is Minted.EXISTS
        assert await mint(keystore, ann.row, new_session(ann.session.tag)) is Minted.EXISTS
        under = Guard(FIRST, [ann.user.tag], [other.tag, ann.session.tag])
        assert await keystore.mint(ann.row, other, under) is Minted.EXISTS
        assert await keystore.counts() == (1, 1)

    async def test_only_the_open_epoch_is_minted_under(self, keystore: Keystore) -> None:
        """Whoever wraps under another epoch than the open one is told so, and nothing is inserted."""
        ann, tenant = await person(keystore), await tenant_of(keystore)
        assert await mint(keystore, new_user(tenant, epoch=2), epoch=2) is Minted.EPOCH_MOVED
        assert await mint(keystore, ann.row, epoch=2) is Minted.EPOCH_MOVED
        new = new_user(tenant)
        stale = guard(new, epoch=2)
        assert await keystore.add_guest(ann.session.handle, new, guest_key(), stale) is Minted.EPOCH_MOVED
        assert await keystore.counts() == (1, 1)

    async def test_many_new_people_at_once(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """64 first turns at once are all minted, over two adapters, and each is found by the other."""
        adapters = [keystore, await open_keystore()]
        tenant = await tenant_of(keystore)
        people = [Person(new_user(tenant), new_session()) for _ in range(MANY)]
        minted = await asyncio.gather(*(mint(adapters[number % 2], *each) for number, each in enumerate(people)))
        assert set(minted) == {Minted.DONE}
        for number, each in enumerate(people):
            found = await adapters[number % 2 - 1].find([each.user.tag], [each.session.tag])
            assert _without_number(found) == Found(FIRST, each.row, session_row(each.session))

    async def test_guests_come_back(self, keystore: Keystore) -> None:
        """A guest's key is given with the guest's row, whether that was there or is new."""
        host, bob = await person(keystore), await person(keystore)
        cleo, keys = new_user(await tenant_of(keystore)), [guest_key(), guest_key()]
        session = host.session.handle
        assert await keystore.add_guest(session, bob.row, keys[0], guard(bob.row)) is Minted.DONE
        assert await keystore.add_guest(session, cleo, keys[1], guard(cleo)) is Minted.DONE
        expected = {GuestRow(bob.row, keys[0]), GuestRow(row_of(cleo), keys[1])}
        assert set(await keystore.guests(session)) == expected
        assert await keystore.guests(bob.session.handle) == []
        assert await keystore.sessions_of(await number_of(keystore, cleo)) == ([], [session])
        assert await keystore.counts() == (3, 2)

    async def test_a_guest_is_added_once(self, keystore: Keystore) -> None:
        """A guest who has a key in a session gets no second one, and a person who is there no second row."""
        host, bob = await person(keystore), await person(keystore)
        key, twin = guest_key(), new_user(await tenant_of(keystore), user_tag=bob.user.tag)
        session = host.session.handle
        assert await keystore.add_guest(session, bob.row, key, guard(bob.row)) is Minted.DONE
        assert await keystore.add_guest(session, bob.row, guest_key(), guard(bob.row)) is Minted.EXISTS
        assert await keystore.add_guest(session, twin, guest_key(), guard(twin)) is Minted.EXISTS
        assert await keystore.guests(session) == [GuestRow(bob.row, key)]

    async def test_a_guest_needs_session_and_row(self, keystore: Keystore) -> None:
        """Without the session, or the guest's row in its generation, nothing is inserted."""
        host, cleo = await person(keystore), new_user(await tenant_of(keystore))
        gone = row_of(new_user(1))
        for session, user in ((handle(), cleo), (host.session.handle, gone), (handle(), gone)):
            assert await keystore.add_guest(session, user, guest_key(), guard(user)) is Minted.USER_GONE
        assert await keystore.counts() == (1, 1)
        assert await keystore.guests(host.session.handle) == []

    async def test_pages_go_through_all(self, keystore: Keystore) -> None:
        """Pages give every session of a tenant once, in the order they were made, and of one user theirs."""
        people = [await person(keystore) for _ in range(5)]
        late = new_session()
        assert await mint(keystore, people[1].row, late) is Minted.DONE
        tenant = await tenant_of(keystore)

        async def all_of(user: bytes | None) -> list[tuple[bytes, bytes]]:
            found, after = [], 0
            while page := await keystore.page(tenant, after=after, limit=2, user=user):
                assert len(page) <= 2
                found += [(owner.handle, session.handle) for _, owner, session in page]
                after = page[-1][0]
            return found

        expected = [(each.user.handle, each.session.handle) for each in people]
        assert await all_of(None) == [*expected, (people[1].user.handle, late.handle)]
        assert await all_of(people[1].user.handle) == [expected[1], (people[1].user.handle, late.handle)]
        assert await all_of(handle()) == []
        [(number, owner, session)] = await keystore.page(tenant, after=0, limit=1, user=None)
        assert number > 0
        assert (owner._replace(number=0), session) == (people[0].row, session_row(people[0].session))

    async def test_tenants_are_apart(self, keystore: Keystore) -> None:
        """A page is one tenant's."""
        await person(keystore)
        assert await keystore.add_tenant(handle(), "other", tenant_keys(FIRST)) is Minted.DONE
        other = await keystore.tenant("other")
        assert other is not None
        assert await keystore.page(other[0], after=0, limit=9, user=None) == []

    async def test_floors_only_rise(self, keystore: Keystore) -> None:
        """A floor takes its end along when it rises, and a lower one changes neither; the unknown are passed over."""
        ann, bob = await person(keystore), await person(keystore)
        one, two = ann.session, bob.session
        await keystore.raise_floors([Floor(one.handle, 7, 100), Floor(handle(), 9, 1), Floor(two.handle, 3, 0)])
        await keystore.raise_floors([Floor(one.handle, 6, 900), Floor(two.handle, 2**60, 2**52)])
        assert (await keystore.find([ann.user.tag], [one.tag])).session == session_row(one, 7, 100)
        assert (await keystore.find([bob.user.tag], [two.tag])).session == session_row(two, 2**60, 2**52)
        await keystore.raise_floors([])

    async def test_whose_session_it_is(self, keystore: Keystore) -> None:
        """A session's owner is told with its generation, floor and tenant; of one without a key nothing is."""
        user, session = await person(keystore)
        known = await keystore.tenant(TENANT)
        assert known is not None
        await keystore.raise_floors([Floor(session.handle, 5, 0)])
        assert await keystore.owner_of(session.handle) == Owner(user.handle, 1, 5, known[1])
        assert await keystore.owner_of(handle()) is None
