"""The acts that the ledger knows, as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from securemem.ledger.holds import Hold


class ActKind(enum.StrEnum):
    """Why something was destroyed; or what else the stores have to know of, which destroys nothing."""

    CLEAR = "clear"
    EXPIRE = "expire"
    ERASE = "erase"
    MOVE = "move"
    """A tenant lies on another server since."""
    HOLD = "hold"
    RELEASE = "release"
    RESTRICT = "restrict"
    LIFT = "lift"
    RESTORE = "restore"
    """The data is being restored: until that is through, nothing is read."""
    RECTIFY = "rectify"
    """A record says something else since: what it said before is destroyed."""


class Edit(NamedTuple):
    """A record that was rectified.

    Attributes:
        seq: its place.
        version: of its session's head from then on; what lies under an older head is the old record.
    """

    seq: int
    version: int


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
        tombstones: the sessions it destroys; or the one in which a record was rectified.
        rules: about what has to be kept of these, as `policy.rules.document_of` gives them; None where nothing has.
        standing: the holds at that moment, for whoever decided it; None for whoever finds it in the ledger.
        done: whether it is through.
        edit: which record was rectified; None for other acts, and for a rectification that was given up.
        alone: whether every act before it was through when it was decided, for whoever decided it.
    """

    counter: int
    kind: ActKind
    tenant: bytes
    user: bytes | None
    generation: int
    at: int
    tombstones: tuple[Tombstone, ...]
    rules: str | None = None
    standing: list[Hold] | None = field(default=None, compare=False, repr=False)
    done: bool = field(default=False, compare=False)
    edit: Edit | None = None
    alone: bool = field(default=False, compare=False)
