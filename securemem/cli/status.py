"""`securemem status`: a store in numbers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, grid
from securemem.cli.place import Place


async def _status(*, place: Place, out: Output) -> None:
    """Say what there is in a store and what waits there, in numbers.

    People, sessions and what was interrupted are counted in all tenants; holds, requests and the last worker are those
    of the one that `--tenant` names.
    """
    async with place.for_retention(None) as memory:
        found = await memory.status()
    late = f", {found.overdue} of them overdue" if found.overdue else ""
    following = f", the next due on {found.next_due:%d %B %Y}" if found.next_due is not None else ""
    rows = [
        ("people", f"{found.people:,} in all tenants"),
        ("sessions", f"{found.sessions:,} in all tenants"),
        ("KEK", f"epoch {found.epoch}"),
        ("legal holds", f"{found.holds:,}"),
        ("requests", f"{found.requests:,} open{late}{following}"),
        ("interrupted", f"{found.interrupted:,} acts in all tenants that a worker or the next opening ends"),
        ("last worker", f"{found.last_pass:%d %B %Y %H:%M} UTC" if found.last_pass is not None else "never"),
    ]
    document = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(found).items()
    }
    out.answer(document, grid(*rows))


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "status")(_status)
