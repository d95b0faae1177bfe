"""What the peers benchmark prints: every peer beside ours, what becomes of it in long sessions, and the bars."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.peer import CONTENDERS
from benchmarks.peers_process import LENGTHS, MESSAGES, OURS, WORKERS, Scale
from benchmarks.report import Figure
from benchmarks.server_places import POSTGRESQL, REDIS
from benchmarks.timing import Measured

NAMES = {POSTGRESQL: "PostgreSQL", REDIS: "Redis"}
OPERATIONS = {"append": "append two", "load": "load twenty"}
_COLUMNS = {**OPERATIONS, "turn": "a turn", "turns": f"{WORKERS} at once"}
_BARS = {POSTGRESQL: (5, 12, 500, 500, 100), REDIS: (3.5, 6, 500, 500, 100)}
_OPENAI, _LANGGRAPH = "OpenAI Agents EncryptedSession", "LangGraph + EncryptedSerializer"
_BARRED = (
    ("openai_encrypted.turn", "a turn, alone", _OPENAI),
    ("openai_encrypted.turns", f"a turn, {WORKERS} at once", _OPENAI),
    (f"langgraph_encrypted.append@{LENGTHS[-1]}", f"append two to {LENGTHS[-1]:,}", f"{_LANGGRAPH}, saver alone"),
    (f"langgraph_graph.append@{LENGTHS[-1]}", f"append two to {LENGTHS[-1]:,}", f"{_LANGGRAPH}, below a graph"),
    (f"langgraph_encrypted.load@{LENGTHS[-1]}", f"load twenty of {LENGTHS[-1]:,}", _LANGGRAPH),
)
_NOTE = """\
turn: load twenty, append two; LangGraph's append reads the session anyway, and
is its turn. x: how many times ours it costs, the median of ratios within rounds.
All sessions of a peer share one engine, client or pool, made beforehand.
A turn of a LangGraph saver is one checkpoint, its best; a graph writes several.
*: so slow that a round is a single operation."""

Growth = dict[str, dict[str, list[float]]]


def show(backend: str, keys: Sequence[str], medians: Mapping[str, Measured], *, scale: Scale, processes: int) -> None:
    """Print the tables of one backend.

    Args:
        backend: of what was measured.
        keys: the peers that were.
        medians: over the processes, as `PeersProcess.run` names them.
        scale: how much was done.
        processes: how many there were.
    """
    console, peers = Console(), dict(_peers(backend, keys))

    def row(key: str, whats: Iterable[str]) -> list[str]:
        return [_cell(medians[f"{backend}.{key}.{what}"], scale, ours=key == OURS) for what in whats]

    title = f"{NAMES[backend]}, {MESSAGES} messages a session: medians of {processes} processes"
    table = _table(title, _COLUMNS.values())
    for key, name in peers.items():
        table.add_row(name, *row(key, _COLUMNS))
    console.print(table)
    for operation, words in OPERATIONS.items():
        table = _table(f"{NAMES[backend]}, {words}, by messages in the session", (f"{length:,}" for length in LENGTHS))
        for key, name in peers.items():
            table.add_row(name, *row(key, (f"{operation}@{length}" for length in LENGTHS)))
        console.print(table)
    barred = list(_barred(backend, medians))
    if barred:
        report.show(f"{NAMES[backend]}, how many times ours", barred, medians)


def show_notes(not_run: Mapping[str, str], *, facts: Mapping[str, str]) -> None:
    """Print how to read the tables, what was not run and why, and the facts of the run."""
    console = Console()
    for name, reason in not_run.items():
        console.print(f"not run: {name}: {reason}", highlight=False, markup=False)
    report.print_below(_NOTE, facts)


def growth(backend: str, keys: Sequence[str], medians: Mapping[str, Measured]) -> Growth:
    """Give microseconds by operation, name and length, for a plot."""
    return {
        words: {
            name: [medians[f"{backend}.{key}.{operation}@{length}"].beside for length in LENGTHS]
            for key, name in _peers(backend, keys)
        }
        for operation, words in OPERATIONS.items()
    }


def _barred(backend: str, taken: Container[str]) -> Iterable[Figure]:
    """Give the figures that have bars, of those that were taken."""
    for (key, what, beside), bar in zip(_BARRED, _BARS[backend], strict=True):
        if f"{backend}.{key}" in taken:
            yield Figure(key=f"{backend}.{key}", what=what, beside=beside, unit="µs", bar=bar, least=True)


def _peers(backend: str, keys: Sequence[str]) -> Iterable[tuple[str, str]]:
    yield OURS, "SecureMem"
    for contender in CONTENDERS[backend]:
        if contender.key in keys:
            yield contender.key, contender.name


def _table(title: str, headings: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _cell(measured: Measured, scale: Scale, *, ours: bool) -> str:
    if ours:
        return _duration(measured.ours)
    seldom = " *" if measured.beside / 1e6 > scale.seconds / 2 else ""
    return f"{_duration(measured.beside)}{seldom}\nx {_times(measured.compared)}{seldom}"


def _times(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _duration(microseconds: float) -> str:
    if microseconds < 1_000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1e3:.3g} ms" if microseconds < 1e6 else f"{microseconds / 1e6:.3g} s"
