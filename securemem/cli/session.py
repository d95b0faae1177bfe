"""`securemem session list|show|clear`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, confirm, printable
from securemem.cli.place import Place, PolicyName
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from securemem.memory import SecureMemory
    from securemem.model import Message, SessionInfo

app = group("List, show and clear sessions.")

_Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.", show_default=False)]
_User = Annotated[str | None, typer.Option(metavar="USER", help="Whose session; if not given, it is its own subject.")]
_ABSENT = "there is no such session of such a user in this tenant: look at `securemem session list`"


@command(app, "list")
async def _list(
    *,
    place: Place,
    out: Output,
    user: Annotated[str | None, typer.Option(metavar="USER", help="Only this user's sessions.")] = None,
) -> None:
    """List the sessions of a user, or of everybody in the tenant."""
    with out.working("Reading sessions"):
        async with place.existing() as memory:
            found = [info async for info in memory.sessions(user_id=user)]
    if out.as_json:
        for info in found:
            out.answer(_described(info))
    elif found:
        out.answer({}, _table(found))
    else:
        out.answer({}, "No sessions.")


@command(app, "show")
async def _show(
    *,
    place: Place,
    out: Output,
    session: _Session,
    user: _User = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="At most so many of the newest messages.")] = 100,
) -> None:
    """Print the messages of a session, oldest first."""
    async with place.existing() as memory:
        await _require(memory, session, user)
        messages = await memory.session(session, user_id=user).history(limit=limit)
    for message in messages:
        out.answer(_as_json(message), *_as_text(message))


@command(app, "clear")
async def _clear(
    *,
    place: Place,
    out: Output,
    session: _Session,
    user: _User = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where there is a terminal to ask on.")] = False,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
    policy: PolicyName = None,
) -> None:
    """Destroy a session: its key and its messages.

    What the deletion leaves on disk is removed too. What a law demands to keep, by the policy, is sealed anew and read
    by nobody.
    """
    async with place.for_retention(policy) as memory:
        await _require(memory, session, user)
        if not yes:
            confirm("Destroy this session and its key? It cannot be undone.")
        with out.working("Destroying the session"):
            await memory.session(session, user_id=user).clear(purge_seconds=purge_seconds)
    out.answer({"cleared": True}, "Cleared: its key is destroyed, and its messages are deleted.")


async def _require(memory: SecureMemory, session: str, user: str | None) -> None:
    """Refuse a session that the keystore does not know."""
    handle = memory.session(session, user_id=user)
    conversation = await memory.host.conversation(handle.user_id, session, ())
    if await conversation.keys() is None:
        raise AnswerIsNo(_ABSENT)


def _described(info: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": info.session_id,
        "user_id": info.user_id,
        "messages": info.messages,
        "created_at": info.created_at.isoformat(),
        "last_at": info.last_at.isoformat() if info.last_at else None,
        "tags": list(info.tags),
        "held": info.held,
        "restricted": info.restricted,
    }


def _table(found: list[SessionInfo]) -> object:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Session", overflow="fold")
    table.add_column("User", overflow="fold")
    table.add_column("Messages", justify="right", no_wrap=True)
    table.add_column("Last message", no_wrap=True)
    for info in found:
        last = _moment(info.last_at) if info.last_at else "none"
        table.add_row(printable(info.session_id), printable(info.user_id), str(info.messages), last)
    return table


def _as_json(message: Message) -> dict[str, Any]:
    return {
        "seq": message.seq,
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp.isoformat() if message.timestamp else None,
        "metadata": message.metadata,
        "user_id": message.user_id,
        "expires_at": message.expires_at.isoformat() if message.expires_at else None,
    }


def _as_text(message: Message) -> list[object]:
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    about = [f"#{message.seq}", message.role, _moment(message.timestamp) if message.timestamp else ""]
    if message.user_id is not None:
        about.append(f"about {message.user_id}")
    content = message.content if isinstance(message.content, str) else json.dumps(message.content, ensure_ascii=False)
    return [Text(printable("  ".join(about)), style="bold"), Padding(Text(printable(content)), (0, 0, 1, 2))]


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
