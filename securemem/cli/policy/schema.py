"""`securemem policy schema`: the JSON Schema of policy files, by which editors complete and check them.

It is made of the types that the loader checks by, and what their docstrings say of each key. What lies over another
file (one that `extends`, an environment) may leave out what stands there: of each part there are two forms, the whole
one and one in which only an `id` is asked for.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec

from securemem.cli.command import command
from securemem.cli.output import Output
from securemem.cli.policy.group import app

_ID = "urn:securemem:policy:v1"
_REF = "#/$defs/"
_NEVER_JOINED = frozenset({"Case", "Given", "Expected"})
"""The parts of `tests`, which are put one after the other and not over each other."""
_NOT_IN_ENVIRONMENTS = frozenset({"apiVersion", "kind", "extends", "environments"})
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


@command(app, "schema")
async def _schema(*, out: Output) -> None:
    """Print the JSON Schema of policy files, for editors."""
    made = make_schema()
    if out.as_json:
        out.answer(made)
    else:
        out.console.out(as_text(made), highlight=False)


def as_text(made: dict[str, Any]) -> str:
    """Give a schema as it lies in its file."""
    return json.dumps(made, indent=2, ensure_ascii=False)


def make_schema() -> dict[str, Any]:
    """Make the JSON Schema of a policy file."""
    from securemem.policy.load import TREATMENTS  # noqa: PLC0415
    from securemem.policy.schema import File  # noqa: PLC0415

    _, parts = msgspec.json.schema_components((File,), ref_template=f"{_REF}{{name}}")
    parts = {name: _described(part) for name, part in parts.items()}
    parts["Pii"]["properties"]["entities"]["additionalProperties"] = {"enum": list(TREATMENTS)}
    parts["Rule"]["properties"]["on_write"]["propertyNames"] = {"enum": list(TREATMENTS)}
    parts["File"]["properties"]["environments"]["additionalProperties"] = {"$ref": f"{_REF}Environment"}
    parts |= {_over(name): _laid_over(part) for name, part in parts.items() if name not in _NEVER_JOINED}
    parts["Environment"] = _environment(parts[_over("File")])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "Retention policy of SecureMem",
        "description": "What is done with personal data, and for how long anything is kept.",
        "if": {"type": "object", "properties": {"extends": {"type": "string"}}, "required": ["extends"]},
        "then": {"$ref": f"{_REF}{_over('File')}"},
        "else": {"$ref": f"{_REF}File"},
        "$defs": parts,
    }


def _described(part: dict[str, Any]) -> dict[str, Any]:
    """Give a part with its docstring parted: each key has what is said of it."""
    says, _, attributes = inspect.cleandoc(part["description"]).partition("\n\nAttributes:\n")
    said = {name: _sentence(text) for name, text in _ATTRIBUTE.findall(attributes)}
    properties = {
        name: {"description": said[name]} | value if name in said else value
        for name, value in part["properties"].items()
    }
    return part | {"description": _sentence(says), "properties": properties}


def _sentence(text: str) -> str:
    """Give a text of a docstring as one sentence of its own."""
    words = " ".join(text.split()).removesuffix(" and").rstrip(",.")
    return f"{words[:1].upper()}{words[1:]}."


def _over(name: str) -> str:
    return f"{name}Over"


def _laid_over(part: dict[str, Any]) -> dict[str, Any]:
    """Give the form of a part that lies over another one."""
    copy: dict[str, Any] = json.loads(json.dumps(part), object_hook=_renamed)
    return copy | {"required": [key for key in part["required"] if key == "id"]}


def _environment(file: dict[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in file["properties"].items() if name not in _NOT_IN_ENVIRONMENTS}
    return file | {"title": "Environment", "description": "What is different there.", "properties": properties}


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    name = str(value.get("$ref", "")).removeprefix(_REF)
    is_joined = bool(name) and name not in _NEVER_JOINED | {"Environment"}
    return value | {"$ref": f"{_REF}{_over(name)}"} if is_joined else value
