"""The engine `presidio`: presidio-analyzer, the field's standard, with what of its configuration a policy names.

The policy's `options` are presidio's own configuration: `nlp_configuration` (without it the no-op engine, so that no
model is needed), `recognizer_registry` (without it presidio's own recognisers), `context_aware_enhancer` and
`default_score_threshold`. Languages, regions and entities are the policy's.

presidio as it comes would fetch things and send texts: a list of domains at its first e-mail address, a spaCy or
Hugging Face model that is missing. Here nothing is fetched, and a recogniser that asks another service is refused.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from securemem.errors import ConfigurationError
from securemem.model import Detection, Span
from securemem.privacy.engines import spacymodels
from securemem.privacy.engines.pieces import in_pieces

THRESHOLD: Final = 0.4
"""presidio's own is 0: then every run of nine digits is a bank account."""
_OPTIONS: Final = frozenset(
    {"nlp_configuration", "recognizer_registry", "context_aware_enhancer", "default_score_threshold"}
)
_HUB: Final = frozenset({"GLiNERRecognizer", "HuggingFaceNerRecognizer", "MedicalNERRecognizer"})
_OURS: Final = "RampartRecognizer"
_NO_REGION: Final = "ZZ"
"""phonenumbers' word for none: then only numbers with a country's code are found."""


class PresidioEngine:
    """As `ports.PIIEngine`.

    Until it is open its `entities` are what was asked for; then, of those, what it has a recogniser for in every
    language of the policy.
    """

    quick = False

    def __init__(self, detection: Detection) -> None:
        """Load nothing yet.

        Args:
            detection: what the policy asks for.

        Raises:
            ConfigurationError: an option is not one of presidio's.
        """
        unknown = sorted(set(detection.options) - _OPTIONS)
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise ConfigurationError(f"the engine presidio has no option {', '.join(unknown)}: it takes {known}")
        self.entities = detection.entities
        self._detection = detection
        self._analyzer: Any = None
        self._known: dict[str, frozenset[str]] = {}
        self._opening = threading.Lock()

    def open(self) -> None:
        """As `ports.PIIEngine`."""
        with self._opening:
            if self._analyzer is None:
                analyzer = _analyzer(self._detection)
                self._known = {language: _found(analyzer, language) for language in self._detection.languages}
                self.entities = self._detection.entities.intersection(*self._known.values())
                self._analyzer = analyzer

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """As `ports.PIIEngine`."""
        if self._analyzer is None:
            raise ConfigurationError("the engine presidio is not open")
        wanted = sorted(entities & self.entities) if language in self._known else []
        return in_pieces(text, self._finder(language, wanted)) if wanted else []

    def _finder(self, language: str, wanted: Sequence[str]) -> Callable[[str], Iterator[Span]]:
        def find(piece: str) -> Iterator[Span]:
            for one in self._analyzer.analyze(piece, language, entities=list(wanted)):
                if one.end > one.start and one.score > 0:
                    yield Span(one.start, one.end, one.entity_type, min(float(one.score), 1.0))

        return find


def make(detection: Detection) -> PresidioEngine:
    """Make the engine that a policy asks for.

    Raises:
        ConfigurationError: an option is not one of presidio's.
    """
    return PresidioEngine(detection)


def _analyzer(detection: Detection) -> Any:
    """Make presidio's engine.

    Raises:
        ConfigurationError: presidio does not take the configuration, or something in it is missing or fetched.
    """
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415  (heavy)

    options = detection.options
    threshold = detection.threshold if detection.threshold is not None else options.get("default_score_threshold")
    try:
        nlp_engine = _nlp_engine(options.get("nlp_configuration") or _no_op(detection.languages))
        with _quietly():
            registry = _registry(detection, nlp_engine)
        return AnalyzerEngine(
            nlp_engine=nlp_engine,
            registry=registry,
            supported_languages=list(detection.languages),
            default_score_threshold=THRESHOLD if threshold is None else threshold,
            context_aware_enhancer=_enhancer(options.get("context_aware_enhancer")),
        )
    except (ValueError, KeyError, TypeError, OSError, ImportError) as exc:
        raise ConfigurationError(f"presidio does not take its options in the policy: {exc}") from exc


def _found(analyzer: Any, language: str) -> frozenset[str]:
    """Give what the recognisers of a language find.

    Raises:
        ConfigurationError: it has none.
    """
    try:
        return frozenset(analyzer.get_supported_entities(language))
    except ValueError as exc:
        raise ConfigurationError(f"presidio has no recogniser for the language {language}") from exc


