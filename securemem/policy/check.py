"""Holds a document against the types of `schema`, and says of what does not fit where it stands and what was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

import msgspec

from securemem.errors import PolicyError
from securemem.policy import durations, schema
from securemem.policy.document import Document, Path

_PLACE = re.compile(r" - at `(?:key in )?(\$[^`]*)`\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_INVALID = re.compile(r"Invalid enum value (?:'(.*)'|.*)\Z", re.DOTALL)
_ANY = "..."
_REGEX = re.compile(r"expected `str` matching regex '(.*)'\Z", re.DOTALL | re.IGNORECASE)
_PARTS = (
    *(schema.File, schema.Metadata, schema.Defaults, schema.Bounds, schema.Pii, schema.Match, schema.Basis),
    *(schema.Rule, schema.Targets, schema.Recipient, schema.Erasure, schema.Requests, schema.Access),
    *(schema.MaxDelete, schema.Safety, schema.Given, schema.Expected, schema.Case),
)
_LISTED = {"regimes": schema.Regime, "two_person": schema.Brake}
_FORMS = {
    durations.PATTERN: ("no duration", durations.HINT),
    schema.ID_PATTERN: ("no id", "small letters, digits, `_`, `-` and `.`, a letter first"),
    schema.ARTICLE_PATTERN: ("no name of an article", "such as gdpr-17-3-b"),
}
_SHOWN = 60
_FIELDS = {field.encode_name: field.type for part in _PARTS for field in msgspec.structs.fields(part)}
_CHOICES = {name: get_args(kind) for name, kind in _FIELDS.items() if get_origin(kind) is Literal}


def convert(document: Document) -> schema.File:
    """Give the policy file that a document is.

    Raises:
        PolicyError: it is none; the first thing that is wrong.
    """
    try:
        return msgspec.convert(document.data, schema.File)
    except msgspec.ValidationError as exc:
        raise _explained(document, str(exc)) from None


def _explained(document: Document, complaint: str) -> PolicyError:
    """Give msgspec's complaint as an error of ours."""
    place = _PLACE.search(complaint)
    what = complaint[: place.start()] if place else complaint
    path = _located(document.data, _steps(place.group(1)) if place else ())
    unknown = _UNKNOWN_FIELD.match(what)
    if unknown:
        key = unknown.group(1)
        return document.error((*path, key), f"{key!r} is not known here", hint=meant(key, _FIELDS))
    invalid = _INVALID.match(what)
    if invalid and invalid.group(1) is not None:
        return document.error(path, f"{invalid.group(1)!r} is not known here", hint=_choice(path, invalid.group(1)))
    form = _REGEX.match(what)
    if form is not None and form.group(1) in _FORMS:
        wrong, hint = _FORMS[form.group(1)]
        return document.error(path, f"{_shown(document, path)} is {wrong}", hint=hint)
    if what.endswith("of length >= 1") or not path or what.startswith("Object"):
        return document.error(path, what[:1].lower() + what[1:])
    return document.error(path, f"{what[:1].lower() + what[1:]}: {_shown(document, path)}")


def _choice(path: Path, word: str) -> str | None:
    """Give the hint for a word that is none of those that may stand there."""
    names = [str(step) for step in path]
    field = names[-1] if names[-1:] and names[-1] in _CHOICES else next((n for n in names[::-1] if n in _LISTED), "")
    known = _CHOICES.get(field) or get_args(_LISTED.get(field, schema.Right))
    return meant(word, known) or (f"one of {', '.join(known)}" if field != "apiVersion" else None)


def _shown(document: Document, path: Path) -> str:
    """Give a value as it may stand in an error: the beginning of it."""
    value = _at(document.data, path)
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def meant(word: str, known: Iterable[str]) -> str | None:
    """Give the hint that names the known word that a word is nearest to; None where none is near."""
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else None


def _steps(place: str) -> Path:
    return tuple(int(index) if index.isdigit() else name or index for name, index in _STEP.findall(place))


def _located(data: Any, path: Path) -> Path:
    """Give the path with the keys that msgspec leaves out, by trying the values of such a mapping one by one.

    It ends where the document does: the complaint repeats keys, and one of them may read like a path.
    """
    found: list[str | int] = []
    for number, step in enumerate(path):
        part = _at(data, found)
        if step == _ANY and isinstance(part, dict):
            step = next((key for key in part if _complains(data, found, key, path[: number + 1])), step)  # noqa: PLW2901
        if not _is_there(part, step):
            break
        found.append(step)
    return tuple(found)


def _is_there(part: Any, step: str | int) -> bool:
    if isinstance(part, dict):
        return step in part
    return isinstance(part, list) and isinstance(step, int) and step < len(part)


def _at(data: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        data = data[step]
    return data


def _complains(data: Any, path: list[str | int], key: str, place: Path) -> bool:
    """Tell whether the document, with only this key left of a mapping, is complained of at the same place."""
    try:
        msgspec.convert(_with(data, path, {key: _at(data, path)[key]}), schema.File)
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
