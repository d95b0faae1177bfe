"""The keystore contract: what shredding takes, and what it leaves."""

from __future__ import annotations

from securemem.keys.keystore import Keystore
from securemem.keys.rows import COMING, GuestKey, GuestRow, Minted, Renewed, UserRow
from securemem.testing.keystore.hooks import (
    FIRST,
    Hooks,
    Person,
    guard,
    guest_key,
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


class Shredding(Hooks):
    """`user_row`, `sessions_of`, `shred_user`, `renew_user`, `shred_session`."""

    async def test_a_user_goes_with_all_sessions(self, keystore: Keystore) -> None:
        """The user's row, their sessions, the guests' keys in these and their own in others' sessions are gone."""
        ann, bob, cleo = [await person(keystore) for _ in range(3)]
        second, kept = new_session(), guest_key()
        assert await mint(keystore, ann.row, second) is Minted.DONE
        for session, guest, key in (
            (second.handle, bob, guest_key()),
            (bob.session.handle, ann, guest_key()),
            (bob.session.handle, cleo, kept),
        ):
            assert await keystore.add_guest(session, guest.row, key, guard(guest.row)) is Minted.DONE
        number = await number_of(keystore, ann.user)
        own, visited = await keystore.sessions_of(number)
        assert (own, visited) == ([ann.session.handle, second.handle], [bob.session.handle])
        assert await keystore.shred_user(number, known={*own, *visited})
        assert await keystore.user_row(ann.user.handle) is None
        assert (await keystore.find([ann.user.tag], [ann.session.tag])).user is None
        assert await keystore.sessions_of(number) == ([], [])
        assert await keystore.owner_of(second.handle) is None
        assert await keystore.guests(second.handle) == []
        assert await keystore.guests(bob.session.handle) == [GuestRow(cleo.row, kept)]
        assert (await keystore.find([bob.user.tag], [bob.session.tag])).session == session_row(bob.session)
        assert await keystore.counts() == (2, 2)

    async def test_no_session_is_passed_over(self, keystore: Keystore) -> None:
        """While a session, or one that they are a guest in, is not among the known, nothing is deleted."""
        ann, bob = await person(keystore), await person(keystore)
        assert await keystore.add_guest(bob.session.handle, ann.row, guest_key(), guard(ann.row)) is Minted.DONE
        number = await number_of(keystore, ann.user)
        for known in (set(), {ann.session.handle}, {bob.session.handle}, {handle()}):
            assert not await keystore.shred_user(number, known=known)
        assert (await keystore.find([ann.user.tag], [ann.session.tag])).session == session_row(ann.session)
        assert len(await keystore.guests(bob.session.handle)) == 1
        assert await keystore.shred_user(number, known={ann.session.handle, bob.session.handle, handle()})
        assert await keystore.counts() == (1, 1)

    async def test_shredding_twice(self, keystore: Keystore) -> None:
        """A user, and a session, that are gone can be shredded again; others stay."""
        ann, _ = await person(keystore), await person(keystore)
        number = await number_of(keystore, ann.user)
        for _ in range(2):
            await keystore.shred_session(ann.session.handle)
            assert await keystore.counts() == (2, 1)
        for _ in range(2):
            assert await keystore.shred_user(number, known=set())
            assert await keystore.counts() == (1, 1)

    async def test_a_session_goes_with_its_guests(self, keystore: Keystore) -> None:
        """The session's key and its guests' in it are gone; owner and guests stay, and a new one can be minted."""
        ann, bob = await person(keystore), await person(keystore)
        session = ann.session.handle
        assert await keystore.add_guest(session, bob.row, guest_key(), guard(bob.row)) is Minted.DONE
        await keystore.shred_session(session)
        assert await keystore.guests(session) == []
        assert await keystore.owner_of(session) is None
        assert await keystore.sessions_of(await number_of(keystore, bob.user)) == ([bob.session.handle], [])
        assert await keystore.counts() == (2, 1)
        again = new_session(ann.session.tag)
        assert await mint(keystore, ann.row, again) is Minted.DONE
        assert (await keystore.find([ann.user.tag], [again.tag])).session == session_row(again)

    async def test_who_was_shredded_is_not_written_for(self, keystore: Keystore) -> None:
        """Under a row that is gone no session is minted and no guest added, nor into a session that is gone."""
        ann, bob = await person(keystore), await person(keystore)
        assert await keystore.shred_user(await number_of(keystore, ann.user), known={ann.session.handle})
        assert await mint(keystore, ann.row) is Minted.USER_GONE
        for session, guest in ((bob.session.handle, ann), (ann.session.handle, bob)):
            assert await keystore.add_guest(session, guest.row, guest_key(), guard(guest.row)) is Minted.USER_GONE
        assert await keystore.counts() == (1, 1)

    async def test_a_number_is_never_another_users(self, keystore: Keystore) -> None:
        """Whoever comes after a user who was shredded has another number."""
        ann = await person(keystore)
        number = await number_of(keystore, ann.user)
        assert await keystore.shred_user(number, known={ann.session.handle})
        assert await number_of(keystore, (await person(keystore)).user) > number

    async def test_a_user_goes_on_under_a_new_key(self, keystore: Keystore) -> None:
        """What goes on is wrapped anew and found by its new tag; every other key of theirs is gone, nobody else's."""
        ann, bob, cleo = [await person(keystore) for _ in range(3)]
        gone = new_session()
        assert await mint(keystore, ann.row, gone) is Minted.DONE
        for session, guest in ((gone.handle, cleo), (bob.session.handle, ann), (cleo.session.handle, ann)):
            assert await keystore.add_guest(session, guest.row, guest_key(), guard(guest.row)) is Minted.DONE
        assert await keystore.add_guest(ann.session.handle, bob.row, kept := guest_key(), guard(bob.row)) is Minted.DONE
        new = _renewed(ann, visits=[bob.session.handle])
        known = {gone.handle, cleo.session.handle}
        assert await keystore.renew_user(new, known=known) is Minted.DONE
        [(_, session_tag, wrapped)], [(_, visiting)] = new.sessions, new.visits
        found = await keystore.find([new.tag], [session_tag])
        assert found.session == session_row(ann.session)._replace(wrapped=wrapped)
        assert found.user is not None
        row = UserRow(found.user.number, ann.user.handle, FIRST, 2, new.wrapped, new.name)
        assert found.user == await keystore.user_row(ann.user.handle) == row
        assert (await keystore.find([ann.user.tag], [])).user is None
        assert await keystore.sessions_of(row.number) == ([ann.session.handle], [bob.session.handle])
        assert await keystore.guests(bob.session.handle) == [GuestRow(row._replace(number=0), GuestKey(1, visiting))]
        assert await keystore.guests(ann.session.handle) == [GuestRow(bob.row, kept)]
        assert await keystore.guests(gone.handle) == await keystore.guests(cleo.session.handle) == []
        assert await keystore.counts() == (3, 3)

    async def test_a_user_is_renewed_whole_or_not(self, keystore: Keystore) -> None:
        """A session too many or too few, another generation, another epoch: nothing is changed."""
        ann, bob = await person(keystore), await person(keystore)
        assert await keystore.add_guest(bob.session.handle, ann.row, guest_key(), guard(ann.row)) is Minted.DONE
        right = _renewed(ann, visits=[bob.session.handle])
        before = await keystore.find([ann.user.tag], [ann.session.tag])
        for new, known, status in (
            (right._replace(sessions=[]), set(), Minted.EXISTS),
            (right._replace(visits=[]), {ann.session.handle}, Minted.EXISTS),
            (right._replace(sessions=[*right.sessions, (handle(), tag(), b"key")]), set(), Minted.EXISTS),
            (right._replace(visits=[*right.visits, (handle(), b"key")]), set(), Minted.EXISTS),
            (right._replace(generation=2), set(), Minted.USER_GONE),
            (right._replace(handle=handle()), set(), Minted.USER_GONE),
            (right._replace(epoch=FIRST + 1), set(), Minted.EPOCH_MOVED),
        ):
            assert await keystore.renew_user(new, known=known) is status
            assert await keystore.find([ann.user.tag], [ann.session.tag]) == before
        assert await keystore.renew_user(right, known=set()) is Minted.DONE
        assert await keystore.renew_user(right, known=set()) is Minted.USER_GONE

    async def test_an_old_generation_is_not_written_for(self, keystore: Keystore) -> None:
        """Whoever holds the row as it was mints nothing under it; under the new one they do."""
        ann, bob = await person(keystore), await person(keystore)
        new = _renewed(ann)
        assert await keystore.renew_user(new, known=set()) is Minted.DONE
        assert await mint(keystore, ann.row) is Minted.USER_GONE
        row = ann.row._replace(generation=2, wrapped=new.wrapped, name=new.name)
        assert await keystore.add_guest(bob.session.handle, ann.row, guest_key(), guard(ann.row)) is Minted.USER_GONE
        assert await mint(keystore, row) is Minted.DONE
        assert await keystore.add_guest(bob.session.handle, row, guest_key(), guard(row)) is Minted.DONE

    async def test_a_key_is_renewed_under_the_epoch_that_is_open(self, keystore: Keystore) -> None:
        """Under one that was sealed meanwhile nothing is wrapped anew."""
        ann = await person(keystore)
        await keystore.add_epoch(FIRST + 1, COMING, 2000)
        for row in tenant_keys(FIRST + 1):
            await keystore.add_tenant_key(await tenant_of(keystore), row)
        assert await keystore.switch_epoch(FIRST, FIRST + 1, 3000)
        new = _renewed(ann)
        assert await keystore.renew_user(new, known=set()) is Minted.EPOCH_MOVED
        assert await keystore.renew_user(new._replace(epoch=FIRST + 1), known=set()) is Minted.DONE
        assert (await keystore.users_by_epoch()) == {FIRST + 1: 1}


def _renewed(person: Person, visits: list[bytes] | None = None) -> Renewed:
    """Give a new key for somebody, under which their session goes on, and what they said in other people's."""
    sessions = [(person.session.handle, tag(), b"wrapped anew")]
    guesting = [(session, b"wrapped anew too") for session in visits or []]
    return Renewed(
        person.user.handle, person.user.generation, FIRST, b"new key", b"new name", tag(), sessions, guesting
    )
