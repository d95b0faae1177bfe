"""The engine `accurate`: what `ner` finds, and a spaCy model's persons besides, for those who can wait for it.

The policy's `options` may name a model for each language, `{"spacy": {"en": "en_core_web_trf"}}`, by name or folder;
where they do not, it is spaCy's large one for that language.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from securemem.errors import ConfigurationError
from securemem.model import Detection, Span
from securemem.ports import PIIEngine
from securemem.privacy.engines import ner, spacymodels
from securemem.privacy.engines.pieces import in_pieces, joined

_PERSONS: Final = frozenset({"PERSON", "PER", "persName"})
"""What spaCy's models call them."""
_SCORE: Final = 0.85
_UNUSED: Final = ("parser", "tagger", "morphologizer", "lemmatizer", "attribute_ruler")


class AccurateEngine:
    """As `ports.PIIEngine`."""

    quick = False

    def __init__(self, base: PIIEngine, models: Mapping[str, str], entities: frozenset[str]) -> None:
        """Load nothing yet.

        Args:
            base: the engine `ner`.
            models: the spaCy model of each language, by name or folder.
            entities: what was asked for.
        """
        self.entities = entities & ner.ENTITIES
        self._base, self._models = base, models
        self._loaded: dict[str, Any] = {}
        self._opening = threading.Lock()

    def open(self) -> None:
        """As `ports.PIIEngine`."""
        with self._opening:
            for name in self._models.values():
                spacymodels.require(name)
            self._base.open()
            self._loaded = self._loaded or {language: _load(name) for language, name in self._models.items()}

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """As `ports.PIIEngine`; in a language without a model it finds what `ner` does."""
        found = self._base.find(text, language, entities)
        model = self._loaded.get(language)
        if model is None or "PERSON" not in entities & self.entities:
            return found
        return joined(found + in_pieces(text, partial(_persons, model)))


def make(detection: Detection) -> AccurateEngine:
    """Make the engine that a policy asks for.

    Raises:
        ConfigurationError: its options are not of that form.
    """
    named = detection.options.get("spacy", {})
    unknown = sorted(set(detection.options) - {"spacy"})
    if unknown or not isinstance(named, Mapping):
        raise ConfigurationError("the engine accurate takes one option: spacy, a model's name or folder by language")
    models = {language: str(named.get(language) or _usual(language)) for language in detection.languages}
    return AccurateEngine(ner.make(detection), models, detection.entities)


def _usual(language: str) -> str:
    return f"{language}_core_{'web' if language in ('en', 'zh') else 'news'}_lg"


def _load(name: str) -> Any:
    import spacy  # noqa: PLC0415  (heavy)

    try:
        return spacy.load(name, disable=_UNUSED)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"the spaCy model {name} cannot be loaded ({type(exc).__name__})") from exc


def _persons(model: Any, text: str) -> Iterator[Span]:
    for found in model(text).ents:
        if found.label_ in _PERSONS:
            yield Span(found.start_char, found.end_char, "PERSON", _SCORE)
