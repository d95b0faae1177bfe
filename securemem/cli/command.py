"""Makes a command of an async function: the options that all share, and how errors leave."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from securemem.cli.outcome import run
from securemem.cli.output import Output
from securemem.cli.place import KeystoreUrl, KmsUrl, LedgerUrl, Place, Tenant, Url

Command = Callable[..., Coroutine[Any, Any, None]]

PurgeSeconds = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="How long to work on what is left on disk, and to wait for who keeps it."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Say it as JSON, one object a line, for machines.")]
_WHERE: dict[str, tuple[Any, Any]] = {
    "url": (Url, None),
    "keystore": (KeystoreUrl, None),
    "ledger": (LedgerUrl, None),
    "kms": (KmsUrl, None),
    "tenant": (Tenant, "default"),
}


def group(says: str | None = None) -> typer.Typer:
    """Give a group of commands. Its help is plain: rich's would take as long as all the rest of `--help`."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    made.info.help = says if says is not None else made.info.help
    return made


def command(to: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Add an async function to a group of commands.

    Its parameter `out` becomes `--json`; its parameter `place`, if any, becomes the options that name a store, but for
    those that it has a parameter of its own for.
    """

    def add(function: Command) -> Command:
        hints = get_type_hints(function, include_extras=True)
        placed = "place" in hints

        @wraps(function)
        def started(**given: Any) -> None:
            out = Output(as_json=given.pop("as_json"))
            if placed:
                named = {option: given[option] if option in hints else given.pop(option) for option in _WHERE}
                given["place"] = Place(**named)
            run(function(out=out, **given))

        started.__signature__ = _signature(function, hints, placed=placed)  # type: ignore[attr-defined]
        started.__annotations__ = {}
        to.command(name)(started)
        return function

    return add


def _signature(function: Command, hints: dict[str, Any], *, placed: bool) -> inspect.Signature:
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("out", "place")
    ]
    shared = {"as_json": (_JSON, False)} | (_WHERE if placed else {})
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in shared.items()
        if name not in hints
    ]
    return inspect.Signature(own + added)
