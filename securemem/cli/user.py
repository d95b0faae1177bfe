"""`securemem user show|export|rectify|restrict|erase`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command, group
from securemem.cli.output import Output, confirm, grid
from securemem.cli.place import Actor, Place, PolicyName
from securemem.cli.receipt import as_text
from securemem.errors import ConfigurationError
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from securemem.rights.formats import Writer
    from securemem.rights.holdings import HeldSession, Holdings

app = group("Answer for a person's data.")

_TELL_EVERY = 500
_User = Annotated[str, typer.Argument(metavar="USER", help="The person's user id.", show_default=False)]


@command(app, "erase")
async def _erase(
    *,
    place: Place,
    out: Output,
    user: _User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where there is a terminal to ask on.")] = False,
    receipt: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file for the receipt, as JSON.")] = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
    policy: PolicyName = None,
) -> None:
    """Forget a person, and print the signed receipt.

    Their keys are destroyed, their messages deleted, and what the deletion leaves on disk is removed. What a law
    demands to keep, by the policy, is sealed anew and read by nobody.
    """
    async with place.for_retention(policy) as memory:
        if not yes:
            confirm("Forget this person for good, with every session of theirs?")
        if receipt is not None:
            _reserve(receipt)
        try:
            with out.working("Erasing"):
                done = await memory.erase_user(user, purge_seconds=purge_seconds)
        except BaseException:
            _release(receipt)
            raise
    document = done.to_json()
    try:
        # Printed first: should the disk be full, the receipt of what cannot be undone is not lost.
        out.answer(document, *_told(document, receipt))
    finally:
        if receipt is not None:
            receipt.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


@command(app, "export")
async def _export(
    *,
    place: Place,
    out: Output,
    user: _User,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; standard output if none.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="A new file for a page that the person can read.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl, or conversations alone: openai, langchain.")
    ] = "jsonl",
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Give all that is held of a person, as JSON Lines, and as a page to be read.

    What it is about, each session with its messages, what the person said in other people's sessions, and what their
    pseudonyms stand for.
    """
    from securemem.rights.formats import FORMATS  # noqa: PLC0415
    from securemem.rights.page import Page  # noqa: PLC0415

    if form not in FORMATS:
        raise ConfigurationError(f"--format is one of {', '.join(FORMATS)}")
    if html is not None and file is None and form != "jsonl":
        raise ConfigurationError("--format is of the export beside the page: name its file with --out, or leave it out")
    files = [path for path in (file, html) if path is not None]
    done = 0
    try:
        for made, path in enumerate(files):
            _reserve(path)
            done = made + 1
        async with place.for_retention(policy) as memory:
            held = await memory.show_user(user, actor=actor)
            writers: list[tuple[Writer, Path | None]] = []
            if file is not None or html is None:
                writers.append((FORMATS[form](), file))
            if html is not None:
                writers.append((Page(held), html))
            with out.progress("Exporting") as told:
                items = memory.export_user(user, actor=actor)
                count = await _written(items, writers, lambda done: told and told(done, held.messages))
    except BaseException:
        for path in files[:done]:
            path.unlink(missing_ok=True)  # half an export is none
        raise
    if files:
        names = [str(path) for path in files]
        out.answer({"messages": count, "files": names}, f"{count:,} messages written to {' and '.join(names)}")


async def _written(
    items: AsyncIterator[dict[str, Any]], writers: list[tuple[Writer, Path | None]], tell: Callable[[int], object]
) -> int:
    """Write an export, object by object; gives how many messages there were."""
    count = 0
    with ExitStack() as stack:
        opened = [
            (writer, stack.enter_context(path.open("w", encoding="utf-8")) if path is not None else sys.stdout)
            for writer, path in writers
        ]
        async for item in items:
            for writer, to in opened:
                to.write(writer.take(item))
            if item["kind"] == "message":
                count += 1
                if not count % _TELL_EVERY:
                    tell(count)
        for writer, to in opened:
            to.write(writer.end())
    return count


@command(app, "show")
async def _show(*, place: Place, out: Output, user: _User, actor: Actor = None, policy: PolicyName = None) -> None:
    """Say what is held of a person, in numbers: sessions, messages, holds, keys; no content."""
    with out.working("Counting"):
        async with place.for_retention(policy) as memory:
            held = await memory.show_user(user, actor=actor)
    out.answer(_as_json(held), *_as_text(held))


