"""The events of the audit: who was let do what with whose data and when; each commits to the one before it.

    hash = SHA-256(PAE("securemem/audit/1", hash before, kind, tenant, person, actor, policy, at u64))
    hash = SHA-256(PAE("securemem/audit/2", hash before, kind, tenant, person, actor, policy, at u64,
                       session, rule, records u64))          where a session, a rule or a number is named

Handles and hashes only, each of a fixed size: no column could take a text. A rule is named by the first 16 bytes of the
SHA-256 of its id. An event is durable before what it tells of is done.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from securemem.crypto.pae import pae, u64
from securemem.model import HANDLE_BYTES

BEGINNING = bytes(32)
"""What the first event commits to."""

_RULE_BYTES = 16
_MOST = 2**63
_BYTES = ("tenant", "person", "actor", "policy", "session", "rule")


class EventKind(enum.StrEnum):
    """What happened."""

    REVEAL = "reveal"
    """Somebody was given what stands under a person's pseudonyms."""
    DELETE = "delete"
    """Records are deleted, for their time is over."""
    RESTRICT = "restrict"
    """Records are kept out of sight from now on: their time is over, and something keeps them."""
    REFUSE = "refuse"
    """What was asked for is not done: it would delete more than the policy lets a worker, or what has to be kept."""
    EXPORT = "export"
    """All that is held of a person was given to somebody who answers for it."""
    HOLD = "hold"
    """A legal hold was placed."""
    RELEASE = "release"
    """A legal hold was released."""
    RESTRICTION = "restriction"
    """The processing of a person's data was restricted."""
    LIFT = "lift"
    """That was lifted."""
    APPLY = "apply"
    """A policy was put in force."""
    PROPOSE = "propose"
    """A policy, or the release of a hold, waits for a second person's word."""
    ERASE = "erase"
    """A person was erased, or what is kept of them was sealed anew and all else erased."""
    RECTIFY = "rectify"
    """What a message says was corrected."""
    REQUEST = "request"
    """A person asked for something that the law gives them."""
    ACKNOWLEDGE = "acknowledge"
    """They were told that it came."""
    VERIFY = "verify"
    """It is them: who asked was verified."""
    EXTEND = "extend"
    """The time to answer was lengthened, and they were told."""
    PAUSE = "pause"
    """The time to answer stands still, until they say more."""
    RESUME = "resume"
    """It goes on."""
    COMPLETE = "complete"
    """A request was carried out."""
    BACKUP = "backup"
    """A store was copied."""
    RESTORE = "restore"
    """A store was put back from a copy."""
    CLOSE_EPOCH = "close-epoch"
    """A KEK was destroyed; the rule is its epoch's number."""


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: what happened.
        tenant: the tenant's handle.
        person: the person's handle; None where nobody of that id is known.
        actor: a keyed hash of who asked; None where no actor was named.
        policy: SHA-256 of the policy in force.
        at: in milliseconds.
        session: the session's handle; None where it is about no single one.
        rule: of the policy, or which store or epoch, as `rule_name` gives it; None where none decided.
        records: how many; None where none are counted.
    """

    kind: EventKind
    tenant: bytes
    person: bytes | None
    actor: bytes | None
    policy: bytes
    at: int
    session: bytes | None = None
    rule: bytes | None = None
    records: int | None = None

    def check(self) -> None:
        """Refuse what could be a text.

        Raises:
            ValueError: a part that is no bytes of the size of a handle or a hash, or no number where one belongs.
        """
        handles = [(part, HANDLE_BYTES) for part in (self.person, self.session) if part is not None]
        others = [(part, size) for part, size in ((self.actor, 32), (self.rule, _RULE_BYTES)) if part is not None]
        sizes = [(self.tenant, HANDLE_BYTES), (self.policy, 32), *handles, *others]
        mistaken = any(type(part) is not bytes or len(part) != size for part, size in sizes)
        numbers = (self.at, 1 if self.records is None else self.records)
        # A count of none would be hashed as no count is.
        counted = all(type(each) is int and least <= each < _MOST for each, least in zip(numbers, (0, 1), strict=True))
        if mistaken or not counted or type(self.kind) is not EventKind:
            raise ValueError("an audited event holds handles and hashes, each of its size")

    def to_json(self) -> dict[str, Any]:
        """Give the event JSON-ready, its handles and hashes in hex; parts that are not there are left out."""
        parts = self._asdict() | {"kind": self.kind.value}
        return {
            name: part.hex() if isinstance(part, bytes) else part for name, part in parts.items() if part is not None
        }

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Event:
        """Take an event as `to_json` gives it.

        Raises:
            ValueError: it is none.
        """
        empty: dict[str, Any] = dict.fromkeys(cls._fields)
        there = {name: part for name, part in parts.items() if part is not None}
        if not there.keys() <= set(cls._fields):
            raise ValueError("this is no audited event")
        try:
            named = {name: bytes.fromhex(there[name]) for name in _BYTES if name in there}
            event = cls(**empty | there | named | {"kind": EventKind(there["kind"])})
        except (KeyError, TypeError) as exc:
            raise ValueError("this is no audited event") from exc
        event.check()
        return event

    def chained(self, before: bytes) -> bytes:
        """Give the hash of the event, as it follows another one."""
        parts = (self.kind.value.encode(), self.tenant, self.person or b"", self.actor or b"", self.policy)
        if self.session is None and self.rule is None and self.records is None:
            return hashlib.sha256(pae(b"securemem/audit/1", before, *parts, u64(self.at))).digest()
        more = (self.session or b"", self.rule or b"", u64(self.records or 0))
        return hashlib.sha256(pae(b"securemem/audit/2", before, *parts, u64(self.at), *more)).digest()


def rule_name(rule: str) -> bytes:
    """Give what an event names a rule by."""
    return hashlib.sha256(rule.encode()).digest()[:_RULE_BYTES]
