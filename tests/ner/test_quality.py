"""How well `patterns` and `ner` find together, by the benchmark's own measure; and that measure itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import pii
from benchmarks.pii_contenders import Contender, ours
from benchmarks.pii_quality import Quality, Sample, false_hits, measure, samples, tool_calls
from securemem.model import Span
from securemem.privacy.leaves import Leaf

REGIONS = ("US", "GB")


@pytest.fixture
def both(rampart: Path) -> Contender:
    """Give `patterns` with `ner` besides, open."""
    return ours("ner", REGIONS)


def test_nearly_all_of_the_development_set_is_found(both: Contender) -> None:
    """F2 over all nine entities together is at least 0.93, on every other sample; the bar is 0.88."""
    if not pii.DATA.exists():
        pytest.skip("../shared/data is not here: the development set comes with the checkout of the project alone")
    quality = measure(both.find, samples(pii.DATA)[::2])
    assert quality.overall.f2 >= 0.93
    assert quality.standing / quality.characters <= 0.07


def test_calls_of_tools_have_few_hits(both: Contender) -> None:
    """At most 10 hits in 10,000 characters of JSON that holds nobody's data, walked leaf by leaf."""
    called, characters = tool_calls()
    assert false_hits(both.find, called, characters)[0] <= 10


def scored(labelled: Sequence[Span], hits: Sequence[Span]) -> Quality:
    """Score some hits on one text of a hundred characters."""
    return measure(lambda _: hits, [Sample("x" * 100, tuple(labelled))])


@pytest.mark.parametrize(
    ("hits", "found", "wrong", "standing"),
    [
        ([], 0, 0, 10),
        ([Span(0, 5, "PERSON")], 1, 0, 5),
        ([Span(0, 4, "PERSON")], 0, 0, 6),
        ([Span(0, 3, "PERSON"), Span(8, 10, "PERSON")], 1, 0, 5),
        ([Span(0, 10, "LOCATION")], 0, 0, 0),
        ([Span(20, 30, "PERSON")], 0, 1, 10),
        ([Span(9, 30, "PERSON")], 0, 0, 9),
        ([Span(50, 55, "PERSON")], 0, 0, 10),
    ],
)
def test_a_label_is_found_by_half_of_it(hits: list[Span], found: int, wrong: int, standing: int) -> None:
    """Half of a label, of its entity, finds it; a hit is wrong where it touches no label of any kind."""
    quality = scored([Span(0, 10, "PERSON"), Span(50, 60, "ORGANIZATION")], hits)
    overall = quality.overall
    assert (overall.labelled, overall.found, overall.wrong, quality.standing) == (1, found, wrong, standing)


def test_recall_counts_for_four() -> None:
    """F2 is 5PR / (4P + R)."""
    quality = scored([Span(0, 10, "PERSON"), Span(20, 30, "PERSON")], [Span(0, 10, "PERSON"), Span(70, 80, "PERSON")])
    assert (quality.overall.precision, quality.overall.recall) == (0.5, 0.5)
    assert quality.overall.f2 == pytest.approx(0.5)
    assert scored([Span(0, 10, "PERSON")], []).overall.f2 == 0


@pytest.mark.usefixtures("rampart", "offline")
def test_the_benchmark_prints_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run on two samples prints every entity, every contender and every bar, and reaches for no network."""
    data = tmp_path / "samples.jsonl"
    given = [
        {"text": "I am Sarah Connor", "spans": [{"entity": "PERSON", "start": 5, "end": 17}]},
        {"text": "in Berlin, sarah@example.org", "spans": [{"entity": "GPE", "start": 3, "end": 9}]},
    ]
    data.write_text("\n".join(json.dumps(each) for each in given * 10), encoding="utf-8")
    pii.run(argparse.Namespace(data=data, regions="US", quick=True))
    printed = capsys.readouterr().out
    assert all(said in printed for said in ("PERSON", "IBAN_CODE", "patterns", "presidio", "heartbeat", "standing"))


def test_a_text_may_be_walked_as_a_leaf(both: Contender) -> None:
    """Names are looked for under keys of people, not under those of identifiers."""
    assert [span.entity for span in both.find(Leaf("Sarah Connor", key="customer"))] == ["PERSON"]
    assert both.find(Leaf("sarah-connor", key="request_id")) == []
