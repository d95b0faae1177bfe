"""Holds a document against the types of `schema`, and says of what does not fit where it stands and what was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from securemem.errors import PolicyError
from securemem.policy import durations, schema, words
from securemem.policy.document import Document, Path

_PLACE = re.compile(r" - at `(?:key in )?(\$[^`]*)`\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_ANY = "..."
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_INVALID = re.compile(r"Invalid enum value (?:'(.*)'|.*)\Z", re.DOTALL)
_KIND = re.compile(r"Expected `([a-z |]*)`, got `[a-z]*`\Z")
_BOUND = re.compile(r"Expected `([a-z]*)` (>=|<=|>|<) (\S+)\Z")
_LENGTH = re.compile(r"Expected `[a-z]*` of length (>=|<=) (\d+)\Z")
_KINDS = {
    "object": "keys and values",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a date such as 2027-01-31",
}
_FORMS = {
    durations.PATTERN: ("no duration", durations.HINT),
    words.ID_PATTERN: ("no id", "small letters, digits, `_`, `-` and `.`, a letter first"),
    words.ARTICLE_PATTERN: ("no name of an article", "such as gdpr-17-3-b"),
    words.LANGUAGE_PATTERN: ("no language", "its code by ISO 639-1, such as en"),
    words.REGION_PATTERN: ("no region", "its code by ISO 3166-1, such as GB"),
    words.VARIABLE_PATTERN: ("no environment variable", "capitals, digits and `_`, such as CRM_ERASE_URL"),
}
_SHOWN = 60


def convert(document: Document) -> schema.File:
    """Give the policy file that a document is.

    Raises:
        PolicyError: it is none; the first thing that is wrong.
    """
    try:
        file = msgspec.convert(document.data, schema.File)
    except msgspec.ValidationError as exc:
        raise _explained(document, str(exc)) from None
    for path, value in leaves(document.data):
        # Python's `$` is true before a last newline too, and msgspec goes by it.
        if isinstance(value, str) and value.endswith("\n") and _pattern(_type_at(path)) in _FORMS:
            message, hint = _formed(value, _type_at(path))
            raise document.error(path, message, hint=hint)
    return file


def leaves(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give what is no mapping and no list, with its path."""
    if isinstance(data, dict | list):
        for step, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*path, step))
    else:
        yield path, data


def _explained(document: Document, complaint: str) -> PolicyError:
    """Give msgspec's complaint as an error of ours."""
    place = _PLACE.search(complaint)
    what = complaint[: place.start()] if place else complaint
    path = _located(document.data, _steps(place.group(1)) if place else ())
    unknown = _UNKNOWN_FIELD.match(what)
    if unknown:
        key = unknown.group(1)
        return document.error((*path, key), f"{key!r} is not known here", hint=meant(key, _keys(_type_at(path))))
    message, hint = _said(what, _at(document.data, path), _type_at(path))
    return document.error(path, message, hint=hint if path else None)


def _said(what: str, value: Any, kind: Any) -> tuple[str, str | None]:
    """Give a complaint about a value in our words, and a hint: what it should have been.

    Args:
        what: the complaint.
        value: what stands there.
        kind: the type that it should be of.
    """
    for pattern, say in _WORDS:
        match = pattern.match(what)
        if match is not None:
            return say(match, value, kind)
    if what.startswith("Expected `str` matching"):
        return _formed(value, kind)
    if what.startswith("Invalid RFC3339"):
        return f"{shown(value)} is no date", "such as 2027-01-31"
    return f"{what[:1].lower()}{what[1:]}: {shown(value)}", None


def _missing(match: re.Match[str], value: Any, kind: Any) -> tuple[str, str | None]:  # noqa: ARG001  (one of several)
    return f"{match.group(1)!r} is missing here", None


def _no_choice(match: re.Match[str], value: Any, kind: Any) -> tuple[str, str | None]:
    known = get_args(_bare(kind))
    return f"{shown(value)} is not known here", meant(match.group(1) or "", known) or f"one of {', '.join(known)}"


def _other_kind(match: re.Match[str], value: Any, kind: Any) -> tuple[str, str | None]:
    if isinstance(value, int | float) and _pattern(kind) in _FORMS:
        return _formed(value, kind)
    wanted = " or ".join(_KINDS.get(each, each) for each in match.group(1).split(" | ") if each != "null")
    if value is None:
        return f"expected {wanted}, got nothing", "leave the key out, or say what belongs there"
    return f"expected {wanted}, got {shown(value)}", None


