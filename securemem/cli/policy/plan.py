"""`securemem policy plan|apply|explain`: what a policy would do to a store, done on somebody's word, and why."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, grid
from securemem.cli.place import Actor, Place, PolicyName
from securemem.cli.policy.group import app
from securemem.model import from_milliseconds
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from rich.table import Table

    from securemem.retention.plan import Line, Plan

_Hash = Annotated[str, typer.Argument(metavar="PLAN-HASH", help="Of a plan that you have read.", show_default=False)]
_Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.", show_default=False)]
_Seq = Annotated[int, typer.Argument(metavar="SEQ", min=1, help="The message's number in it.", show_default=False)]
_User = Annotated[str | None, typer.Option("--user", metavar="ID", help="Whose session; its own id if not given.")]


@command(app, "plan")
async def _plan(*, place: Place, out: Output, policy: PolicyName = None) -> None:
    """Show what a policy would do to a store, rule by rule; nothing is changed."""
    with out.working("Counting"):
        async with place.for_retention(policy) as memory:
            plan = await memory.retention.plan()
    out.answer(_as_json(plan), _table(plan), *_below(plan))


@command(app, "apply")
async def _apply(
    *,
    place: Place,
    out: Output,
    plan_hash: _Hash,
    policy: PolicyName = None,
    actor: Actor = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Put a policy in force, and delete what it says is past its time.

    Refuses a hash that is not of this policy's plan for this store, and where more would be deleted by now than the
    plan said and the policy's `safety` allows. Exits with 1 where a second person has to apply it too.
    """
    with out.working("Applying"):
        async with place.for_retention(policy) as memory:
            report = await memory.retention.apply(
                plan_hash, actor=actor or os.environ.get("USER"), purge_seconds=purge_seconds
            )
    rows = (
        (f"{report.records:,}", "messages deleted"),
        (f"{report.sessions:,}", "sessions destroyed, in which nothing was left to read"),
        (f"{report.restricted:,}", "messages kept out of sight from now on"),
    )
    out.answer(asdict(report), *([] if report.refusal else ["The policy is in force.", grid(*rows)]))
    if report.refusal:
        raise AnswerIsNo(report.refusal)


@command(app, "explain")
async def _explain(
    *, place: Place, out: Output, session: _Session, seq: _Seq, user: _User = None, policy: PolicyName = None
) -> None:
    """Say what becomes of a message by a policy, and why."""
    async with place.for_retention(policy) as memory:
        found = await memory.retention.explain(session, seq, user_id=user)
    document = {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(found).items()
    }
    rows = [
        ("action", found.action),
        ("rule", found.rule),
        ("why", found.why),
        ("deadline", _moment(found.deadline)),
        ("came", f"{_moment(found.came)}, or within the hour"),
        ("wanted until", _moment(found.expires_at)),
        ("rules that match", ", ".join(found.matching) or "none"),
        ("found in it", ", ".join(found.entities) or "nothing"),
    ]
    out.answer(document, grid(*rows))


def _moment(moment: datetime | None) -> str:
    return f"{moment:%d %B %Y %H:%M} UTC" if moment is not None else "none"


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "at": from_milliseconds(plan.at).isoformat(),
        "records": plan.records,
        "rules": {rule: _line_as_json(line) for rule, line in sorted(plan.lines.items())},
        "held": plan.held,
        "quarantined": plan.quarantined,
        "irreversible_from": from_milliseconds(plan.gone_at).isoformat() if plan.gone_at is not None else None,
        "hash": plan.token,
    }


def _line_as_json(line: Line) -> dict[str, Any]:
    counts = {"now": line.now, "soon": line.soon, "kept": line.kept, "newly_kept": line.newly_kept}
    gone = from_milliseconds(line.gone_at).isoformat() if line.gone_at is not None else None
    return counts | {"irreversible_from": gone}


def _table(plan: Plan) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=f"{plan.records:,} records", title_justify="left", title_style="bold")
    table.add_column("rule")
    for name in ("deleted now", "within 7 days", "kept out of sight", "newly kept"):
        table.add_column(name, justify="right")
    table.add_column("in no backup from")
    for rule, line in sorted(plan.lines.items()):
        counts = (f"{number:,}" if number else "" for number in (line.now, line.soon, line.kept, line.newly_kept))
        gone = f"{from_milliseconds(line.gone_at):%d %B %Y}" if line.gone_at is not None else ""
        table.add_row(rule, *counts, gone, style="red" if line.now else "")
    return table


def _below(plan: Plan) -> list[str]:
    found = []
    if plan.held:
        found.append(f"{plan.held:,} are under a legal hold: nothing is done to them.")
    if plan.quarantined:
        found.append(f"{plan.quarantined:,} are not classified: they are kept, and nobody reads them.")
    if plan.gone_at is not None:
        found.append(f"What is deleted now is in no backup any more from {from_milliseconds(plan.gone_at):%d %B %Y}.")
    else:
        found.append("Until when backups have what is deleted now, the policy does not say (erasure.targets.backups).")
    return [*found, f"To do it: securemem policy apply {plan.token}"]
