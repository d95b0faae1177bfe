"""`securemem backup` and `securemem restore`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, grid
from securemem.cli.place import Place

if TYPE_CHECKING:
    from securemem.relearning import Relearned

_STORE = Annotated[str, typer.Option(metavar="data|keystore|ledger", help="Which of the three; one file for each.")]


async def _backup(
    *,
    place: Place,
    out: Output,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A new file.", show_default=False)],
    store: _STORE = "data",
) -> None:
    """Write a sealed backup of the data, the keystore or the ledger, while they are used."""
    with out.progress("Saving") as told:
        async with place.for_retention("plain") as memory:
            report = await memory.backup(path, store=store, progress=told)
    rows = [(str(report.size), f"bytes in {path}")]
    if store != "ledger":
        rows.append((str(report.sessions), "sessions"))
    if store == "data":
        rows.append((str(report.records), "records"))
    rows.append((str(report.counter), "acts (erasure, hold, clear …) that it knows of"))
    out.answer(asdict(report), grid(*rows), *_advice(store, report.epoch))


def _advice(store: str, epoch: int | None) -> list[str]:
    if store == "keystore":
        return [f"It opens with the KEK of epoch {epoch}, until that is closed. Keep it apart from the data's backups."]
    return ["It opens with the keystore of this deployment, and not without."]


async def _restore(
    *,
    place: Place,
    out: Output,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH…", help="Backups of different stores.", show_default=False),
    ] = None,
    accept_older_ledger: Annotated[
        bool,
        typer.Option(
            "--accept-older-ledger",
            help="Go on with a ledger that knows less than the other stores, or with an empty one: no newer is left.",
        ),
    ] = False,
) -> None:
    """Put backups in place where nothing is, and apply all that was decided since."""
    from securemem.memory import SecureMemory  # noqa: PLC0415

    place.settings()
    urls = {"keystore": place.keystore, "ledger": place.ledger, "kms": place.kms}
    with out.progress("Restoring") as told:
        report = await SecureMemory.restore(
            paths or [],
            place.url,
            tenant=place.tenant,
            progress=told,
            accept_older_ledger=accept_older_ledger,
            **urls,
        )
    rows = [(name, f"is in place, as of {counter} acts") for name, counter in report.stores.items()]
    if "data" in report.stores:
        rows.append((str(report.sessions), f"sessions with {report.records} records were put"))
        if report.left_out:
            rows.append((str(report.left_out), "sessions have no key any more, and were left out"))
    if report.is_open:
        rows.append((str(report.acts), "acts were decided since, and hold"))
    hint = [] if report.is_open or "data" in report.stores else ["There is no data yet: restore its backup too."]
    if report.relearned is not None:
        rows += _relearned(report.relearned)
        hint.append("What was decided since the ledger's backup, and requests since, are not known any more.")
    out.answer(asdict(report), grid(*rows), *hint)


def _relearned(found: Relearned) -> list[tuple[str, str]]:
    rows = (
        (found.holds, "holds are known by what they are on, and have the code LEDGER-LOST"),
        (found.restrictions, "restrictions likewise"),
        (found.preserved, "sessions are known to be kept by law"),
    )
    return [(str(count), what) for count, what in rows if count]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "backup")(_backup)
    command(app, "restore")(_restore)
