"""What a sweep does to one session, worked out from what lies there. Pure: no I/O, no clock.

Every record was put in its place in the chain and its clear columns were checked by its row tag, before anything is
decided by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from securemem.crypto.envelope import Sealed
from securemem.crypto.head import HeadSeal
from securemem.ledger.classes import OWN
from securemem.lives import Lives
from securemem.model import NEVER, Change, Head, HeadFlag
from securemem.policy.decide import HOLD, RESTRICTION, Action, Asked, Decision

AGAIN = 86_400_000
"""Milliseconds after which a session is looked at again in which a record is quarantined, for it may be known by
then, or which is there only for a hold on a person."""
MOST_AT_ONCE = 200
"""How many records one change takes out at most, so that no write is held up for long."""

_TESTIMONY = Decision(Action.KEEP, HOLD, NEVER, "pseudonyms in a session that a hold is on may stand for it")
_KEEP, _RESTRICTED, _HELD = int(HeadFlag.KEEP), int(HeadFlag.RESTRICTED), int(HeadFlag.HELD)


@dataclass(slots=True)
class Judgement:
    """What becomes of a session.

    Attributes:
        change: to be made; None where there is nothing to change.
        head: that it sets.
        ends: whether nothing would be left: the session is destroyed instead.
        more: whether there is more to take out than one change does.
        deleted: how many records of which rule the change takes out; of a session that ends, all of them.
        restricted: how many are newly kept out of sight, by rule.
        quarantined: how many lie there whose class or time is not known.
        waiting: of each record that is over and waits for somebody's word: since when, in milliseconds.
    """

    change: Change | None = None
    head: Head | None = None
    ends: bool = False
    more: bool = False
    deleted: Counter[str] = field(default_factory=Counter)
    restricted: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0
    waiting: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """By what sessions are judged.

    Attributes:
        lives: the policy's, with the classes of the records known.
        held: the handles of people and sessions that a legal hold is on.
        witnesses: the handles of people who spoke in a session that a hold is on, where their pseudonyms may stand.
        restricted: the handles of people whose data must not be used.
        ended: the handles of sessions that are there only for what has to be kept of them.
        now: in milliseconds.
        may: tells whether something may be deleted by a rule; what may not waits.
    """

    lives: Lives
    held: frozenset[bytes]
    witnesses: frozenset[bytes]
    restricted: frozenset[bytes]
    ended: frozenset[bytes]
    now: int
    may: Callable[[str], bool]
    _decided: dict[tuple[int, int, int, bool, bool, bool], Decision] = field(default_factory=dict)

    def decide(self, sealed: Sealed, session: bytes, owner: bytes) -> Decision:
        """Decide about a record of a session that no hold is on; a guest's may be held all the same."""
        held = sealed.subject is not None and sealed.subject in self.held
        restricted = (sealed.subject or owner) in self.restricted
        # What is preserved was so for a reason: where the ledger knows its class no more, it is not for deletion.
        erased = session in self.ended and self.lives.is_known(sealed.retention_class)
        record = (sealed.retention_class, sealed.hour, sealed.expiry)
        decision = self._decided.get((*record, held, restricted, erased))
        if decision is None:
            asked = Asked(restriction=restricted, erasure=erased)
            decision = self.lives.decide(record, held=held, asked=asked, now=self.now)
            self._decided[*record, held, restricted, erased] = decision
        if owner in self.witnesses and is_over(sealed, self.now):
            return _TESTIMONY._replace(deadline=self.now + AGAIN)
        return decision

    def count(self, found: Judgement, sealed: Sealed, decision: Decision, due: int) -> None:
        """Count a record that stays; `due` is when somebody was to look at its session."""
        if decision.action == Action.QUARANTINE:
            found.quarantined += 1
        elif decision.action == Action.DELETE:
            found.waiting.append(decision.deadline)
        elif decision.action == Action.RESTRICT and decision.rule != RESTRICTION and NEVER < due <= self.now:
            # What was over before the moment at which somebody was to look, somebody has seen.
            seen = self.lives.ends(sealed.retention_class, sealed.hour, sealed.expiry).seen
            found.restricted[decision.rule] += seen >= due


class Docket(NamedTuple):
    """A session that is judged.

    Attributes:
        session: its handle.
        seal: makes its heads and stubs.
        head: that stands, verified.
        raw: its bytes.
    """

    session: bytes
    seal: HeadSeal
    head: Head
    raw: bytes

    def change(self, new: Head, *, until: int | None, rows: list[tuple[int, bytes]], trim: tuple[int, int]) -> Change:
        """Give the change that sets another head."""
        return Change(self.session, self.raw, self.seal.encode(new), rows=rows, trim=trim, due=new.due, until=until)


