"""`securemem request`: takes, lists, verifies, extends, refuses and answers the requests of people."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.output import Output, grid
from securemem.cli.place import Actor, Place, PolicyName
from securemem.errors import InvalidInputError
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from securemem.rights.requests import Request

app = group("Take the requests of people, and answer them in time.")

_Id = Annotated[str, typer.Argument(metavar="ID", help="Of the request, as `receive` printed it.", show_default=False)]
_Kind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="access, erasure, rectification, restriction, portability or objection.",
        show_default=False,
    ),
]
_User = Annotated[str, typer.Argument(metavar="USER", help="The person's id.", show_default=False)]
_Regime = Annotated[
    str | None,
    typer.Option(metavar="LAW", help="gdpr, ukgdpr, ccpa, lgpd or hipaa; the policy's first one if not given."),
]
_Basis = Annotated[str, typer.Option(metavar="ARTICLE", help="By which article, such as gdpr-12-5-b.")]
_Due = Annotated[str | None, typer.Option(metavar="DURATION", help="Those alone that are due within, such as 7d.")]


@command(app, "receive")
async def _receive(
    *,
    place: Place,
    out: Output,
    kind: _Kind,
    user: _User,
    regime: _Regime = None,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Take a request down; nothing is touched before it is verified."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.receive(kind, user, regime=regime, actor=actor))


@command(app, "acknowledge")
async def _acknowledge(
    *, place: Place, out: Output, request: _Id, actor: Actor = None, policy: PolicyName = None
) -> None:
    """Note that the person was told that their request has come."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.acknowledge(request, actor=actor))


@command(app, "verify")
async def _verify(
    *,
    place: Place,
    out: Output,
    request: _Id,
    actor: Actor = None,
    policy: PolicyName = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Note that it is known that the person themselves asks, and carry the request out.

    An erasure or a restriction is done when this ends, or waits for a hold's release. Access, portability and
    rectification are planned: do them, and say so with `request complete`.
    """
    async with place.for_retention(policy) as memory:
        with out.working("Carrying it out"):
            done = await memory.requests.verify(request, actor=actor, purge_seconds=purge_seconds)
    _say(out, done)


@command(app, "complete")
async def _complete(*, place: Place, out: Output, request: _Id, actor: Actor = None, policy: PolicyName = None) -> None:
    """Note that a planned request was answered."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.complete(request, actor=actor))


@command(app, "refuse")
async def _refuse(
    *, place: Place, out: Output, request: _Id, basis: _Basis, actor: Actor = None, policy: PolicyName = None
) -> None:
    """Refuse a request of which nothing was done yet."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.refuse(request, basis=basis, actor=actor))


@command(app, "extend")
async def _extend(*, place: Place, out: Output, request: _Id, actor: Actor = None, policy: PolicyName = None) -> None:
    """Extend its time once, as far as its law lets; tell the person why before it would have been due."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.extend(request, actor=actor))


@command(app, "pause")
async def _pause(
    *,
    place: Place,
    out: Output,
    request: _Id,
    end: Annotated[bool, typer.Option("--end", help="Let its clock go on.")] = False,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Stop its clock while the person has to say something, where its law has that."""
    async with place.for_retention(policy) as memory:
        _say(out, await (memory.requests.resume if end else memory.requests.pause)(request, actor=actor))


@command(app, "retry")
async def _retry(*, place: Place, out: Output, request: _Id, actor: Actor = None, policy: PolicyName = None) -> None:
    """Let recipients that never confirmed be told again, with as much time as at first."""
    async with place.for_retention(policy) as memory:
        _say(out, await memory.requests.retry(request, actor=actor))


@command(app, "list")
async def _list(
    *,
    place: Place,
    out: Output,
    due: _Due = None,
    everything: Annotated[bool, typer.Option("--all", help="Those too that were answered.")] = False,
) -> None:
    """List the requests that are open, those that are due first."""
    within = _duration(due) if due is not None else None
    async with place.existing() as memory:
        found = await memory.requests.list(due=within, everything=everything)
    for each in found:
        due_by = "paused" if each.paused else f"due {each.due_at:%Y-%m-%d}"
        out.answer(_as_json(each), f"{each.id}  {due_by:14}  {each.kind} ({each.regime})  {each.state}")
    if not found and not out.as_json:
        out.answer({}, "No request is open." if due is None else f"No request is due within {due}.")


@command(app, "show")
async def _show(*, place: Place, out: Output, request: _Id) -> None:
    """Show a request, and the receipt of what was done."""
    async with place.existing() as memory:
        found, receipt = await memory.requests.show(request)
    lines: list[object] = [_table(found)]
    if receipt is not None:
        from securemem.cli.receipt import as_text  # noqa: PLC0415

        lines += ["", as_text(receipt["receipt"])]
    out.answer(_as_json(found) | {"receipt": receipt}, *lines)


def _duration(text: str) -> timedelta:
    from securemem.policy.durations import HINT, Duration  # noqa: PLC0415

    try:
        return timedelta(seconds=Duration.of(text).rough_seconds)
    except ValueError:
        raise InvalidInputError(f"--due is {HINT}") from None


def _say(out: Output, request: Request) -> None:
    out.answer(_as_json(request), _table(request))


def _table(request: Request) -> object:
    rows = [
        ("request", request.id),
        ("kind", f"{request.kind} ({request.regime})"),
        ("person", request.handle or "nobody: nothing is held"),
        ("state", request.state + (f" ({request.basis})" if request.basis is not None else "")),
        ("received", f"{request.received_at:%d %B %Y}"),
        ("due", f"{request.due_at:%d %B %Y}" + _of_time(request)),
    ]
    rows += [("confirm by", f"{request.confirm_by:%d %B %Y}")] if request.confirm_by is not None else []
    rows += [("same as", request.same_as)] if request.same_as is not None else []
    return grid(*rows)


def _of_time(request: Request) -> str:
    said = [word for word, holds in (("extended", request.extended), ("paused", request.paused)) if holds]
    return f" ({', '.join(said)})" if said else ""


def _as_json(request: Request) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(request).items()
    }
