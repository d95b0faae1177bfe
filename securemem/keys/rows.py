"""The rows of the keystore, as it gives and takes them."""

from __future__ import annotations

import enum
from typing import NamedTuple

from securemem.errors import ReorderedError
from securemem.model import Head

COMING, OPEN, SEALED, DESTROYED = "coming", "open", "sealed", "destroyed"
TENANT_KEY_KINDS = ("index", "head", "signing")


class EpochRow(NamedTuple):
    """One KEK epoch: its number, state and since when (milliseconds)."""

    epoch: int
    state: str
    since: int


class TenantKeyRow(NamedTuple):
    """A tenant's own key, wrapped under an epoch's KEK."""

    kind: str
    epoch: int
    wrapped: bytes


class Person(NamedTuple):
    """Somebody, by the key that they have: an erasure ends it, though what is kept may go on under the same handle."""

    handle: bytes
    generation: int


class UserRow(NamedTuple):
    """A user's key, wrapped under an epoch's KEK, and the sealed user id."""

    number: int
    handle: bytes
    epoch: int
    generation: int
    wrapped: bytes
    name: bytes

    @property
    def person(self) -> Person:
        """Who has it."""
        return Person(self.handle, self.generation)


class SessionRow(NamedTuple):
    """A session's key, wrapped under its owner's, and the sealed session id and title."""

    handle: bytes
    generation: int
    floor: int
    floor_ends: int
    wrapped: bytes
    title: bytes


class Floor(NamedTuple):
    """How far a session had come: no older head is accepted any more.

    Attributes:
        session: its handle.
        version: of the newest head that was seen.
        ends: that head's latest expiry, in milliseconds; NEVER if it has none. From then on it may be gone.
    """

    session: bytes
    version: int
    ends: int


class GuestKey(NamedTuple):
    """A guest's key for somebody else's session, wrapped under the guest's own."""

    generation: int
    wrapped: bytes


class GuestRow(NamedTuple):
    """A guest's key, with the guest's row."""

    user: UserRow
    key: GuestKey


class Owner(NamedTuple):
    """Whose session it is, for those who hold no user's key: what a head of it has to agree with.

    Attributes:
        user: the owner's handle.
        generation: of the session's key.
        floor: the lowest head version that is accepted.
        tenant: the tenant's handle.
    """

    user: bytes
    generation: int
    floor: int
    tenant: bytes

    def accepts(self, head: Head, session: bytes) -> Head:
        """Give the head, if it is not older than the floor and of this key.

        Raises:
            ReorderedError: the session was rolled back.
        """
        if head.version < self.floor or head.generation != self.generation:
            raise ReorderedError("the session was rolled back to an older state", session=session)
        return head


class Found(NamedTuple):
    """What a look-up found, and the epoch that was open just after it."""

    open_epoch: int
    user: UserRow | None
    session: SessionRow | None


class NewUser(NamedTuple):
    """A user's row to insert."""

    tenant: int
    handle: bytes
    tag: bytes
    epoch: int
    generation: int
    wrapped: bytes
    name: bytes


class NewSession(NamedTuple):
    """A session's row to insert."""

    handle: bytes
    tag: bytes
    generation: int
    wrapped: bytes
    title: bytes


class Rewrapped(NamedTuple):
    """A user's key under a new epoch, and the new lookup tags of the user and, by handle, of the sessions."""

    epoch: int
    wrapped: bytes
    tag: bytes
    sessions: list[tuple[bytes, bytes]]


class Renewed(NamedTuple):
    """A user's key of the next generation, and what goes on under it.

    Attributes:
        handle: the user's.
        generation: of the key that it takes the place of.
        epoch: under whose KEK it is wrapped.
        wrapped: the key.
        name: the user id, sealed under it.
        tag: the lookup tag under that epoch.
        sessions: handle, lookup tag and wrapped key of each of the user's own sessions that goes on.
        visits: handle and the user's wrapped key of each session of somebody else in which theirs goes on.
    """

    handle: bytes
    generation: int
    epoch: int
    wrapped: bytes
    name: bytes
    tag: bytes
    sessions: list[tuple[bytes, bytes, bytes]]
    visits: list[tuple[bytes, bytes]]

    def covers(self, own: set[bytes], visited: set[bytes], known: set[bytes]) -> bool:
        """Tell whether every session of the user's goes on or is known to end, and what goes on is there."""
        going, guesting = {handle for handle, _, _ in self.sessions}, {handle for handle, _ in self.visits}
        return going <= own <= known | going and guesting <= visited <= known | guesting


class Guard(NamedTuple):
    """What has to hold for a key to be inserted: the epoch that is open, and tags that nobody may have yet."""

    epoch: int
    user_tags: list[bytes]
    session_tags: list[bytes]


class Minted(enum.Enum):
    """How an insertion went."""

    DONE = enum.auto()
    EXISTS = enum.auto()
    USER_GONE = enum.auto()
    EPOCH_MOVED = enum.auto()
