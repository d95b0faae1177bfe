"""`securemem tenant list|move`."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.output import Output, printable
from securemem.cli.place import Place
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from securemem.moving import MoveReport, TenantPlace

app = group("See on which server each tenant lies, and move one to another.")


@command(app, "list")
async def _list(place: Place, out: Output) -> None:
    """List the tenants of this store's table, and the server of each."""
    async with (await _of_anybody(place)).existing() as memory:
        found = await memory.tenants.list()
    if out.as_json:
        for tenant in found:
            out.answer(asdict(tenant))
    else:
        out.answer({}, _table(found))


async def _of_anybody(place: Place) -> Place:
    """Give the store by the name of a tenant that is there: the list is the same whoever asks for it."""
    from securemem.adapters import make_keystore, space_of  # noqa: PLC0415
    from securemem.places import make_home  # noqa: PLC0415
    from securemem.readiness import named  # noqa: PLC0415

    place.check_exists()
    settings = place.settings()
    make_home(settings, create=False)
    keystore = make_keystore(settings)
    try:
        if await keystore.open() is None:
            return place
        tenants = [named(name) for _, _, name in sorted(await keystore.tenants())]
    finally:
        await keystore.aclose()
    here = [tenant for space, tenant in tenants if space == space_of(settings)]
    return place if place.tenant in here or not here else replace(place, tenant=here[0])


@command(app, "move")
async def _move(
    *,
    place: Place,
    out: Output,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Its name.", show_default=False)],
    to: Annotated[
        str, typer.Option(metavar="NAME", help="The server, as [servers] in securemem.toml names it, or default.")
    ],
    backups_until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="The last day on which a backup of the server it leaves exists."
        ),
    ] = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Move a tenant to another server while it is read and written; go on with a move that was interrupted."""
    until = backups_until.replace(tzinfo=UTC) + timedelta(days=1) if backups_until is not None else None
    with out.working("Moving the tenant"):
        async with place.existing() as memory:
            report = await memory.tenants.move(to, backups_until=until, purge_seconds=purge_seconds)
    out.answer(_described(tenant, report), *_told(tenant, report))


def _described(tenant: str, report: MoveReport) -> dict[str, Any]:
    residue = [{"what": left.what, "until": left.until.isoformat() if left.until else None} for left in report.residue]
    return {
        "tenant": tenant,
        "from": report.source,
        "to": report.target,
        "sessions": report.sessions,
        "records": report.records,
        "residue": residue,
    }


def _told(tenant: str, report: MoveReport) -> list[str]:
    lines = [f"{printable(tenant)} lies on {report.target}."]
    if report.source != report.target:
        lines.append(
            f"{_count(report.sessions, 'session')} looked at, {_count(report.records, 'record')} carried over."
        )
    ends = [f"until {left.until.isoformat()}" if left.until else "with no date" for left in report.residue]
    return lines + [f"Left over: {left.what} ({end})" for left, end in zip(report.residue, ends, strict=True)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _table(found: list[TenantPlace]) -> object:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Tenant", overflow="fold")
    table.add_column("Server", no_wrap=True)
    table.add_column("Under way")
    for tenant in found:
        state = f"being moved to {tenant.moving_to}" if tenant.moving_to else ""
        state = state or (f"leaving {tenant.leaving}: move it again to end that" if tenant.leaving else "")
        table.add_row(printable(tenant.tenant), tenant.server, state)
    return table
