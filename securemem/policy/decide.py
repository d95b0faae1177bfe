"""What becomes of a record. Pure: no I/O, no clock.

What comes first, wins; nothing depends on the order of rules in a file:

1. a legal hold: the record is kept, out of sight;
2. a keep that a law demands (`keep_for` with `keep_basis`), against which an erasure only restricts;
3. a verified erasure: it beats lives, pins, and any keep without a basis;
4. what is not classified, or came nobody knows when, is quarantined: kept, out of sight, and reported; where the person
   asked for a restriction, that is what is done with it;
5. a life that is over: of several `ttl` the shortest, within the bounds (`max_ttl` where they cross), and what the
   caller asked for, which no bound lengthens; a keep that still runs, the longest of several, restricts where the life
   is over, or goes on showing where the most specific rule with a `while_kept` says "use", though never past what the
   caller asked for;
6. a restriction: it stops use and lengthens no life.

Where several say the same moment, one of them is named: a keep with a basis before others, then the most specific rule,
then by its id; the caller before any rule. Where rules say nothing of a life, it is the defaults' or the bounds', and
the most specific rule is named for the defaults.

A record's time is known to the hour: a life is counted from the hour's beginning, a keep from its end, so that a life
never ends late and a keep never early.
"""

from __future__ import annotations

import enum
from operator import attrgetter
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
        deadline: when that will be another action, or for what is deleted: since when it should be gone, which for an
            erasure is now; in milliseconds, NEVER where time alone changes nothing.
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
    if asked.erasure:
        return _erased(record, matching, now)
    if record.since == NEVER or (record.facts is None and rules.quarantines):
        return _unclassified(record, asked, keeps=_keep(record, matching) is not None)
    return _by_time(record, _life(record, rules, matching), matching, asked, now)


def _erased(record: Record, matching: list[Rule], now: int) -> Decision:
    """Decide about a record whose person asked to be forgotten."""
    keep = _keep(record, [rule for rule in matching if rule.basis is not None])
    if keep is None or NEVER < keep.moment <= now:
        return Decision(Action.DELETE, ERASURE, now, "the person asked to be forgotten")
    return Decision(Action.RESTRICT, keep.rule, keep.moment, f"erased, and {keep.why}", keeps=True)


def _unclassified(record: Record, asked: Asked, *, keeps: bool) -> Decision:
    if asked.restriction:
        return Decision(Action.RESTRICT, RESTRICTION, NEVER, "the person asked for it", keeps=keeps)
    what = "when it came is not known" if record.since == NEVER else "its class is not known"
    return Decision(Action.QUARANTINE, UNCLASSIFIED, NEVER, what, keeps=keeps)


def _by_time(record: Record, life: _End, matching: list[Rule], asked: Asked, now: int) -> Decision:
    """Decide about a record that is in use until one moment, and gone from another."""
    keep = _keep(record, matching)
    seen, gone = _seen(record, life, keep, matching), life.moment
    if keep is not None and gone != NEVER:
        gone = max(gone, keep.moment)
    if NEVER < gone <= now:
        return Decision(Action.DELETE, life.rule, gone, f"over: {life.why}")
    stands = _End(NEVER, RESTRICTION, "the person asked for it") if asked.restriction else life
    if keep is not None and NEVER < life.moment <= now:
        stands = keep
    keeps = keep is not None and now < keep.moment
    if asked.restriction or NEVER < seen <= now:
        return Decision(Action.RESTRICT, stands.rule, gone, stands.why, keeps=keeps)
    return Decision(Action.KEEP, stands.rule, seen, stands.why, keeps=keeps)


def _seen(record: Record, life: _End, keep: _End | None, matching: list[Rule]) -> int:
    """Give until when a record may be used, unless its person asked for a restriction; NEVER for no end."""
    if life.moment == NEVER or keep is None or _while_kept(matching) != USE:
        return life.moment
    until = max(life.moment, keep.moment)
    return until if record.expiry == NEVER else min(until, record.expiry)


def _while_kept(matching: list[Rule]) -> str | None:
    """Give what the most specific rule says that says something."""
    return next((rule.while_kept for rule in matching if rule.while_kept is not None), None)


def _keep(record: Record, matching: list[Rule]) -> _End | None:
    """Give the longest keep, whether it runs or is over; None for none.

    Where it is not known when a record came, no keep is known to be over: its moment is NEVER.
    """
    found = [
        _End(rule.keep_for.after(record.by) if record.since != NEVER else NEVER, rule.id, _kept(rule))
        for rule in sorted(matching, key=lambda rule: rule.basis is None)
        if rule.keep_for is not None
    ]
    return max(found, key=attrgetter("moment"), default=None)


def _kept(rule: Rule) -> str:
    return f"kept for {rule.keep_for}" + (f" ({rule.basis})" if rule.basis is not None else "")


def _life(record: Record, rules: Rules, matching: list[Rule]) -> _End:
    """Give when a record's life is over; NEVER if it has no end."""
    end = _life_by_rule(record, rules, matching)
    if record.expiry != NEVER and (end.moment == NEVER or record.expiry <= end.moment):
        return _End(record.expiry, CALL, "its caller wanted it so long")
    return end


def _life_by_rule(record: Record, rules: Rules, matching: list[Rule]) -> _End:
    lives = [
        _End(rule.ttl.after(record.since), rule.id, f"ttl {rule.ttl}") for rule in matching if rule.ttl is not None
    ]
    if not lives:
        name = matching[0].id if matching else DEFAULTS
        if rules.ttl is None:
            if rules.max_ttl is None:
                return _End(NEVER, name, "nothing says for how long")
            return _End(rules.max_ttl.after(record.since), BOUNDS, f"max_ttl {rules.max_ttl}")
        lives = [_End(rules.ttl.after(record.since), name, f"ttl {rules.ttl} of the defaults")]
    return _within(record, rules, min(lives, key=attrgetter("moment")))


def _within(record: Record, rules: Rules, life: _End) -> _End:
    """Give a life as long as the bounds have it."""
    least = rules.min_ttl.after(record.since) if rules.min_ttl is not None else life.moment
    if life.moment < least:
        life = _End(least, life.rule, f"{life.why}, at least {rules.min_ttl}")
    most = rules.max_ttl.after(record.since) if rules.max_ttl is not None else life.moment
    return life if life.moment <= most else _End(most, life.rule, f"{life.why}, at most {rules.max_ttl}")
