"""The commands put together, and `main`, which leaves with an exit code of `outcome`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from securemem.cli import (
    audit,
    backup,
    breach,
    chat,
    demo,
    doctor,
    hold,
    init,
    keys,
    models,
    policy,
    prove,
    receipt,
    request,
    session,
    status,
    streams,
    sweep,
    tenant,
    user,
    worker,
)
from securemem.cli.command import group
from securemem.cli.outcome import NO, USAGE, fail

_UsageError: Any = typer.BadParameter.__base__
_MAY_HOLD_AN_ID = {
    "Got unexpected extra argument": "too many arguments",
    "No such command": "no such command",
    "No such option": "no such option",
}


class Commands(TyperGroup):
    """The group of all commands, whose usage errors are one line without what was typed in a place of its own."""

    def main(self, *args: Any, **named: Any) -> NoReturn:
        """Run a command line and leave with its exit code."""
        try:
            code = super().main(*args, **named | {"standalone_mode": False})
        except _UsageError as exc:
            code = _misused(exc)
        except typer.Abort:
            code = _left("nothing was done", NO)
        except SystemExit as exc:
            if isinstance(exc.__context__, BrokenPipeError):
                raise exc.__context__ from None  # for `main`: typer has made it a 1
            raise
        sys.exit(code if isinstance(code, int) else 0)


def _misused(error: Any) -> int:
    path = error.ctx.command_path if error.ctx is not None else "securemem"
    message = error.format_message().strip()
    message = next((plain for start, plain in _MAY_HOLD_AN_ID.items() if message.startswith(start)), message)
    return _left(f"{message.rstrip('.')}; see `{path} --help`", USAGE)


def _left(message: str, code: int) -> int:
    try:
        fail(message, code)
    except typer.Exit as exc:
        return exc.exit_code
    return code


app = group()
app.info.name = "securemem"
app.info.cls = Commands
app.info.context_settings = {"help_option_names": ["-h", "--help"]}


def _version(wanted: bool) -> None:  # noqa: FBT001  (typer's way)
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"securemem {version('securemem')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001  (its callback has acted)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The encrypted memory of AI agents: one key per person, and forgetting with a receipt."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _room in (demo, init, doctor, status, chat, sweep, worker, prove, backup, breach):
    _room.add_to(app)
_groups = (
    ("session", session),
    ("user", user),
    ("tenant", tenant),
    ("hold", hold),
    ("request", request),
    ("keys", keys),
    ("receipt", receipt),
    ("audit", audit),
    ("policy", policy),
    ("models", models),
)
for _name, _commands in _groups:
    app.add_typer(_commands.app, name=_name)


def main() -> NoReturn:
    """Run the command line of this process."""
    # What the library warns of when it opens a store, `doctor` says.
    logging.getLogger("securemem").setLevel(logging.ERROR)
    streams.make_whole()
    try:
        try:
            app(prog_name="securemem")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(streams.hang_up())
    sys.exit(0)
