"""The keystore contract: what shredding takes, and what it leaves."""

from __future__ import annotations

from securemem.keys.keystore import Keystore
from securemem.keys.rows import GuestRow, Minted
from securemem.testing.keystore.hooks import (
    Hooks,
    guard,
    guest_key,
    handle,
    mint,
    new_session,
    number_of,
    person,
    session_row,
)


class Shredding(Hooks):
    """`user_number`, `sessions_of`, `shred_user`, `shred_session`."""

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
        assert await keystore.user_number(ann.user.handle) is None
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
