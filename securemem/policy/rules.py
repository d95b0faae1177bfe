"""Rules, ready to be held against records: each a few sets of conditions, of which one has to be true of a record.

A condition is a kind (`tag`, `session_tag`, `entity`, `purpose`) and a word. What is stored of a record's tags and
purpose are keyed hashes, so rules are bound to a tenant (`Rules.bound`), whose hashes then stand in the words' place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from securemem.policy import schema
from securemem.policy.durations import Duration

MOST_BRANCHES = 256
"""Of a rule; and of a whole policy four times as many, for each is held against each other."""
TAG, SESSION_TAG, ENTITY, PURPOSE = "tag", "session_tag", "entity", "purpose"
HIDDEN = frozenset({TAG, SESSION_TAG, PURPOSE})
"""The kinds of conditions whose words are a caller's own."""

Hide = Callable[[str], str]


class Condition(NamedTuple):
    """Something that is true of a record."""

    kind: str
    word: str


Branch = frozenset[Condition]


class Rule(NamedTuple):
    """One rule.

    Attributes:
        id: by which decisions name it.
        branches: of one of these everything has to be true of a record.
        ttl: how long its records live; None where it does not say.
        keep_for: how long they are kept at least.
        basis: the article that demands it; None for none.
        while_kept: "restrict" or "use"; None where it does not say.
        purpose: what they are for.
        on_write: treatments by entity.
    """

    id: str
    branches: tuple[Branch, ...]
    ttl: Duration | None = None
    keep_for: Duration | None = None
    basis: str | None = None
    while_kept: str | None = None
    purpose: str | None = None
    on_write: dict[str, str] = {}  # noqa: RUF012  (a NamedTuple's default; nobody changes it)

    def specificity(self, facts: Branch) -> int:
        """Give how many conditions its most specific branch has that is true of a record; 0 where none is."""
        return max((len(branch) for branch in self.branches if branch <= facts), default=0)


class Rules(NamedTuple):
    """What a policy says of time, and of what is for whom.

    Attributes:
        rules: in any order; none depends on where it stands.
        ttl: of what no rule gives one; None for no end.
        min_ttl: no rule's is shorter.
        max_ttl: none is longer.
        quarantines: whether what is not classified is kept out of sight; else it is as if no rule matched it.
    """

    rules: tuple[Rule, ...] = ()
    ttl: Duration | None = None
    min_ttl: Duration | None = None
    max_ttl: Duration | None = None
    quarantines: bool = True

    @property
    def are_idle(self) -> bool:
        """Whether nothing ends, is kept or hidden by these."""
        return not self.rules and self.ttl is None and self.max_ttl is None

    def matching(self, facts: Branch) -> list[Rule]:
        """Give the rules that are for a record, the most specific first, and by their ids where that is equal."""
        found = [(-rule.specificity(facts), rule.id, rule) for rule in self.rules]
        return [rule for specificity, _, rule in sorted(found, key=lambda each: each[:2]) if specificity]

    def bound(self, hide: Hide) -> Rules:
        """Give the same rules over a tenant's hashes."""
        return self._replace(
            rules=tuple(
                rule._replace(
                    branches=tuple(frozenset(hidden(condition, hide) for condition in each) for each in rule.branches)
                )
                for rule in self.rules
            )
        )

    def entities(self) -> frozenset[str]:
        """Give the entities that rules ask for or treat."""
        asked = {each.word for rule in self.rules for branch in rule.branches for each in branch if each.kind == ENTITY}
        return frozenset(asked.union(*(rule.on_write for rule in self.rules)))


def hidden(condition: Condition, hide: Hide) -> Condition:
    """Give a condition with a hash in place of a caller's word."""
    return condition._replace(word=hide(condition.word)) if condition.kind in HIDDEN else condition


def facts_of(
    tags: Iterable[str] = (),
    session_tags: Iterable[str] = (),
    entities: Iterable[str] = (),
    purpose: str | None = None,
) -> Branch:
    """Give what is true of a record; a tag of its session is a tag of its own too."""
    session_tags = tuple(session_tags)
    facts = {Condition(SESSION_TAG, tag) for tag in session_tags}
    facts |= {Condition(TAG, tag) for tag in (*tags, *session_tags)}
    facts |= {Condition(ENTITY, entity) for entity in entities}
    return frozenset(facts | {Condition(PURPOSE, purpose)} if purpose is not None else facts)


