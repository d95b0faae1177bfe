"""The acts that the ledger knows, as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ActKind(enum.StrEnum):
    """Why something was destroyed; or that a tenant lies on another server since, which destroys nothing."""

    CLEAR = "clear"
    EXPIRE = "expire"
    ERASE = "erase"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A session whose records and keys, up to a generation, are not to come back.

    Attributes:
        session: its handle.
        generation: the highest generation of its key that is meant.
        guest: whether only the records of the act's person are meant, in a session that is somebody else's.
    """

    session: bytes
    generation: int
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """One decision: written before anything is touched, and marked when it is through.

    Attributes:
        counter: its number, which the stores' stamps follow.
        kind: why.
        tenant: the tenant's handle.
        user: the person's handle, for an erasure.
        generation: the highest generation of the person's key that it covers.
        at: when it was decided, in milliseconds.
        tombstones: the sessions it destroys.
    """

    counter: int
    kind: ActKind
    tenant: bytes
    user: bytes | None
    generation: int
    at: int
    tombstones: tuple[Tombstone, ...]