@command(app, "rectify")
async def _rectify(
    *,
    place: Place,
    out: Output,
    user: _User,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.", show_default=False)],
    seq: Annotated[int, typer.Argument(metavar="SEQ", min=1, help="Of the message.", show_default=False)],
    file: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="What it is to say; - is standard input.")
    ] = Path("-"),
    content_json: Annotated[bool, typer.Option("--content-json", help="That is JSON, and not text.")] = False,
    actor: Actor = None,
    policy: PolicyName = None,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
) -> None:
    """Put right what a message says: the new content comes from a file, or from standard input.

    What it said before is left nowhere in the store. Role, time and metadata stay.
    """
    content = _content(file, as_json=content_json)
    async with place.existing(policy=policy) as memory:
        with out.working("Rectifying"):
            handle = memory.session(session, user_id=user, actor=actor)
            stored = await handle.rectify(seq, content, purge_seconds=purge_seconds)
    out.answer({"rectified": True, "seq": stored.seq}, "Rectified.")


def _content(file: Path, *, as_json: bool) -> Any:
    """Read what a message is to say; of a text one new line at its end is the file's."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = raw.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("the new content is no UTF-8; nothing was rectified") from None
    if not text and str(file) == "-":
        raise ConfigurationError("nothing came to be the new content; nothing was rectified")
    if not as_json:
        return text.removesuffix("\n").removesuffix("\r")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError("the new content is no JSON; nothing was rectified") from None


@command(app, "restrict")
async def _restrict(
    *,
    place: Place,
    out: Output,
    user: _User,
    lift: Annotated[bool, typer.Option("--lift", help="Lift it instead.")] = False,
    actor: Actor = None,
    policy: PolicyName = None,
) -> None:
    """Restrict the processing of a person's data: it is kept, and nobody reads it."""
    async with place.for_retention(policy) as memory:
        await (memory.lift_restriction if lift else memory.restrict_user)(user, actor=actor)
    out.answer({"restricted": not lift}, "It is lifted." if lift else "It is restricted.")


def _as_json(held: Holdings) -> dict[str, Any]:
    found = asdict(held) | {"messages": held.messages}
    for session in found["sessions"]:
        session["created_at"] = session["created_at"].isoformat()
    return found


def _as_text(held: Holdings) -> list[object]:
    if held.handle is None:
        return ["Nothing is held of this person."]
    rows = [
        ("handle", held.handle),
        ("sessions", f"{len(held.sessions):,}"),
        ("messages", f"{held.messages - held.visits:,}"),
        ("in others' sessions", f"{held.visits:,} messages in {held.visited:,} sessions"),
        ("pseudonyms", "kept" if held.pseudonyms else "none"),
        ("restricted", "yes" if held.restricted else "no"),
        ("legal holds", ", ".join(held.holds) or "none"),
        ("key", f"generation {held.generation}, under epoch {held.epoch} of the KEK"),
    ]
    lines: list[object] = [grid(*rows)]
    if held.sessions:
        lines.append("")
        lines.append(
            grid(
                *((each.session_id or "(ended)", f"{each.messages:,} messages", _marks(each)) for each in held.sessions)
            )
        )
    return lines


def _marks(session: HeldSession) -> str:
    marks = [*session.tags, *(["held"] if session.held else []), *(["out of sight"] if session.restricted else [])]
    return ", ".join(marks)


def _reserve(path: Path) -> None:
    """Create a file before anything is done, so that what comes of it is not lost afterwards."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already: name a new file; nothing was done") from None
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); nothing was done") from exc


def _release(path: Path | None) -> None:
    if path is not None and path.exists() and not path.stat().st_size:
        path.unlink()


def _told(document: dict[str, Any], receipt: Path | None) -> list[object]:
    said = "Erased." if document["receipt"]["handle"] else "Nothing is held of this person; the receipt says so."
    lines: list[object] = [said, "", as_text(document["receipt"])]
    return lines + ([f"Receipt written to {receipt}"] if receipt is not None else [])
