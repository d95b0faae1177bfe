"""`securemem user erase`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.output import Output, confirm
from securemem.cli.place import Place
from securemem.cli.receipt import as_text
from securemem.errors import ConfigurationError
from securemem.residue import PURGE_SECONDS

app = group("Answer for a person's data.")


@command(app, "erase")
async def _erase(
    *,
    place: Place,
    out: Output,
    user: Annotated[str, typer.Argument(metavar="USER", help="The person's user id.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where there is a terminal to ask on.")] = False,
    receipt: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file for the receipt, as JSON.")] = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Forget a person, and print the signed receipt.

    Their keys are destroyed, their messages deleted, and what the deletion leaves on disk is removed.
    """
    async with place.existing() as memory:
        if not yes:
            confirm("Forget this person for good, with every session of theirs?")
        if receipt is not None:
            _reserve(receipt)
        try:
            with out.working("Erasing"):
                done = await memory.erase_user(user, purge_seconds=purge_seconds)
        except BaseException:
            _release(receipt)
            raise
    document = done.to_json()
    out.answer(document, *_told(document, receipt))
    if receipt is not None:
        # Printed first: should the disk be full, the receipt of what cannot be undone is not lost.
        receipt.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _reserve(path: Path) -> None:
    """Create the receipt's file before anything is erased, so that the receipt is not lost afterwards."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already: name a new file for the receipt; nobody was erased") from None
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); nobody was erased") from exc


def _release(path: Path | None) -> None:
    if path is not None and path.exists() and not path.stat().st_size:
        path.unlink()


def _told(document: dict[str, Any], receipt: Path | None) -> list[object]:
    said = "Erased." if document["receipt"]["handle"] else "Nothing is held of this person; the receipt says so."
    lines: list[object] = [said, "", as_text(document["receipt"])]
    return lines + ([f"Receipt written to {receipt}"] if receipt is not None else [])
