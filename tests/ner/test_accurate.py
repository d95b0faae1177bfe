"""The engine `accurate`: what `ner` finds, and a spaCy model's persons besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy
import spacy.cli

from securemem import ConfigurationError
from securemem.model import Detection
from securemem.privacy.engines import accurate, ner
from securemem.privacy.engines.accurate import AccurateEngine
from securemem.testing.engine import MakeEngine, PIIEngineContract

pytestmark = pytest.mark.usefixtures("rampart", "offline")


def ruled(folder: Path, label: str, language: str = "en") -> str:
    """Make a spaCy model that knows one person by a label."""
    model = spacy.blank(language)
    rules: Any = model.add_pipe("entity_ruler")
    rules.add_patterns([{"label": label, "pattern": "Qqxyzt"}, {"label": "ORG", "pattern": "Acme"}])
    model.to_disk(folder / language)
    return str(folder / language)


class TestContract(PIIEngineContract):
    """The contract, with a spaCy model that knows one person."""

    @pytest.fixture
    def make_engine(self, tmp_path: Path) -> MakeEngine:
        """Give what makes engines."""
        options = {"spacy": {"en": ruled(tmp_path, "PERSON")}}
        return lambda: accurate.make(Detection(engine="accurate", entities=ner.ENTITIES, options=options))

    @pytest.fixture
    def example(self) -> tuple[str, str, str]:
        """Give somebody whom spaCy's model alone knows."""
        return "You may ask Qqxyzt about the parcel.", "Qqxyzt", "PERSON"


def opened(**asked: Any) -> AccurateEngine:
    """Give an open engine."""
    engine = accurate.make(Detection(engine="accurate", entities=ner.ENTITIES, **asked))
    engine.open()
    return engine


@pytest.mark.parametrize("label", ["PERSON", "PER"])
def test_persons_of_both_are_found(label: str, tmp_path: Path) -> None:
    """A spaCy model's persons stand beside what `ner` finds; its other labels are not taken."""
    engine = opened(options={"spacy": {"en": ruled(tmp_path, label)}})
    text = "Acme told Qqxyzt and Sarah Connor to go to Berlin \ud800"
    spans = engine.find(text, "en", ner.ENTITIES)
    assert [(span.entity, text[span.start : span.end]) for span in spans] == [
        ("PERSON", "Qqxyzt"),
        ("PERSON", "Sarah Connor"),
        ("LOCATION", "Berlin"),
    ]
    assert {span.entity for span in engine.find(text, "en", frozenset({"LOCATION"}))} == {"LOCATION"}


def test_each_language_has_its_model(tmp_path: Path) -> None:
    """A text is read by the model of its language; in another language `ner` is alone."""
    models = {"en": ruled(tmp_path, "PERSON"), "de": ruled(tmp_path, "PER", "de")}
    engine = opened(languages=("en", "de"), options={"spacy": models})
    assert engine.find("frag Qqxyzt", "de", ner.ENTITIES)
    assert engine.find("demande Qqxyzt", "fr", ner.ENTITIES) == []


@pytest.mark.parametrize(("language", "name"), [("en", "en_core_web_lg"), ("de", "de_core_news_lg")])
def test_a_missing_model_is_refused(language: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded; the error names spaCy's own command."""
    monkeypatch.setattr(spacy.cli, "download", pytest.fail)
    with pytest.raises(ConfigurationError, match=f"python -m spacy download {name}"):
        opened(languages=(language,))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """What spaCy cannot load is a configuration error."""
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        opened(options={"spacy": {"en": str(tmp_path)}})


@pytest.mark.parametrize("options", [{"model": "x"}, {"spacy": "en_core_web_lg"}])
def test_other_options_are_refused(options: dict[str, Any]) -> None:
    """It takes one option, by language."""
    with pytest.raises(ConfigurationError, match="one option"):
        opened(options=options)
