"""What becomes of a record. Pure: no I/O, no clock.

What comes first, wins; nothing depends on the order of rules in a file:

1. a legal hold: the record is kept, out of sight;
2. a keep that a law demands (`keep_for` with `keep_basis`), against which an erasure only restricts;
3. a verified erasure: it beats lives, pins, and any keep without a basis;
4. what is not classified, or came nobody knows when, is quarantined: kept, out of sight, and reported;
5. a life that is over: of several `ttl` the shortest, within the bounds, and what the caller asked for, which no bound
   lengthens; a keep that still runs, the longest of several, restricts where the life is over;
6. a restriction: it stops use and lengthens no life.

A record's time is known to the hour: a life is counted from the hour's beginning, a keep from its end, so that a life
never ends late and a keep never early.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from securemem.model import NEVER
from securemem.policy.rules import Branch, Rule, Rules

USE = "use"
DEFAULTS, BOUNDS, CALL, HOLD, ERASURE, RESTRICTION, UNCLASSIFIED = (
    "defaults",
    "bounds",
    "call",
    "hold",
    "erasure",
    "restriction",
    "unclassified",
)
RESERVED = frozenset({DEFAULTS, BOUNDS, CALL, HOLD, ERASURE, RESTRICTION, UNCLASSIFIED})
"""What decisions name that no rule makes; no rule has one of these ids."""


class Action(enum.StrEnum):
    """What is done with a record."""

    KEEP = "keep"
    RESTRICT = "restrict"
    DELETE = "delete"
    QUARANTINE = "quarantine"


class Record(NamedTuple):
    """What a record is, as far as is known without opening it.

    Attributes:
        facts: what is true of it; None where its class is not known.
        since: the beginning of the hour in which it came, in milliseconds; NEVER where that is not known.
        by: the end of that hour.
        expiry: until when its caller wants it, in milliseconds; NEVER for no such end.
    """

    facts: Branch | None
    since: int
    by: int
    expiry: int = NEVER


class Asked(NamedTuple):
    """What the person has asked for, as far as it was verified."""

    erasure: bool = False
    restriction: bool = False


class Decision(NamedTuple):
    """What becomes of a record.

    Attributes:
        action: what is done.
        rule: the id of the rule by which, or one of `RESERVED`.
        deadline: when that will be another action, or for what is deleted: since when it should be gone; in
            milliseconds, NEVER where time alone changes nothing.
        why: in words.
        keeps: whether a keep stands against whoever would delete it.
    """

    action: Action
    rule: str
    deadline: int
    why: str
    keeps: bool = False


class _End(NamedTuple):
    """When something is over, and by which rule."""

    moment: int
    rule: str
    why: str


def decide(record: Record, rules: Rules, *, held: bool, asked: Asked, now: int) -> Decision:
    """Decide what becomes of a record.

    Args:
        record: what it is.
        rules: of the policy in force, bound to the tenant whose record it is.
        held: whether a legal hold is on it.
        asked: what the person has asked for.
        now: in milliseconds.
    """
    if held:
        return Decision(Action.RESTRICT, HOLD, NEVER, "a legal hold", keeps=True)
    matching = rules.matching(record.facts) if record.facts is not None else []
    keep = _keep(record, matching, now, with_basis=True)
    if asked.erasure:
        if keep is not None:
            return Decision(Action.RESTRICT, keep.rule, keep.moment, f"erased, and {keep.why}", keeps=True)
        return Decision(Action.DELETE, ERASURE, now, "the person asked to be forgotten")
    if record.since == NEVER or (record.facts is None and rules.quarantines):
        keep = keep or _keep(record, matching, now, with_basis=False)
        return _unclassified(record, asked, keeps=keep is not None)
    any_keep = _keep(record, matching, now, with_basis=False)
    if any_keep is not None and (keep is None or _later(any_keep, keep)):
        keep = any_keep
    end = _end(record, rules, matching)
    if NEVER < end.moment <= now:
        return _over(record, end, keep, matching, asked, now)
    if asked.restriction:
        return Decision(Action.RESTRICT, RESTRICTION, end.moment, "the person asked for it", keeps=keep is not None)
    return Decision(Action.KEEP, end.rule, end.moment, end.why, keeps=keep is not None)


def _unclassified(record: Record, asked: Asked, *, keeps: bool) -> Decision:
    if asked.restriction:
        return Decision(Action.RESTRICT, RESTRICTION, NEVER, "the person asked for it", keeps=keeps)
    what = "when it came is not known" if record.since == NEVER else "its class is not known"
    return Decision(Action.QUARANTINE, UNCLASSIFIED, NEVER, what, keeps=keeps)


def _over(record: Record, end: _End, keep: _End | None, matching: list[Rule], asked: Asked, now: int) -> Decision:
    """Decide about a record whose life is over."""
    if keep is None:
        return Decision(Action.DELETE, end.rule, end.moment, f"over: {end.why}")
    promised = NEVER < record.expiry <= now
    if not promised and not asked.restriction and _while_kept(matching) == USE:
        return Decision(Action.KEEP, keep.rule, keep.moment, keep.why, keeps=True)
    return Decision(Action.RESTRICT, keep.rule, keep.moment, keep.why, keeps=True)


def _while_kept(matching: list[Rule]) -> str | None:
    """Give what the most specific rule says that says something."""
    return next((rule.while_kept for rule in matching if rule.while_kept is not None), None)


def _later(one: _End, other: _End) -> bool:
    """Tell whether one end is after another; NEVER is after all."""
    return other.moment != NEVER and (one.moment == NEVER or one.moment > other.moment)


def _keep(record: Record, matching: list[Rule], now: int, *, with_basis: bool) -> _End | None:
    """Give the longest keep that runs, of those with a basis or of those without; None where none does.

    Where it is not known when a record came, no keep is known to be over.
    """
    longest: _End | None = None
    for rule in matching:
        if rule.keep_for is None or (rule.basis is not None) != with_basis:
            continue
        moment = rule.keep_for.after(record.by) if record.since != NEVER else NEVER
        if moment != NEVER and moment <= now:
            continue
        found = _End(moment, rule.id, f"kept for {rule.keep_for}" + (f" ({rule.basis})" if rule.basis else ""))
        if longest is None or _later(found, longest):
            longest = found
    return longest


def _end(record: Record, rules: Rules, matching: list[Rule]) -> _End:
    """Give when a record's life is over; NEVER if it has no end."""
    end = _end_by_rule(record, rules, matching)
    if record.expiry != NEVER and (end.moment == NEVER or record.expiry <= end.moment):
        return _End(record.expiry, CALL, "its caller wanted it so long")
    return end


def _end_by_rule(record: Record, rules: Rules, matching: list[Rule]) -> _End:
    given = [(rule.ttl.after(record.since), rule.id, f"ttl {rule.ttl}") for rule in matching if rule.ttl is not None]
    if not given:
        name = matching[0].id if matching else DEFAULTS
        if rules.ttl is not None:
            given = [(rules.ttl.after(record.since), name, f"ttl {rules.ttl} of the defaults")]
        elif rules.max_ttl is None:
            return _End(NEVER, name, "nothing says for how long")
        else:
            return _End(rules.max_ttl.after(record.since), BOUNDS, f"max_ttl {rules.max_ttl}")
    moment, rule, why = min(given)
    if rules.min_ttl is not None and moment < rules.min_ttl.after(record.since):
        return _End(rules.min_ttl.after(record.since), rule, f"{why}, at least {rules.min_ttl}")
    if rules.max_ttl is not None and moment > rules.max_ttl.after(record.since):
        return _End(rules.max_ttl.after(record.since), rule, f"{why}, at most {rules.max_ttl}")
    return _End(moment, rule, why)
