"""The nouns: frozen values that the rooms hand to each other, with no I/O and no cryptography."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

HANDLE_BYTES = 16
VAULT = ""
"""The id of the session that a person's vault lies in; no caller can name it."""
NEVER = 0
"""An expiry that never comes; other expiries are milliseconds since 1970 in UTC."""

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Give an aware datetime as whole milliseconds since 1970 in UTC."""
    return (moment - _EPOCH_START) // _MILLISECOND


def from_milliseconds(milliseconds: int) -> datetime:
    """Give milliseconds since 1970 as an aware datetime in UTC."""
    return _EPOCH_START + timedelta(milliseconds=milliseconds)


class _Positional(msgspec.Struct, frozen=True, gc=False):
    role: str
    content: Any


class Message(_Positional, frozen=True, kw_only=True, gc=False):
    """One message, in clear: only the process that has the keys ever holds one.

    Attributes:
        role: who speaks, as the framework names it ("user", "assistant", "tool" …).
        content: text, or JSON as a framework sends it (a list of parts, tool calls, reasoning items).
        timestamp: when it was said, aware; the store's clock if it is not given.
        metadata: a JSON object, sealed with the content. `{"pinned": True}` on a system message keeps it in the window.
        user_id: whose data it is, where that is not the session's owner.
        expires_at: from when it is never returned again; given back as it is in force (the `ttl` included).
        seq: its place in the session, given by the store.
        pseudonymised: whether pseudonyms stand in it, as a model may read it; given by the store.
    """

    timestamp: datetime | None = None
    metadata: dict[str, Any] | None = None
    user_id: str | None = None
    expires_at: datetime | None = None
    seq: int | None = None
    pseudonymised: bool = False

    def __repr__(self) -> str:
        size = f"{len(self.content)} characters" if isinstance(self.content, str) else type(self.content).__name__
        return f"Message(role={self.role!r}, seq={self.seq}, content=<{size}>)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What a session is, for lists.

    Attributes:
        messages: how many records it holds that were not taken out.
        created_at: when its key was made.
        last_at: the time of its newest readable message, or None.
        held: a legal hold lies on it.
        restricted: its person's processing is restricted.
    """

    session_id: str
    user_id: str
    messages: int
    created_at: datetime
    last_at: datetime | None
    tags: tuple[str, ...] = ()
    held: bool = False
    restricted: bool = False


class HeadFlag(enum.IntFlag):
    """What may not happen to a session any more."""

    KEEP = 1
    """A hold or a statutory keep: the writer deletes nothing."""
    CLOSED = 2
    """Nothing is appended any more."""
    MOVED = 4
    """It goes on at another server: what lies here is neither read nor written any more."""
    RESTRICTED = 8
    """A hold or a restriction: nothing in it is given to readers."""
    HELD = 16
    """A hold: nothing of it is deleted."""


_KEEP, _CLOSED = int(HeadFlag.KEEP), int(HeadFlag.CLOSED)
_RESTRICTED, _HELD = int(HeadFlag.RESTRICTED), int(HeadFlag.HELD)

HOME = "default"
"""The name of the server that the store's own URL names."""


class Route(NamedTuple):
    """On which server a tenant's sessions lie.

    Attributes:
        version: rises by one with every change.
        place: the server's name.
        moving_to: the name of the one to which they are being moved; None if they are not.
    """

    version: int = 0
    place: str = HOME
    moving_to: str | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers on which sessions of the tenant can be."""
        return (self.place,) if self.moving_to is None else (self.place, self.moving_to)


class Head(msgspec.Struct, frozen=True, gc=False):
    """The authenticated summary of a session.

    Attributes:
        version: rises by one with every change.
        generation: of the session key that its records are sealed under.
        epoch: rises with every lawful act (erasure, hold, restriction, release, clear).
        first: the lowest seq that is still there.
        next: the seq that the next message gets.
        last_tag: the GCM tag of record `next - 1`; zeros before the first.
        holes: how many of `first … next - 1` are stubs.
        due: when the worker should look next, in milliseconds; NEVER if not at all.
        latest_expiry: the last moment at which any record is readable, in milliseconds; NEVER if one has no end.
        edits: seqs of rectified records, to their present tags.
        pins: seqs of pinned messages, ascending.
    """

    version: int
    generation: int
    epoch: int = 0
    flags: int = 0
    first: int = 1
    next: int = 1
    last_tag: bytes = bytes(16)
    holes: int = 0
    due: int = NEVER
    latest_expiry: int = NEVER
    edits: dict[int, bytes] = {}
    pins: tuple[int, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether nothing may be appended any more."""
        return self.flags & _CLOSED != 0

    @property
    def keep(self) -> bool:
        """Whether nothing may be taken out by a writer."""
        return self.flags & _KEEP != 0

    @property
    def held(self) -> bool:
        """Whether nothing of it may be deleted, by anybody."""
        return self.flags & _HELD != 0

    @property
    def restricted(self) -> bool:
        """Whether nothing may be given to readers."""
        return self.flags & _RESTRICTED != 0

    @property
    def live(self) -> int:
        """How many records are there."""
        return self.next - self.first - self.holes


