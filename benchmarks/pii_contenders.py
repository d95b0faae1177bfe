"""What finds personal data, held beside each other: our engines as a policy puts them together, and presidio."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.pii_quality import SCORED, Find
from securemem.model import Detection, Span
from securemem.privacy.detector import Detector
from securemem.privacy.engines import ner
from securemem.privacy.leaves import Leaf
from securemem.privacy.settle import settle

LANGUAGE = "en"
_SPACY_MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to find personal data.

    Attributes:
        name: as it is shown.
        find: in one text of a message.
        model: of spaCy that it uses, where it might.
    """

    name: str
    find: Find
    model: str | None = None


def ours(engine: str, regions: Sequence[str]) -> Contender:
    """Give `patterns` alone, or with `ner` besides, as a policy that asks for all that is scored puts them together."""
    from securemem.privacy.engines.patterns import make as make_patterns  # noqa: PLC0415

    entities = frozenset(SCORED) | {"SECRET"}
    if engine == "patterns":
        entities -= ner.ENTITIES
    detection = Detection(engine=engine, entities=entities, languages=(LANGUAGE,), regions=tuple(regions))
    besides = ner.make(detection) if engine == "ner" else None
    detector = Detector(detection, make_patterns(detection), besides)
    detector.open()
    return Contender(
        name="patterns" if besides is None else f"patterns + {engine}",
        find=lambda leaf: detector.find_at_once(leaf, LANGUAGE),
    )


def presidio_with_its_defaults() -> Contender:
    """Give presidio as it comes: its recognisers, its threshold, and the largest of spaCy's models that is here."""
    import tldextract  # noqa: PLC0415  (these take seconds)
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415

    vars(tldextract)["extract"] = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # else it fetches a list
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    engine, name = _nlp_engine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=[LANGUAGE])

    def find(leaf: Leaf) -> list[Span]:
        found = analyzer.analyze(leaf.text, LANGUAGE)
        return settle(Span(one.start, one.end, one.entity_type, max(one.score, 0.01)) for one in found)

    return Contender(name="presidio", find=find, model=name)


def _nlp_engine() -> tuple[Any, str]:
    import spacy.util  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

    name = next((model for model in _SPACY_MODELS if spacy.util.is_package(model)), None)
    models = [{"lang_code": LANGUAGE, "model_name": name or "no_op"}]
    configuration = {"nlp_engine_name": "spacy" if name else "no_op", "models": models}
    return NlpEngineProvider(nlp_configuration=configuration).create_engine(), name or "none"