def _out_of_bounds(match: re.Match[str], value: Any, kind: Any) -> tuple[str, str | None]:
    kind, sign, bound = match.groups()
    return f"expected {_KINDS.get(kind, kind)} {sign} {bound.removesuffix('.0')}, got {shown(value)}", None


def _too_long_or_empty(match: re.Match[str], value: Any, kind: Any) -> tuple[str, str | None]:  # noqa: ARG001
    sign, length = match.groups()
    return (f"{shown(value)} is empty", None) if sign == ">=" else (f"is over {length}: {shown(value)}", None)


_WORDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Any, Any], tuple[str, str | None]]], ...] = (
    (_MISSING, _missing),
    (_INVALID, _no_choice),
    (_KIND, _other_kind),
    (_BOUND, _out_of_bounds),
    (_LENGTH, _too_long_or_empty),
)


def _formed(value: Any, kind: Any) -> tuple[str, str | None]:
    """Say of a word that it has not the form that it should have."""
    wrong, hint = _FORMS[_pattern(kind) or ""]
    near = durations.meant(value) if isinstance(value, str) and _pattern(kind) == durations.PATTERN else None
    return f"{shown(value)} is {wrong}", f"did you mean {near!r}?" if near is not None else hint


def shown(value: Any) -> str:
    """Give a value as it may stand in an error: the beginning of it."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def meant(word: str, known: Iterable[str]) -> str | None:
    """Give the hint that names the known word that a word is nearest to; None where none is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else None


# What type is wanted at a path


def _type_at(path: Path) -> Any:
    kind: Any = schema.File
    for step in path:
        kind = _inside(_bare(kind), step)
    return kind


def _inside(kind: Any, step: str | int) -> Any:
    """Give the type of a part of what is of a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return next((each.type for each in msgspec.structs.fields(kind) if each.encode_name == step), Any)
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if get_origin(kind) is tuple else Any


def _bare(kind: Any) -> Any:
    """Give a type without what is said of it, and without the nothing that may stand in its place."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(each for each in get_args(kind) if each not in (type(None), msgspec.UnsetType)))
    return kind


def _pattern(kind: Any) -> str | None:
    if get_origin(kind) in (Union, UnionType):
        return next(filter(None, map(_pattern, get_args(kind))), None)
    said = getattr(kind, "__metadata__", ())
    return next((each.pattern for each in said if isinstance(each, msgspec.Meta)), None)


def _keys(kind: Any) -> list[str]:
    bare = _bare(kind)
    if get_origin(bare) is Literal or not (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return []
    return [each.encode_name for each in msgspec.structs.fields(bare)]


# Where msgspec's complaint is


def _steps(place: str) -> Path:
    return tuple(int(index) if index.isdigit() else name or index for name, index in _STEP.findall(place))


def _located(data: Any, path: Path) -> Path:
    """Give the path with the keys that msgspec leaves out, by trying the values of such a mapping.

    It ends where the document does: the complaint repeats keys, and one of them may read like a path.
    """
    found: list[str | int] = []
    for number, step in enumerate(path):
        part = _at(data, found)
        if step == _ANY and isinstance(part, dict):
            step = _wrong_key(data, found, path[: number + 1])  # noqa: PLW2901
        if not _is_there(part, step):
            break
        found.append(step)
    return tuple(found)


def _wrong_key(data: Any, path: list[str | int], place: Path) -> str:
    """Give the key of a mapping of whose value msgspec complains, by trying halves of what is left of it."""
    keys = list(_at(data, path))
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        keys = half if _complains(data, path, half, place) else keys[len(keys) // 2 :]
    return keys[0] if keys and _complains(data, path, keys, place) else _ANY


def _is_there(part: Any, step: str | int) -> bool:
    if isinstance(part, dict):
        return step in part
    return isinstance(part, list) and isinstance(step, int) and step < len(part)


def _at(data: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        data = data[step]
    return data


def _complains(data: Any, path: list[str | int], keys: list[str], place: Path) -> bool:
    """Tell whether the document, with only these keys left of a mapping, is complained of at the same place."""
    part = _at(data, path)
    try:
        msgspec.convert(_with(data, path, {key: part[key] for key in keys}), schema.File)
    except msgspec.ValidationError as exc:
        match = _PLACE.search(str(exc))
        return match is not None and _steps(match.group(1))[: len(place)] == place
    return False


def _with(data: Any, path: list[str | int], value: Any) -> Any:
    """Give data with another value at a path; only what lies on the path is copied."""
    if not path:
        return value
    copy = list(data) if isinstance(data, list) else dict(data)
    copy[path[0]] = _with(data[path[0]], path[1:], value)  # type: ignore[index]
    return copy
