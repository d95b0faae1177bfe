"""`securemem prove-erasure`: erases people who are not real, and searches the deployment for what is left of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command
from securemem.cli.doctor import size
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, printable
from securemem.cli.place import Place, PolicyName
from securemem.errors import ConfigurationError

if TYPE_CHECKING:
    from securemem.proving.place import Look
    from securemem.proving.prove import Proof

PURGE_SECONDS = 30.0
"""What is left on disk when they are over is found; so there is time for a checkpoint, an archiver, a replica."""
_STYLES = {"clean": "green", "left": "yellow", "not looked at": "yellow", "unproven": "bold red", "found": "bold red"}

_Also = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="A file or folder to search besides: backups, logs, archives. Can be repeated."),
]
_Memory = Annotated[
    bool, typer.Option("--memory/--no-memory", help="Search the memory of servers on this machine, as far as allowed.")
]


async def _prove(
    *,
    place: Place,
    out: Output,
    also: _Also = None,
    memory: _Memory = True,
    policy: PolicyName = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Plant people who are not real, use and erase them, and search for what is left of them.

    Exits with 1 if anything is found, or if the control is not. Real people's data is not touched.
    """
    for path in also or ():
        if not path.exists():
            raise ConfigurationError(f"{path} is not there: --also names what is to be searched")
    with out.working("Opening") as say, _terminated_as_interrupted():
        async with place.existing(policy=policy) as store:
            proof = await store.prove_erasure(also=also or (), memory=memory, purge_seconds=purge_seconds, say=say)
    out.answer(_document(proof), _table(proof), "", *_told(proof))
    if proof.found:
        raise AnswerIsNo(f"something of the erased was found: {_named(proof.found)}")
    if not proof.is_proven:
        raise AnswerIsNo(
            f"nothing is proven: the control was not found in {_named(proof.unproven) or 'the scratch folder'}"
        )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, after it has cleaned up; also where a shell has turned Ctrl-C off."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    is_told = False

    def end() -> None:
        nonlocal is_told
        is_told = True
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if is_told:
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _named(looks: tuple[Look, ...]) -> str:
    return ", ".join(f"{look.place.store} {look.place.what}" for look in looks)


def _document(proof: Proof) -> dict[str, Any]:
    return {
        "proven": proof.is_proven,
        "planted": proof.planted,
        "left_out_by_policy": proof.left_out,
        "sought": proof.sealed,
        "control": {"forms": proof.forms, "found": proof.forms_found},
        "places": [
            {
                "store": look.place.store,
                "what": look.place.what,
                "where": look.place.where,
                "state": look.state,
                "bytes": look.size,
                "seconds": round(look.seconds, 3),
                "found": sorted(look.wrong),
                "left": sorted(look.left),
                "control": look.control,
                "why": look.why,
            }
            for look in proof.looks
        ],
        "residue": [
            {"store": left.store, "what": left.what, "until": left.until.isoformat() if left.until else None}
            for left in proof.residue
        ],
    }


def _table(proof: Proof) -> object:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Where", overflow="fold")
    table.add_column("Searched", justify="right", no_wrap=True)
    table.add_column("Control", no_wrap=True)
    table.add_column("Of the erased", overflow="fold", min_width=len("unproven:"))
    for look in proof.looks:
        state = Text(look.state, style=_STYLES[look.state])
        says = "; ".join([*sorted(look.wrong | look.left), *([look.why] if look.why else [])])
        table.add_row(
            Text.assemble((f"{look.place.store} {look.place.what}", "bold"), f"\n{printable(look.place.where)}"),
            f"{size(look.size)} in {look.seconds:.1f} s" if look.size else "",
            "found" if look.control else "not found" if look.place.control and look.size else "",
            Text.assemble(state, f": {printable(says)}" if says else ""),
        )
    return table


def _told(proof: Proof) -> list[str]:
    said = f"{proof.planted} messages of people who are not real were written; {proof.sealed} sealed pieces of them"
    control = f"Control: {proof.forms_found} of {proof.forms} forms of a text in clear, in a folder of their own,"
    lines = [f"{said}, and every text of theirs, were looked for.", f"{control} were found."]
    if proof.left_out:
        lines.append(f"The policy did not let in {proof.left_out} of what was to be written.")
    lines += [f"Receipts name as left: {left.what}{_until(left)}" for left in proof.residue]
    return [
        *lines,
        "",
        "Proven: nothing of the erased is left where it was looked for." if proof.is_proven else "Not proven.",
    ]


def _until(left: Any) -> str:
    return f" (until {left.until:%Y-%m-%d %H:%M})" if left.until else ""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "prove-erasure")(_prove)
