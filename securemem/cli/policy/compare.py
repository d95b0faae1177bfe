"""`securemem policy diff`: what has changed between two policies, of all that decides anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from securemem.cli.command import command
from securemem.cli.output import Output, printable
from securemem.cli.policy.check import Environment, load
from securemem.cli.policy.group import app

if TYPE_CHECKING:
    from securemem.policy.differ import Difference
    from securemem.policy.load import Loaded

_SOONER, _LATER, _OTHER = "red", "green", "yellow"
_STYLES = {
    "ttl_shortened": _SOONER,
    "rule_removed": _SOONER,
    "keep_shortened": _SOONER,
    "ttl_lengthened": _LATER,
    "keep_lengthened": _LATER,
    "rule_added": _LATER,
}
_CHANGED = "changed"
_THERE = "there"
_PROMISES = ("erasure", "requests")
"""The parts that decide nothing about records, and are promised all the same."""
_PARTS = ("defaults", "bounds", "pii", "access", "safety", *_PROMISES)


@command(app, "diff")
async def _diff(
    *,
    out: Output,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy's file or name.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one in its place.", show_default=False)],
    environment: Environment = None,
) -> None:
    """Say what changes when one policy takes the place of another: lives, keeps, rules, treatments, rights."""
    before, after = load(old, environment), load(new, environment)
    found = list(_differences(before, after))
    document = {
        "old": _named(before),
        "new": _named(after),
        "differences": [difference._asdict() for difference in found],
    }
    out.answer(document, *([] if out.as_json else _as_text(before, after, found)))


def _differences(before: Loaded, after: Loaded) -> Iterator[Difference]:
    """Give what has changed; of what has parts, part by part."""
    from securemem.policy.differ import differences  # noqa: PLC0415

    old, new = _said(before), _said(after)
    for difference in differences(before.policy, after.policy):
        if _THERE in (difference.before, difference.after):
            yield difference._replace(before=_rule(old, difference.what), after=_rule(new, difference.what))
        elif difference.kind == _CHANGED:
            yield from list(_changed(old, new, difference.what)) or [difference]
        else:
            yield difference
    for part in _PROMISES:
        yield from _changed(old, new, part)


def _changed(old: dict[str, str], new: dict[str, str], what: str) -> Iterator[Difference]:
    """Give what differs within a part."""
    from securemem.policy.differ import Difference  # noqa: PLC0415

    for name in dict.fromkeys([*old, *new]):
        if (name == what or name.startswith(f"{what}.")) and old.get(name) != new.get(name):
            yield Difference(_CHANGED, name, old.get(name, "none"), new.get(name, "none"))


def _rule(said: dict[str, str], what: str) -> str:
    """Give a whole rule in a line; nothing where it is not there."""
    start = f"{what}: "
    return ", ".join(f"{name.removeprefix(start)} {says}" for name, says in said.items() if name.startswith(start))


def _said(loaded: Loaded) -> dict[str, str]:
    """Give all that a policy says, each by the name that differences have for it."""
    found: dict[str, str] = {}
    for part in _PARTS:
        found |= _leaves(part, msgspec.to_builtins(getattr(loaded.file, part)))
    for rule in loaded.file.rules:
        for key, value in msgspec.to_builtins(rule).items():
            if key != "id" and value not in (None, {}, [], ()):
                found[f"rule {rule.id}: {key.removeprefix('keep_basis') or 'basis'}"] = _flow(value)
    return found


def _leaves(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {leaf: says for key, each in value.items() for leaf, says in _leaves(f"{name}.{key}", each).items()}
    return {name: _flow(value)} if value not in (None, [], ()) else {}


def _flow(value: Any) -> str:
    """Give a value as YAML would have it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items() if each is not None) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _named(loaded: Loaded) -> dict[str, object]:
    version = loaded.file.metadata.version
    return {"name": loaded.policy.name, "version": version, "sha256": loaded.policy.sha256}


def _as_text(before: Loaded, after: Loaded, found: list[Difference]) -> list[object]:
    from rich.text import Text  # noqa: PLC0415

    title = " → ".join(f"{each.policy.name} {each.file.metadata.version}" for each in (before, after))
    if not found:
        return [Text(printable(title), style="bold"), Text("Nothing that decides anything has changed.", style="dim")]
    return [Text(printable(title), style="bold"), _table(found)]


def _table(found: list[Difference]) -> object:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for difference in found:
        kind = Text(f"  {difference.kind.replace('_', ' ')}", style=_STYLES.get(difference.kind, _OTHER))
        table.add_row(kind, Text(printable(difference.what), style="bold"), Text(printable(_change(difference))))
    return table


def _change(difference: Difference) -> str:
    if not difference.before or not difference.after:
        return f"gone: {difference.before}" if difference.before else f"new: {difference.after}"
    return f"{difference.before} → {difference.after}"
