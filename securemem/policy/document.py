"""Reads YAML strictly: plain data, and where in the file each part of it stands.

A subset of YAML 1.2: no anchors, aliases, tags or second document, no key twice, and of plain scalars only null, true,
false and decimal numbers are more than text, so that `NO` is a country. Sizes and depth are bounded before anything is
made of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from securemem.errors import PolicyError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32

Path = tuple[str | int, ...]

_PLAIN: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}\Z")
_NOT_ALLOWED = yaml.reader.Reader.NON_PRINTABLE
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1; the file is the document's own where none is named."""

    line: int
    column: int
    file: str | None = None


class Document:
    """A file's data, and the marks of its parts.

    Attributes:
        file: its name, for errors.
        data: of plain types.
    """

    def __init__(self, file: str, data: Any, marks: dict[Path, Mark]) -> None:
        """Made by `read`."""
        self.file = file
        self.data = data
        self._marks = marks

    def error(self, path: Path, message: str, *, hint: str | None = None) -> PolicyError:
        """Give the error that says what is wrong at a path; it stands where the nearest part does that is there."""
        while path and path not in self._marks:
            path = path[:-1]
        mark = self._marks.get(path, Mark(1, 1))
        return PolicyError(message, file=mark.file or self.file, line=mark.line, column=mark.column, hint=hint)

    def line(self, path: Path) -> str:
        """Say in which line a part begins, and of which file if that is another."""
        mark = self._marks[path]
        return f"line {mark.line}" if mark.file in (None, self.file) else f"line {mark.line} of {mark.file}"

    def part(self, path: Path) -> Document:
        """Give a part as a document of its own."""
        data = self.data
        for step in path:
            data = data[step]
        size = len(path)
        marks = {at[size:]: mark for at, mark in self._marks.items() if at[:size] == path}
        return Document(self.file, data, marks)

    def over(self, base: Document) -> Document:
        """Give what a base becomes with this document's parts in place of its own.

        Mappings are joined key by key. Lists of parts that have an `id` are joined by it, `tests` one after the other;
        any other value takes the place of the base's.
        """
        marks = {path: _in_file(mark, base.file) for path, mark in base._marks.items()}
        joined = _joined(base.data, self.data, (), (), (marks, self))
        return Document(self.file, joined, marks)

    def mark(self, path: Path) -> Mark:
        """Give the mark of a part, with the file that it is in."""
        return _in_file(self._marks[path], self.file)


_APPENDED = "tests"
_Places = tuple[dict[Path, Mark], Document]


def _in_file(mark: Mark, file: str) -> Mark:
    return mark if mark.file is not None else replace(mark, file=file)


def _joined(base: Any, mine: Any, at: Path, here: Path, places: _Places) -> Any:
    """Join two values.

    Args:
        base: what stands there.
        mine: what comes over it.
        at: where it comes to stand, and
        here: where it stands in its document.
        places: the marks of what comes of it, and the document that comes over the base.
    """
    if isinstance(base, dict) and isinstance(mine, dict):
        return base | {key: _joined(base.get(key), mine[key], (*at, key), (*here, key), places) for key in mine}
    if isinstance(base, list) and isinstance(mine, list) and (at == (_APPENDED,) or _have_ids([*base, *mine])):
        return _joined_lists(base, mine, at, here, places)
    marks, over = places
    for old in _paths(base, at):
        marks.pop(old, None)
    size = len(here)
    marks.update({(*at, *path[size:]): over.mark(path) for path in _paths(mine, here)})
    return mine


def _joined_lists(base: list[Any], mine: list[Any], at: Path, here: Path, places: _Places) -> list[Any]:
    found = list(base)
    known = {} if at == (_APPENDED,) else {part["id"]: number for number, part in reversed(list(enumerate(base)))}
    over = places[1]
    seen: set[str] = set()
    for number, part in enumerate(mine):
        name = part["id"] if at != (_APPENDED,) else None
        if name is not None and name in seen:
            raise over.error((*here, number, "id"), f"id {name!r} is given twice")
        seen.add(name or "")
        index = known.get(name, len(found))
        if index == len(found):
            found.append(None)
        found[index] = _joined(found[index], part, (*at, index), (*here, number), places)
    return found


def _paths(data: Any, path: Path) -> Iterator[Path]:
    """Give the path of a part, and of all in it."""
    yield path
    if isinstance(data, dict | list):
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _paths(value, (*path, step))


def _have_ids(parts: list[Any]) -> bool:
    return bool(parts) and all(isinstance(part, dict) and isinstance(part.get("id"), str) for part in parts)


def read(text: str, file: str) -> Document:
    """Read a document.

    Raises:
        PolicyError: it is no YAML of this subset, or too large or deep.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise PolicyError(f"is over {MAX_BYTES >> 20} MiB", file=file, hint="split it: nobody reads a policy that long")
    odd = _NOT_ALLOWED.search(text)
    if odd is not None:
        before = text[: odd.start()]
        at = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise PolicyError(f"no YAML: {odd[0]!a} is not allowed", file=file, line=at.line, column=at.column)
    try:
        return _Builder(file, yaml.parse(text, Loader=_Loader)).document()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        hint = "indent with spaces" if mark is not None and _stands_at(mark, text) == "\t" else None
        raise PolicyError(f"no YAML: {exc.problem}", file=file, line=line, column=column, hint=hint) from None


def _stands_at(mark: Any, text: str) -> str:
    """Give the character at a mark of the parser's, which counts from 0; "" behind the end."""
    line = "".join(text.splitlines()[mark.line : mark.line + 1])
    return line[mark.column : mark.column + 1]


class _Builder:
    """Makes data of the parser's events."""

    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self._file = file
        self._events = events
        self._marks: dict[Path, Mark] = {}

    def document(self) -> Document:
        data: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document", "a file holds one policy")
                data = self._value(next(self._events), ())
        return Document(self._file, data, self._marks)

    def _value(self, event: Any, path: Path) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._refuse(event, "anchors and aliases are not taken", "write it out")
        if event.tag is not None and event.tag != "!":
            raise self._refuse(event, "tags are not taken", "leave it out")
        if len(path) > MAX_DEPTH:
            raise self._refuse(event, f"nested deeper than {MAX_DEPTH}", None)
        self._marks.setdefault(path, _mark(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return _scalar(event)

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refuse(event, "a key has to be a word", None)
            key = event.value
            if key in found:
                raise self._refuse(event, f"{key!r} stands here twice", f"it stood in line {self._line((*path, key))}")
            self._marks[(*path, key)] = _mark(event)
            found[key] = self._value(next(self._events), (*path, key))
        return found

    def _sequence(self, path: Path) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _line(self, path: Path) -> int:
        return self._marks[path].line

    def _refuse(self, event: Any, message: str, hint: str | None) -> PolicyError:
        mark = _mark(event)
        return PolicyError(message, file=self._file, line=mark.line, column=mark.column, hint=hint)


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: Any) -> Any:
    value: str = event.value
    if event.style:
        return value
    if value in _PLAIN:
        return _PLAIN[value]
    if _INTEGER.match(value):
        return int(value)
    return float(value) if _FLOAT.match(value) else value
