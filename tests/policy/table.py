"""Named cases of what has to be decided about a record that came in the first hour of 2026."""

from __future__ import annotations

from typing import NamedTuple

from securemem.model import NEVER
from securemem.policy.decide import Asked, Record
from securemem.policy.durations import Duration
from securemem.policy.rules import TAG, Branch, Condition, Rule, Rules
from tests.policy.naive import Situation, Verdict

HOUR = 3_600_000
START = 1_767_225_600_000
BY = START + HOUR
DAY = 24 * HOUR
ERASED, RESTRICTED, BOTH = Asked(erasure=True), Asked(restriction=True), Asked(erasure=True, restriction=True)
NOBODY = Asked()


class Case(NamedTuple):
    """One case: what is known, when it is asked, and what has to be said."""

    name: str
    situation: Situation
    now: int
    expected: Verdict


def _facts(tags: str) -> Branch:
    return frozenset(Condition(TAG, tag) for tag in tags)


def _rule(name: str, ttl: str = "", keep: str = "", *, on: str = "a", law: bool = False, use: str = "") -> Rule:
    return Rule(
        name,
        (_facts(on),),
        Duration.of(ttl) if ttl else None,
        Duration.of(keep) if keep else None,
        "gdpr-17-3-b" if law else None,
        use or None,
    )


def _rules(*rules: Rule, ttl: str = "", least: str = "", most: str = "", quarantines: bool = True) -> Rules:
    default, low, high = (Duration.of(text) if text else None for text in (ttl, least, most))
    return Rules(rules, default, low, high, quarantines)


def _record(tags: str | None = "a", expiry: int = NEVER, *, is_dated: bool = True) -> Record:
    facts = _facts(tags) if tags is not None else None
    return Record(facts, START, BY, expiry) if is_dated else Record(facts, NEVER, NEVER, expiry)


SCRATCH = _rules(_rule("scratch", "24h"))
LAW = _rules(_rule("law", "24h", "2d", law=True))
WISH = _rules(_rule("wish", "24h", "2d"))
SHOWN = _rules(_rule("shown", "24h", "2d", use="use"))
TWO = _rules(_rule("long", "24h", "3d"), _rule("law", "30d", "2d", law=True))
EQUAL = _rules(_rule("a-wish", "24h", "2d"), _rule("law", "24h", "2d", law=True))
IDLE = _rules()
DATELESS = _record(is_dated=False)
UNKNOWN = _record(None)


def _case(name: str, rules: Rules, now: int, expected: tuple[str, str, int, bool], **more: object) -> Case:
    record = more.get("record", _record())
    asked = more.get("asked", NOBODY)
    assert isinstance(record, Record)
    assert isinstance(asked, Asked)
    return Case(name, Situation(record, rules, bool(more.get("held")), asked), now, Verdict(*expected))


