"""`securemem user erase|export|restrict`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.output import Output, confirm
from securemem.cli.place import Actor, Place, PolicyName
from securemem.cli.receipt import as_text
from securemem.errors import ConfigurationError
from securemem.residue import PURGE_SECONDS

app = group("Answer for a person's data.")

_User = Annotated[str, typer.Argument(metavar="USER", help="The person's user id.", show_default=False)]


@command(app, "erase")
async def _erase(
    *,
    place: Place,
    out: Output,
    user: _User,
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


@command(app, "export")
async def _export(
    *,
    place: Place,
    out: Output,
    user: _User,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; standard output if none.")
    ] = None,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Give all that is held of a person, as JSON Lines.

    What it is about, each session with its messages, what the person said in other people's sessions, and what their
    pseudonyms stand for.
    """
    if file is not None:
        _reserve(file)
    try:
        with out.working("Exporting"):
            async with place.for_retention(policy) as memory:
                with file.open("w", encoding="utf-8") if file is not None else nullcontext(sys.stdout) as to:
                    count = 0
                    async for item in memory.export_user(user, actor=actor):
                        to.write(json.dumps(item, ensure_ascii=False) + "\n")
                        count += item["kind"] == "message"
    except BaseException:
        if file is not None:
            file.unlink(missing_ok=True)  # half an export is none
        raise
    if file is not None:
        out.answer({"messages": count, "file": str(file)}, f"{count:,} messages written to {file}")


@command(app, "restrict")
async def _restrict(
    *,
    place: Place,
    out: Output,
    user: _User,
    lift: Annotated[bool, typer.Option("--lift", help="Lift it instead.")] = False,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Restrict the processing of a person's data: it is kept, and nobody reads it."""
    async with place.for_retention(policy) as memory:
        await (memory.lift_restriction if lift else memory.restrict_user)(user, actor=actor)
    out.answer({"restricted": not lift}, "It is lifted." if lift else "It is restricted.")


def _reserve(path: Path) -> None:
    """Create a file before anything is done, so that what comes of it is not lost afterwards."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already: name a new file; nothing was done") from None
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); nothing was done") from exc


def _release(path: Path | None) -> None:
    if path is not None and path.exists() and not path.stat().st_size:
        path.unlink()


def _told(document: dict[str, Any], receipt: Path | None) -> list[object]:
    said = "Erased." if document["receipt"]["handle"] else "Nothing is held of this person; the receipt says so."
    lines: list[object] = [said, "", as_text(document["receipt"])]
    return lines + ([f"Receipt written to {receipt}"] if receipt is not None else [])
