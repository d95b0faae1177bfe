"""`securemem init`: makes a store, and says which file holds what and what to back up where."""

from __future__ import annotations

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, grid, printable
from securemem.cli.place import Files, Place

_HOLDS = {
    "data": "sealed messages, and nothing that opens them",
    "keystore": "wrapped keys, and ids as keyed hashes",
    "ledger": "who was forgotten and when, by random handles",
    "kek": "the key that the keystore's keys are wrapped under",
}
_ADVICE = (
    "Back up the kek and the keystore apart from the data and from each other: whoever has all three reads everything, "
    "and without kek and keystore nobody reads anything. Keep the ledger out of the keystore's backups."
)


async def _init(place: Place, out: Output) -> None:
    """Make a store, and say which file holds what."""
    files = place.files()
    new = not all(path.exists() for path in files.all.values())
    has_store, has_tenant = (False, False) if new else await _found(place)
    async with place.open() as memory:
        epochs = await memory.keys.status()
    rows = [(name, str(path), _HOLDS[name]) for name, path in files.all.items()]
    document = {
        "created": not has_store,
        "tenant_created": not has_tenant,
        "epoch": epochs[-1].epoch,
        "files": [{"store": name, "path": path, "holds": holds} for name, path, holds in rows],
        "advice": _ADVICE,
    }
    said = "This store was there already, and opens."
    if not has_tenant:
        said = f"This store was there already; the tenant {printable(place.tenant)} is new in it."
    if not has_store:
        said = "A new store is ready."
    out.answer(document, said, "", *_places(files), "", _ADVICE)


async def _found(place: Place) -> tuple[bool, bool]:
    """Tell whether there is a store, and in this table of it the tenant, before either is made."""
    from securemem.adapters import make_keystore, space_of  # noqa: PLC0415
    from securemem.readiness import space_name  # noqa: PLC0415

    settings = place.settings()
    keystore = make_keystore(settings)
    try:
        if await keystore.open() is None:
            return False, False
        return True, await keystore.tenant(space_name(space_of(settings), place.tenant)) is not None
    finally:
        await keystore.aclose()


def _places(files: Files) -> list[object]:
    if not files.all:
        return []
    found: list[object] = [grid(*((name, _HOLDS[name]) for name in files.all))]
    return [*found, "", *(f"{name:<9} {path}" for name, path in files.all.items())]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "init")(_init)
