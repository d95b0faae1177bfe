"""`securemem sweep`: takes out, once, what is past its time."""

from __future__ import annotations

from dataclasses import asdict

import typer

from securemem.cli.command import PurgeSeconds, command
from securemem.cli.output import Output, grid
from securemem.cli.place import Place, PolicyName
from securemem.residue import PURGE_SECONDS


async def _sweep(
    *, place: Place, out: Output, policy: PolicyName = None, purge_seconds: PurgeSeconds = PURGE_SECONDS
) -> None:
    """Take out, once, what is past its time."""
    with out.working("Sweeping"):
        async with place.for_retention(policy) as memory:
            report = await memory.sweep(purge_seconds=purge_seconds)
    rows = [
        (str(report.records), "expired messages taken out"),
        (str(report.sessions), "sessions destroyed, in which nothing was left to read"),
        (str(report.closed_heads), "remains of sessions destroyed earlier removed"),
    ]
    if report.without_key:
        rows.append((str(report.without_key), "sessions without a key in the keystore, left alone: look at `doctor`"))
    if report.waiting:
        rows.append((str(report.waiting), "past their time, and waiting for somebody's word"))
    if report.quarantined:
        rows.append((str(report.quarantined), "not classified, and so kept out of sight"))
    out.answer(asdict(report), grid(*rows), *([report.refusal] if report.refusal else []))


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "sweep")(_sweep)