def make_rules(file: schema.File) -> Rules:
    """Give the rules of a policy file whose types were checked.

    Raises:
        ValueError: a rule's `match` has too many branches, or all of them together have.
    """
    defaults, bounds = file.defaults, file.bounds
    rules = tuple(_rule(rule) for rule in file.rules)
    if sum(len(rule.branches) for rule in rules) > 4 * MOST_BRANCHES:
        raise ValueError("too many branches")
    return Rules(
        rules,
        _duration(defaults.ttl),
        _duration(bounds.min_ttl),
        _duration(bounds.max_ttl),
        defaults.on_unclassified == "quarantine",
    )


def _rule(rule: schema.Rule) -> Rule:
    return Rule(
        rule.id,
        branches_of(rule.match),
        _duration(rule.ttl),
        _duration(rule.keep_for),
        rule.keep_basis.article if rule.keep_basis is not None else None,
        rule.while_kept,
        rule.purpose,
        {entity: treatment for treatment, entities in rule.on_write.items() for entity in entities},
    )


def _duration(text: str | None) -> Duration | None:
    return Duration.of(text) if text is not None else None


def branches_of(match: schema.Match) -> tuple[Branch, ...]:
    """Give the sets of conditions that a match is: it is true where one of them is.

    Raises:
        ValueError: there are more than `MOST_BRANCHES`, or would be on the way.
    """
    found: set[Branch] = {frozenset(_conditions(match))}
    if not isinstance(match.any, UnsetType):
        found = _both(found, {branch for each in match.any for branch in branches_of(each)})
    if not isinstance(match.all, UnsetType):
        for each in match.all:
            found = _both(found, set(branches_of(each)))
    return tuple(sorted((branch for branch in found if branch), key=sorted))


def _both(some: set[Branch], others: set[Branch]) -> set[Branch]:
    """Give what is true where one of some is, and one of others.

    Equal ones are put together at each step: a hundred times the same two conditions are two branches, and not 2¹⁰⁰.
    """
    if max(len(some), len(others)) > MOST_BRANCHES:
        raise ValueError("too many branches")
    found = {one | other for one in some for other in others}
    if len(found) > MOST_BRANCHES:
        raise ValueError("too many branches")
    return found


def _conditions(match: schema.Match) -> Iterator[Condition]:
    words = ((TAG, match.tag), (SESSION_TAG, match.session_tag), (ENTITY, match.entity), (PURPOSE, match.purpose))
    for kind, word in words:
        if word is not UNSET and isinstance(word, str):
            yield Condition(kind, word)


class Brakes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has to happen before another policy takes the place of one.

    Attributes:
        two_person: changes that a second person has to approve.
        plan_only: whether somebody has to look at any change.
    """

    two_person: frozenset[str] = frozenset()
    plan_only: bool = False

    def __or__(self, other: Brakes) -> Brakes:
        return Brakes(self.two_person | other.two_person, self.plan_only or other.plan_only)


class _Document(msgspec.Struct, frozen=True):
    rules: Rules
    brakes: Brakes


def document_of(rules: Rules, brakes: Brakes | None = None) -> str:
    """Give what a policy says of time, and what holds up the next one, as it is written down when it is in force."""
    said = _Document(rules, brakes) if brakes not in (None, Brakes()) else rules
    return msgspec.json.encode(said, order="deterministic").decode()


def rules_of(document: str) -> Rules:
    """Give the rules that were written down."""
    return _read(document).rules


def brakes_of(document: str) -> Brakes:
    """Give what was written down of what holds up the next policy."""
    return _read(document).brakes


def _read(document: str) -> _Document:
    if document.startswith("{"):
        return msgspec.json.decode(document.encode(), type=_Document)
    return _Document(msgspec.json.decode(document.encode(), type=Rules), Brakes())