CASES = (
    # Holds and erasures
    _case("a hold beats all", LAW, START + 9 * DAY, ("restrict", "hold", NEVER, True), held=True, asked=BOTH),
    _case("a keep with a basis, erased", LAW, START, ("restrict", "law", BY + 2 * DAY, True), asked=ERASED),
    _case(
        "the same, a moment before its end", LAW, BY + 2 * DAY - 1, ("restrict", "law", BY + 2 * DAY, True), asked=BOTH
    ),
    _case("the same, at its end", LAW, BY + 2 * DAY, ("delete", "erasure", BY + 2 * DAY, False), asked=ERASED),
    _case("a keep without a basis, erased", WISH, START, ("delete", "erasure", START, False), asked=ERASED),
    _case("the keep that demands it, erased", TWO, START, ("restrict", "law", BY + 2 * DAY, True), asked=ERASED),
    _case("nothing known, erased", SCRATCH, START, ("delete", "erasure", START, False), record=UNKNOWN, asked=ERASED),
    _case(
        "came nobody knows when, erased", LAW, START, ("restrict", "law", NEVER, True), record=DATELESS, asked=ERASED
    ),
    # What is not classified
    _case("no class", SCRATCH, START + 9 * DAY, ("quarantine", "unclassified", NEVER, False), record=UNKNOWN),
    _case("no hour", SCRATCH, START + 9 * DAY, ("quarantine", "unclassified", NEVER, False), record=DATELESS),
    _case("no hour, and a keep", WISH, START + 9 * DAY, ("quarantine", "unclassified", NEVER, True), record=DATELESS),
    _case(
        "no class, restricted", LAW, START, ("restrict", "restriction", NEVER, False), record=UNKNOWN, asked=RESTRICTED
    ),
    _case(
        "no hour, restricted", LAW, START, ("restrict", "restriction", NEVER, True), record=DATELESS, asked=RESTRICTED
    ),
    _case(
        "no class, which is as if no rule matched",
        _rules(_rule("scratch", "24h"), ttl="2d", quarantines=False),
        START,
        ("keep", "defaults", START + 2 * DAY, False),
        record=UNKNOWN,
    ),
    _case(
        "no hour, though no class were no matter",
        _rules(ttl="24h", quarantines=False),
        START,
        ("quarantine", "unclassified", NEVER, False),
        record=DATELESS,
    ),
    # Lives
    _case("nothing said", IDLE, START, ("keep", "defaults", NEVER, False)),
    _case("a rule that says nothing of time", _rules(_rule("mute")), START, ("keep", "mute", NEVER, False)),
    _case("a life that lasts", SCRATCH, START + DAY - 1, ("keep", "scratch", START + DAY, False)),
    _case("a life that is over", SCRATCH, START + DAY, ("delete", "scratch", START + DAY, False)),
    _case("a rule for others", SCRATCH, START + DAY, ("keep", "defaults", NEVER, False), record=_record("b")),
    _case(
        "the shortest of several",
        _rules(_rule("long", "30d"), _rule("short", "24h", on="ab"), _rule("middle", "2d")),
        START,
        ("keep", "short", START + DAY, False),
        record=_record("ab"),
    ),
    _case(
        "the most specific of equals",
        _rules(_rule("a", "24h"), _rule("b", "24h", on="ab")),
        START,
        ("keep", "b", START + DAY, False),
        record=_record("ab"),
    ),
    _case(
        "the first by id of equals",
        _rules(_rule("b", "24h"), _rule("a", "24h")),
        START,
        ("keep", "a", START + DAY, False),
    ),
    _case("defaults where no rule matches", _rules(ttl="24h"), START, ("keep", "defaults", START + DAY, False)),
    _case(
        "defaults where the rules say nothing",
        _rules(_rule("a"), _rule("b", on="ab"), ttl="24h"),
        START,
        ("keep", "b", START + DAY, False),
        record=_record("ab"),
    ),
    _case("bounds where nobody says", _rules(most="24h"), START, ("keep", "bounds", START + DAY, False)),
    _case("bounds, over", _rules(_rule("a"), most="24h"), START + DAY, ("delete", "bounds", START + DAY, False)),
    _case("clamped up", _rules(_rule("a", "24h"), least="2d"), START, ("keep", "a", START + 2 * DAY, False)),
    _case("clamped down", _rules(_rule("a", "30d"), most="2d"), START, ("keep", "a", START + 2 * DAY, False)),
    _case(
        "within the bounds",
        _rules(_rule("a", "2d"), least="24h", most="30d"),
        START,
        ("keep", "a", START + 2 * DAY, False),
    ),
    _case(
        "as long as the bounds have it",
        _rules(_rule("a", "2d"), least="2d", most="2d"),
        START,
        ("keep", "a", START + 2 * DAY, False),
    ),
    _case(
        "bounds that cross",
        _rules(_rule("a", "24h"), least="30d", most="2d"),
        START,
        ("keep", "a", START + 2 * DAY, False),
    ),
    # What the caller asked for
    _case("the caller's shorter", SCRATCH, START, ("keep", "call", BY, False), record=_record(expiry=BY)),
    _case("the same, over", SCRATCH, BY, ("delete", "call", BY, False), record=_record(expiry=BY)),
    _case(
        "the caller's at the same moment",
        SCRATCH,
        START,
        ("keep", "call", START + DAY, False),
        record=_record(expiry=START + DAY),
    ),
    _case(
        "the caller's longer",
        SCRATCH,
        START,
        ("keep", "scratch", START + DAY, False),
        record=_record(expiry=START + 2 * DAY),
    ),
    _case("the caller's alone", IDLE, START, ("keep", "call", BY, False), record=_record(expiry=BY)),
    _case(
        "the caller's, which no bound lengthens",
        _rules(_rule("a", "30d"), least="2d"),
        BY,
        ("delete", "call", BY, False),
        record=_record(expiry=BY),
    ),
    # Keeps
    _case("a keep during life", LAW, START, ("keep", "law", START + DAY, True)),
    _case("a keep after life", LAW, START + DAY, ("restrict", "law", BY + 2 * DAY, True)),
    _case("a keep without a basis after life", WISH, START + DAY, ("restrict", "wish", BY + 2 * DAY, True)),
    _case("a moment before a keep's end", LAW, BY + 2 * DAY - 1, ("restrict", "law", BY + 2 * DAY, True)),
    _case("a keep at its end", LAW, BY + 2 * DAY, ("delete", "law", BY + 2 * DAY, False)),
    _case("long after a keep", LAW, START + 30 * DAY, ("delete", "law", BY + 2 * DAY, False)),
    _case("a keep shorter than life", _rules(_rule("k", "2d", "24h")), BY + DAY, ("keep", "k", START + 2 * DAY, False)),
    _case("the longest of keeps", TWO, START + DAY, ("restrict", "long", BY + 3 * DAY, True)),
    _case("of equal keeps the lawful", EQUAL, START + DAY, ("restrict", "law", BY + 2 * DAY, True)),
    _case("a keep without a life", _rules(_rule("k", "", "24h")), BY + DAY, ("keep", "k", NEVER, False)),
    _case("a keep without a life, running", _rules(_rule("k", "", "24h")), BY, ("keep", "k", NEVER, True)),
    _case("shown while kept, in life", SHOWN, START, ("keep", "shown", BY + 2 * DAY, True)),
    _case("shown while kept, after life", SHOWN, START + DAY, ("keep", "shown", BY + 2 * DAY, True)),
    _case("shown while kept, at the end", SHOWN, BY + 2 * DAY, ("delete", "shown", BY + 2 * DAY, False)),
    _case(
        "shown no longer than the caller asked for",
        SHOWN,
        START + DAY,
        ("keep", "shown", START + 2 * DAY, True),
        record=_record(expiry=START + 2 * DAY),
    ),
    _case(
        "out of sight once the caller's time is over",
        SHOWN,
        START + 2 * DAY,
        ("restrict", "shown", BY + 2 * DAY, True),
        record=_record(expiry=START + 2 * DAY),
    ),
    _case(
        "shown to the end of a longer life",
        _rules(_rule("k", "2d", "24h", use="use")),
        START,
        ("keep", "k", START + 2 * DAY, True),
    ),
    _case(
        "the most specific says whether it is shown",
        _rules(_rule("a", "24h", "2d", use="use"), _rule("b", "24h", "2d", on="ab", use="restrict")),
        START + DAY,
        ("restrict", "b", BY + 2 * DAY, True),
        record=_record("ab"),
    ),
    _case(
        "the most specific that says it",
        _rules(_rule("a", "24h", "2d", use="use"), _rule("b", "24h", "3d", on="ab")),
        START + DAY,
        ("keep", "b", BY + 3 * DAY, True),
        record=_record("ab"),
    ),
    # Restrictions
    _case("restricted", IDLE, START, ("restrict", "restriction", NEVER, False), asked=RESTRICTED),
    _case("restricted in life", SCRATCH, START, ("restrict", "restriction", START + DAY, False), asked=RESTRICTED),
    _case("restricted after life", SCRATCH, START + DAY, ("delete", "scratch", START + DAY, False), asked=RESTRICTED),
    _case("restricted and kept", LAW, START, ("restrict", "restriction", BY + 2 * DAY, True), asked=RESTRICTED),
    _case("restricted, not shown", SHOWN, START, ("restrict", "restriction", BY + 2 * DAY, True), asked=RESTRICTED),
    _case("the same, after life", SHOWN, START + DAY, ("restrict", "shown", BY + 2 * DAY, True), asked=RESTRICTED),
)

WHY = {
    "a hold beats all": "a legal hold",
    "a keep with a basis, erased": "erased, and kept for 2d (gdpr-17-3-b)",
    "a keep without a basis, erased": "the person asked to be forgotten",
    "no class": "its class is not known",
    "no hour": "when it came is not known",
    "nothing said": "nothing says for how long",
    "a life that is over": "over: ttl 24h",
    "defaults where no rule matches": "ttl 24h of the defaults",
    "bounds where nobody says": "max_ttl 24h",
    "clamped up": "ttl 24h, at least 2d",
    "clamped down": "ttl 30d, at most 2d",
    "bounds that cross": "ttl 24h, at least 30d, at most 2d",
    "as long as the bounds have it": "ttl 2d",
    "the caller's shorter": "its caller wanted it so long",
    "a keep after life": "kept for 2d (gdpr-17-3-b)",
    "a keep without a basis after life": "kept for 2d",
    "restricted": "the person asked for it",
}
"""What is said of some of them in words."""
