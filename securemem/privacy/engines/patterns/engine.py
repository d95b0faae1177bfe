"""The engine: which patterns a policy wants, and the way of a text through them."""

from __future__ import annotations

from typing import Final, NamedTuple

from securemem.model import Detection, Span
from securemem.privacy.engines.patterns.finder import Finder
from securemem.privacy.engines.patterns.folding import fold
from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.rows import ROWS
from securemem.privacy.engines.patterns.settling import settle
from securemem.privacy.engines.patterns.views import Trigger, Views, views_of

_MOST_PLANS: Final = 64
_ALSO_CALLED: Final = {"UK": "GB", "EL": "GR"}


class Step(NamedTuple):
    """What is tried once one of the needles stands in a view."""

    view: int
    needles: tuple[bytes, ...]
    finders: tuple[Finder, ...]


class PatternsEngine:
    """As `ports.PIIEngine`; its spans do not overlap at all."""

    quick = True

    def __init__(self, rows: tuple[Pattern, ...]) -> None:
        """Take the patterns that a policy wants."""
        self.entities = frozenset(row.entity for row in rows)
        self._finders = tuple(Finder(row) for row in rows)
        self._plans: dict[frozenset[str], tuple[Step, ...]] = {}

    def open(self) -> None:
        """Nothing is to be loaded; each pattern is compiled when a text first asks for it."""

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """As `ports.PIIEngine`; forms know no languages apart, so any is taken."""
        del language
        plan = self._plans.get(entities)
        if plan is None:
            plan = self._planned(entities)
        folded = fold(text)
        views = views_of(folded.text)
        found: list[Span] = []
        for view, needles, finders in plan:
            seen = views[view]
            for needle in needles:
                if needle in seen:
                    _try(finders, folded.text, views, found)
                    break
        return folded.spans(settle(found)) if found else found

    def _planned(self, entities: frozenset[str]) -> tuple[Step, ...]:
        """Give the steps for some entities: one for each trigger."""
        by_trigger: dict[Trigger, list[Finder]] = {}
        for finder in self._finders:
            if finder.pattern.entity in entities:
                by_trigger.setdefault(finder.pattern.trigger, []).append(finder)
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[entities] = tuple(
            Step(Views._fields.index(trigger.view), trigger.needles, tuple(finders))
            for trigger, finders in by_trigger.items()
        )
        return plan


def _try(finders: tuple[Finder, ...], text: str, views: Views, found: list[Span]) -> None:
    for finder in finders:
        if finder.is_called_for(views):
            finder.find(text, views, found)


def make(detection: Detection) -> PatternsEngine:
    """Make the engine that a policy asks for.

    With no regions the national numbers of all are looked for, and of telephone numbers without any word beside them
    the forms of those countries where they are like nothing else: North America, the United Kingdom, France.
    """
    regions = frozenset(_ALSO_CALLED.get(region.upper(), region.upper()) for region in detection.regions)
    threshold = detection.threshold or 0.0
    return PatternsEngine(tuple(row for row in ROWS if row.score >= threshold and _is_wanted(row, regions)))


def _is_wanted(row: Pattern, regions: frozenset[str]) -> bool:
    if not row.regions:
        return True
    return bool(row.regions & regions) if regions else row.by_default
