"""Draws what an operation costs against the length of a session: one picture a backend, as PNG and as SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.peers_process import LENGTHS
from benchmarks.peers_report import NAMES, Growth

_SIZE_INCHES = (12.0, 5.2)
_DOTS_PER_INCH = 160
_LEAST_GAP = 0.055
"""Between two labels, as a share of the axis."""


class Style(NamedTuple):
    """How a line is drawn; colours are Okabe's and Ito's, which those with any colour vision tell apart."""

    colour: str
    marker: str
    dashes: str


_OURS = Style("#000000", "o", "-")
_STYLES = (
    Style("#0072B2", "s", "-"),
    Style("#56B4E9", "s", "--"),
    Style("#D55E00", "^", "-"),
    Style("#E69F00", "^", "--"),
    Style("#CC79A7", "v", ":"),
    Style("#009E73", "D", "-"),
)


def draw(backend: str, growth: Growth, folder: Path) -> list[Path]:
    """Draw one backend.

    Args:
        backend: its name is in the title and in the files'.
        growth: microseconds by operation, name and length; ours first.
        folder: where the files go.

    Returns:
        The files.
    """
    mpl.rcParams["svg.hashsalt"] = backend  # the same figures make the same file
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained", facecolor="white")
    figure.suptitle(f"{NAMES[backend]}: what an operation costs as a session grows", fontsize=13)
    axes: Any = figure.subplots(1, len(growth), sharey=True)
    for axis, (operation, lines) in zip(axes, growth.items(), strict=True):
        _panel(axis, operation, lines)
    for axis, lines in zip(axes, growth.values(), strict=True):
        _label(axis, lines)  # once all lines are there, and the axis is as long as it will be
    axes[0].set_ylabel("milliseconds an operation")
    paths = [folder / f"cost-by-length-{backend}.{ending}" for ending in ("png", "svg")]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=_DOTS_PER_INCH, metadata=metadata)
    return paths


def _panel(axis: Any, operation: str, lines: dict[str, list[float]]) -> None:
    for style, values in zip((_OURS, *_STYLES), lines.values(), strict=False):
        axis.plot(
            LENGTHS,
            [value / 1e3 for value in values],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dashes,
            linewidth=2.6 if style is _OURS else 1.6,
            markersize=5,
        )
    axis.set(xscale="log", yscale="log", title=operation, xlabel="messages in the session")
    axis.set_xticks(LENGTHS, [f"{length:,}" for length in LENGTHS])
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.minorticks_off()
    axis.grid(visible=True, color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _label(axis: Any, lines: dict[str, list[float]]) -> None:
    """Write each line's name beside its end, and lead from one to the other."""
    bottom, top = (math.log10(limit) for limit in axis.get_ylim())
    ends = [values[-1] / 1e3 for values in lines.values()]
    places = _apart([(math.log10(end) - bottom) / (top - bottom) for end in ends])
    for style, name, end, place in zip((_OURS, *_STYLES), lines, ends, places, strict=False):
        axis.annotate(
            name,
            (LENGTHS[-1], end),
            xytext=(1.09, place),
            textcoords="axes fraction",
            arrowprops={
                "arrowstyle": "-",
                "color": style.colour,
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 5,
                "relpos": (0, 0.5),
            },
            va="center",
            fontsize=9,
            fontweight="bold" if style is _OURS else "normal",
        )


def _apart(places: Sequence[float]) -> list[float]:
    """Move labels away from each other until none touches another; gives them in the order that they came."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for _ in places:
        for below, above in itertools.pairwise(order):
            overlap = _LEAST_GAP - (moved[above] - moved[below])
            if overlap > 0:
                moved[below] -= overlap / 2
                moved[above] += overlap / 2
    return moved