def _no_op(languages: Sequence[str]) -> dict[str, Any]:
    return {
        "nlp_engine_name": "no_op",
        "models": [{"lang_code": language, "model_name": "no_op"} for language in languages],
    }


def _nlp_engine(configuration: Mapping[str, Any]) -> Any:
    """Make presidio's NLP engine, once all its models are known to be here."""
    from presidio_analyzer.nlp_engine import NlpEngineProvider, StanzaNlpEngine  # noqa: PLC0415

    models = configuration.get("models") or []
    for model in models:
        _require(model.get("model_name"), configuration.get("nlp_engine_name"))
    if configuration.get("nlp_engine_name") == StanzaNlpEngine.engine_name and StanzaNlpEngine.is_available:
        engine = StanzaNlpEngine(models=models, download_if_missing=False)
        engine.load()
        return engine
    return NlpEngineProvider(nlp_configuration=dict(configuration)).create_engine()


def _require(name: Any, engine: Any) -> None:
    """Hold that a model is here, for presidio would download one that is not."""
    if engine in ("spacy", "slim"):
        spacymodels.require(str(name))
    elif engine == "transformers":
        parts = name if isinstance(name, Mapping) else {}
        spacymodels.require(str(parts.get("spacy")))
        _require_folder(parts.get("transformers"))


def _require_folder(name: Any) -> None:
    if name is None:
        raise ConfigurationError("a recogniser without model_name would fetch a model: name the folder of one")
    if not Path(str(name)).is_dir():
        raise ConfigurationError(
            f"the model {name} is no folder here: run `hf download {name} --local-dir FOLDER`, and name that folder"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep presidio from warning of each recogniser whose language was not asked for, and of its own defaults."""
    logger = logging.getLogger("presidio-analyzer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _registry(detection: Detection, nlp_engine: Any) -> Any:
    """Make presidio's registry of recognisers, and ours if it is named there.

    Raises:
        ConfigurationError: one would fetch something, or send texts away.
    """
    from presidio_analyzer.recognizer_registry import RecognizerRegistry, RecognizerRegistryProvider  # noqa: PLC0415

    configuration = dict(detection.options.get("recognizer_registry") or {})
    languages = list(detection.languages)
    named = configuration.get("recognizers")
    theirs = [one for one in named or () if _name(one) != _OURS]
    for one in theirs:
        if _name(one) in _HUB:
            _require_folder(one.get("model_name"))
    if named and not theirs:
        registry = RecognizerRegistry(recognizers=[], supported_languages=languages)
    else:
        configuration |= {"supported_languages": languages} | ({"recognizers": theirs} if named else {})
        registry = RecognizerRegistryProvider(
            registry_configuration=configuration, nlp_engine=nlp_engine
        ).create_recognizer_registry()
    for recognizer in registry.recognizers:
        _kept_here(recognizer, detection)
    for language in languages if len(theirs) < len(named or ()) else ():
        registry.add_recognizer(_ours(language, detection))
    return registry


def _name(recognizer: Any) -> str:
    return str(recognizer.get("class_name") or recognizer["name"]) if isinstance(recognizer, Mapping) else recognizer


def _ours(language: str, detection: Detection) -> Any:
    from securemem.privacy.engines.rampart.recognizer import RampartRecognizer  # noqa: PLC0415

    return RampartRecognizer(language, model_name=detection.model, threshold=detection.threshold)


def _kept_here(recognizer: Any, detection: Detection) -> None:
    """Keep a recogniser off the network, and off the numbers of countries that nobody asked for.

    Raises:
        ConfigurationError: asking a service is what it is for.
    """
    from presidio_analyzer import RemoteRecognizer  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers import EmailRecognizer, PhoneRecognizer  # noqa: PLC0415

    if isinstance(recognizer, RemoteRecognizer):
        raise ConfigurationError(f"{type(recognizer).__name__} would send texts to another service: take it out")
    if isinstance(recognizer, EmailRecognizer):
        vars(recognizer)["validate_result"] = _has_domain
    elif isinstance(recognizer, PhoneRecognizer):
        recognizer.supported_regions = detection.regions or (_NO_REGION,)


def _enhancer(configuration: Mapping[str, Any] | None) -> Any:
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer  # noqa: PLC0415

    return None if configuration is None else LemmaContextAwareEnhancer(**configuration)


def _has_domain(address: str) -> bool:
    """Tell whether an address ends in a registered domain; presidio's own way fetches the list of suffixes."""
    return bool(_domains()(address).fqdn)


@cache
def _domains() -> Any:
    import tldextract  # noqa: PLC0415  (heavy)

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
