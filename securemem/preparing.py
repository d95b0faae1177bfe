"""Prepares messages: checks and encodes them, and works out how long each lives. No I/O, and no keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from securemem import codec, window
from securemem.crypto.envelope import Sealed, Sealer
from securemem.errors import InvalidInputError
from securemem.lives import HOUR, Lives
from securemem.model import NEVER, Message, from_milliseconds, to_milliseconds
from securemem.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for every session of a store.

    Attributes:
        max_messages: how many a session keeps; older ones go in the same step as an append.
        ttl: how long a message lives, in seconds; None for no end of its own.
        compress: whether texts are compressed before they are sealed.
    """

    max_messages: int
    ttl: float | None
    compress: bool


class _Terms(msgspec.Struct, frozen=True, gc=False):
    """What holds for all messages of a call.

    Attributes:
        owner: the session's, by real id.
        now: when they come, and
        hour: in which hour.
        expiry: until when they live at most, by the store's limits and the call, in milliseconds; NEVER for good;
        expires_at: the same moment, or None.
    """

    owner: str
    now: datetime
    hour: int
    expiry: int
    expires_at: datetime | None


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A message that was checked and encoded, and only wants its place.

    Attributes:
        message: as it will be stored.
        payload: what is sealed.
        compressed: whether that is compressed.
        expiry: until when its caller wants it, in milliseconds; NEVER for no such end.
        hour: in which it came, since 1970.
        pinned: whether it stays in the window.
        kind: its retention class.
        due: when a worker should look at it, in milliseconds; NEVER if not at all.
        keeps: whether nothing may delete it before a time that the policy sets.
    """

    message: Message
    payload: bytes
    compressed: bool
    expiry: int
    hour: int
    pinned: bool
    kind: int
    due: int
    keeps: bool

    def seal(self, sealer: Sealer, seq: int, prev: bytes) -> tuple[bytes, bytes]:
        """Seal it for a place, as `Sealer.seal` does."""
        return sealer.seal(
            self.payload,
            seq=seq,
            prev=prev,
            expiry=self.expiry,
            retention_class=self.kind,
            hour=self.hour,
            compressed=self.compressed,
        )

    def __repr__(self) -> str:
        return f"Prepared({self.message!r})"


class Preparing:
    """Prepares the messages of one store.

    Attributes:
        limits: the store's.
    """

    def __init__(self, clock: Clock, limits: Limits, lives: Lives) -> None:
        """Take the store's clock and limits, and how long its records live."""
        self._clock = clock
        self.limits = limits
        self._lives = lives

    def prepare(
        self, messages: Sequence[Message], *, owner: str, ttl: float | None, kinds: Sequence[int]
    ) -> list[Prepared]:
        """Check and encode messages, before anything is written.

        Args:
            messages: in order.
            kinds: their retention classes.
            owner: the session's owner, whose `user_id` on a message says nothing new.
            ttl: the call's own, in seconds.

        Raises:
            InvalidInputError: one of them cannot be stored.
        """
        now = self._clock()
        expiry = self._expiry(now, ttl)
        terms = _Terms(owner, now, to_milliseconds(now) // HOUR, expiry, _moment(expiry))
        return [self._prepare(codec.plain(message), kind, terms) for message, kind in zip(messages, kinds, strict=True)]

    def end(self, message: Message, ttl: float | None, kind: int) -> datetime | None:
        """Give when a message of a class will be deleted that is appended now; None if it has no end.

        Raises:
            InvalidInputError: its end cannot be.
        """
        now = self._clock()
        expiry = _with_own(self._expiry(now, ttl), message)
        return _moment(self._lives.ends(kind, to_milliseconds(now) // HOUR, expiry).over)

    def _expiry(self, now: datetime, ttl: float | None) -> int:
        """Give until when messages live at most, by the store's limits and the call."""
        ends = [to_milliseconds(until(now, life)) for life in (self.limits.ttl, ttl) if life is not None]
        return max(1, min(ends)) if ends else NEVER

    def _prepare(self, message: Message, kind: int, terms: _Terms) -> Prepared:
        """Check and encode a message of a retention class."""
        timestamp, expiry = terms.now, terms.expiry
        if message.timestamp is not None:
            timestamp = codec.check_time(message.timestamp, "timestamp")
        if message.expires_at is not None:
            expiry = _with_own(expiry, message)
        guest = message.user_id if message.user_id != terms.owner else None
        if guest is not None:
            codec.check_id(guest, "user_id")
        payload, compressed = self._encode(message, timestamp, guest=guest is not None)
        seen, due, keeps = expiry, expiry, False
        if not self._lives.is_idle:
            seen, _, due, keeps = self._lives.ends(kind, terms.hour, expiry)
        stored = Message(
            message.role,
            message.content,
            timestamp=timestamp,
            metadata=message.metadata,
            user_id=guest,
            expires_at=terms.expires_at if seen == terms.expiry else _moment(seen),
            pseudonymised=message.pseudonymised,
        )
        return Prepared(stored, payload, compressed, expiry, terms.hour, window.is_pinned(stored), kind, due, keeps)

    def anew(self, message: Message, old: Prepared) -> Prepared:
        """Prepare a message in place of another wording of it, with the hour and the end of that one."""
        timestamp = codec.check_time(message.timestamp, "timestamp")
        payload, compressed = self._encode(message, timestamp, guest=message.user_id is not None)
        return replace(old, message=message, payload=payload, compressed=compressed)

    def _encode(self, message: Message, timestamp: datetime, *, guest: bool) -> tuple[bytes, bool]:
        payload = codec.encode(message, timestamp, guest=guest)
        return codec.compress(payload) if self.limits.compress else (payload, False)

    def again(self, message: Message, sealed: Sealed) -> Prepared:
        """Prepare a stored message to be sealed anew, with the hour and the end that it had."""
        timestamp = codec.check_time(message.timestamp, "timestamp")
        payload, compressed = self._encode(message, timestamp, guest=message.user_id is not None)
        kind, hour, expiry = sealed.retention_class, sealed.hour, sealed.expiry
        _, _, due, keeps = self._lives.ends(kind, hour, expiry)
        pinned = window.is_pinned(message)
        return Prepared(message, payload, compressed, expiry, hour, pinned, kind, due, keeps)


def _with_own(expiry: int, message: Message) -> int:
    """Give the sooner of an end and of a message's own, if it has one."""
    if message.expires_at is None:
        return expiry
    own = max(1, to_milliseconds(codec.check_time(message.expires_at, "expires_at")))
    return own if expiry == NEVER else min(own, expiry)


def _moment(milliseconds: int) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds != NEVER else None


def until(now: datetime, ttl: float) -> datetime:
    """Give the moment `ttl` seconds from now.

    Raises:
        InvalidInputError: not a positive number of seconds, or beyond the calendar.
    """
    if isinstance(ttl, bool):
        raise InvalidInputError("ttl has to be a number of seconds")
    try:
        life = timedelta(seconds=ttl)
        end = now + life
    except (TypeError, ValueError, OverflowError):
        life = timedelta(0)
    if life <= timedelta(0):
        raise InvalidInputError("ttl has to be a positive number of seconds, within the calendar")
    return end
