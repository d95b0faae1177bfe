"""How long records live by the policy in force: what readers, the writer and the sweep ask. No I/O but the ledger's.

A record's clear columns say its class, the hour in which it came, and until when its caller wants it. What the class
stands for is in the ledger; a class that is not known there is asked for again after a while, and quarantined until.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from securemem.crypto.pae import pae
from securemem.ledger.classes import NOTHING, OWN, Classes
from securemem.model import NEVER
from securemem.policy import Policy
from securemem.policy.decide import Action, Asked, Decision, Record, decide
from securemem.policy.rules import Branch, Condition, Rules, facts_of, hidden

HOUR = 3_600_000
GONE = 1
"""A moment long ago: until then is seen what nobody sees."""
_MOST_CACHED = 16_384
_ASK_AGAIN_SECONDS = 30.0
_NOBODY = Asked()


class Ends(NamedTuple):
    """What time alone does to a record, in milliseconds; NEVER where it does nothing.

    Attributes:
        seen: until when it is given to readers.
        over: when it is to be deleted, having been out of sight from `seen` on where something keeps it.
        due: when something else is decided about it than at first.
        keeps: whether a keep stood against that when it came.
    """

    seen: int
    over: int
    due: int
    keeps: bool


class Label(NamedTuple):
    """What is true of all messages of a call: their session's tags, and what they are written for."""

    session_tags: tuple[str, ...] = ()
    purpose: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether a rule could ask for it."""
        return bool(self.session_tags) or self.purpose is not None


class Lives:
    """The lives of one tenant's records."""

    def __init__(self, policy: Policy, classes: Classes, keyed_hash: Callable[[bytes], bytes]) -> None:
        """Take the policy in force, the tenant's classes and its hash."""

        def hide(word: str) -> str:
            return keyed_hash(pae(b"securemem/fact/1", word.encode())).hex()

        self._policy = policy
        self._keyed_hash = keyed_hash
        self.rules = policy.rules.bound(hide)
        self.is_idle = self.rules.are_idle
        self._hide = hide
        self._classes = classes
        self._actors = {hide(purpose): frozenset(actors) for purpose, actors in _purposes(policy).items()}
        self.purposes = sorted({*_purposes(policy), *(rule.purpose for rule in policy.rules.rules if rule.purpose)})
        self._by_hash = {hide(purpose): purpose for purpose in self.purposes}
        self._ends: dict[tuple[int, int], Ends] = {}
        self._words: dict[Condition, Condition] = {}
        self._lacking: dict[int, float] = {}

    def under(self, rules: Rules) -> Lives:
        """Give the lives of the same records by other rules."""
        return Lives(replace(self._policy, rules=rules), self._classes, self._keyed_hash)

    # What a record is

    async def classify(
        self,
        *,
        tags: Iterable[str] = (),
        session_tags: Iterable[str] = (),
        entities: Iterable[str] = (),
        purpose: str | None = None,
    ) -> int:
        """Give the class of a message that is about to be written, which the ledger has when this returns."""
        facts = frozenset(self._hidden(fact) for fact in facts_of(tags, session_tags, entities, purpose))
        known = self._classes.number(facts)
        return known if known is not None else await self._classes.make(facts)

    def _hidden(self, fact: Condition) -> Condition:
        made = self._words.get(fact)
        if made is None:
            if len(self._words) > _MOST_CACHED:
                self._words.clear()
            made = self._words[fact] = hidden(fact, self._hide)
        return made

    def facts(self, kind: int) -> Branch | None:
        """Give what is true of the records of a class; None where that is not known."""
        found = self._classes.facts(kind)
        return frozenset(Condition(*fact) for fact in found) if found is not None else None

    async def know(self, kinds: Iterable[int]) -> None:
        """Ask the ledger for classes that this process has not met; for one that it lacks, again after a while."""
        if self.is_idle:
            return
        missing = [kind for kind in kinds if kind != OWN and self._classes.facts(kind) is None]
        now = time.monotonic()
        if any(now - self._lacking.get(kind, -_ASK_AGAIN_SECONDS) >= _ASK_AGAIN_SECONDS for kind in missing):
            await self._classes.load()
            lacking = {kind: now for kind in missing if self._classes.facts(kind) is None}
            self._lacking = lacking if len(self._lacking) > _MOST_CACHED else self._lacking | lacking

    def on_write(self, kind: int) -> dict[str, str]:
        """Give the treatments, by entity, that rules have for what is written in a class; the most specific decides."""
        facts = self.facts(kind) if self.rules.rules and kind != OWN else None
        found: dict[str, str] = {}
        for rule in self.rules.matching(facts) if facts else []:
            found = rule.on_write | found
        return found

    def is_known(self, kind: int) -> bool:
        """Tell whether it is known what is true of a class."""
        return kind == OWN or self._classes.facts(kind) is not None

    # How long it lives

    def ends(self, kind: int, hour: int, expiry: int = NEVER) -> Ends:
        """Give what time does to a record."""
        if self.is_idle or kind == OWN:
            return Ends(expiry, expiry, expiry, False)
        if expiry != NEVER:
            return _ends(self._record(kind, hour, expiry), self)
        found = self._ends.get((kind, hour))
        if found is None:
            found = _ends(self._record(kind, hour, NEVER), self)
            if self._classes.facts(kind) is None:
                return found  # another when it is known, which it may be the next time
            if len(self._ends) > _MOST_CACHED:
                self._ends.clear()
            self._ends[kind, hour] = found
        return found

    def seen(self, kind: int, hour: int, expiry: int) -> int:
        """Give until when a record is given to readers."""
        if self.is_idle or kind == OWN:
            return expiry
        by_policy = self.ends(kind, hour).seen
        return by_policy if expiry == NEVER else expiry if by_policy == NEVER else min(expiry, by_policy)

    def is_over(self, record: tuple[int, int, int], *, held: bool, now: int) -> bool:
        """Tell whether a record is past its time: not one that is kept out of sight, by a law or for who looks at it.

        Args:
            record: class, hour and expiry.
            held: whether a legal hold is on it.
            now: in milliseconds.
        """
        if not NEVER < self.seen(*record) <= now:
            return False
        return self.decide(record, held=held, now=now).action == Action.DELETE

    def decide(self, record: tuple[int, int, int], *, held: bool, asked: Asked = _NOBODY, now: int) -> Decision:
        """Decide what becomes of a record: class, hour and expiry."""
        kind, hour, expiry = record
        if kind == OWN and not held:
            if asked.erasure or NEVER < expiry <= now:
                return Decision(Action.DELETE, "call", expiry, "over: it says so itself")
            return Decision(Action.KEEP, "call", expiry, "it says itself for how long")
        return decide(self._record(kind, hour, expiry), self.rules, held=held, asked=asked, now=now)

    def _record(self, kind: int, hour: int, expiry: int) -> Record:
        return Record(self.facts(kind), hour * HOUR, (hour + 1) * HOUR if hour else NEVER, expiry)

    # Who may see it

    def is_settled(self, kind: int) -> bool:
        """Tell whether it is known for good who may read the records of a class, and until when: everybody is told."""
        return not self._actors and (self.is_idle or kind == OWN or self._classes.facts(kind) is not None)

    def is_for(self, kind: int, actor: str | None) -> bool:
        """Tell whether an actor may read a record: its purpose, if it has one, is for that actor.

        Who names no actor is the application itself.
        """
        if not self._actors or actor is None or kind in (NOTHING, OWN):
            return True
        facts = self.facts(kind)
        if facts is None:
            return False
        purpose = self._purpose(facts)
        return purpose not in self._actors or actor in self._actors[purpose or ""]

    def purpose_of(self, kind: int) -> str | None:
        """Give what the records of a class are for; None where nothing says so in words that the policy has."""
        facts = self.facts(kind) if kind not in (NOTHING, OWN) else None
        return self._by_hash.get(self._purpose(facts) or "") if facts is not None else None

    def _purpose(self, facts: Branch) -> str | None:
        """Give the hash of what records are for: by the most specific rule that says so, else by their writer."""
        for rule in self.rules.matching(facts):
            if rule.purpose is not None:
                return self._hide(rule.purpose)
        return next((fact.word for fact in facts if fact.kind == "purpose"), None)


def _purposes(policy: Policy) -> dict[str, tuple[str, ...]]:
    return policy.access.purposes if policy.access is not None else {}


def _ends(record: Record, lives: Lives) -> Ends:
    """Follow a record from its beginning, for as long as it is given to readers."""
    now = record.since or 1
    first = decision = decide(record, lives.rules, held=False, asked=_NOBODY, now=now)
    seen = GONE
    while decision.action == Action.KEEP:
        seen = decision.deadline
        if seen == NEVER:
            break
        now = max(now + 1, seen)
        decision = decide(record, lives.rules, held=False, asked=_NOBODY, now=now)
    while decision.action != Action.DELETE and decision.deadline != NEVER:
        now = max(now + 1, decision.deadline)
        decision = decide(record, lives.rules, held=False, asked=_NOBODY, now=now)
    over = now if decision.action == Action.DELETE else NEVER
    return Ends(seen, over, first.deadline, first.keeps)
