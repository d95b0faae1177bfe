"""How well personal data is found: samples with labels, texts without any, and the figures of both.

As `../shared/data/README.md` scores: a labelled span is found where hits of the same entity cover at least half of it,
and a hit that touches no labelled span is false. STREET_ADDRESS and GPE count as LOCATION, DOMAIN_NAME as URL; other
labels are neither asked for nor held against a hit.
"""

from __future__ import annotations

import ast
import json
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from securemem.model import Span
from securemem.privacy.leaves import Leaf, leaves

SCORED = (
    "PERSON",
    "LOCATION",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "US_SSN",
    "IBAN_CODE",
    "IP_ADDRESS",
    "URL",
)
_COUNTED_AS = {"STREET_ADDRESS": "LOCATION", "GPE": "LOCATION", "DOMAIN_NAME": "URL"}
_TOOL_CALLS = Path(__file__).with_name("pii_tool_calls.jsonl")

Find = Callable[[Leaf], Sequence[Span]]
"""Gives the spans in a text, settled."""


@dataclass(frozen=True)
class Sample:
    """A text, and what is labelled in it."""

    text: str
    labelled: tuple[Span, ...]


@dataclass
class Tally:
    """What was labelled, found of that, reported, and wrongly reported."""

    labelled: int = 0
    found: int = 0
    reported: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """The share of what was reported that touches something labelled; 1 where nothing was."""
        return 1 - self.wrong / self.reported if self.reported else 1.0

    @property
    def recall(self) -> float:
        """The share of what is labelled that was found."""
        return self.found / self.labelled if self.labelled else 1.0

    @property
    def f2(self) -> float:
        """Precision and recall as one, recall counting for four."""
        weighed = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / weighed if weighed else 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.labelled + other.labelled,
            self.found + other.found,
            self.reported + other.reported,
            self.wrong + other.wrong,
        )


@dataclass
class Quality:
    """The figures of one way to find.

    Attributes:
        tallies: by entity.
        characters: in labelled spans.
        standing: how many of those no hit of any entity covers.
    """

    tallies: dict[str, Tally] = field(default_factory=lambda: {entity: Tally() for entity in SCORED})
    characters: int = 0
    standing: int = 0

    @property
    def overall(self) -> Tally:
        """All entities, micro-averaged."""
        return sum(self.tallies.values(), Tally())


def samples(path: Path) -> list[Sample]:
    """Read samples, one JSON object a line."""
    found: list[Sample] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        read = json.loads(line)
        spans = (Span(one["start"], one["end"], _COUNTED_AS.get(one["entity"], one["entity"])) for one in read["spans"])
        found.append(Sample(read["text"], tuple(spans)))
    return found


def measure(find: Find, given: Iterable[Sample]) -> Quality:
    """Score a way to find on samples."""
    quality = Quality()
    for sample in given:
        _score(quality, sample, [span for span in find(Leaf(sample.text)) if span.entity in SCORED])
    return quality


def _score(quality: Quality, sample: Sample, hits: Sequence[Span]) -> None:
    for label in sample.labelled:
        if label.entity in quality.tallies:
            tally, length = quality.tallies[label.entity], label.end - label.start
            tally.labelled += 1
            tally.found += 2 * _covered(label, [hit for hit in hits if hit.entity == label.entity]) >= length
            quality.characters += length
            quality.standing += length - _covered(label, hits)
    for hit in hits:
        tally = quality.tallies[hit.entity]
        tally.reported += 1
        tally.wrong += not any(label.start < hit.end and hit.start < label.end for label in sample.labelled)


def _covered(label: Span, hits: Iterable[Span]) -> int:
    """Give how many characters of a label are in any of the hits."""
    inside = {at for hit in hits for at in range(max(hit.start, label.start), min(hit.end, label.end))}
    return len(inside)


def false_hits(find: Find, given: Iterable[Leaf], characters: int) -> tuple[float, Counter[str]]:
    """Give the hits in 10,000 characters of texts that hold nobody's data, and how many of each entity there were."""
    hits = Counter(span.entity for leaf in given for span in find(leaf))
    return sum(hits.values()) / characters * 1e4, hits


def docstrings(most: int) -> list[Leaf]:
    """Give docstrings of the standard library, every seventh module, up to so many characters."""
    taken: list[Leaf] = []
    left = most
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[::7]:
        for said in _documented(path):
            if len(said) <= left:
                taken.append(Leaf(said))
                left -= len(said)
    return taken


def _documented(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node)
            if said:
                yield said


def tool_calls() -> tuple[list[Leaf], int]:
    """Give the texts in calls of tools and their answers, and how many characters of JSON those are."""
    lines = _TOOL_CALLS.read_text(encoding="utf-8").splitlines()
    return [leaf for line in lines for leaf in leaves(json.loads(line))], sum(map(len, lines))
