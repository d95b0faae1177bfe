"""Rampart as a recogniser for presidio, for those who have an `AnalyzerEngine` of their own.

    registry.add_recognizer(RampartRecognizer())

It needs nothing of presidio's NLP engine, so its no-op one will do. The engine `presidio` knows it by its name, too.
"""

from __future__ import annotations

from typing import Any, Final

from presidio_analyzer import EntityRecognizer, RecognizerResult

from securemem.model import Detection
from securemem.privacy.engines import ner


class RampartRecognizer(EntityRecognizer):
    """Finds PERSON and LOCATION as the engine `ner` does."""

    ENTITIES: Final = sorted(ner.ENTITIES)

    def __init__(
        self,
        supported_language: str = "en",
        *,
        model_name: str | None = None,
        threshold: float | None = None,
        **named: Any,
    ) -> None:
        """Make a recogniser, and load the model.

        Args:
            supported_language: one of the registry's; the model knows none apart.
            model_name: the folder of the model; None for where `securemem models install rampart` puts it.
            threshold: the least score; None for the engine's own.
            named: presidio's own: `name`, `version`, `context` …

        Raises:
            ConfigurationError: the model or a package is missing.
        """
        detection = Detection(engine="ner", entities=ner.ENTITIES, model=model_name, threshold=threshold)
        self._engine = ner.make(detection)
        super().__init__(supported_entities=self.ENTITIES, supported_language=supported_language, **named)

    def load(self) -> None:
        """As presidio's `EntityRecognizer`."""
        self._engine.open()

    def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
        """As presidio's `EntityRecognizer`."""
        del nlp_artifacts
        found = self._engine.find(text, self.supported_language, frozenset(entities))
        return [RecognizerResult(span.entity, span.start, span.end, span.score) for span in found]
