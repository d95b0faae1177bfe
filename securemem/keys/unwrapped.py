"""Keys as the keyring holds them, unwrapped, and how each is wrapped, named and bound to its place.

    user key      wrapped by the KMS with context PAE("securemem/user-key/1", tenant, user, generation u32)
    user id       aead box under HKDF-Expand(user key, "securemem/name/2026-11"),
                  AAD PAE("securemem/name/1", tenant, user)
    session key   wrapped under HKDF-Expand(user key, "securemem/session-wrap/2026-11"),
                  AAD PAE("securemem/session-key/1", tenant, user, session, user generation u32, generation u32)
    title         aead box of MessagePack [session id, created at ms, tags] under
                  HKDF-Expand(session key, "securemem/title/2026-11"),
                  AAD PAE("securemem/title/1", tenant, user, session)

All of tenant, user and session are handles.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from securemem.crypto.aead import Aead, InvalidTag
from securemem.crypto.envelope import Opened, Sealed, Sealer
from securemem.crypto.head import HeadSeal
from securemem.crypto.known import Known
from securemem.crypto.pae import pae, u32
from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import unwrap_under, wrap_under
from securemem.errors import CorruptRecordError
from securemem.keys.rows import Person, SessionRow, UserRow
from securemem.model import Message

GENERATION = 1
"""Of a key that was just made."""

Entry = Message | Opened
"""What was in a record: the message, where nothing in it can be changed by who gets it; else what it is made of."""


class Title(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed under a session's own key about it."""

    session_id: str
    created_at: int
    tags: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode_title = msgspec.msgpack.Decoder(Title).decode


def user_context(tenant: bytes, user: bytes, generation: int) -> bytes:
    """Give the context that a user's key is wrapped with."""
    return pae(b"securemem/user-key/1", tenant, user, u32(generation))


@dataclass(slots=True, eq=False)
class UserKey:
    """A user's key, in memory for as long as the cache says."""

    tenant: bytes
    row: UserRow
    user_id: str = field(repr=False)
    key: RawKey = field(repr=False)

    @property
    def handle(self) -> bytes:
        """The user's handle."""
        return self.row.handle

    def wipe(self) -> None:
        """Overwrite the key."""
        self.key.wipe()

    def _session_context(self, session: bytes, generation: int) -> bytes:
        return pae(
            b"securemem/session-key/1", self.tenant, self.handle, session, u32(self.row.generation), u32(generation)
        )

    def wrap_session_key(self, session: bytes, generation: int, key: RawKey) -> bytes:
        """Wrap a session's key under this one."""
        wrapping = Aead(self.key, b"securemem/session-wrap/2026-11")
        return wrap_under(wrapping, key, context=self._session_context(session, generation))

    def unwrap_session_key(self, session: bytes, generation: int, wrapped: bytes) -> RawKey:
        """Unwrap a session's key.

        Raises:
            WrongKeyError: it was wrapped under another user's key, or for another session.
        """
        wrapping = Aead(self.key, b"securemem/session-wrap/2026-11")
        return unwrap_under(wrapping, wrapped, context=self._session_context(session, generation))


def seal_name(key: RawKey, tenant: bytes, user: bytes, user_id: str) -> bytes:
    """Seal a real user id under the user's key."""
    place = pae(b"securemem/name/1", tenant, user)
    return Aead(key, b"securemem/name/2026-11").seal(user_id.encode(), associated_data=place)


def open_name(key: RawKey, tenant: bytes, row: UserRow) -> str:
    """Give the real user id.

    Raises:
        CorruptRecordError: it was changed, or is another user's.
    """
    place = pae(b"securemem/name/1", tenant, row.handle)
    try:
        return Aead(key, b"securemem/name/2026-11").open(row.name, associated_data=place).decode()
    except InvalidTag:
        raise CorruptRecordError(f"keystore: the sealed id of user {row.handle.hex()} was changed") from None


def seal_title(key: RawKey, tenant: bytes, user: bytes, session: bytes, title: Title) -> bytes:
    """Seal what is known of a session under its own key."""
    place = pae(b"securemem/title/1", tenant, user, session)
    return Aead(key, b"securemem/title/2026-11").seal(_encode(title), associated_data=place)


def open_title(key: RawKey, tenant: bytes, user: bytes, row: SessionRow) -> Title:
    """Give what is known of a session.

    Raises:
        CorruptRecordError: it was changed, or is another session's.
    """
    place = pae(b"securemem/title/1", tenant, user, row.handle)
    try:
        box = Aead(key, b"securemem/title/2026-11").open(row.title, associated_data=place)
        return _decode_title(box)
    except (InvalidTag, msgspec.DecodeError):
        raise CorruptRecordError("keystore: the sealed title was changed", session=row.handle) from None


def title_of(user: UserKey, row: SessionRow) -> Title:
    """Give what is known of a session of a user's.

    Raises:
        WrongKeyError, CorruptRecordError: as `UserKey.unwrap_session_key` and `open_title`.
    """
    with user.unwrap_session_key(row.handle, row.generation, row.wrapped) as key:
        return open_title(key, user.tenant, user.handle, row)


@dataclass(slots=True, eq=False)
class SessionKeys:
    """What reading and writing one session needs; it holds no key that could be taken out.

    Attributes:
        handle: the session's.
        person: its owner, by the key that it was unwrapped with.
        floor: the lowest head version that a cold load accepts.
        floor_ends: when the last record of that head ends, in milliseconds; NEVER if one has no end.
        owner: seals and opens the owner's records.
        head: makes and checks heads and stubs.
        guests: sealers of other people's records in it, by their handles; filled when first needed.
        guest_ids: the same people by real id.
        fresh: whether the key was made just now, so that nothing can have been written under it yet.
        has_new_guest: whether somebody was given a key in it just now.
        pinned: the owner's pinned messages that were opened, so that they are not opened again; they are no more than
            these keys could open, and go with them.
        known: the owner's newest messages that were opened, likewise.
        made: what whoever reads the session has made of all that lies in it, likewise.
    """

    handle: bytes
    person: Person
    generation: int
    floor: int
    floor_ends: int
    user_id: str = field(repr=False)
    title: Title = field(repr=False)
    owner: Sealer = field(repr=False)
    head: HeadSeal = field(repr=False)
    guests: dict[bytes, Sealer] = field(default_factory=dict, repr=False)
    guest_ids: dict[str, Person] = field(default_factory=dict, repr=False)
    fresh: bool = False
    has_new_guest: bool = False
    pinned: dict[int, Opened] = field(default_factory=dict, repr=False)
    known: Known[Entry] = field(default_factory=Known, repr=False)
    made: object = field(default=None, repr=False)

    @property
    def user(self) -> bytes:
        """Its owner's handle."""
        return self.person.handle

    def genuine(self, sealed: Sealed) -> bool:
        """Tell whether a record was written in this session at all, wherever it lies now."""
        sealer = self.owner if sealed.subject is None else self.guests.get(sealed.subject)
        if sealer is None:
            return self.head.row_tags(sealed.subject or self.user).holds(sealed)
        return sealer.opens(sealed)

    def wipe(self) -> None:
        """Let go: the ciphers are freed with this object, when the last operation under way has ended."""
        self.guests = {}
        self.guest_ids = {}
        self.known.clear()
        self.pinned = {}
        self.made = None