def is_over(sealed: Sealed, now: int) -> bool:
    """Tell whether a record says what pseudonyms stand for, and itself that its time is over."""
    return sealed.retention_class == OWN and NEVER < sealed.expiry <= now


def judge(court: Court, docket: Docket, owner: bytes, records: list[Sealed]) -> Judgement:
    """Judge a session.

    Args:
        court: by what.
        docket: which.
        owner: its owner's handle.
        records: all that lie there, verified, newest first.
    """
    found, head = Judgement(), docket.head
    if {docket.session, owner} & court.held:
        due = court.now + AGAIN if docket.session in court.ended else NEVER
        return _marked(found, docket, msgspec.structs.replace(held_head(head), due=due), now=court.now)
    out_of_sight = owner in court.restricted or docket.session in court.ended
    if (head.held and docket.session not in court.ended) or (head.restricted and not out_of_sight):
        return found  # by whom is not known here, so nothing is done to it
    decided = [(sealed, court.decide(sealed, docket.session, owner)) for sealed in reversed(records)]
    going = [sealed for sealed, decision in decided if decision.action == Action.DELETE and court.may(decision.rule)]
    found.ends = len(going) == len(records)
    found.more = not found.ends and len(going) > MOST_AT_ONCE
    gone = {sealed.seq for sealed in (going if found.ends else going[:MOST_AT_ONCE])}
    for sealed, decision in decided:
        if sealed.seq in gone:
            found.deleted[decision.rule] += 1
        elif not found.more:
            court.count(found, sealed, decision, head.due)
    if not found.ends:
        again = [court.now + AGAIN] if found.quarantined else []
        marks = _RESTRICTED if out_of_sight else 0
        _take_out(found, docket, decided, gone, again=again, marks=marks)
    return found


def _marked(found: Judgement, docket: Docket, new: Head, *, now: int) -> Judgement:
    """Mark a session that was begun after its person was held, or say when to look again."""
    if new.flags != docket.head.flags or NEVER < docket.head.due <= now:
        found.head, found.change = new, docket.change(new, until=NEVER, rows=[], trim=(0, 0))
    return found


def held_head(head: Head) -> Head:
    """Give the head of a session that a hold is on: nothing of it goes, and nothing of it is read."""
    return msgspec.structs.replace(
        head, version=head.version + 1, epoch=head.epoch + 1, flags=head.flags | _KEEP | _RESTRICTED | _HELD, due=NEVER
    )


def restricted_head(head: Head, now: int) -> Head:
    """Give the head of a session whose person is restricted: nothing of it is read; a worker looks at it next."""
    return msgspec.structs.replace(
        head, version=head.version + 1, epoch=head.epoch + 1, flags=head.flags | _RESTRICTED, due=now
    )


def _take_out(
    found: Judgement,
    docket: Docket,
    decided: list[tuple[Sealed, Decision]],
    gone: set[int],
    *,
    again: list[int],
    marks: int,
) -> None:
    """Work out the change that takes some records out, and says when to look again and what is kept.

    Args:
        found: to which the change is added.
        docket: the session.
        decided: what was decided about each record.
        gone: those that are taken out.
        again: when to look again for other reasons than a deadline.
        marks: flags that the head has to have, whatever it had: its person was restricted perhaps before it was begun.
    """
    head = docket.head
    left = [(sealed, decision) for sealed, decision in decided if sealed.seq not in gone]
    first = left[0][0].seq if gone else head.first
    stubs = [docket.seal.stub_for(sealed) for sealed, _ in decided if sealed.seq in gone and sealed.seq > first]
    expiries = [sealed.expiry for sealed, _ in left]
    latest = max(expiries) if NEVER not in expiries else NEVER
    deadlines = [decision.deadline for _, decision in left if decision.deadline != NEVER]
    keeps = any(decision.keeps for _, decision in left)
    new = msgspec.structs.replace(
        head,
        version=head.version + 1,
        epoch=head.epoch + (1 if marks & ~head.flags else 0),
        flags=((head.flags | _KEEP if keeps else head.flags & ~_KEEP) & ~_HELD) | marks,
        first=first,
        holes=head.next - first - len(left) if gone else head.holes,
        due=min([*deadlines, *again], default=NEVER),
        latest_expiry=latest,
        edits={seq: tag for seq, tag in head.edits.items() if seq >= first},
        pins=tuple(pin for pin in head.pins if pin >= first and pin not in gone),
    )
    if gone or (new.due, new.flags, new.latest_expiry) != (head.due, head.flags, head.latest_expiry):
        until = NEVER if keeps else latest
        found.head, found.change = new, docket.change(new, until=until, rows=stubs, trim=(head.first, first))
