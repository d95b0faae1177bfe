"""What has to be kept of what an act destroys, as far as it is known while it is carried out. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from securemem.crypto.envelope import Sealer
from securemem.keptvalues import KeptValues
from securemem.ledger.acts import Act
from securemem.ledger.holds import Hold, Kind
from securemem.lives import Lives

COPY, PSEUDONYMS = "copy", "pseudonyms"
"""Why a session is preserved: it was made for that, or it holds what pseudonyms in one that is held stand for."""


class Beside(Enum):
    """Whether what an act has preserved already stays beside what it finds.

    Attributes:
        NO: it lies yet, and is made anew.
        STUBS: it is a stub by now.
        PERHAPS: somebody else began with the act; it may be either.
    """

    NO = auto()
    STUBS = auto()
    PERHAPS = auto()


class Guest(NamedTuple):
    """Somebody who speaks in another person's session, by the key that they have there when an act begins."""

    user_id: str
    sealer: Sealer


@dataclass(slots=True)
class Demands:
    """What has to be kept of what an act destroys.

    Attributes:
        act: which.
        lives: by the rules that it was decided under; None where no law demands anything.
        people: whose data a hold is on, whatever session it is in.
        sessions: those that a hold is on, and those in which something is preserved.
        held: the former alone, and
        preserving: the latter.
        vaults: those that stayed for what a hold was on when another act came by.
        copies: those in which this act preserved something, by the session that it is of.
        guests: by session and handle, whose records may have to be opened once their key is destroyed, for they were
            written while it was.
        values: what pseudonyms stand for.
        stubbed: those of them of whom something was preserved that is a stub by now.
        resumed: whether somebody else may have begun with this act, and stubbed more.
    """

    act: Act
    lives: Lives | None
    values: KeptValues
    people: frozenset[bytes] = frozenset()
    sessions: set[bytes] = field(default_factory=set)
    held: frozenset[bytes] = frozenset()
    preserving: set[bytes] = field(default_factory=set)
    vaults: set[bytes] = field(default_factory=set)
    copies: dict[bytes, set[bytes]] = field(default_factory=dict)
    guests: dict[tuple[bytes, bytes], Guest] = field(default_factory=dict, repr=False)
    stubbed: set[tuple[bytes, bytes]] = field(default_factory=set)
    resumed: bool = False

    @property
    def are_none(self) -> bool:
        """Whether nothing has to be looked at."""
        return self.lives is None and not self.people

    def take(self, standing: list[Hold]) -> None:
        """Take over what stands by now."""
        holds = [each for each in standing if each.kind == Kind.HOLD]
        self.people = frozenset(each.person for each in holds if each.session is None)
        preserved = [each for each in standing if each.kind == Kind.PRESERVED and each.session is not None]
        self.preserving = {each.session for each in preserved if each.session and each.reason != PSEUDONYMS}
        self.vaults = {each.session for each in preserved if each.session and each.reason == PSEUDONYMS}
        self.held = frozenset(each.session for each in holds if each.session is not None)
        self.sessions = {*self.held, *self.preserving}

    def spares(self, session: bytes, owner: bytes) -> bool:
        """Tell whether a session stays as it is."""
        return session in self.sessions or owner in self.people

    def are_holds_on(self, session: bytes, owner: bytes) -> bool:
        """Tell whether a session stays for a hold, whatever is preserved in it."""
        return session in self.held or owner in self.people

    def judges(self, session: bytes) -> bool:
        """Tell whether what another act has preserved in a session is judged anew.

        What stood when an act that a restored store has missed was decided says nothing of what has to be kept now.
        """
        own = any(session in made for made in self.copies.values())
        return session in self.preserving and not own and not self.act.done
