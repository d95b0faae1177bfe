"""`securemem audit verify|export|checkpoint`: what was done with whose data, and whether that still stands."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import command, group
from securemem.cli.output import Output, grid
from securemem.cli.place import Place
from securemem.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from securemem.ledger.witness import AuditReport

app = group("Verify the audit, carry it away, and put its head down elsewhere.")

_Checkpoints = Annotated[
    str | None,
    typer.Option(metavar="FILE|URL", help="Where checkpoints were put down; the store's audit_sink if not given."),
]
_Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The public key that signed them, as PEM, kept from before.")
]
_MOST_BYTES = 64 * 1024


@command(app, "verify")
async def _verify(*, place: Place, out: Output, checkpoints: _Checkpoints = None, key: _Key = None) -> None:
    """Go through all events, and hold them against the checkpoints that were put down elsewhere.

    Exits with 1 where an event was changed, left out, added or moved, or the chain was cut off or put back.
    """
    pem = _read(key) if key is not None else None
    try:
        with out.working("Verifying"):
            async with place.existing() as memory:
                report = await memory.audit.verify(checkpoints=checkpoints, public_key=pem)
    except IntegrityError as exc:
        if out.as_json:
            out.answer({"valid": False, "reason": str(exc)})
        raise
    out.answer({"valid": True, **asdict(report)}, *_in_words(report))


@command(app, "export")
async def _export(
    *,
    place: Place,
    out: Output,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A new file for it.")] = None,
) -> None:
    """Give the audit as JSON Lines: handles, kinds and hashes, no id of anybody, and at last a signed checkpoint."""
    import json  # noqa: PLC0415

    try:
        file = out_file.open("x", encoding="ascii") if out_file is not None else sys.stdout
    except FileExistsError:
        raise ConfigurationError(f"{out_file} exists already: name a new file for the audit") from None
    number = 0
    try:
        async with place.existing() as memory:
            async for item in memory.audit.export():
                print(json.dumps(item), file=file)
                number += item["kind"] == "event"
    finally:
        if out_file is not None:
            file.close()
    if out_file is not None:
        out.answer({"events": number, "file": str(out_file)}, f"{number} events written to {out_file}")


@command(app, "checkpoint")
async def _checkpoint(*, place: Place, out: Output) -> None:
    """Sign the audit's head, and put it down at the store's audit_sink; `worker` does so by itself."""
    async with place.existing() as memory:
        made = await memory.audit.checkpoint()
    if made is None:
        out.answer({"size": None}, "There is nothing new since the newest checkpoint.")
        return
    document: dict[str, Any] = {"origin": made.origin, "size": made.size, "root": made.root.hex()}
    out.answer(document, grid(("audit", made.origin), ("events", str(made.size)), ("head", made.root.hex())))


def _in_words(report: AuditReport) -> list[object]:
    said = grid(
        ("events", str(report.events)),
        ("head", report.root),
        ("checkpoints", f"{report.checkpoints}, all of them hold"),
    )
    if report.checkpoints:
        return ["The audit is as it was written.", said]
    hint = "A chain that was cut off at its end or written anew as a whole would not show: name an audit_sink."
    return ["The chain holds in itself; no checkpoint from outside was there to hold it against.", said, hint]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("ascii", errors="replace")
    except OSError as exc:
        raise ConfigurationError(f"the public key {path} cannot be read: {exc.strerror}") from exc
