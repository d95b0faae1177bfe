"""Keys of people who speak in somebody else's session: each under the guest's own key, so that it goes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from securemem.crypto.envelope import Sealer
from securemem.crypto.head import HeadSeal
from securemem.crypto.secret import RawKey
from securemem.errors import UserErasedError, WrongKeyError
from securemem.keys.rows import GuestKey, GuestRow, Minted, Person, UserRow
from securemem.keys.unwrapped import GENERATION, SessionKeys, UserKey

if TYPE_CHECKING:
    from securemem.keys.keyring import Keyring


class Guests:
    """Finds and makes guests' keys, for a keyring."""

    def __init__(self, keyring: Keyring) -> None:
        """Belong to a keyring."""
        self._keyring = keyring

    async def for_writing(self, keys: SessionKeys, user_id: str, guest: Person | None = None) -> Sealer | None:
        """Give the sealer for another person's records in a session, and make its key where there is none.

        Args:
            keys: the session's.
            user_id: the guest.
            guest: who the guest has to be still, for whoever writes what was read before.

        Returns:
            None where the session has no key any more.

        Raises:
            UserErasedError: the guest was erased.
        """
        while True:
            if guest is not None and keys.guest_ids.get(user_id) != guest:
                keys.guest_ids.pop(user_id, None)  # of who had the id before they were forgotten, if there is one
            if user_id not in keys.guest_ids:
                await self._load(keys)
            known = keys.guest_ids.get(user_id)
            if known is not None and guest in (None, known):
                return keys.guests[known.handle]
            found = await self._keyring.look_up(user_id, None)
            if guest is not None and (found.user is None or found.user.person != guest):
                raise UserErasedError("the person of a message was forgotten meanwhile; nothing was written")
            new, user = (
                (None, await self._keyring.user(found.user, user_id))
                if found.user is not None
                else await self._keyring.new_user(user_id)
            )
            with RawKey.generate() as key:
                wrapped = GuestKey(GENERATION, user.wrap_session_key(keys.handle, GENERATION, key))
            guard = self._keyring.guard(user_id)
            status = await self._keyring.keystore.add_guest(keys.handle, new or user.row, wrapped, guard)
            keys.has_new_guest = keys.has_new_guest or status is Minted.DONE
            if status is Minted.USER_GONE and await self._keyring.keystore.owner_of(keys.handle) is None:
                return None
            if status is Minted.EPOCH_MOVED:
                await self._keyring.reload()
            self._keyring.held.forget_user(user_id)

    async def for_reading(self, keys: SessionKeys, subject: bytes, seq: int) -> Sealer:
        """Give the sealer for a record of another person in a session.

        Raises:
            WrongKeyError: that person has no key in this session.
        """
        if subject not in keys.guests:
            await self._load(keys)
        try:
            return keys.guests[subject]
        except KeyError:
            raise WrongKeyError("the key of its person is gone", session=keys.handle, seq=seq) from None

    async def own(self, session: bytes, person: UserRow) -> Sealer | None:
        """Give the sealer for a person's own records in somebody else's session; None where they have no key in it."""
        for row in await self._keyring.keystore.guests(session):
            if row.user.handle == person.handle:
                _, sealer = await self._opened(row, session, self._keyring.head_seal(session))
                return sealer
        return None

    async def _load(self, keys: SessionKeys) -> None:
        for row in await self._keyring.keystore.guests(keys.handle):
            if row.user.person in keys.guest_ids.values():
                continue
            user, sealer = await self._opened(row, keys.handle, keys.head)
            keys.guests[user.handle] = sealer
            keys.guest_ids[user.user_id] = row.user.person

    async def _opened(self, row: GuestRow, session: bytes, seal: HeadSeal) -> tuple[UserKey, Sealer]:
        """Unwrap a guest's key in a session."""
        user = await self._keyring.user(row.user, None)
        key = user.unwrap_session_key(session, *row.key)
        rows = seal.row_tags(user.handle)
        return user, self._keyring.sealer(user, session, row.key.generation, key, rows=rows, guest=True)
