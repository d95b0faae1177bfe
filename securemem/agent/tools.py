"""The functions that a model may call: what it is told of them, and how a call of its becomes one of theirs.

A tool is a function, async or not, with a name, a docstring and annotations: they say to the model what it does and
what it takes. What the model got wrong it is told, and may try again. A tool that raises ends the turn.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, get_type_hints

import msgspec

from securemem.errors import ConfigurationError

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Call(NamedTuple):
    """A call that a model asks for.

    Attributes:
        id: that its result has to name.
        name: of the tool.
        arguments: a JSON object, as the model wrote it.
    """

    id: str
    name: str
    arguments: str

    def as_json(self) -> dict[str, Any]:
        """Give the call as the chat-completions protocol has it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class _Tool(NamedTuple):
    function: Callable[..., Any]
    arguments: type[msgspec.Struct]
    described: dict[str, Any]


class Tools:
    """An agent's tools, by their names."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        """Take functions.

        Raises:
            ConfigurationError: they are none, one of them is none that a model could call, or two have one name.
        """
        self._tools: dict[str, _Tool] = {}
        for function in _listed(functions):
            tool = _describe(function)
            name = tool.described["function"]["name"]
            if name in self._tools:
                raise ConfigurationError(f"two tools have the name {name}")
            self._tools[name] = tool
        self.described = [tool.described for tool in self._tools.values()]

    async def run(self, call: Call) -> str:
        """Do what a model asks for, and give what it is told."""
        tool = self._tools.get(call.name)
        if tool is None:
            return f"There is no such tool: {', '.join(self._tools)}"
        try:
            given = msgspec.json.decode(call.arguments or "{}", type=tool.arguments, strict=False)
        except msgspec.DecodeError as exc:
            return f"The arguments do not fit: {exc}"
        result = tool.function(**{name: getattr(given, name) for name in given.__struct_fields__})
        return _as_text(await result if isinstance(result, Awaitable) else result)


def _listed(functions: object) -> list[Any]:
    if isinstance(functions, str) or not isinstance(functions, Iterable):
        raise ConfigurationError("tools is a list of functions")
    return list(functions)


def _describe(function: Any) -> _Tool:
    name = getattr(function, "__name__", "")
    if not callable(function) or not name.isidentifier():
        raise ConfigurationError("a tool is a function with a name")
    try:
        hints, signature = get_type_hints(function), inspect.signature(function)
    except NameError as exc:
        raise ConfigurationError(f"the tool {name} has annotations with names that are not there") from exc
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"the tool {name} does not say what it takes") from exc
    fields: list[tuple[str, Any, Any]] = []
    defaults: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in _KINDS:
            raise ConfigurationError(f"the tool {name} has to take its arguments by their names")
        fields.append((parameter.name, hints.get(parameter.name, Any), _field(parameter)))
        if parameter.default is not inspect.Parameter.empty:
            defaults[parameter.name] = parameter.default
    try:
        arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        [schema], parts = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
        said = msgspec.to_builtins(defaults, str_keys=True)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"the tool {name} takes what JSON has no word for") from exc
    parameters = parts.pop(name, schema) | ({"$defs": parts} if parts else {})
    parameters.pop("title", None)
    for argument, default in said.items():
        parameters["properties"][argument]["default"] = default
    says = inspect.getdoc(function) or ""
    described = {"type": "function", "function": {"name": name, "description": says, "parameters": parameters}}
    return _Tool(function, arguments, described)


def _field(parameter: inspect.Parameter) -> Any:
    """Give an argument's field; each call has a default of its own, which the tool may change."""
    if parameter.default is inspect.Parameter.empty:
        return msgspec.field()
    return msgspec.field(default_factory=partial(deepcopy, parameter.default))


def _as_text(result: object) -> str:
    if isinstance(result, str):
        return result
    return json.dumps(msgspec.to_builtins(result), ensure_ascii=False)
