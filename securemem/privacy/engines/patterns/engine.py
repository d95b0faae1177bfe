"""The engine: which patterns a policy wants, and the way of a text through them."""

from __future__ import annotations

from itertools import chain
from typing import Final

from securemem.model import Detection, Span
from securemem.privacy.engines.patterns.finder import Finder
from securemem.privacy.engines.patterns.folding import fold
from securemem.privacy.engines.patterns.offers import OFFERS, rows_of
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.settling import settle
from securemem.privacy.engines.patterns.views import TEXTS, Trigger, Views

_MOST_PLANS: Final = 64
_ANY_DIGIT: Final = "0"
_ALSO_CALLED: Final = {"UK": "GB", "EL": "GR"}


class Step:
    """What is tried once one of the needles stands in a view.

    Attributes:
        view: the place of a text among `Views.texts`.
        needles: parts of it.
    """

    __slots__ = ("_finders", "_members", "_parts", "needles", "view")

    def __init__(self, trigger: Trigger, finders: list[Finder]) -> None:
        """Take the finders behind one trigger."""
        parts: dict[int, dict[str, list[Finder]]] = {}
        members: dict[str, dict[str, list[Finder]]] = {}
        for finder in finders:
            for view, needles in finder.pattern.also:
                few = parts.setdefault(TEXTS.index(view), {}) if view in TEXTS else members.setdefault(view, {})
                for needle in needles:
                    few.setdefault(needle, []).append(finder)
        self.view, self.needles = TEXTS.index(trigger.view), trigger.needles
        self._finders = tuple(finder for finder in finders if not finder.pattern.also)
        self._parts = tuple((view, tuple(few.items())) for view, few in parts.items())
        self._members = tuple((view, frozenset(few), few) for view, few in members.items())

    def take(self, text: str, views: Views, found: list[Span]) -> None:
        """Try what is called for."""
        called: list[Finder] = []
        for view, parts in self._parts:
            seen = views.texts[view]
            for needle, more in parts:
                if needle in seen:
                    called += more
        for name, keys, index in self._members:
            members: set[str] = getattr(views, name)
            if not keys.isdisjoint(members):
                for member in keys & members:
                    called += index[member]
        for finder in dict.fromkeys(called):  # first, for they are the surer ones, and what is known is not asked again
            finder.find(text, views, found)
        for finder in self._finders:
            finder.find(text, views, found)


Plan = tuple[tuple["Step", ...], tuple["Step", ...]]
"""What is done for some entities: in a text without digits, and in one with them."""


class PatternsEngine:
    """As `ports.PIIEngine`; its spans do not overlap at all."""

    quick = True

    def __init__(self, regions: frozenset[str], threshold: float) -> None:
        """Take what a policy wants, and import and compile nothing yet.

        Args:
            regions: whose national numbers are looked for; none for those that `make` tells of.
            threshold: the least score of a span.
        """
        self.entities = frozenset(
            entity for entity, (_, own) in OFFERS.items() if not own or not regions or not regions.isdisjoint(own)
        )
        self._regions, self._threshold = regions, threshold
        self._plans: dict[frozenset[str], Plan] = {}

    def open(self) -> None:
        """Nothing is to be loaded; each pattern is compiled when a text first asks for it."""

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """As `ports.PIIEngine`; forms know no languages apart, so any is taken."""
        del language
        plan = self._plans.get(entities)
        if plan is None:
            plan = self._planned(entities)
        folded = None if text.isascii() else fold(text)
        plain = text if folded is None else folded.text
        views = Views(plain)
        found: list[Span] = []
        texts = views.texts
        for step in plan[_ANY_DIGIT in views.numbers]:
            seen = texts[step.view]
            for needle in step.needles:
                if needle in seen:
                    step.take(plain, views, found)
                    break
        if not found:
            return found
        found = settle(found)
        return found if folded is None else folded.spans(found)

    def _planned(self, entities: frozenset[str]) -> Plan:
        """Give the plan for some entities: one step for each trigger."""
        by_trigger: dict[Trigger, list[Finder]] = {}
        for row in chain.from_iterable(rows_of(entity) for entity in sorted(entities & self.entities)):
            if self._wants(row):
                by_trigger.setdefault(row.trigger, []).append(Finder(row))
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        steps = {trigger: Step(trigger, finders) for trigger, finders in by_trigger.items()}
        without_digits = tuple(step for trigger, step in steps.items() if trigger.view != "numbers")
        plan = self._plans[entities] = (without_digits, tuple(steps.values()))
        return plan

    def _wants(self, row: Pattern) -> bool:
        if row.score < self._threshold:
            return False
        if not row.regions:
            return True
        return bool(row.regions & self._regions) if self._regions else row.by_default


def make(detection: Detection) -> PatternsEngine:
    """Make the engine that a policy asks for.

    With no regions the national numbers of all are looked for, as far as they are asked for by name; and telephone
    numbers that no word is beside are known in the international form, with an area in brackets, with a trunk's nought
    before their groups, and in the groups of North America. Those of other countries are like too much else.
    """
    regions = frozenset(_ALSO_CALLED.get(region.upper(), region.upper()) for region in detection.regions)
    return PatternsEngine(regions, detection.threshold or 0.0)
