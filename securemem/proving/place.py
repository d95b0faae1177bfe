"""A place where something of a person can lie, and what looking at it showed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.proving.scan import Kind, Needles, Scan

ERASED = frozenset({Kind.TEXT, Kind.RECORD, Kind.KEY})
"""What must not be anywhere any more; handles may be where it was written down who was forgotten."""
_LIVING = {Kind.LIVING_RECORD, Kind.LIVING_KEY}

FOUND, CLEAN, LEFT, UNPROVEN, UNSEEN = "found", "clean", "left", "unproven", "not looked at"


class UnseenError(Exception):
    """A place cannot be looked at; its text says why, without an id."""


class Missed(list[str]):
    """What of a place could not be read, each with why."""


Reading = Callable[[Scan, Missed], Awaitable[None]]


def unseen(why: str) -> Reading:
    """Give what reads nothing, and says why."""

    async def read(_: Scan, __: Missed) -> None:
        raise UnseenError(why)

    return read


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look.

    Attributes:
        store: whose it is: "data", "keystore", "ledger", "kms", "replica", "also" or "process".
        what: "answers", "files", "tables", "keys" or "memory".
        where: it is, for people; no password in it.
        read: gives all its bytes to a scan.
        control: what of the control has to be found there; none where nothing of it is bound to be.
        forbidden: what must not be found there.
        passing: what of this may be left there until it is overwritten, as in memory that a server has freed.
    """

    store: str
    what: str
    where: str
    read: Reading
    control: frozenset[Kind] = frozenset()
    forbidden: frozenset[Kind] = ERASED
    passing: frozenset[Kind] = frozenset()

    async def look(self, needles: Needles) -> Look:
        """Search it."""
        scan, missed, began = Scan(needles), Missed(), time.monotonic()
        try:
            await self.read(scan, missed)
            found = await asyncio.to_thread(scan.end)
        except UnseenError as exc:
            return Look(self, why=str(exc))
        except (BackendUnavailableError, ConfigurationError) as exc:
            return Look(self, why=f"it does not answer, or does not let us: {exc}")
        return Look(self, scan.size, time.monotonic() - began, frozenset(found), why="; ".join(missed))


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a place showed.

    Attributes:
        place: that was looked at.
        size: how many bytes were searched.
        seconds: how long that took.
        found: what was found.
        why: what could not be looked at there, and why not; all of it where no byte was.
    """

    place: Place
    size: int = 0
    seconds: float = 0.0
    found: frozenset[Kind] = field(default_factory=frozenset)
    why: str = ""

    @property
    def wrong(self) -> frozenset[Kind]:
        """What was found and must not be."""
        return self.found & (self.place.forbidden - self.place.passing)

    @property
    def left(self) -> frozenset[Kind]:
        """What was found and is overwritten some time."""
        return self.found & self.place.passing

    @property
    def control(self) -> bool:
        """Whether the control was found."""
        return bool(self.found & _LIVING)

    @property
    def state(self) -> str:
        """What it comes to."""
        if self.wrong:
            return FOUND
        if not self.size and self.why:
            return UNSEEN
        if not self.place.control <= self.found:
            return UNPROVEN
        return LEFT if self.left else CLEAN
