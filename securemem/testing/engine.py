"""The contract of `ports.PIIEngine`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from securemem.model import Span
from securemem.ports import PIIEngine

MakeEngine = Callable[[], PIIEngine]
"""Gives an engine that is not open yet, of all the entities that the adapter can find."""

_AWKWARD = (
    "",
    " ",
    "\x00",
    "\ud800",
    "a\udfffb\ud800",
    "\U0001f469\u200d\U0001f680",
    "e\u0301" * 40,
    "\u202e\u200b\ufeff",
    "İ" * 10,
    "\uff14\uff11" * 20,
    "@://@.:-+()[]{}<>\"'`\\",
    "\r\n\t\v\f\u2028\u0085",
    "0" * 500,
    "a" * 500,
)
_MILLION = 1_000_000


class PIIEngineContract:
    """Every sentence of `ports.PIIEngine`, as tests; an engine passes them all.

    Subclass it, call the subclass `Test…`, and give the fixtures `make_engine` and `example`.
    """

    @pytest.fixture
    def make_engine(self) -> MakeEngine:
        """Give what makes engines."""
        raise NotImplementedError("a subclass of PIIEngineContract gives the fixture `make_engine`")

    @pytest.fixture
    def example(self) -> tuple[str, str, str]:
        """Give a text, what stands in it once that the engine finds, and the entity that it is."""
        raise NotImplementedError("a subclass of PIIEngineContract gives the fixture `example`")

    @pytest.fixture
    def engine(self, make_engine: MakeEngine) -> PIIEngine:
        """Give an open engine."""
        engine = make_engine()
        engine.open()
        return engine

    def test_it_says_what_it_can_find(self, make_engine: MakeEngine, example: tuple[str, str, str]) -> None:
        """Before it is open an engine names its entities and says whether it is quick."""
        engine = make_engine()
        assert isinstance(engine.entities, frozenset)
        assert example[2] in engine.entities
        assert engine.quick in {True, False}

    def test_opening_twice_does_nothing(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """A second `open` changes nothing of what is found."""
        before = engine.find(example[0], "en", engine.entities)
        engine.open()
        assert engine.find(example[0], "en", engine.entities) == before

    def test_an_example_is_found_in_its_place(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """A span covers what stands in the text, and has its entity."""
        text, value, entity = example
        start = text.index(value)
        assert [span[:3] for span in engine.find(text, "en", frozenset({entity}))] == [
            (start, start + len(value), entity)
        ]

    @pytest.mark.parametrize("before", ["\U0001f600\U0001f600 ", "é\u0301ñ, ", "日本語。 ", "\ud800 ", "x\u200b \n"])
    def test_places_are_counted_in_code_points(
        self, engine: PIIEngine, example: tuple[str, str, str], before: str
    ) -> None:
        """What takes several bytes or units before a value moves it by one."""
        text, value, entity = example
        found = engine.find(before + text, "en", frozenset({entity}))
        start = len(before) + text.index(value)
        assert Span(start, start + len(value), entity)[:3] in {span[:3] for span in found}

    def test_only_what_was_asked_for_is_found(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """No entity that was not asked for is among the spans; of none asked for there is none."""
        text, _, entity = example
        assert engine.find(text, "en", frozenset()) == []
        assert all(span.entity != entity for span in engine.find(text, "en", engine.entities - {entity}))
        assert {span.entity for span in engine.find(text, "en", frozenset({entity}))} == {entity}

    def test_unknown_entities_have_no_spans(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """An entity that the engine does not know is not found, and does no harm beside one that it does."""
        text, _, entity = example
        assert engine.find(text, "en", frozenset({"NO_SUCH_ENTITY"})) == []
        both = engine.find(text, "en", frozenset({"NO_SUCH_ENTITY", entity}))
        assert both == engine.find(text, "en", frozenset({entity}))

    def test_spans_are_well_formed(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """Spans ascend, none is empty or beyond the text, those of one entity do not overlap, scores lie in (0, 1]."""
        text = " \n".join([example[0]] * 3)
        spans = engine.find(text, "en", engine.entities)
        assert spans == sorted(spans, key=lambda span: span.start)
        assert all(0 <= span.start < span.end <= len(text) and 0 < span.score <= 1 for span in spans)
        for entity in engine.entities:
            own = [span for span in spans if span.entity == entity]
            assert all(one.end <= other.start for one, other in pairwise(own))
        assert sum(span.entity == example[2] for span in spans) == 3

    def test_finding_again_finds_the_same(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """An engine keeps nothing of what it saw."""
        first = engine.find(example[0], "en", engine.entities)
        engine.find("Something else entirely.", "en", engine.entities)
        assert engine.find(example[0], "en", engine.entities) == first

    @pytest.mark.parametrize("text", _AWKWARD, ids=lambda text: ascii(text[:8]))
    def test_any_text_is_taken(self, engine: PIIEngine, text: str) -> None:
        """Whatever a string can hold is looked through; an empty one has no spans."""
        spans = engine.find(text, "en", engine.entities)
        assert all(0 <= span.start < span.end <= len(text) for span in spans)
        if not text:
            assert spans == []

    def test_a_language_that_it_does_not_know_does_no_harm(self, engine: PIIEngine) -> None:
        """A text in an unknown language is looked through or has no spans."""
        assert isinstance(engine.find("Saluton, mondo.", "eo", engine.entities), list)

    def test_a_million_characters_are_taken(self, engine: PIIEngine, example: tuple[str, str, str]) -> None:
        """What stands behind a million characters is found."""
        text, value, entity = example
        long = "Nothing is the matter here. " * (_MILLION // 28)
        start = len(long) + text.index(value)
        found = engine.find(long + text, "en", frozenset({entity}))
        assert (start, start + len(value), entity) in {span[:3] for span in found}
