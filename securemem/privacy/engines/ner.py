"""The engine `ner`: names and places in running text, by the small model Rampart.

It goes straight to onnxruntime: through presidio's AnalyzerEngine a text costs 1 % more, and opening takes 2.7 s and
55 MB more of memory, for spaCy is loaded with it. Who has presidio anyhow finds the same model as a recogniser for it
in `rampart.recognizer`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from securemem.errors import ConfigurationError
from securemem.model import Detection, Span
from securemem.privacy import models
from securemem.privacy.engines.rampart import network, reading

ENTITIES: Final = frozenset({"PERSON", "LOCATION"})
THRESHOLD: Final = 0.5


class NerEngine:
    """As `ports.PIIEngine`, for PERSON and LOCATION; `patterns` finds the rest."""

    quick = False

    def __init__(self, folder: Path, entities: frozenset[str], threshold: float) -> None:
        """Load nothing yet.

        Args:
            folder: of the model.
            entities: what was asked for.
            threshold: the least score of a span.
        """
        self.entities = entities & ENTITIES
        self._folder, self._threshold = folder, threshold
        self._network: network.Network | None = None
        self._opening = threading.Lock()

    def open(self) -> None:
        """As `ports.PIIEngine`."""
        with self._opening:
            if self._network is None:
                reading.prepare()
                self._network = network.load(self._folder)

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """As `ports.PIIEngine`; the model knows no languages apart, so any is taken."""
        del language
        if not entities & self.entities:
            return []
        if self._network is None:
            raise ConfigurationError("the engine ner is not open")
        spans = reading.spans(self._network, text, self._threshold)
        return [span for span in spans if span.entity in entities & self.entities]


def make(detection: Detection) -> NerEngine:
    """Make the engine that a policy asks for."""
    threshold = THRESHOLD if detection.threshold is None else detection.threshold
    return NerEngine(models.folder_of(models.RAMPART, detection.model), detection.entities, threshold)
