"""The precedence a second time, slowly: what speaks at a moment is listed with its rank, and the lowest rank is heard.

Nothing here is taken from `securemem.policy.decide`: rules are matched condition by condition, months are counted on a
calendar, and a deadline is found by asking again at every moment at which anything begins or ends.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from securemem.policy.decide import Asked, Record
from securemem.policy.durations import Duration
from securemem.policy.rules import Rule, Rules

NEVER = 0
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
START = datetime(1970, 1, 1, tzinfo=UTC)


class Verdict(NamedTuple):
    """What has to be decided, without the words."""

    action: str
    rule: str
    deadline: int
    keeps: bool


class Situation(NamedTuple):
    """All that a decision depends on but the time."""

    record: Record
    rules: Rules
    held: bool
    asked: Asked


class _Known(NamedTuple):
    """A situation, and what in it no moment changes: which rules are for its record, until when that lives and why."""

    situation: Situation
    matching: list[Rule]
    until: int | None
    name: str


@cache
def later(moment: int, span: Duration) -> int:
    """Give a moment so much later, by the calendar."""
    when = START + timedelta(milliseconds=moment)
    year, month = when.year, when.month
    year += (month - 1 + span.months) // 12
    month = (month - 1 + span.months) % 12 + 1
    if year > 9999:
        return _milliseconds(END_OF_TIME)
    day = when.day
    while True:
        try:
            shifted = when.replace(year=year, month=month, day=day)
            break
        except ValueError:
            day -= 1
    if END_OF_TIME - shifted < timedelta(seconds=span.seconds):
        return _milliseconds(END_OF_TIME)
    return _milliseconds(shifted + timedelta(seconds=span.seconds))


def _milliseconds(when: datetime) -> int:
    return (when - START) // timedelta(milliseconds=1)


def verdict(situation: Situation, now: int) -> Verdict:
    """Give what has to be decided now."""
    matching = _matching(situation.record, situation.rules)
    known = _Known(situation, matching, *_life(situation.record, situation.rules, matching))
    action, rule = _heard(known, now)
    return Verdict(action, rule, _deadline(known, action, rule, now), _keeps(known, now))


def _deadline(known: _Known, action: str, rule: str, now: int) -> int:
    """Look for the moment of the next other action; or, back from now, for that since which it was to be deleted."""
    moments = _moments(known.situation)
    if action != "delete":
        return next((moment for moment in moments if moment > now and _heard(known, moment)[0] != action), NEVER)
    if rule == "erasure":
        return now
    since = now
    for moment in reversed([moment for moment in moments if moment <= now]):
        if _heard(known, moment)[0] != "delete":
            break
        since = moment
    return since


def _moments(situation: Situation) -> list[int]:
    """Give every moment at which anything could begin or end, in order."""
    record, rules = situation.record, situation.rules
    found = {record.expiry} - {NEVER}
    if record.since != NEVER:
        spans = [rules.ttl, rules.min_ttl, rules.max_ttl, *(rule.ttl for rule in rules.rules)]
        found |= {later(record.since, span) for span in spans if span is not None}
        found |= {later(record.by, rule.keep_for) for rule in rules.rules if rule.keep_for is not None}
    return sorted(found)


def _heard(known: _Known, now: int) -> tuple[str, str]:
    """List all that speaks at a moment, as (rank, action, name), and give what is heard."""
    record, rules, held, asked = known.situation
    kept = _kept(known, now)
    lawful = next((rule for rule in kept if rule.basis is not None), None)
    speaking = [(7, "keep", known.name)]
    if held:
        speaking.append((0, "restrict", "hold"))
    if asked.erasure and lawful is not None:
        speaking.append((1, "restrict", lawful.id))
    if asked.erasure:
        speaking.append((2, "delete", "erasure"))
    if record.since == NEVER or (record.facts is None and rules.quarantines):
        speaking.append((3, "restrict", "restriction") if asked.restriction else (4, "quarantine", "unclassified"))
    elif known.until is not None and known.until <= now:
        speaking.append((5, _when_over(known, kept, now), kept[0].id if kept else known.name))
    if asked.restriction:
        speaking.append((6, "restrict", "restriction"))
    _, action, name = min(speaking)
    return action, name


def _when_over(known: _Known, kept: list[Rule], now: int) -> str:
    """Give what is done at the end of a life, against which these keeps stand."""
    if not kept:
        return "delete"
    record, _, _, asked = known.situation
    says = [rule.while_kept for rule in known.matching if rule.while_kept is not None]
    is_promised = record.expiry != NEVER and record.expiry <= now
    return "keep" if says[:1] == ["use"] and not is_promised and not asked.restriction else "restrict"


def _keeps(known: _Known, now: int) -> bool:
    """Tell whether something stands against whoever would delete the record."""
    kept = _kept(known, now)
    if known.situation.asked.erasure:
        kept = [rule for rule in kept if rule.basis is not None]
    return known.situation.held or bool(kept)


def _kept(known: _Known, now: int) -> list[Rule]:
    """Give the rules that keep the record now, the longest first."""
    record = known.situation.record
    found = []
    for place, rule in enumerate(known.matching):
        if rule.keep_for is None:
            continue
        until = float("inf") if record.since == NEVER else later(record.by, rule.keep_for)
        if now < until:
            found.append((-until, rule.basis is None, place, rule))
    return [rule for *_, rule in sorted(found, key=lambda each: each[:3])]


def _life(record: Record, rules: Rules, matching: list[Rule]) -> tuple[int | None, str]:
    """Give until when a record lives, None for no end, and what says so."""
    if record.since == NEVER:
        return None, ""
    name = matching[0].id if matching else "defaults"
    lives = [(later(record.since, rule.ttl), rule.id) for rule in matching if rule.ttl is not None]
    if not lives and rules.ttl is not None:
        lives = [(later(record.since, rules.ttl), name)]
    if not lives and rules.max_ttl is not None:
        lives = [(later(record.since, rules.max_ttl), "bounds")]
    until: int | None = None
    for moment, rule in lives:
        if until is None or moment < until:
            until, name = moment, rule
    if until is not None and rules.min_ttl is not None:
        until = max(until, later(record.since, rules.min_ttl))
    if until is not None and rules.max_ttl is not None:
        until = min(until, later(record.since, rules.max_ttl))
    if record.expiry != NEVER and (until is None or record.expiry <= until):
        return record.expiry, "call"
    return until, name


def _matching(record: Record, rules: Rules) -> list[Rule]:
    """Give the rules that are for a record: those with most conditions true of it first, then by id."""
    found = []
    for rule in rules.rules:
        counts = [len(branch) for branch in rule.branches if all(each in (record.facts or ()) for each in branch)]
        if counts:
            found.append((-max(counts), rule.id, rule))
    return [rule for *_, rule in sorted(found, key=lambda each: each[:2])]
