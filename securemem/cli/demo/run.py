"""Runs the demo's steps in a folder that it keeps or drops, and prints what each has checked."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from securemem.cli.command import command
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, printable
from securemem.cli.receipt import as_text
from securemem.errors import ConfigurationError

if TYPE_CHECKING:
    from securemem.cli.demo.ground import Demo


async def _demo(
    *,
    out: Output,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new or empty folder, which stays when the demo is over.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Use a temporary folder and remove it; so without --keep.")
    ] = False,
) -> None:
    """See the whole story on a store of its own, in ten seconds.

    Two conversations are written, looked for in the raw files, tampered with, forgotten, and restored from a backup;
    each line that is printed was checked just before.
    """
    if keep is not None and drop:
        raise ConfigurationError("give --keep FOLDER or --drop, not both")
    from securemem.cli.demo.ground import Demo  # noqa: PLC0415

    with _folder(keep) as folder:
        store = folder / "store"
        store.mkdir(mode=0o700)
        await _tell(Demo(store, folder / "backup-from-before.db"), out)
    _end(folder, out, kept=keep is not None)


async def _tell(demo: Demo, out: Output) -> None:
    """Go through the steps, and say of each what it has checked."""
    from rich.text import Text  # noqa: PLC0415

    from securemem.cli.demo.steps import STEPS  # noqa: PLC0415

    for number, (title, step) in enumerate(STEPS, 1):
        with out.working(title):
            facts = await step(demo)
        heading = Text(f"{number}  {title}", style="bold")
        out.answer({"step": title, "facts": facts}, heading, *map(_fact, facts), "")
    if demo.receipt is None:
        return
    document = demo.receipt.to_json()
    (demo.folder.parent / "receipt.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (demo.folder.parent / "receipt-key.pem").write_text(demo.public_key, encoding="ascii")
    out.answer(document, as_text(document["receipt"]), "")


def _fact(fact: str) -> object:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row("  ", Text("\N{CHECK MARK}", style="green"), Text(printable(fact)))
    return row


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the demo's folder, and remove it afterwards where it is not to be kept."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="securemem-demo-")).resolve()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
        return
    try:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ConfigurationError(f"{keep} is not empty: name a new folder for the demo")
    except OSError as exc:
        raise ConfigurationError(f"{keep} cannot be used: {exc.strerror}") from exc
    yield keep.resolve()


def _end(folder: Path, out: Output, *, kept: bool) -> None:
    """Say where everything is, or that it is gone."""
    if folder.exists() != kept:
        raise AnswerIsNo(f"the demo's folder {folder} is not as it was to be left: look at it")
    names = sorted(path.name for path in folder.iterdir()) if kept else []
    said = f"All of it is kept in {folder}: {', '.join(names)}" if kept else f"The demo's folder {folder} is removed."
    out.answer({"folder": str(folder), "kept": kept, "held": True}, said)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(_demo)
