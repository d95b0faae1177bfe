"""What was asked for and when: from that follows what has to be gone, what has to be there, and what may be either.

A message is certain where its append was acknowledged; whatever destroys is certain where it had returned before the
other began. What overlaps may come out either way, and nothing is said of it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import Enum

NEVER = 1 << 60
"""A moment that did not come."""

Place = tuple[str, str]
"""A session, by its owner and its id."""


class Kind(Enum):
    """What a message is to the policy."""

    PLAIN = "plain"
    INVOICE = "invoice"
    """A law demands that it is kept."""
    SCRATCH = "scratch"
    """It is past its time."""


@dataclass(eq=False)
class Span:
    """Something that was asked for: when it began, when it ended, and how."""

    began: int
    ended: int = NEVER
    outcome: str = "unknown"

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome == "done"


@dataclass(eq=False)
class Said(Span):
    """A message: its text, of which there is no second, whose data it is, and where it was said."""

    text: str = ""
    subject: str = ""
    place: Place = ("", "")
    kind: Kind = Kind.PLAIN
    versions: list[Said] = field(default_factory=list)
    """What was to take its place, or that of what it took the place of, itself included."""

    @property
    def people(self) -> set[str]:
        """Those whose erasure takes it."""
        return {self.subject, self.place[0]}

    @property
    def is_replaced(self) -> bool:
        """Whether something else may stand in its place."""
        others = [each for each in self.versions if each is not self]
        return any(each.outcome != "refused" and each.ended > self.began for each in others)


@dataclass(eq=False)
class Act(Span):
    """Something that was done with a person's data, or with one session of theirs."""

    person: str = ""
    session: str | None = None
    process: int = 0
    id: str = ""
    ending: Span | None = None
    """Its release, or lifting."""

    def is_on(self, said: Said) -> bool:
        """Tell whether a message is meant, where it was said."""
        if self.session is None:
            return self.person in said.people
        return (self.person, self.session) == said.place


@dataclass(eq=False)
class Read(Span):
    """What somebody was given to read."""

    place: Place = ("", "")
    texts: list[str] = field(default_factory=list)
    lagging: bool = False
    """Whether it came from a replica, which learns of a hold or a restriction when it has caught up."""


class Told:
    """All that was asked for in one run."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._ticks = itertools.count(1)
        self.said: dict[str, Said] = {}
        self.erasures: list[Act] = []
        self.clears: list[Act] = []
        self.holds: list[Act] = []
        self.restrictions: list[Act] = []
        self.sweeps: list[Act] = []
        self.forks: list[Act] = []
        self.reads: list[Read] = []

    def now(self) -> int:
        """Give the present moment; the next one is another."""
        return next(self._ticks)

    def has_to_be_gone(self, said: Said) -> bool:
        """Tell whether no key may open a message any more, once all is released and a worker has passed."""
        if said.kind is Kind.INVOICE:
            return False
        return said.kind is Kind.SCRATCH or said.outcome == "refused" or self._is_erased(said)

    def _is_erased(self, said: Said) -> bool:
        return any(each.is_on(said) and _is_since(each, said) for each in self.erasures)

    def is_forgotten(self, said: Said) -> bool:
        """Tell whether whose it is was erased since: a vault has nothing of theirs then, whatever a law keeps."""
        return any(each.person == said.subject and _is_since(each, said) for each in self.erasures)

    def has_to_be_cleared(self, said: Said) -> bool:
        """Tell whether a message may not be where it was said any more; a fork may have it."""
        return any(each.is_on(said) and said.ended < each.began and each.done for each in self.clears)

    def has_to_be_there(self, said: Said) -> bool:
        """Tell whether a message has to be where it was said, when all is over."""
        if not said.done or said.kind is Kind.SCRATCH or said.is_replaced:
            return False
        destroyers = [each for each in [*self.erasures, *self.clears] if each.is_on(said)]
        return not any(self._lasts(each) > said.began for each in destroyers)

    def _lasts(self, act: Act) -> int:
        """Give until when something destroys: what a hold has put off, to the end."""
        if act.outcome == "refused":
            return 0
        return act.ended if act.done and not self._is_put_off(act) else NEVER

    def _is_put_off(self, act: Act) -> bool:
        """Tell whether a hold may have come between, which keeps what it is on until it is released."""
        return bool(self._putting_off(act))

    def _putting_off(self, act: Act) -> list[Act]:
        return [
            hold
            for hold in self.holds
            if act.session is None and hold.began < act.ended and (hold.ending is None or hold.ending.ended > act.began)
        ]

    def _goes_on(self, act: Act) -> int:
        """Give until when something destroys, of what it has not met by then: the last release goes on with it."""
        ends = [hold.ending.ended if hold.ending is not None else NEVER for hold in self._putting_off(act)]
        return max([act.ended, *ends])

    def has_to_be_kept(self, said: Said) -> bool:
        """Tell whether a law demands that some key opens a message."""
        return said.done and said.kind is Kind.INVOICE and not said.is_replaced

    def has_to_be_held(self, said: Said) -> bool:
        """Tell whether a hold that stands demands it: nothing that destroys had begun before the hold was reported."""
        holds = [each for each in self.holds if each.done and each.ending is None and each.is_on(said)]
        destroyers = [each for each in [*self.erasures, *self.clears] if each.is_on(said) and each.outcome != "refused"]
        if said.kind is Kind.SCRATCH:
            destroyers += self.sweeps
        return (
            said.done
            and not said.is_replaced
            and any(
                said.ended < hold.began
                and not any(each.began < hold.ended and self._goes_on(each) > said.began for each in destroyers)
                for hold in holds
            )
        )

    def may_be_read(self, said: Said, read: Read) -> bool:
        """Tell whether a reader may have been given a message."""
        if said.kind is Kind.SCRATCH or said.outcome == "refused":
            return False
        later = [each for each in said.versions if each.done and said.ended < each.began]
        if said.place == read.place and any(each.ended < read.began for each in later):
            return False
        acts = [each for each in [*self.erasures, *self.clears] if each.done and not self._is_put_off(each)]
        over = [each for each in acts if each.ended < read.began]
        if any(each.is_on(said) and said.ended < each.began for each in over if each.session is None):
            return False
        here = said.place == read.place
        if here and any(each.is_on(said) and said.ended < each.began for each in over):
            return False
        hiding = [
            each for each in [*self.holds, *self.restrictions] if each.person == read.place[0] and not read.lagging
        ]
        return not any(
            each.done
            and here
            and each.session in (None, read.place[1])
            and said.ended < each.began
            and each.ended < read.began
            and (each.ending is None or each.ending.began > read.ended)
            for each in hiding
        )


def _is_since(erasure: Act, said: Said) -> bool:
    return said.ended < erasure.began and erasure.outcome in ("done", "held")
