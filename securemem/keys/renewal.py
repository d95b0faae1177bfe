"""A person's next key: what has to be kept of them goes on under it; all else that was under the old one is gone.

Session keys that go on are wrapped anew and stay what they are: all that they open is kept. Whatever the old key
wrapped besides opens under nothing any more, once the KEK epochs of older keystore backups are closed.
"""

from __future__ import annotations

from typing import NamedTuple

from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import enclose
from securemem.keys.keyring import Keyring
from securemem.keys.rows import GuestKey, Minted, Renewed, SessionRow, UserRow
from securemem.keys.unwrapped import UserKey, seal_name, title_of, user_context


class GoingOn(NamedTuple):
    """What goes on of a person.

    Attributes:
        sessions: their own, by handle.
        visits: other people's, in which what they said is kept.
    """

    sessions: set[bytes]
    visits: set[bytes]


async def renew(keyring: Keyring, person: UserRow, going: GoingOn, *, known: set[bytes]) -> Minted:
    """Give a person their next key, in one commit with the end of all that does not go on.

    Args:
        keyring: of the tenant.
        person: their row, with the key that they have.
        going: what goes on.
        known: the sessions whose heads were closed, or in which stubs were put.

    Returns:
        As `Keystore.renew_user`.
    """
    rows = []
    if going.sessions:
        rows = [(user, row) async for user, row in keyring.rows(person.handle) if row.handle in going.sessions]
    visits = [
        (guest, session)
        for session in sorted(going.visits)
        for guest in await keyring.keystore.guests(session)
        if guest.user.handle == person.handle
    ]
    users = [user for user, _ in rows] + [guest.user for guest, _ in visits]
    if any(user.generation != person.generation for user in users):
        return Minted.USER_GONE
    old = await keyring.user(person, None)
    with RawKey.generate() as key:
        new = await _next(keyring, old, key)
        sessions = [_session(keyring, old, new, session) for _, session in rows]
        guesting = [(session, _visit(old, new, session, guest.key)) for guest, session in visits]
    row, (user_tag, _) = new.row, keyring.tags(old.user_id, "")
    renewed = Renewed(person.handle, person.generation, row.epoch, row.wrapped, row.name, user_tag, sessions, guesting)
    status = await keyring.keystore.renew_user(renewed, known=known)
    if status is Minted.EPOCH_MOVED:
        await keyring.reload()
    return status


async def _next(keyring: Keyring, old: UserKey, key: RawKey) -> UserKey:
    """Give a key that was drawn as the person's next one, with the row that it will have."""
    generation, epoch = old.row.generation + 1, keyring.open_epoch
    context = user_context(keyring.tenant, old.handle, generation)
    wrapped = enclose(key, await keyring.kms.wrap(epoch, key, context=context))
    name = seal_name(key, keyring.tenant, old.handle, old.user_id)
    row = old.row._replace(epoch=epoch, generation=generation, wrapped=wrapped, name=name)
    return UserKey(keyring.tenant, row, old.user_id, key)


def _session(keyring: Keyring, old: UserKey, new: UserKey, row: SessionRow) -> tuple[bytes, bytes, bytes]:
    """Give a session's handle, its tag, and its key under the new one."""
    _, tag = keyring.tags(old.user_id, title_of(old, row).session_id)
    with old.unwrap_session_key(row.handle, row.generation, row.wrapped) as key:
        return row.handle, tag, new.wrap_session_key(row.handle, row.generation, key)


def _visit(old: UserKey, new: UserKey, session: bytes, row: GuestKey) -> bytes:
    """Give a guest's key in somebody's session under the new one."""
    with old.unwrap_session_key(session, *row) as key:
        return new.wrap_session_key(session, row.generation, key)
