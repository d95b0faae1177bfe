"""What a talk looks like: who speaks in a colour of their own, answers as they come, notes in grey."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from securemem.cli.output import Output, grid, printable
from securemem.terminal import interruptible

_WIDTH = 7
_STYLES = {"user": "bold cyan", "assistant": "bold green"}
_NAMES = {"user": "you", "assistant": "agent"}
_CYAN, _PLAIN = "\x1b[1;36m", "\x1b[0m"


class Screen:
    """The terminal of a talk."""

    printable = staticmethod(printable)

    def __init__(self, out: Output) -> None:
        """Take where things are shown; as JSON, notes are not."""
        self._out = out
        self._console = out.console
        # readline counts what is between \1 and \2 as no width.
        self.prompt = f"\1{_CYAN}\2{'you':<{_WIDTH}}\1{_PLAIN}\2" if self._has_colour else f"{'you':<{_WIDTH}}"

    @property
    def _has_colour(self) -> bool:
        return self._console.is_terminal and self._console.color_system is not None

    def heading(self, text: str) -> None:
        """Show what begins a talk."""
        self._show(Text(text, style="bold"))

    def note(self, text: str) -> None:
        """Show something that nobody said."""
        self._show(Text(printable(text), style="dim"))

    def error(self, text: str) -> None:
        """Show what went wrong."""
        self._show(Text(printable(f"Not done: {text}"), style="red"))

    def say(self, text: str) -> None:
        """Show an answer as it is, for whatever reads it."""
        self._write(Text(f"{printable(text)}\n"))

    def table(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Show rows of words."""
        self._show(grid(*rows))

    def messages(self, messages: list[dict[str, Any]]) -> None:
        """Show messages, oldest first."""
        for message in messages:
            role, content = message["role"], message["content"]
            calls = (message.get("metadata") or {}).get("tool_calls") or ()
            said = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            names = ", ".join(str(call["function"]["name"]) for call in calls)
            line = Text(f"{_NAMES.get(role, role)[: _WIDTH - 1]:<{_WIDTH}}", style=_STYLES.get(role, "bold magenta"))
            line.append(printable(said or f"(calls {names})"), style="")
            self._show(_hanging(line))

    @contextmanager
    def answering(self) -> Iterator[Callable[[str], None]]:
        """Give what shows an answer piece by piece; until the first there is a sign that it is thought about."""
        status = self._console.status("", spinner="dots")
        status.start()
        flow: _Flow | None = None

        def show(piece: str) -> None:
            nonlocal flow
            if flow is None:
                status.stop()
                self._write(Text(f"{_NAMES['assistant']:<{_WIDTH}}", style=_STYLES["assistant"]))
                flow = _Flow(max(20, self._console.width - _WIDTH))
            self._write(Text(flow.feed(printable(piece))))

        try:
            yield show
        finally:
            status.stop()
            if flow is not None:
                self._write(Text(f"{flow.end()}\n"))

    def _write(self, text: Text) -> None:
        self._console.print(text, end="", soft_wrap=True)

    def _show(self, what: object) -> None:
        if not self._out.as_json:
            self._console.print(what)


class _Flow:
    """Breaks a text that comes in pieces into lines between its words, each below the first."""

    def __init__(self, width: int) -> None:
        """Take how wide the lines may be."""
        self._width = width
        self._column = 0
        self._spaces = 0
        self._word = ""

    def feed(self, piece: str) -> str:
        """Take a piece, and give what is ready: a word waits for its end."""
        ready: list[str] = []
        for character in piece:
            if not character.isspace():
                self._word += character
                continue
            ready.append(self.end())
            if character == "\n":
                ready.append(self._break())
            else:
                self._spaces += 1
        return "".join(ready)

    def end(self) -> str:
        """Give the last word."""
        word, self._word = self._word, ""
        if not word:
            return ""
        size = cell_len(word)
        if self._column and self._column + self._spaces + size > self._width:
            between = self._break()
        else:
            between = " " * self._spaces
            self._column += self._spaces
        self._column += size
        self._spaces = 0
        return between + word

    def _break(self) -> str:
        self._column = self._spaces = 0
        return "\n" + " " * _WIDTH


def _hanging(line: Text) -> Any:
    """Let the lines of a message stand below each other, beside who said it."""
    from rich.table import Table  # noqa: PLC0415

    table = Table.grid()
    table.add_column(width=_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(line[:_WIDTH], line[_WIDTH:])
    return table


def typed(prompt: str) -> str | None:
    """Give a line that somebody types, with the keys of readline; None when they leave."""
    import readline  # noqa: F401, PLC0415  (input uses it once it is imported)

    with interruptible():
        try:
            return input(prompt)
        except (EOFError, KeyboardInterrupt):
            print()  # noqa: T201  (the line of the prompt ends)
            return None
