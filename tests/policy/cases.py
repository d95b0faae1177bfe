"""Random cases of what has to be decided, by a seed; most of them within a millisecond of where something changes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

from securemem.model import NEVER
from securemem.policy.decide import Asked, Record
from securemem.policy.durations import Duration
from securemem.policy.rules import ENTITY, PURPOSE, SESSION_TAG, TAG, Condition, Rule, Rules, facts_of
from tests.policy.naive import Situation, later

HOUR = 3_600_000
FEW = 20_000
SPANS = tuple(
    Duration.of(text)
    for text in ("1s", "1h", "2h", "24h", "1d", "28d", "30d", "31d", "1mo", "2mo", "12mo", "1y", "365d", "7y", "999y")
)
WORDS = tuple(
    Condition(kind, word)
    for kind, words in ((TAG, "ab"), (SESSION_TAG, "ac"), (ENTITY, "E"), (PURPOSE, "pq"))
    for word in words
)
DAYS = ((2023, 1, 31), (2024, 1, 31), (2024, 2, 29), (2023, 2, 28), (2023, 12, 31), (2024, 11, 30), (9998, 12, 31))
PER_POLICY = 10


def cases(seed: int, number: int) -> Iterator[tuple[Situation, int]]:
    """Give so many situations, and a moment for each."""
    chance = random.Random(seed)
    for start in range(0, number, PER_POLICY):
        rules = _rules(chance)
        for _ in range(min(PER_POLICY, number - start)):
            record = _record(chance, rules)
            asked = Asked(erasure=chance.random() < 0.2, restriction=chance.random() < 0.25)
            yield Situation(record, rules, chance.random() < 0.05, asked), _now(chance, record, rules)


def _rules(chance: random.Random) -> Rules:
    def maybe(share: float) -> Duration | None:
        return chance.choice(SPANS) if chance.random() < share else None

    rules = []
    for number in range(chance.choice((0, 1, 1, 2, 3, 4))):
        keep = maybe(0.5)
        rules.append(
            Rule(
                id=f"r{number}",
                branches=tuple({_branch(chance) for _ in range(chance.choice((1, 1, 2)))}),
                ttl=maybe(0.6),
                keep_for=keep,
                basis="gdpr-17-3-b" if keep is not None and chance.random() < 0.5 else None,
                while_kept=chance.choice((None, "use", "restrict")),
            )
        )
    chance.shuffle(rules)
    return Rules(tuple(rules), maybe(0.5), maybe(0.3), maybe(0.3), chance.random() < 0.7)


def _branch(chance: random.Random) -> frozenset[Condition]:
    return frozenset(chance.sample(WORDS, chance.choice((1, 1, 1, 2, 3))))


def _record(chance: random.Random, rules: Rules) -> Record:
    facts = facts_of(
        [tag for tag in "ab" if chance.random() < 0.6],
        [tag for tag in "ac" if chance.random() < 0.5],
        ["E"] if chance.random() < 0.6 else [],
        chance.choice((None, "p", "p", "q")),
    )
    since = int(datetime(*chance.choice(DAYS), chance.randrange(24), tzinfo=UTC).timestamp()) * 1000
    by = since + HOUR if chance.random() < 0.8 else since
    if chance.random() < 0.06:
        since = by = NEVER
    expiry = _moment(chance, Record(facts, since or HOUR, by or HOUR), rules) if chance.random() < 0.35 else NEVER
    return Record(None if chance.random() < 0.08 else facts, since, by, expiry)


def _now(chance: random.Random, record: Record, rules: Rules) -> int:
    if record.since == NEVER:
        record = record._replace(since=HOUR, by=HOUR)
    return _moment(chance, record, rules)


def _moment(chance: random.Random, record: Record, rules: Rules) -> int:
    """Give a moment at which something changes, or one beside it."""
    spans = [rules.ttl, rules.min_ttl, rules.max_ttl, *(rule.ttl for rule in rules.rules)]
    spans += [rule.keep_for for rule in rules.rules]
    span = chance.choice([span for span in spans if span is not None] or list(SPANS))
    if record.expiry != NEVER and chance.random() < 0.4:
        moment = record.expiry
    else:
        moment = later(record.by if chance.random() < 0.5 else record.since, span)
    return moment + chance.choice((-1, 0, 0, 0, 1, HOUR))
