"""`securemem policy diff`: what has changed between two policies, of all that decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, printable
from securemem.cli.policy.check import Environment, load
from securemem.cli.policy.group import app

if TYPE_CHECKING:
    from securemem.policy.differ import Difference
    from securemem.policy.load import Loaded

_SOONER, _LATER = "red", "green"
_STYLES = {
    "ttl_shortened": _SOONER,
    "rule_removed": _SOONER,
    "keep_shortened": _SOONER,
    "ttl_lengthened": _LATER,
    "keep_lengthened": _LATER,
    "rule_added": _LATER,
}


@command(app, "diff")
async def _diff(
    *,
    out: Output,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy's file or name.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one in its place.", show_default=False)],
    environment: Environment = None,
) -> None:
    """Say what changes when one policy takes the place of another: lives, keeps, rules, treatments, rights."""
    from securemem.policy.differ import differences  # noqa: PLC0415

    before, after = load(old, environment), load(new, environment)
    found = differences(before.policy, after.policy)
    document = {
        "old": _named(before),
        "new": _named(after),
        "differences": [difference._asdict() for difference in found],
    }
    out.answer(document, *([] if out.as_json else _as_text(before, after, found)))


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

    table = Table.grid(padding=(0, 2, 0, 2))
    for difference in found:
        kind = Text(difference.kind.replace("_", " "), style=_STYLES.get(difference.kind, "yellow"))
        change = " → ".join(word for word in (difference.before, difference.after) if word)
        table.add_row(kind, Text(printable(difference.what), style="bold"), printable(change))
    return table
