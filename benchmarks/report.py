"""What a benchmark prints: every figure beside its bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.timing import Measured


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How one figure is shown and judged.

    Attributes:
        key: its name in what the processes print.
        what: in words.
        beside: what ours is held against.
        unit: of both.
        bar: what the two compared may be at most; None where there is none.
        least: whether the bar is what they have to be at least.
        difference: whether they are compared by difference rather than by ratio.
    """

    key: str
    what: str
    beside: str
    unit: str
    bar: float | None = None
    least: bool = False
    difference: bool = False

    def passes(self, measured: Measured) -> bool:
        """Tell whether the bar is held."""
        if self.bar is None:
            return True
        return measured.compared >= self.bar if self.least else measured.compared <= self.bar

    def compared(self, value: float) -> str:
        """Give a ratio, or a difference with its unit."""
        return f"{value:.2f} {self.unit}" if self.difference else f"{value:.2f}"


def show(title: str, figures: Sequence[Figure], medians: Mapping[str, Measured]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("what / beside what", ratio=1)
    for heading in ("ours", "beside", "ratio", "bar"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for figure in figures:
        measured = medians[figure.key]
        verdict = "pass" if figure.passes(measured) else "MISS"
        table.add_row(
            f"{figure.what} / {figure.beside}",
            f"{_short(measured.ours)} {figure.unit}",
            f"{_short(measured.beside)} {figure.unit}",
            figure.compared(measured.compared),
            f"{'≥' if figure.least else '≤'} {figure.bar:g}" if figure.bar is not None else "",
            f"[{'green' if verdict == 'pass' else 'bold red'}]{verdict}" if figure.bar is not None else "",
        )
    Console().print(table)


def print_below(note: str, facts: Mapping[str, str]) -> None:
    """Print how to read the tables above, and the facts of the run."""
    console = Console()
    console.print(note, highlight=False)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