class Tail(NamedTuple):
    """What a backend answers to a read: head bytes (empty if there is none) and rows (seq, bytes), newest first."""

    head: bytes
    rows: list[tuple[int, bytes]]


class Change(msgspec.Struct, frozen=True, gc=False):
    """One atomic step on a session in a data store.

    Attributes:
        session: the session's handle.
        expected: the head that must stand, byte for byte; empty where there must be none.
        head: the head that replaces it.
        rows: records and stubs to put at their seqs, new or in place of what lies there.
        trim: rows of these seqs, from the first up to but without the second, are removed.
        due: when the worker should look at the session, in milliseconds, NEVER if not at all; None leaves it as it is.
        until: by when the last of its records has ended, in milliseconds, NEVER if one has no end or is kept; None
            leaves it as it is. A store that can may drop the whole session a grace after this.
    """

    session: bytes
    expected: bytes
    head: bytes
    rows: list[tuple[int, bytes]] = []
    trim: tuple[int, int] = (0, 0)
    due: int | None = None
    until: int | None = None

    @property
    def is_append(self) -> bool:
        """Whether its rows follow each other without a gap, and lie behind all that it trims, as an append's do."""
        seq = self.rows[0][0] if self.rows else 0
        if seq < self.trim[1]:
            return False
        for at, _ in self.rows:
            if at != seq:
                return False
            seq += 1
        return True


class Stamp(NamedTuple):
    """What a store says of itself: whose it is, and how many acts (erasure, hold, clear …) it has taken part in."""

    deployment: bytes
    counter: int


class ResidueKind(enum.Enum):
    """Who can tell how long a residue lasts."""

    PLACE = "place"
    """It lies in the store itself, which tells, or nobody does."""
    COPY = "copy"
    """It lies in a backup, an archive, a standby or a snapshot, or is kept for one: whoever runs that can tell."""
    MEMORY = "memory"
    """It lies in a server's memory until that is used again, at the latest until the server is started anew."""


@dataclass(frozen=True, slots=True)
class Residue:
    """Something of a deleted record that is still somewhere.

    Attributes:
        store: which store: "data", "keystore", "ledger", "kms" or "process"; "recipients" for what others were given.
        what: what lies there, in words, with no id.
        until: when it is gone, or None where only the operator can tell.
        kind: who can tell how long it lasts.
    """

    store: str
    what: str
    until: datetime | None = None
    kind: ResidueKind = ResidueKind.PLACE


class Span(NamedTuple):
    """Personal data that was found in a text.

    Attributes:
        start: its first character, counted in code points.
        end: the one behind its last.
        entity: what it is, by presidio's names: "PERSON", "EMAIL_ADDRESS" …
        score: how sure the engine is, above 0 and up to 1.
    """

    start: int
    end: int
    entity: str
    score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What a policy asks of the engines that find personal data.

    Attributes:
        engine: the name of the one that looks besides `patterns`, which always does; "patterns" for none besides.
        entities: what is looked for.
        languages: of the texts, by ISO 639-1; the first is taken where a message names none.
        regions: whose national numbers are looked for, by ISO 3166-1 alpha-2.
        threshold: the least score of a span; None for the engine's own default.
        model: the folder or the name of the engine's model; None for its own default.
        options: what only one engine knows, as it stands in the policy.
    """

    engine: str
    entities: frozenset[str]
    languages: tuple[str, ...] = ("en",)
    regions: tuple[str, ...] = ()
    threshold: float | None = None
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
