"""The engine `presidio`: what it takes from a policy, and the traps of presidio that it keeps closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
import spacy.cli
import tldextract
from presidio_analyzer import RemoteRecognizer
from presidio_analyzer.predefined_recognizers import EmailRecognizer

from securemem import ConfigurationError
from securemem.model import Detection
from securemem.privacy.engines import presidio
from securemem.privacy.engines.presidio import PresidioEngine
from securemem.testing.engine import MakeEngine, PIIEngineContract

from .conftest import ReachedForNetworkError

EMAIL, PHONE, PERSON = (frozenset({name}) for name in ("EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON"))
ALL = frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS"})


def opened(entities: frozenset[str] = ALL, **asked: Any) -> PresidioEngine:
    """Give an open engine."""
    engine = presidio.make(Detection(engine="presidio", entities=entities, **asked))
    engine.open()
    return engine


def found(engine: PresidioEngine, text: str, language: str = "en") -> list[tuple[str, str]]:
    """Give what was found, in words."""
    return [(span.entity, text[span.start : span.end]) for span in engine.find(text, language, engine.entities)]


class TestContract(PIIEngineContract):
    """The contract, with presidio's own recognisers."""

    @pytest.fixture
    def make_engine(self) -> MakeEngine:
        """Give what makes engines."""
        return lambda: presidio.make(Detection(engine="presidio", entities=ALL, regions=("US",)))

    @pytest.fixture
    def example(self) -> tuple[str, str, str]:
        """Give an address in a text."""
        return "Please write to sarah@example.org soon.", "sarah@example.org", "EMAIL_ADDRESS"


@pytest.fixture
def ruled(tmp_path: Path) -> str:
    """Give the folder of a spaCy model that knows one person."""
    model = spacy.blank("en")
    rules: Any = model.add_pipe("entity_ruler")
    rules.add_patterns([{"label": "PERSON", "pattern": "Zebulon"}])
    model.to_disk(tmp_path / "ruled")
    return str(tmp_path / "ruled")


def spacy_options(name: str, engine: str = "spacy") -> dict[str, Any]:
    """Give presidio's configuration of a spaCy model."""
    models = [{"lang_code": "en", "model_name": name}]
    return {"nlp_configuration": {"nlp_engine_name": engine, "models": models}}


@pytest.mark.usefixtures("offline")
def test_an_e_mail_address_does_not_reach_for_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first e-mail has tldextract fetch a list; here it takes the bundled one, and no other user's is changed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    theirs = tldextract.extract
    engine = opened(EMAIL)
    assert found(engine, "mail sarah@example.co.uk or x@no.suchsuffix") == [("EMAIL_ADDRESS", "sarah@example.co.uk")]
    assert tldextract.extract is theirs
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("offline")
def test_presidio_itself_would_reach_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same recogniser as it comes asks for an address, and the fixture sees that."""
    monkeypatch.setattr(tldextract, "extract", tldextract.TLDExtract(cache_dir=str(tmp_path)))
    with pytest.raises(ReachedForNetworkError):
        EmailRecognizer().validate_result("sarah@example.co.uk")


@pytest.mark.parametrize("engine", ["spacy", "slim"])
@pytest.mark.usefixtures("offline")
def test_a_missing_spacy_model_is_refused(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio would download it; here the error names spaCy's own command, and warns of PyPI's like-named packages."""
    monkeypatch.setattr(spacy.cli, "download", pytest.fail)
    with pytest.raises(ConfigurationError, match="python -m spacy download en_core_web_lg") as refused:
        opened(PERSON, options=spacy_options("en_core_web_lg", engine))
    assert "not `pip install`" in str(refused.value)


@pytest.mark.usefixtures("offline")
def test_a_spacy_model_that_is_here_is_used(ruled: str) -> None:
    """With presidio's own configuration of a model its entities are found."""
    engine = opened(PERSON, options=spacy_options(ruled))
    assert engine.entities == PERSON
    assert found(engine, "Ask Zebulon about it") == [("PERSON", "Zebulon")]


@pytest.mark.usefixtures("offline")
def test_an_entity_without_a_recogniser_is_not_among_its_own() -> None:
    """Asked for persons without a model it does not claim to find them, so that a policy with them does not start."""
    assert opened(ALL | PERSON).entities == ALL


@pytest.mark.usefixtures("offline")
def test_an_entity_is_its_own_only_if_found_in_every_language() -> None:
    """A card's recogniser is there in English alone, so that with German too it is not promised."""
    card = frozenset({"CREDIT_CARD"})
    assert opened(card | EMAIL, languages=("en", "de")).entities == EMAIL
    assert opened(card, languages=("en",)).entities == card


def test_the_threshold_is_ours() -> None:
    """Presidio's own threshold is 0, at which nine digits are a bank account, a passport and a licence."""
    weak = frozenset({"US_BANK_NUMBER", "US_PASSPORT", "US_DRIVER_LICENSE"})
    text = "the build number is 912345678"
    assert opened(weak).find(text, "en", weak) == []
    assert opened(weak, threshold=0.0).find(text, "en", weak)
    assert opened(weak, options={"default_score_threshold": 0.0}).find(text, "en", weak)


