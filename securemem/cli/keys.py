"""`securemem keys status|rotate|close-epoch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import command, group
from securemem.cli.output import Output
from securemem.cli.place import Place
from securemem.errors import ConfigurationError

if TYPE_CHECKING:
    from securemem.keys.rotation import EpochStatus

app = group("Look after the keys that people's keys are wrapped under.")


@command(app, "status")
async def _status(place: Place, out: Output) -> None:
    """List the epochs of the KEK, and how many people's keys are wrapped under each."""
    async with place.existing() as memory:
        epochs = await memory.keys.status()
    out.answer({"epochs": [_described(epoch) for epoch in epochs]}, _table(epochs))


@command(app, "rotate")
async def _rotate(place: Place, out: Output) -> None:
    """Open a new epoch and put every person's key under it; no message is touched."""
    with out.working("Rewrapping keys"):
        async with place.existing() as memory:
            new = await memory.keys.rotate()
            epochs = await memory.keys.status()
    said = f"Epoch {new} is open, and every person's key is under it."
    hint = "Keystore backups from before still open until `securemem keys close-epoch`."
    out.answer({"epoch": new, "epochs": [_described(epoch) for epoch in epochs]}, said, hint)


@command(app, "close-epoch")
async def _close_epoch(
    *,
    place: Place,
    out: Output,
    backup: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file for a keystore backup, which is read back first.")
    ] = None,
    without_backup: Annotated[
        bool, typer.Option("--without-backup", help="Destroy without one: should the keystore be lost, all is.")
    ] = False,
) -> None:
    """Destroy every epoch but the newest: keystore backups from before open nobody any more."""
    if (backup is None) != without_backup:
        raise ConfigurationError(
            "older keystore backups will open nobody: give --backup FILE for a new one, or --without-backup, not both"
        )
    with out.working("Closing epochs"):
        async with place.existing() as memory:
            closed = await memory.keys.close_epoch(backup=backup, without_backup=without_backup)
            epochs = await memory.keys.status()
    document = {"closed": closed, "epoch": epochs[-1].epoch, "backup": str(backup) if backup is not None else None}
    out.answer(document, *_told(closed, epochs[-1].epoch, backup))


def _told(closed: list[int], current: int, backup: Path | None) -> list[str]:
    numbers = ", ".join(map(str, closed)) or "none"
    lines = [f"Destroyed: {numbers}. Open: {current}. Keystore backups from before open nobody any more."]
    return lines + ([f"A keystore backup was written and read back: {backup}"] if backup is not None else [])


def _described(epoch: EpochStatus) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "state": epoch.state,
        "since": epoch.since.isoformat(),
        "users": epoch.users,
        "kek": epoch.kek,
    }


def _table(epochs: list[EpochStatus]) -> object:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (("Epoch", "right"), ("State", "left"), ("Since", "left"), ("People", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("KEK")
    for epoch in epochs:
        kek = "alive" if epoch.kek else "gone"
        table.add_row(str(epoch.epoch), epoch.state, f"{epoch.since:%Y-%m-%d %H:%M} UTC", str(epoch.users), kek)
    return table
