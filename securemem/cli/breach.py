"""`securemem breach-scope`: whom a leak touches, what it lets an attacker read, and what to do now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, grid
from securemem.cli.place import Place

if TYPE_CHECKING:
    from securemem.rights.breach import BreachScope

_Epochs = Annotated[
    list[int] | None, typer.Option("--epoch", metavar="N", help="The KEK of an epoch leaked; may come several times.")
]
_Files = Annotated[
    list[Path] | None, typer.Option("--file", metavar="FILE", help="A file, or a copy of it, leaked; likewise.")
]


async def _breach_scope(*, place: Place, out: Output, epoch: _Epochs = None, file: _Files = None) -> None:
    """Say whom a leak touches, by handles, what it lets an attacker read, and what to do.

    Name all that may be in the same hands: data, keystore and KEK together open what each of them alone does not.
    """
    with out.working("Looking"):
        async with place.existing() as memory:
            found = await memory.audit.breach_scope(epochs=epoch or [], files=file or [])
    out.answer(asdict(found), *_in_words(found))


def _in_words(found: BreachScope) -> list[object]:
    count = f"{len(found.people):,} people"
    more = f"{count}, and {found.perhaps:,} more whose keys may have been under it earlier" if found.perhaps else count
    rows = [("leaked", ", ".join(found.leaked)), ("touches", more), ("sessions", f"{found.sessions:,}")]
    rows.append(("readable", f"messages of {len(found.readable):,} people, ids of {len(found.named):,}"))
    rows += [("reads", each) for each in found.reads]
    rows.append(("Art. 34(3)(a)", found.article))
    rows += [(f"to do {number}", each) for number, each in enumerate(found.todo, 1)]
    people = [(handle, _how(found, handle)) for handle in found.people]
    return [grid(*rows), *(["", grid(*people, indent=2)] if people else [])]


def _how(found: BreachScope, handle: str) -> str:
    if handle in found.readable:
        return "messages and id are readable"
    return "the id is readable" if handle in found.named else ""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "breach-scope")(_breach_scope)
