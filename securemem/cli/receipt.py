"""`securemem receipt verify|key`: checks the receipt of an erasure, with or without the store that gave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from securemem.cli.command import command, group
from securemem.cli.output import Output, grid
from securemem.cli.place import Place
from securemem.errors import ConfigurationError, IntegrityError

app = group("Check receipts of erasure.")

_MAX_BYTES = 16 * 1024 * 1024


@command(app, "verify")
async def _verify(
    *,
    place: Place,
    out: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt, as JSON.", show_default=False)],
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The public key, as PEM: no store is needed then.")
    ] = None,
) -> None:
    """Check a receipt's signature, offline with --key, else by the store's own key."""
    from securemem.rights.receipt import verify_receipt  # noqa: PLC0415

    raw = _read(file, "receipt")
    if key is not None:
        pem = _read(key, "public key").decode("ascii", errors="replace")
    else:
        async with place.existing() as memory:
            pem = await memory.keys.public_key()
    try:
        statement = verify_receipt(_document(raw), pem)
    except IntegrityError as exc:
        if out.as_json:
            out.answer({"valid": False, "reason": str(exc)})
        raise
    out.answer({"valid": True, "receipt": statement}, "The signature holds.", "", as_text(statement))


@command(app, "key")
async def _key(
    *,
    place: Place,
    out: Output,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A new file for the key.")] = None,
) -> None:
    """Give the public key that this store signs its receipts with, as PEM."""
    from securemem.crypto.signing import from_pem, key_id  # noqa: PLC0415

    async with place.existing() as memory:
        pem = await memory.keys.public_key()
    name = key_id(from_pem(pem))
    if out_file is None:
        out.answer({"key_id": name, "public_key": pem}, pem.rstrip())
        return
    try:
        with out_file.open("x", encoding="ascii") as file:
            file.write(pem)
    except FileExistsError:
        raise ConfigurationError(f"{out_file} exists already: name a new file for the key") from None
    out.answer({"key_id": name, "public_key": pem, "file": str(out_file)}, f"Key {name} written to {out_file}")


def as_text(statement: dict[str, Any]) -> object:
    """Give what a receipt states as a table to read."""
    rows = [
        ("receipt", statement["id"]),
        ("person", statement["handle"] or "nobody: nothing is held"),
        ("state", statement["state"]),
        ("at", statement["at"]),
    ]
    rows += [(name, _figures(store)) for name, store in statement["stores"].items()]
    rows += [("left over", _residue(entry)) for entry in statement["residue"]]
    if "audit" in statement:
        audit = statement["audit"]
        rows.append(("audit", f"event {audit['number']}, in the tree of {audit['size']} with head {audit['root']}"))
    rows.append(("horizon", statement["horizon"] or "none yet: the operator alone can tell"))
    return grid(*((name, str(value)) for name, value in rows), indent=2)


def _figures(store: dict[str, Any]) -> str:
    figures = {name.replace("_", " "): value for name, value in store.items() if name != "state"}
    number = figures.pop("tombstone", None)
    counts = [f"{value} {name.removesuffix('s') if value == 1 else name}" for name, value in figures.items()]
    return ", ".join([store["state"], *counts, *([] if number is None else [f"tombstone {number}"])])


def _residue(entry: dict[str, Any]) -> str:
    until = f"until {entry['until']}" if entry["until"] else "with no date"
    return f"{entry['store']}: {entry['what']} ({until})"


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as exc:
        raise ConfigurationError(f"the {what} {path} cannot be read: {exc.strerror}") from exc


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IntegrityError("this is no receipt: it is not a JSON object")
    return document