def test_phone_numbers_are_those_of_the_policys_regions() -> None:
    """Presidio tries eight countries; here those of the policy are tried, and with none a number needs its code."""
    text = "call (617) 555-0182, 030 901820 or +49 30 901820"
    assert {said for _, said in found(opened(PHONE, regions=("US",)), text)} == {"(617) 555-0182", "+49 30 901820"}
    assert {said for _, said in found(opened(PHONE, regions=("DE",)), text)} >= {"030 901820", "+49 30 901820"}
    assert {said for _, said in found(opened(PHONE), text)} == {"+49 30 901820"}
    analyzer: Any = opened(PHONE, regions=("US",))._analyzer
    regions = [one.supported_regions for one in analyzer.registry.recognizers if one.name == "PhoneRecognizer"]
    assert regions == [("US",)]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"entities": []}, "no option entities"),
        ({"nlp_configuration": {"nlp_engine_name": "nonesuch", "models": []}}, "options in the policy"),
        (
            {"recognizer_registry": {"recognizers": [{"name": "Nonesuch", "type": "predefined"}]}},
            "options in the policy",
        ),
        ({"recognizer_registry": {"recognizers": [{"name": "GLiNERRecognizer", "type": "predefined"}]}}, "model_name"),
        (
            {"recognizer_registry": {"recognizers": [{"name": "MedicalNERRecognizer", "model_name": "some/model"}]}},
            "hf download some/model",
        ),
        (
            {
                "nlp_configuration": {
                    "nlp_engine_name": "transformers",
                    "models": [{"lang_code": "en", "model_name": {"spacy": "en_core_web_sm", "transformers": "x/y"}}],
                }
            },
            "spacy download",
        ),
    ],
)
@pytest.mark.usefixtures("offline")
def test_what_presidio_would_fetch_or_not_understand_is_refused(options: dict[str, Any], match: str) -> None:
    """A wrong option, and a model that would be fetched from a hub, is a configuration error."""
    with pytest.raises(ConfigurationError, match=match):
        opened(EMAIL, options=options)


def test_a_recogniser_that_asks_a_service_is_refused() -> None:
    """Texts do not leave the process, whatever the configuration."""

    class Away(RemoteRecognizer):
        """Would send texts somewhere."""

        def __init__(self) -> None:
            super().__init__(supported_entities=["PERSON"], supported_language="en", name="Away", version="1")

        def analyze(self, text: str, entities: list[str], nlp_artifacts: object) -> list[Any]:
            """Never called."""
            raise NotImplementedError

        def get_supported_entities(self) -> list[str]:
            """Persons."""
            return ["PERSON"]

    with pytest.raises(ConfigurationError, match="another service"):
        presidio._kept_here(Away(), Detection(engine="presidio", entities=PERSON))


@pytest.mark.usefixtures("rampart", "offline")
@pytest.mark.parametrize("besides", [[], [{"name": "EmailRecognizer", "type": "predefined"}]])
def test_rampart_is_a_recogniser_for_presidio(besides: list[Any]) -> None:
    """By its name, alone or among presidio's own, it finds persons and places on the no-op engine."""
    named = [{"name": "RampartRecognizer", "type": "predefined"}, *besides]
    engine = opened(PERSON | EMAIL, options={"recognizer_registry": {"recognizers": named}})
    assert engine.entities == (PERSON | EMAIL if besides else PERSON)
    assert ("PERSON", "Sarah Connor") in found(engine, "My name is Sarah Connor, sarah@example.org")


def test_patterns_of_a_policy_are_taken() -> None:
    """Presidio's form of a recogniser of one's own works as in presidio."""
    own = {"name": "Ticket", "supported_entity": "TICKET", "patterns": [{"name": "t", "regex": r"T-\d+", "score": 0.9}]}
    engine = opened(frozenset({"TICKET"}), options={"recognizer_registry": {"recognizers": [own]}})
    assert found(engine, "see T-4711") == [("TICKET", "T-4711")]


@pytest.mark.parametrize("text", ["", "\ud800 sarah@example.org", "x " * 100_000 + "sarah@example.org"])
def test_any_text_is_taken(text: str) -> None:
    """Lone surrogates and long texts: offsets stay right, over the places where a text is cut too."""
    start = text.find("sarah")
    wanted = [(start, start + 17)] if start >= 0 else []
    assert [span[:2] for span in opened(EMAIL).find(text, "en", EMAIL)] == wanted


def test_other_languages_and_entities_have_none() -> None:
    """A language that the policy does not have, or an entity that was not asked for, has no spans."""
    engine = opened(EMAIL)
    assert engine.find("sarah@example.org", "fr", EMAIL) == []
    assert engine.find("4111 1111 1111 1111", "en", frozenset({"CREDIT_CARD"})) == []


def test_importing_loads_no_presidio() -> None:
    """The room is light until it is opened."""
    code = "import sys, securemem.privacy.engines.presidio as p; print('presidio_analyzer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


def test_an_engine_that_is_not_open_says_so() -> None:
    """Finding before opening is an error, never an empty answer."""
    with pytest.raises(ConfigurationError, match="not open"):
        presidio.make(Detection(engine="presidio", entities=EMAIL)).find("sarah@example.org", "en", EMAIL)
