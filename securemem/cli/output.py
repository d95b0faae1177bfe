"""What a command says: for people through rich, for machines as JSON, one object a line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer

from securemem.terminal import interruptible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Output:
    """Standard output of one command."""

    def __init__(self, *, as_json: bool) -> None:
        """Say everything as JSON, or nothing."""
        self.as_json = as_json

    @cached_property
    def console(self) -> Console:
        """The terminal, or what stands in for one."""
        from rich.console import Console  # noqa: PLC0415

        class Terminal(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # rich would leave from here

        return Terminal(highlight=False, markup=False, emoji=False)

    def answer(self, document: dict[str, Any], *lines: Any) -> None:
        """Give one answer: the document to a machine, the lines (texts or rich's own) to a person."""
        if self.as_json:
            print(json.dumps(document, ensure_ascii=False))  # noqa: T201  (standard output is JSON alone)
            return
        for line in lines:
            self.console.print(line)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show a bar on a terminal while something is under way that may take a moment.

        Yields:
            What says that something else is under way now.
        """
        if self.as_json or not self.console.is_terminal:
            yield lambda _: None
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda then: progress.update(task, description=then)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """Give what is told how much of how much is done, and shows that as a bar; None where there is no terminal."""
        if self.as_json or not self.console.is_terminal:
            yield None
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)


def printable(text: str) -> str:
    """Give a text without the control characters that would steer a terminal; new lines and tabs stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def grid(*rows: tuple[str, ...], indent: int = 0) -> Table:
    """Give rows of words in columns, the first one in bold, the last one wrapped."""
    from rich.table import Table  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=True)
    table.padding = (0, 2, 0, indent) if indent else (0, 2, 0, 0)
    for number in range(len(rows[0]) if rows else 1):
        table.add_column(style="bold" if number == 0 else "", overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    return table


def confirm(question: str) -> None:
    """Ask whether to go on, where somebody is at a terminal to answer; a script is taken at its word.

    Args:
        question: without anybody's id.

    Raises:
        typer.Abort: the answer was no.
        KeyboardInterrupt: it was Ctrl-C.
    """
    if not sys.stdin.isatty():
        return
    with interruptible() as interruption:
        try:
            typer.confirm(question, abort=True, err=True)
        except typer.Abort:
            if interruption.came:
                print(file=sys.stderr)  # noqa: T201  (the line of the question ends)
                raise KeyboardInterrupt from None
            raise
