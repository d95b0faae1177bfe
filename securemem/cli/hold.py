"""`securemem hold`: places, releases and lists legal holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import command, group
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, grid
from securemem.cli.place import Actor, Place, PolicyName

if TYPE_CHECKING:
    from securemem.rights.hold import LegalHold

app = group("Place, release and list legal holds: what is held is not deleted, and nobody reads it.")

_User = Annotated[str, typer.Argument(metavar="USER", help="The person's id.", show_default=False)]
_Session = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="One session; all of theirs if not given.")
]
_Reason = Annotated[
    str, typer.Option("--reason-code", metavar="CODE", help="Why, in a code of your own; no personal data.")
]
_Id = Annotated[str, typer.Argument(metavar="ID", help="Of the hold, as `place` printed it.", show_default=False)]


@command(app, "place")
async def _place(
    *,
    place: Place,
    out: Output,
    user: _User,
    reason_code: _Reason,
    session: _Session = None,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Hold all that is kept of a person, or one session of theirs."""
    async with place.for_retention(policy) as memory:
        hold = await memory.holds.place(user, session_id=session, reason_code=reason_code, actor=actor)
    out.answer(_as_json(hold), grid(("hold", hold.id), ("person", hold.handle), ("reason", hold.reason_code)))


@command(app, "release")
async def _release(*, place: Place, out: Output, hold: _Id, actor: Actor = None, policy: PolicyName = None) -> None:
    """Release a hold; what no other holds is read again, and goes when its time has come.

    Exits with 1 where the policy wants a second person to release it too.
    """
    async with place.for_retention(policy) as memory:
        released = await memory.holds.release(hold, actor=actor)
    out.answer(_as_json(released), *([] if released.waits else ["It is released."]))
    if released.waits:
        raise AnswerIsNo("a second person has to release it too, under another --actor: until then it stands")


@command(app, "list")
async def _list(*, place: Place, out: Output) -> None:
    """List the holds that stand."""
    async with place.existing() as memory:
        holds = await memory.holds.list()
    for number, hold in enumerate(holds):
        # A line for each id, which is there to be copied: no terminal is wide enough for three beside each other.
        rows = [
            ("hold", hold.id),
            ("person", hold.handle),
            ("on", f"session {hold.session}" if hold.session is not None else "all sessions"),
            ("reason", hold.reason_code),
            ("since", f"{hold.placed_at:%d %B %Y}"),
        ]
        out.answer(_as_json(hold), *([""] if number else []), grid(*rows))
    if not holds and not out.as_json:
        out.answer({}, "No hold stands.")


def _as_json(hold: LegalHold) -> dict[str, Any]:
    return asdict(hold) | {"placed_at": hold.placed_at.isoformat()}
