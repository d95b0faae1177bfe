"""How tests ask the engine `patterns`."""

from __future__ import annotations

from securemem.model import Detection
from securemem.privacy.engines.patterns import PatternsEngine, make


def engine_of(*regions: str, threshold: float | None = None) -> PatternsEngine:
    """Give an engine for some regions."""
    return make(Detection(engine="patterns", entities=frozenset(), regions=regions, threshold=threshold))


ENGINE = engine_of()


def found(text: str, *entities: str, engine: PatternsEngine = ENGINE) -> list[str]:
    """Give what is found of some entities, or of all but dates and ages: the pieces of the text."""
    asked = frozenset(entities) or engine.entities - {"DATE_TIME", "AGE"}
    return [text[span.start : span.end] for span in engine.find(text, "en", asked)]


def kinds(text: str) -> list[str]:
    """Give the entities that are found of all."""
    return [span.entity for span in ENGINE.find(text, "en", ENGINE.entities)]
